// An index on a simulated machine, and a naive model of it.

#pragma once

#include <fmt/format.h>

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "index/index.h"
#include "mirror_bed.h"

namespace stavefs {

using IndexModel = std::map<std::string, std::string>;

/// A batch of random operations on a small set of keys, which meets its own and older keys often.
inline IndexBatch random_batch(Rng& rng) {
  IndexBatch batch;
  const auto key = [&] { return fmt::format("{}{:04}", "DIX"[rng.below(3)], rng.below(400)); };
  const size_t operations = 1 + rng.below(6);
  for (size_t i = 0; i < operations; ++i) {
    const uint64_t what = rng.below(10);
    if (what < 7) {
      batch.put(key(), random_bytes(rng, rng.below(200)));
    } else if (what < 9) {
      batch.erase(key());
    } else {
      const std::string from = key();
      batch.erase_range(from, fmt::format("{}~", from.substr(0, 4)));
    }
  }
  return batch;
}

inline void apply_to(IndexModel& model, const IndexBatch& batch) {
  const Status s = IndexBatch::visit(
      batch.encoded(), {[&](std::string_view k, std::string_view v) { model[std::string(k)] = v; },
                        [&](std::string_view k) { model.erase(std::string(k)); },
                        [&](std::string_view f, std::string_view t) {
                          model.erase(model.lower_bound(std::string(f)), model.lower_bound(std::string(t)));
                        }});
  ASSERT_TRUE(s);
}

/// Everything in the index but its own LSN.
inline IndexModel contents(const Index& index) {
  IndexModel found;
  Result<std::unique_ptr<IndexScan>> scan = index.scan("", "\xff");
  EXPECT_TRUE(scan);
  if (!scan) return found;
  for (; (*scan)->valid(); (*scan)->next())
    if ((*scan)->key() != "Mlsn") found.emplace((*scan)->key(), (*scan)->value());
  EXPECT_TRUE((*scan)->status());
  return found;
}

/// A small index: memtables that fill after a few hundred batches.
inline Index::Options index_options(MirrorBed& bed) {
  Index::Options o;
  o.cache_bytes = 4 << 20;
  o.memtable_bytes = 64 << 10;
  o.copy_failed = [&bed](DiskSlot slot) { return bed.copy_failed(slot); };
  o.fenced = [&bed] { ++bed.fenced; };
  return o;
}

inline Result<std::unique_ptr<Index>> open_index(MirrorBed& bed, const std::vector<DiskSlot>& members,
                                                 Index::Options options) {
  return Index::open_on(bed.options(), members, std::move(options));
}

}  // namespace stavefs
