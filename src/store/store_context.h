// What the rooms of the store share.

#pragma once

#include <atomic>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <span>

#include "base/buffer.h"
#include "base/clock.h"
#include "base/rng.h"
#include "codec/reed_solomon.h"
#include "pool/pool.h"
#include "store/ledger.h"
#include "store/segment_table.h"
#include "store/store.h"

namespace stavefs {

/// Self-synchronised; outlives everything of the store.
struct StoreContext {
  StoreContext(Pool& p, Ledger& l, BufferPool& b, Clock& c, Rng& r, const Store::Options& o)
      : pool(p),
        ledger(l),
        buffers(b),
        clock(c),
        rng(r),
        options(o),
        segments(p.members()),
        names_turns(p.members().size()) {}

  Pool& pool;
  Ledger& ledger;
  BufferPool& buffers;
  Clock& clock;
  Rng& rng;  ///< guarded by the turn of the one that opens groups
  const Store::Options options;
  SegmentTable segments;
  /// Per slot: one sync of the segment directory at a time, so that nobody takes a success for his own after
  /// another's failure.  Held across that I/O; taken below a sync turn.
  std::deque<std::mutex> names_turns;

  const Member& member(DiskSlot slot) const { return pool.members()[slot.value]; }
  SegmentIdentity identity(const Group& group, uint32_t shard) const;
  /// Coders are made once per geometry.
  Result<std::shared_ptr<const ReedSolomon>> codec(const Geometry& geometry);

 private:
  std::mutex codecs_mutex_;  // a leaf
  std::map<Geometry, std::shared_ptr<const ReedSolomon>> codecs_;
};

}  // namespace stavefs
