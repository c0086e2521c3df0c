// Goal: after power goes at any moment, every extent that the index names reads right, everything that was
// durable is named, and the store goes on from there. Method: random sessions, drops, upkeep and syncs; the
// power goes at a random step, in several ways, with up to m disks gone too; reopen, compare with all that
// was ever written, write more, and do it again.

#include <gtest/gtest.h>

#include "store_bed.h"

namespace stavefs::test {
namespace {

/// Runs random operations until one fails (the power has gone) or `operations` are done.
void work(StoreBed& bed, int operations) {
  for (int i = 0; i < operations; ++i) {
    switch (bed.rng().below(10)) {
      case 0:
      case 1: {
        if (!bed.ledger().sync_all()) return;
        break;
      }
      case 2: {
        if (!bed.store().maintain()) return;
        break;
      }
      case 3:
      case 4:
      case 5: {
        for (uint64_t n = bed.rng().below(40); n > 0 && !bed.stored().empty(); --n) {
          if (!bed.drop(bed.rng().below(bed.stored().size()))) return;
        }
        break;
      }
      default: {
        const auto temperature = static_cast<Temperature>(bed.rng().below(2));
        if (!bed.put(bed.random_pieces(1 + bed.rng().below(5 << 20)), temperature)) return;
      }
    }
  }
}

TEST(StoreCrash, WhatTheIndexNamesIsThereWhateverThePowerDid) {
  struct Shape {
    Geometry geometry;
    int disks;
  };
  constexpr Shape kShapes[] = {{{4, 2}, 6}, {{2, 1}, 4}, {{1, 1}, 3}, {{4, 2}, 8}};
  constexpr sim::CrashMode kModes[] = {sim::CrashMode::kDropAll, sim::CrashMode::kKeepAll,
                                       sim::CrashMode::kRandom, sim::CrashMode::kPrefix,
                                       sim::CrashMode::kSingle};
  for (uint64_t seed = 1; seed <= 60; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    const Shape& shape = kShapes[seed % 4];
    BedOptions options;
    options.geometry = shape.geometry;
    options.disks = shape.disks;
    options.segments = 14;
    auto bed = std::make_unique<StoreBed>(seed, options);
    ASSERT_TRUE(bed->start());
    for (int crash = 0; crash < 3; ++crash) {
      SCOPED_TRACE("crash " + std::to_string(crash));
      bed->world().crash_at(bed->world().step_count() + 1 + bed->rng().below(1500));
      work(*bed, 40);
      const Lsn durable = bed->ledger().durable();
      const sim::CrashMode mode = kModes[bed->rng().below(std::size(kModes))];
      const uint64_t next_seed = bed->rng().next();
      auto after = std::make_unique<StoreBed>(*bed, next_seed, mode);
      bed = std::move(after);
      std::set<int> gone;
      const bool lossy = crash == 2;
      while (lossy && static_cast<int>(gone.size()) < options.geometry.parity) {
        gone.insert(static_cast<int>(bed->rng().below(static_cast<uint64_t>(options.disks))));
      }
      const Status started = bed->start(gone);
      ASSERT_TRUE(started) << started.error().to_text();
      ASSERT_NO_FATAL_FAILURE(bed->adopt_index(durable));
      ASSERT_NO_FATAL_FAILURE(bed->check_all("after the crash"));
    }
    const bool quorum = options.disks - options.geometry.parity >= options.geometry.write_quorum();
    if (quorum) {
      while (bed->stored().size() > 5) ASSERT_TRUE(bed->drop(0));
      const Status put = bed->put(bed->random_pieces(1 << 20));
      ASSERT_TRUE(put) << put.error().to_text();
      ASSERT_TRUE(bed->store().maintain());
    }
    ASSERT_NO_FATAL_FAILURE(bed->check_all("with more"));
  }
}

}  // namespace
}  // namespace stavefs::test
