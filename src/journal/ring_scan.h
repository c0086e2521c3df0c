// Reading rings: finding the frames of one, and fetching one frame from any that has it.
//
// Theory: a scan reads the ring once, front to back, in large pieces, and jumps over every valid frame.
// Memory is one longest frame and one piece.  The work on damaged frames is bounded, whatever the ring holds.
//
// Threads: functions of their arguments.

#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "base/buffer.h"
#include "disk/disk.h"
#include "journal/journal_format.h"
#include "pool/pool.h"

namespace stavefs {

/// One member's ring.
struct RingFile {
  DiskSlot slot;
  std::unique_ptr<DiskFile> file;
};

/// Opens the ring on `slot` and checks its size.
Result<RingFile> open_ring(Pool& pool, DiskSlot slot);

struct RingScan {
  std::vector<FrameHeader> frames;                        ///< the valid ones
  std::vector<std::pair<uint64_t, uint64_t>> unreadable;  ///< [from, to) that the disk refused to read
};
/// kIo when the disk was fenced on the way; kCorrupt when the ring is made to waste our time.
Result<RingScan> scan_ring(Pool& pool, const RingFile& ring, const RingFormat& format);

/// Reads a frame from the first ring of `rings` whose bit is set in `holders` and gives right bytes.  Read
/// errors and wrong bytes are reported to the pool.  kCorrupt (names the LSNs) when none does. REQUIRES:
/// out.size() >= header.frame_bytes.
Status load_frame(Pool& pool, std::span<const RingFile> rings, uint64_t holders, const FrameHeader& header,
                  std::span<uint8_t> out);

}  // namespace stavefs
