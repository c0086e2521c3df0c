// Which segments of which disks are in use, and how often each has been.
//
// Theory: the truth is in the index ('G' names the segments in use, 'E' their generations); this is its image
// in memory. A segment taken for a new group gets the next generation; one that is released keeps it.  What
// may still be taken from a disk is bounded by the host filesystem's real free space as well, which other
// users of it may eat.
//
// Threads: self-synchronised; a leaf.

#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>
#include <optional>
#include <span>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "pool/pool.h"

namespace stavefs {

class SegmentTable {
 public:
  explicit SegmentTable(std::span<const Member> members);

  // At load.
  /// kCorrupt when there is no such segment, or it is in use already.
  Status mark_used(DiskSlot slot, SegmentNumber segment, Generation generation);
  /// kCorrupt when there is no such segment.
  Status set_generation(DiskSlot slot, SegmentNumber segment, Generation generation);

  struct Taken {
    SegmentNumber segment;
    Generation generation;
  };
  /// Takes a free segment; nothing when there is none.
  std::optional<Taken> take(DiskSlot slot);
  /// A taken segment was never used: its generation does not count.
  void untake(DiskSlot slot, const Taken& taken);
  /// A segment's group is gone for good.
  void release(DiskSlot slot, SegmentNumber segment);

  bool in_use(DiskSlot slot, SegmentNumber segment) const;
  uint32_t total(DiskSlot slot) const;
  /// Segments that can be taken now.
  uint32_t free(DiskSlot slot) const;
  /// How many more segments the host filesystem can hold.
  void set_host_limit(DiskSlot slot, uint32_t segments);
  /// Raised by every change of what can be taken.
  uint64_t version() const { return version_.load(std::memory_order_acquire); }

 private:
  struct Disk {
    std::vector<bool> used;
    std::vector<uint32_t> generations;
    uint32_t free = 0;
    uint32_t host_limit = UINT32_MAX;
    uint32_t hint = 0;  // where the search for a free one starts
  };
  const Disk* find(DiskSlot slot) const;
  Disk* find(DiskSlot slot) { return const_cast<Disk*>(std::as_const(*this).find(slot)); }
  void give_back(Disk& disk, SegmentNumber segment);

  std::atomic<uint64_t> version_{1};
  mutable std::mutex mutex_;  // guards what follows
  std::vector<Disk> disks_;
};

}  // namespace stavefs
