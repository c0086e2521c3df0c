// All groups of the pool: finding them, changing their records, and giving back what is dead.
//
// Theory: a record changes in one order, that of its commits: change() holds the group's record turn over the
// commit, so that two sessions that lose different disks cannot undo each other's missing bits, and the
// journal's order makes every extent committed later rely on them.
//
// The life of a group: open -> full -> sealed -> freed; also full -> freed.  Freeing erases its keys; its
// segments can be taken again when that is durable and the last pin has gone.  Until then the group is
// "dying".
//
// Threads: self-synchronised.  Lock order: free turn, then record turns, then the table's mutex, a leaf.

#pragma once

#include <functional>
#include <map>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "store/group.h"
#include "store/segment_files.h"
#include "store/store_context.h"

namespace stavefs {

class GroupTable {
 public:
  GroupTable(StoreContext& context, SegmentFiles& files) : context_(context), files_(files) {}

  /// Reads groups and segments from the index.  kCorrupt when they contradict each other.
  Status load();

  GroupPin find(GroupId id) const;
  /// Finds a freed group too, as long as somebody else has it pinned.
  GroupPin find_pinned(GroupId id) const;
  std::vector<GroupPin> all() const;
  /// Never used before, not even by a mount whose groups were lost with the power: the epoch is part of it.
  GroupId next_id();
  /// A group that was just made and is committed.
  void insert(GroupPin group);

  /// Commits `record`, changed by `edit`, along with `more`.  `edit` returns false when there is nothing to
  /// change. kFenced when the pool can no longer be written.
  Result<Lsn> change(Group& group, const std::function<bool(GroupRecord&)>& edit,
                     const std::function<void(Change&)>& more = nullptr);
  /// Sets bits of the missing mask and ends appending.
  Status mark_missing(Group& group, uint64_t shards);
  /// Ends appending for good.  Idempotent.
  Status close(Group& group);

  /// Frees groups that are not open, have no session and no live bytes.  Returns the newest LSN that a dying
  /// group waits for, 0 when there is none.
  Result<Lsn> free_dead();
  /// Gives back segments of dying groups whose FREE is durable and which nobody reads.
  void release_durable();
  /// Frees a group whatever its live bytes say.  REQUIRES: not appending, no session; nothing refers to it.
  Status free(const GroupPin& group);
  size_t dying() const;

 private:
  Status load_generations();
  Status load_groups();
  Status free_locked(const GroupPin& group);

  struct Dying {
    GroupPin group;
    Lsn freed;
  };

  StoreContext& context_;
  SegmentFiles& files_;
  std::mutex free_turn_;      // one freeing at a time; held over commits and the removal of files
  mutable std::mutex mutex_;  // guards what follows
  std::unordered_map<GroupId, GroupPin> groups_;
  std::vector<Dying> dying_;
  uint64_t next_id_ = 1;
};

}  // namespace stavefs
