// What may still be promised to writers, and what df shows.
//
// Theory: see space.h.  Data that was promised (reserved) has not taken segments yet.  Promises are kept
// against what groups could be placed now, less those held back, plus what open groups of the geometry still
// take, all with packing waste counted in.  A write itself may use the held-back groups: it keeps a promise.
//
// Threads: self-synchronised.

#pragma once

#include <map>
#include <mutex>

#include "store/open_groups.h"

namespace stavefs {

class SpaceAccount {
 public:
  SpaceAccount(StoreContext& context, GroupTable& table, OpenGroups& open)
      : context_(context), table_(table), open_(open) {}

  /// False when it would exceed what can be written.
  bool reserve(const Geometry& geometry, uint64_t bytes);
  void release(const Geometry& geometry, uint64_t bytes);

  SpaceReport report() const;

 private:
  struct Capacity {
    uint64_t groups = 0;  // that can be placed now, held-back ones taken off
    uint64_t segments_version = 0;
    uint64_t pool_version = 0;
  };
  /// Groups of `geometry` on empty disks; absent disks count.
  uint64_t groups_at_most(const Geometry& geometry) const;
  uint64_t groups_now(const Geometry& geometry) const;
  /// Bytes of data that could be promised if nothing were.
  uint64_t writable_bytes(const Geometry& geometry) const;
  /// Promises in terms of `geometry`: as much raw space as all promises will take.
  uint64_t promised(const Geometry& geometry) const;
  void count_groups(SpaceReport& report) const;

  StoreContext& context_;
  GroupTable& table_;
  OpenGroups& open_;
  mutable std::mutex mutex_;  // before those of OpenGroups and the segment table; guards what follows
  std::map<Geometry, uint64_t> reserved_;
  mutable std::map<Geometry, Capacity> capacity_;
};

}  // namespace stavefs
