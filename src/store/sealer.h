// Sealing: a full group gets its summary and footers, and its 'S' records leave the index.
//
// Theory: the group takes no more stripes and has no session, so that its 'S' records are complete.  They are
// synced first (a summary must not name stripes that a power cut undoes).  Their values become a blob, the
// blob becomes stripes behind the last row of data, the footers say where; all that is synced, and then one
// change makes the group sealed and erases the records.  Until that change is durable, sealing can be
// repeated from the start, over the same rows.
//
// A shard that fails meanwhile gets its missing bit.  A group stays full while the disk of a complete shard
// is away: the shard would miss nothing but the summary, and would have to be rebuilt for it.
//
// Threads: any; one caller per group (Group::enter_idle).

#pragma once

#include <vector>

#include "store/group_sync.h"
#include "store/group_table.h"
#include "store/stripe_buffers.h"

namespace stavefs {

class Sealer {
 public:
  Sealer(StoreContext& context, GroupTable& table, SegmentFiles& files)
      : context_(context), table_(table), files_(files) {}

  /// Seals the groups among `groups` that are full, idle and alive.  The first error that stops the pool
  /// (kFenced); a group that cannot be sealed is left as it is.
  Status seal(std::span<const GroupPin> groups);

 private:
  struct Work;
  bool can_seal(const Group& group) const;
  Status seal_one(const GroupPin& group);
  Status open_files(Work& work);
  Status collect(const Group& group, std::string& blob);
  Status write(Work& work);
  void lay_parts(Work& work, const std::string& blob);
  void add_footers(Work& work);

  StoreContext& context_;
  GroupTable& table_;
  SegmentFiles& files_;
};

}  // namespace stavefs
