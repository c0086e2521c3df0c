// The groups that are being appended to: one for each family, that is geometry and temperature.
//
// Theory: groups are made by GroupOpener when a family has none that takes stripes.  An open group that has
// lost a disk, or lacks one that could now be had, is closed at its next use.
//
// When there is no room: dead groups are freed first; then another temperature's open group of the same
// geometry takes the data; then it is kNoSpace.
//
// Threads: self-synchronised.  The open turn is held across I/O and commits; it comes before all locks of
// GroupTable.

#pragma once

#include <map>
#include <mutex>
#include <vector>

#include "store/group_opener.h"
#include "store/group_table.h"
#include "store/space.h"

namespace stavefs {

class OpenGroups {
 public:
  OpenGroups(StoreContext& context, GroupTable& table, SegmentFiles& files)
      : context_(context), table_(table), files_(files), opener_(context, table, files) {}

  /// After load: goes on with open groups that are whole, closes the others, frees those that were never
  /// committed to.
  Status resume();

  /// A group that stripes can be appended to (another session may fill it at any moment).
  Result<GroupPin> get(const Geometry& geometry, Temperature temperature);

  /// Closes open groups that have lost a disk or could be replaced by whole ones.
  Status check_all();
  /// Closes open groups that hold nothing any more, so that they can be freed.
  Status close_dead();

  /// Bytes of data that open groups of `geometry` still take.
  uint64_t room_bytes(const Geometry& geometry) const;

  /// The usable disks with what can be taken from them.
  std::vector<DiskRoom> rooms() const;

  /// Frees what is dead and makes its segments usable, syncing the ledger if need be.
  Status reclaim();
  /// Asks the host filesystems how much room they have left.
  void refresh_host_limits();

 private:
  struct Family {
    Geometry geometry;
    Temperature temperature;
    auto operator<=>(const Family&) const = default;
  };
  struct Slot {
    GroupPin group;
    uint64_t pool_version = 0;  // whose disks were found good
  };
  Status resume_group(const GroupPin& group);
  Status load_appending(Group& group, bool* any);
  GroupPin current(const Family& family, uint64_t pool_version) const;
  GroupPin any_other(const Family& family) const;
  bool whole(const Group& group) const;

  StoreContext& context_;
  GroupTable& table_;
  SegmentFiles& files_;
  GroupOpener opener_;  // used under the open turn
  std::mutex open_turn_;
  mutable std::mutex mutex_;  // before the segment table's and the ledger's; guards what follows
  std::map<Family, Slot> families_;
};

}  // namespace stavefs
