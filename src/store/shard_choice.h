// Which shards of a group a reader may use, in order of trust, and the reports of what it met.
//
// Threads: self-synchronised.

#pragma once

#include <atomic>
#include <cstdint>
#include <vector>

#include "store/segment_files.h"
#include "store/store_context.h"

namespace stavefs {

/// Bit masks over the shards of a group.
struct ShardSet {
  uint64_t trusted = 0;   ///< complete, usable disk, right header
  uint64_t fenced = 0;    ///< complete, but its disk has been fenced
  uint64_t doubtful = 0;  ///< marked missing, or with a wrong header, on a disk that is here
  uint64_t all() const { return trusted | fenced | doubtful; }
};

class ShardChoice {
 public:
  ShardChoice(StoreContext& context, SegmentFiles& files);

  ShardSet look(const Group& group) const;
  /// The file of a shard from look(); null when it cannot be opened, which has been reported.
  SegmentFile open(Group& group, uint32_t shard);

  /// Reads the same `bytes` at `offset` of each of `shards` into `out` (one buffer a shard, empty where it
  /// failed to open).  The mask of those that were read.
  uint64_t read(Group& group, uint64_t shards, uint64_t offset, uint32_t bytes,
                std::vector<AlignedBuffer>& out);

  /// Disk health hears of an I/O: of every failure, and of the first success after one.
  void note_read(const Group& group, uint32_t shard, const IoRequest& request);
  void note_corrupt(const Group& group, uint32_t shard, Row row);

 private:
  StoreContext& context_;
  SegmentFiles& files_;
  std::vector<std::atomic<bool>> failing_;  // per slot: the last read failed
};

}  // namespace stavefs
