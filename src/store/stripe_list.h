// What stripes a group has: from the index while it is not sealed, afterwards from its summary.
//
// Theory: a sealed group's summary must be found even when up to m shards are lost or rotten.  Each footer
// tells the checksum of its own shard's unit of every part, so a unit proves itself; the group's record tells
// the checksum of the part.
//
// Threads: any.

#pragma once

#include <vector>

#include "store/shard_choice.h"
#include "store/store_context.h"

namespace stavefs {

/// Ascending by row.  kCorrupt when fewer than k shards hold a part of the summary.
/// REQUIRES: `group` is pinned by the caller.
Result<std::vector<StripeEntry>> load_stripes(StoreContext& context, ShardChoice& choice, Group& group);

}  // namespace stavefs
