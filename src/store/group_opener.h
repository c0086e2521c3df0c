// Making a group: choosing its disks, making its segments, committing it.
//
// Theory: a new group takes one segment on each of k+m disks (pool/placement.h); its files are made and
// allocated, its headers written, then its record and the raised generations of its segments are committed.
// Nothing of that need be durable yet: the first flush of a session syncs names, headers and stripes
// together, before extents that rely on them are committed.  An open group that no committed stripe belongs
// to is freed at the next mount.
//
// A disk without room is passed over; a disk that fails is fenced and the next try goes without it.  A group
// is opened with unplaced shards only when its set has too few usable disks, never because disks are full.
//
// Threads: one caller at a time.

#pragma once

#include <vector>

#include "pool/placement.h"
#include "store/group_table.h"
#include "store/space.h"

namespace stavefs {

class GroupOpener {
 public:
  GroupOpener(StoreContext& context, GroupTable& table, SegmentFiles& files)
      : context_(context), table_(table), files_(files) {}

  /// A group that is committed and ready for stripes.  kNoSpace when none can be placed; kIo, kFenced.
  Result<GroupPin> open(const Geometry& geometry, Temperature temperature);

 private:
  struct NewShard {
    DiskSlot slot;
    SegmentTable::Taken taken;
    SegmentFile file;
    bool no_space = false;
  };

  Result<std::vector<DiskSlot>> choose_disks(const Geometry& geometry);
  /// Takes the emptiest disks of the set instead when `slots` would strand room.
  void keep_room(const Geometry& geometry, const std::vector<Candidate>& candidates, uint32_t shards,
                 std::vector<DiskSlot>& slots);
  /// Null when a disk failed or was full: try again with others.
  Result<GroupPin> try_open(GroupRecord record);
  bool take_segments(GroupRecord& record, std::vector<NewShard>& shards);
  bool make_segment(NewShard& shard);
  bool write_headers(const Group& group, std::vector<NewShard>& shards);
  void undo(std::vector<NewShard>& shards);

  StoreContext& context_;
  GroupTable& table_;
  SegmentFiles& files_;
};

}  // namespace stavefs
