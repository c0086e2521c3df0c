#include "journal/journal_format.h"

#include <fmt/core.h>

#include <algorithm>
#include <cstring>

#include "base/check.h"

namespace stavefs {
namespace {

using namespace journal_format;

Error corrupt(const char* what) {
  return Error(ErrorCode::kCorrupt, EIO, std::string("journal frame: ") + what);
}

bool all_zero(std::span<const uint8_t> bytes) {
  return std::all_of(bytes.begin(), bytes.end(), [](uint8_t b) { return b == 0; });
}

uint64_t header_check(FrameFields f, uint64_t key) {
  f.hash[0] = 0;
  f.hash[1] = 0;
  f.header_check = 0;
  return xxh3_64(&f, sizeof f, key);
}

}  // namespace

uint64_t RingFormat::max_record_bytes() const { return std::min(ring_bytes / 8, kMaxRecordBytes); }

uint64_t RingFormat::target_frame_bytes() const {
  return std::min(kFrameTargetBytes, round_down(ring_bytes / 4, kPageBytes));
}

uint64_t RingFormat::max_frame_bytes() const {
  return std::max(frame_bytes_for(kRecordOverheadBytes + max_record_bytes()), target_frame_bytes());
}

void seal_frame(const RingFormat& format, FrameHeader& header, std::span<uint8_t> frame) {
  const uint64_t bytes = frame_bytes_for(header.payload_bytes);
  CHECK(frame.size() >= bytes && header.first_lsn <= header.last_lsn &&
        header.durable_lsn < header.first_lsn && header.trim_lsn <= header.durable_lsn);
  header.frame_bytes = static_cast<uint32_t>(bytes);
  const size_t used = kFrameHeaderBytes + header.payload_bytes;
  std::memset(frame.data() + used, 0, bytes - used);
  FrameFields f{};
  std::memcpy(f.magic, kFrameMagic, sizeof f.magic);
  f.version = kFrameVersion;
  f.ring_offset = header.ring_offset;
  std::memcpy(f.pool, format.pool.bytes.data(), sizeof f.pool);
  f.epoch = header.epoch.value;
  f.ticket = header.ticket;
  f.first_lsn = header.first_lsn.value;
  f.last_lsn = header.last_lsn.value;
  f.durable_lsn = header.durable_lsn.value;
  f.trim_lsn = header.trim_lsn.value;
  f.prev_hash[0] = header.prev_hash.low;
  f.prev_hash[1] = header.prev_hash.high;
  f.frame_bytes = header.frame_bytes;
  f.payload_bytes = header.payload_bytes;
  f.record_count = static_cast<uint32_t>(header.last_lsn.value - header.first_lsn.value + 1);
  f.header_check = header_check(f, format.key);
  std::memcpy(frame.data(), &f, sizeof f);
  header.hash = xxh3_128(frame.data(), bytes);
  f.hash[0] = header.hash.low;
  f.hash[1] = header.hash.high;
  std::memcpy(frame.data(), &f, sizeof f);
}

Result<FrameHeader> decode_frame_header(const RingFormat& format, uint64_t ring_offset,
                                        std::span<const uint8_t> bytes) {
  FrameFields f;
  if (bytes.size() < sizeof f) return corrupt("short");
  std::memcpy(&f, bytes.data(), sizeof f);
  if (std::memcmp(f.magic, kFrameMagic, sizeof f.magic) != 0) return corrupt("wrong magic");
  if (std::memcmp(f.pool, format.pool.bytes.data(), sizeof f.pool) != 0) return corrupt("of another pool");
  if (f.header_check != header_check(f, format.key)) return corrupt("wrong checksum of the header");
  if (f.version != kFrameVersion) return corrupt("unknown version");
  if (!all_zero(f.reserved0) || !all_zero(f.reserved1)) return corrupt("reserved bytes are in use");
  if (f.ring_offset != ring_offset) return corrupt("in a wrong place");
  if (f.payload_bytes > format.max_frame_bytes() || f.frame_bytes != frame_bytes_for(f.payload_bytes) ||
      f.frame_bytes > format.max_frame_bytes() || ring_offset + f.frame_bytes > format.ring_bytes)
    return corrupt("impossible size");
  if (f.first_lsn == 0 || f.last_lsn < f.first_lsn || f.durable_lsn >= f.first_lsn ||
      f.trim_lsn > f.durable_lsn || f.last_lsn - f.first_lsn + 1 != f.record_count ||
      uint64_t{f.record_count} * kRecordOverheadBytes > f.payload_bytes)
    return corrupt("impossible LSNs");
  FrameHeader header;
  header.hash = {f.hash[0], f.hash[1]};
  header.ring_offset = f.ring_offset;
  header.epoch = Epoch(f.epoch);
  header.ticket = f.ticket;
  header.first_lsn = Lsn(f.first_lsn);
  header.last_lsn = Lsn(f.last_lsn);
  header.durable_lsn = Lsn(f.durable_lsn);
  header.trim_lsn = Lsn(f.trim_lsn);
  header.prev_hash = {f.prev_hash[0], f.prev_hash[1]};
  header.frame_bytes = f.frame_bytes;
  header.payload_bytes = f.payload_bytes;
  return header;
}

Status verify_frame(const FrameHeader& header, std::span<uint8_t> frame) {
  CHECK(frame.size() >= header.frame_bytes);
  uint8_t* hash_field = frame.data() + offsetof(FrameFields, hash);
  Le64 stored[2];
  std::memcpy(stored, hash_field, sizeof stored);
  std::memset(hash_field, 0, sizeof stored);
  const Hash128 actual = xxh3_128(frame.data(), header.frame_bytes);
  std::memcpy(hash_field, stored, sizeof stored);
  if (actual != header.hash || Hash128{stored[0], stored[1]} != header.hash) return corrupt("wrong checksum");
  FrameRecords records(header, frame);
  uint64_t count = 0;
  Lsn lsn;
  std::string_view record;
  size_t bytes = 0;
  while (records.next(lsn, record)) {
    ++count;
    bytes += kRecordOverheadBytes + record.size();
  }
  if (bytes != header.payload_bytes || count != header.last_lsn.value - header.first_lsn.value + 1)
    return corrupt("its records do not fit it");
  return ok();
}

FrameRecords::FrameRecords(const FrameHeader& header, std::span<const uint8_t> frame)
    : reader_({reinterpret_cast<const char*>(frame.data()) + kFrameHeaderBytes, header.payload_bytes}),
      lsn_(header.first_lsn) {}

bool FrameRecords::next(Lsn& lsn, std::string_view& record) {
  if (reader_.remaining() == 0) return false;
  const uint32_t bytes = reader_.u32();
  record = reader_.bytes(bytes);
  if (!reader_.ok()) return false;
  lsn = lsn_;
  lsn_ = lsn_.next();
  return true;
}

std::string to_text(const FrameHeader& h) {
  return fmt::format(
      "frame {:016x}{:016x} at {} ({} bytes) LSN {}-{} epoch {} ticket {:016x} durable {} trim {} "
      "after {:016x}{:016x}",
      h.hash.high, h.hash.low, h.ring_offset, h.frame_bytes, h.first_lsn.value, h.last_lsn.value,
      h.epoch.value, h.ticket, h.durable_lsn.value, h.trim_lsn.value, h.prev_hash.high, h.prev_hash.low);
}

}  // namespace stavefs
