#include "journal/ring_scan.h"

#include <fmt/core.h>

#include <algorithm>
#include <cstring>

#include "journal/journal.h"

namespace stavefs {
namespace {

constexpr uint64_t kPieceBytes = uint64_t{4} << 20;
constexpr int kLoadAttempts = 4;
constexpr uint64_t kSmallPieceBytes = uint64_t{64} << 10;

/// A window that slides over the ring.
class Window {
 public:
  Window(Pool& pool, const RingFile& ring, const RingFormat& format, RingScan& scan)
      : pool_(pool),
        ring_(ring),
        ring_bytes_(format.ring_bytes),
        scan_(scan),
        buffer_(std::min(round_up(format.max_frame_bytes(), kPageBytes) + kPieceBytes, format.ring_bytes)) {}

  /// The bytes [offset, offset + bytes) of the ring.  Offsets never go back.
  /// REQUIRES: bytes at most one longest frame, and inside the ring.
  Result<std::span<uint8_t>> at(uint64_t offset, uint64_t bytes) {
    if (offset + bytes > end_) TRY(slide(offset));
    return buffer_.span().subspan(offset - begin_, bytes);
  }

 private:
  Status slide(uint64_t offset) {
    const uint64_t keep = end_ > offset ? end_ - offset : 0;
    if (keep > 0) std::memmove(buffer_.data(), buffer_.data() + (offset - begin_), keep);
    begin_ = offset;
    end_ = offset + keep;
    const uint64_t more = std::min(buffer_.size() - keep, ring_bytes_ - end_);
    uint8_t* const to = buffer_.data() + keep;
    if (read(end_, to, more) != 0) TRY(read_small(end_, to, more));
    end_ += more;
    return ok();
  }

  int read(uint64_t offset, uint8_t* to, uint64_t bytes) {
    IoRequest request{
        .file = ring_.file.get(), .offset = offset, .data = to, .bytes = static_cast<uint32_t>(bytes)};
    pool_.engine().run({&request, 1});
    pool_.report(ring_.slot, IoKind::kRead, request.error, "journal");
    return request.error;
  }

  /// In small pieces, so that one bad sector costs little; what cannot be read is noted and taken as zeros.
  Status read_small(uint64_t offset, uint8_t* to, uint64_t bytes) {
    for (uint64_t done = 0; done < bytes; done += kSmallPieceBytes) {
      const uint64_t piece = std::min(kSmallPieceBytes, bytes - done);
      const int error = read(offset + done, to + done, piece);
      if (!pool_.usable(ring_.slot))
        return errno_error(EIO, "the disk was fenced while its journal was read");
      if (error == 0) continue;
      std::memset(to + done, 0, piece);
      scan_.unreadable.emplace_back(offset + done, offset + done + piece);
    }
    return ok();
  }

  Pool& pool_;
  const RingFile& ring_;
  const uint64_t ring_bytes_;
  RingScan& scan_;
  AlignedBuffer buffer_;
  uint64_t begin_ = 0;
  uint64_t end_ = 0;
};

}  // namespace

Result<RingFile> open_ring(Pool& pool, DiskSlot slot) {
  Disk* disk = pool.disk(slot);
  if (disk == nullptr) return Error(ErrorCode::kNotFound, ENOENT, "the disk is absent");
  ASSIGN_OR_RETURN(std::unique_ptr<DiskFile> file, disk->open(kJournalFile, {.direct = true}));
  ASSIGN_OR_RETURN(const uint64_t size, file->size());
  if (size < pool.config().ring_bytes)
    return Error(ErrorCode::kCorrupt, EIO,
                 fmt::format("{}: the journal has {} bytes instead of {}", disk->describe(), size,
                             pool.config().ring_bytes));
  return RingFile{slot, std::move(file)};
}

Result<RingScan> scan_ring(Pool& pool, const RingFile& ring, const RingFormat& format) {
  RingScan scan;
  Window window(pool, ring, format, scan);
  // A header that is ours in front of a damaged payload: at most a few are left behind by crashes.
  uint64_t patience_bytes = 4 * format.ring_bytes + 16 * format.max_frame_bytes();
  for (uint64_t offset = 0; offset < format.ring_bytes;) {
    ASSIGN_OR_RETURN(const std::span<uint8_t> page, window.at(offset, kPageBytes));
    const Result<FrameHeader> header = decode_frame_header(format, offset, page);
    if (!header) {
      offset += kPageBytes;
      continue;
    }
    ASSIGN_OR_RETURN(const std::span<uint8_t> frame, window.at(offset, header->frame_bytes));
    if (verify_frame(*header, frame)) {
      scan.frames.push_back(*header);
      offset += header->frame_bytes;
      continue;
    }
    offset += kPageBytes;
    if (header->frame_bytes > patience_bytes)
      return Error(ErrorCode::kCorrupt, EIO,
                   ring.file->disk().describe() + ": the journal is full of damaged frames");
    patience_bytes -= header->frame_bytes;
  }
  return scan;
}

Status load_frame(Pool& pool, std::span<const RingFile> rings, uint64_t holders, const FrameHeader& header,
                  std::span<uint8_t> out) {
  // Bits may flip on the way from the disk, too: another look at a copy that was right before is worth it.
  for (int attempt = 0; attempt < kLoadAttempts; ++attempt) {
    for (size_t i = 0; i < rings.size(); ++i) {
      if ((holders >> i & 1) == 0 || !pool.usable(rings[i].slot)) continue;
      IoRequest request{.file = rings[i].file.get(),
                        .offset = header.ring_offset,
                        .data = out.data(),
                        .bytes = header.frame_bytes};
      pool.engine().run({&request, 1});
      pool.report(rings[i].slot, IoKind::kRead, request.error, "journal");
      if (request.error != 0) continue;
      if (verify_frame(header, out)) return ok();
      pool.report_corrupt(rings[i].slot, "journal");
    }
  }
  return Error(ErrorCode::kCorrupt, EIO,
               fmt::format("journal records {} to {} cannot be read from any copy", header.first_lsn.value,
                           header.last_lsn.value));
}

}  // namespace stavefs
