// Choosing history: from the valid frames of all rings to the one chain that counts.
//
// Theory: the newest epoch's record says where its frames join (start LSN and hash).  Frames of that epoch
// beyond the start are candidates for the end; a candidate counts when every record that is wanted can be
// reached from it backwards by hash.  Frames of older epochs count only when they are so reached: whatever
// they wrote beyond the start was given up when the epoch moved.  A frame is written only when the one before
// is durable everywhere, so a gap in front of a valid frame means that acknowledged records are lost, not
// that a tail is torn.
//
// Pure.

#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "journal/journal_format.h"
#include "pool/pool.h"

namespace stavefs {

/// A frame and the rings that hold it (bit i: ring i).
struct FoundFrame {
  FrameHeader header;
  uint64_t holders = 0;
};

/// Frames of several rings, merged by hash.  kCorrupt when there are more than `limit`.
class FrameIndex {
 public:
  explicit FrameIndex(size_t limit) : limit_(limit) {}
  Status add(std::span<const FrameHeader> frames, int ring);
  /// By hash; null when there is none.
  const FoundFrame* find(const Hash128& hash) const;
  std::span<const FoundFrame> frames() const { return frames_; }

 private:
  void merge();
  const size_t limit_;
  std::vector<FoundFrame> frames_;  // sorted by hash, which is unique
};

struct Chain {
  std::vector<FoundFrame>
      frames;  ///< in order; all that hold records above `floor`, and the last one when it is known
  Lsn floor;   ///< records above it are complete; min(`after`, trim point of the newest frame)
  Lsn end;  ///< the next record gets the LSN after this; beyond the last frame when the index is ahead of it
  Hash128 hash;  ///< what the next frame names as its predecessor
};

/// The longest chain of `epoch` that holds every record above `after`, and every one above its trim point:
/// deferred data may be needed although the index is ahead of it.  kCorrupt names the LSNs that are missing.
Result<Chain> choose_chain(const FrameIndex& index, const EpochRecord& epoch, Lsn after);

}  // namespace stavefs
