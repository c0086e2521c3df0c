// Making what was written into groups durable.
//
// Theory: an fsync that fails tells one caller only, and the kernel may have dropped the data; a second fsync
// of the same file then succeeds and means nothing.  So syncs of one group's files are taken in turn, and
// whoever finds the turn free sees what became of the one before him: a failure has fenced the disk and set
// the group's missing bit before the turn is passed on.  The same holds for the names in a disk's segment
// directory.
//
// A shard counts as durable only when its own sync, and that of its name if new, succeeded here; every other
// placed shard of the group gets its missing bit, committed before this returns.
//
// Threads: any; sync turns are taken in order of GroupId, names turns below them.

#pragma once

#include <cstdint>
#include <span>

#include "store/group_table.h"

namespace stavefs {

struct SyncTarget {
  GroupPin group;
  std::span<const SegmentFile> files;  ///< one per shard, null for an unplaced one
  uint64_t stamp = 0;                  ///< what must be covered
};

/// Syncs all targets in one batch.  kIo when a target has fewer than `quorum(geometry)` durable shards then;
/// kFenced. REQUIRES: distinct groups; the caller is a session of each.
Status sync_groups(StoreContext& context, GroupTable& table, std::span<SyncTarget> targets,
                   int (*quorum)(const Geometry&));

/// After a batch of writes: `lost` are shards that it did not reach.  Sets their missing bits; kIo when the
/// group has fewer than `quorum` shards left.
Status settle_writes(GroupTable& table, Group& group, uint64_t lost, int quorum);

/// Disk health hears of a failed write to a segment; a disk out of space takes no new segments for now.
void report_write_error(StoreContext& context, DiskSlot slot, const IoRequest& failed);

}  // namespace stavefs
