// Open files of segments: opened when first read, checked once, closed when long unused.
//
// Theory: the first time after mount that a segment is opened its header must name the pool, disk, segment,
// group, generation and shard that the record says; anything else is another group's or another time's file
// and is treated as a missing shard.  (The extents' checksums would catch it too, chunk by chunk; this
// catches it at once.)
//
// At most about kMaxOpenSegments files stay open: beyond that, those of groups that were not used since the
// round before the last are closed.  Groups being written keep theirs.
//
// Threads: self-synchronised; no lock is held across I/O.

#pragma once

#include <atomic>
#include <cstdint>
#include <span>

#include "store/group.h"
#include "store/store_context.h"

namespace stavefs {

inline constexpr uint64_t kMaxOpenSegments = 4096;

class SegmentFiles {
 public:
  explicit SegmentFiles(StoreContext& context) : context_(context) {}

  /// The open file of a placed shard; opens and checks it when need be.  The error says why it cannot be
  /// used; disk health has been told.  Without `check` a segment with a wrong header is opened too: a last
  /// resort of readers that verify what they read.
  Result<SegmentFile> get(Group& group, uint32_t shard, bool check = true);
  /// For a file that was just made.
  void adopt(Group& group, uint32_t shard, SegmentFile file);

  /// True when files should be closed.
  bool crowded() const { return open_.load(std::memory_order_relaxed) > kMaxOpenSegments; }
  /// Closes files of idle groups.
  void evict(std::span<const GroupPin> groups);

 private:
  Status check_header(const Group& group, uint32_t shard, DiskFile& file);

  StoreContext& context_;
  std::atomic<uint64_t> tick_{1};
  std::atomic<uint64_t> open_{0};  // since the last eviction, about
};

}  // namespace stavefs
