// A frame of the journal: a header of 160 bytes, records, and zeros up to a multiple of 4 KiB.
//
// Theory: a frame is valid by itself (checksums, its own place in the ring) and has a place in history by its
// links: the hash of the frame before it, and the epoch and ticket under which it was written.  The header
// has a checksum of its own, seeded with a number that only the pool knows, so that scanning never takes user
// data inside a record for a frame, and never trusts a length that is not ours.
//
// A record is a 32-bit length and as many bytes.  Records of a frame have successive LSNs.
//
// Everything here is pure.

#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "base/buffer.h"
#include "base/endian.h"
#include "base/ids.h"
#include "base/result.h"
#include "base/uuid.h"
#include "codec/checksum.h"

namespace stavefs {

inline constexpr uint32_t kFrameVersion = 1;
inline constexpr size_t kFrameHeaderBytes = 160;
inline constexpr size_t kRecordOverheadBytes = 4;
inline constexpr uint64_t kFrameTargetBytes = uint64_t{4} << 20;
inline constexpr uint64_t kMaxRecordBytes = uint64_t{8} << 20;

namespace journal_format {

inline constexpr char kFrameMagic[8] = {'S', 'T', 'A', 'V', 'E', 'J', 'F', '\n'};

struct FrameFields {
  char magic[8];
  Le32 version;
  uint8_t reserved0[4];
  Le64 hash[2];       // XXH3-128 of frame_bytes with this field zero: the frame's identity
  Le64 header_check;  // XXH3-64 of the header, hash and this field zero, seeded with the pool's journal key
  Le64 ring_offset;   // where it belongs: catches misdirected writes
  uint8_t pool[16];
  Le64 epoch;
  Le64 ticket;  // of the epoch's publication
  Le64 first_lsn;
  Le64 last_lsn;
  Le64 durable_lsn;    // all up to here was durable on all members when this was written
  Le64 trim_lsn;       // all up to here was no longer needed
  Le64 prev_hash[2];   // of the frame that ends at first_lsn - 1; zero for none
  Le32 frame_bytes;    // with header and padding
  Le32 payload_bytes;  // records with their lengths
  Le32 record_count;
  uint8_t reserved1[20];
};
static_assert(sizeof(FrameFields) == kFrameHeaderBytes);
static_assert(offsetof(FrameFields, hash) == 16);
static_assert(offsetof(FrameFields, header_check) == 32);
static_assert(offsetof(FrameFields, pool) == 48);
static_assert(offsetof(FrameFields, first_lsn) == 80);
static_assert(offsetof(FrameFields, prev_hash) == 112);
static_assert(offsetof(FrameFields, frame_bytes) == 128);

}  // namespace journal_format

/// What all frames of one ring share.
struct RingFormat {
  Uuid pool;
  uint64_t key = 0;
  uint64_t ring_bytes = 0;

  /// The longest record: an eighth of the ring, at most 8 MiB.
  uint64_t max_record_bytes() const;
  /// A frame is closed before it grows beyond this: a quarter of the ring, at most 4 MiB.  One long record
  /// may exceed it.
  uint64_t target_frame_bytes() const;
  /// The longest frame.
  uint64_t max_frame_bytes() const;
};

struct FrameHeader {
  Hash128 hash;
  uint64_t ring_offset = 0;
  Epoch epoch;
  uint64_t ticket = 0;
  Lsn first_lsn;
  Lsn last_lsn;
  Lsn durable_lsn;
  Lsn trim_lsn;
  Hash128 prev_hash;
  uint32_t frame_bytes = 0;
  uint32_t payload_bytes = 0;

  bool operator==(const FrameHeader&) const = default;
};

/// Bytes of a frame with `payload_bytes` of records.
constexpr uint64_t frame_bytes_for(uint64_t payload_bytes) {
  return round_up(kFrameHeaderBytes + payload_bytes, kPageBytes);
}

/// Fills in the header of a frame whose payload stands at `frame` + kFrameHeaderBytes, and the padding; sets
/// header.hash and header.frame_bytes.
/// REQUIRES: frame.size() >= frame_bytes_for(header.payload_bytes).
void seal_frame(const RingFormat& format, FrameHeader& header, std::span<uint8_t> frame);

/// Reads a header found at `ring_offset`; kCorrupt when there is none.  The payload is not looked at.
Result<FrameHeader> decode_frame_header(const RingFormat& format, uint64_t ring_offset,
                                        std::span<const uint8_t> bytes);
/// Verifies the whole frame, records included; changes and restores the hash field while it works.
/// REQUIRES: frame.size() >= header.frame_bytes.
Status verify_frame(const FrameHeader& header, std::span<uint8_t> frame);

/// Walks the records of a verified frame.
class FrameRecords {
 public:
  FrameRecords(const FrameHeader& header, std::span<const uint8_t> frame);
  /// The next record, false at the end.
  bool next(Lsn& lsn, std::string_view& record);

 private:
  ByteReader reader_;
  Lsn lsn_;
};

/// One line for people.
std::string to_text(const FrameHeader& header);

}  // namespace stavefs
