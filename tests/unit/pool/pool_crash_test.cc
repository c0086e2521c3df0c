// A power cut at any step of making a pool or of moving its epoch must leave a pool that is wholly there or
// clearly not, and an epoch that is the old or the new one.  Method: cut the power at every step, in every
// crash mode, open again; with and without the host's witness, and with each metadata member taken away.

#include <gtest/gtest.h>

#include "tests/unit/pool/sim_pool.h"

namespace stavefs {
namespace {

using sim::SimWorld;

constexpr uint64_t kWorldBytes = uint64_t{16} << 20;

class PoolCrash : public ::testing::Test {
 protected:
  PoolCrash() { silence_log(); }
};

TEST_F(PoolCrash, InterruptedMakingIsRefusedOrComplete) {
  SimWorld measure(1, 4, kWorldBytes);
  ASSERT_OK(format_test_pool(measure, test_config({2, 1}), 42));
  int complete = 0;
  int refused = 0;
  int blank = 0;
  for (uint64_t step = 1; step <= measure.step_count(); ++step) {
    for (const sim::CrashMode mode : kCrashModes) {
      SimWorld world(step, 4, kWorldBytes);
      world.crash_at(step);
      EXPECT_FALSE(format_test_pool(world, test_config({2, 1}), 42));
      world.restart(mode);
      TestWitness witness;
      const auto pool = open_test_pool(world, witness, 7);
      SCOPED_TRACE(testing::Message() << "step " << step << " mode " << static_cast<int>(mode));
      if (pool) {
        ++complete;
        // Whoever sees it complete sees every disk.
        for (uint16_t slot = 0; slot < 4; ++slot) EXPECT_TRUE((*pool)->usable(DiskSlot(slot)));
        EXPECT_OK((*pool)->publish(next_epoch(**pool)));
        EXPECT_OK(open_test_pool(world, witness, 8, {3}));
      } else if (pool.error().code() == ErrorCode::kInvalid) {
        ++refused;
        EXPECT_NE(pool.error().message().find("interrupted"), std::string::npos) << pool.error().to_text();
      } else {
        ++blank;
        EXPECT_CODE(pool, ErrorCode::kNotFound);
      }
    }
  }
  EXPECT_GT(complete, 0);
  EXPECT_GT(refused, 0);
  EXPECT_GT(blank, 0);
}

/// Publishes epochs until the power fails; the members change on the way.  Returns the number of the last one
/// that publish() reported as done.
Epoch publish_until_crash(Pool& pool) {
  Epoch done = pool.epoch().epoch;
  const std::set<uint16_t> without[] = {{}, {2}, {}};
  for (const auto& leave_out : without) {
    if (!pool.publish(next_epoch(pool, leave_out))) return done;
    done = pool.epoch().epoch;
  }
  EpochRecord clean = pool.epoch();
  clean.clean = true;
  static_cast<void>(pool.publish(clean));
  return done;
}

TEST_F(PoolCrash, PublishedEpochsSurviveAndUnpublishedOnesNeverHideThem) {
  SimWorld start(1, 5, kWorldBytes);
  ASSERT_OK(format_test_pool(start, test_config({3, 2}), 42));
  const uint64_t most_steps =
      4 * 2 * 2 * 5;  // publications, phases, copies, disks: the last one has one phase only
  std::set<uint64_t> seen;
  for (uint64_t step = 1; step <= most_steps - 2 * 5; ++step) {
    for (const sim::CrashMode mode : kCrashModes) {
      const auto world = start.fork(step * 10 + static_cast<uint64_t>(mode), sim::CrashMode::kKeepAll);
      TestWitness witness;
      Epoch done;
      std::vector<DiskSlot> members;
      {
        const auto pool = open_test_pool(*world, witness, step);
        ASSERT_OK(pool);
        world->crash_at(world->step_count() + step);
        done = publish_until_crash(**pool);
        ASSERT_TRUE(world->crashed());
      }
      world->restart(mode);
      SCOPED_TRACE(testing::Message() << "step " << step << " mode " << static_cast<int>(mode));
      const auto again = open_test_pool(*world, witness, 7);
      ASSERT_OK(again);
      const EpochRecord found = (*again)->epoch();
      EXPECT_GE(found.epoch, done);
      EXPECT_LE(found.epoch.value, done.value + 1);
      EXPECT_EQ(found.members.size(), found.epoch < Epoch(3) ? 3u : 2u)
          << "nobody is distrusted by a mere crash";
      seen.insert(found.epoch.value);
      // On another host, without the witness.
      TestWitness none;
      const auto elsewhere = open_test_pool(*world, none, 7);
      ASSERT_OK(elsewhere);
      EXPECT_GE((*elsewhere)->epoch().epoch, done);
      // With any one member missing, on this host; never an older epoch than what was reported.
      for (const int missing : {0, 1}) {
        const auto copy = world->fork(step, sim::CrashMode::kKeepAll);
        TestWitness same;
        same.value = witness.value;
        const auto degraded = open_test_pool(*copy, same, 7, {missing});
        ASSERT_OK(degraded);
        EXPECT_GE((*degraded)->epoch().epoch, done);
        ASSERT_OK((*degraded)->publish(next_epoch(**degraded, {static_cast<uint16_t>(missing)})));
      }
    }
  }
  EXPECT_EQ(seen.size(), 4u) << "every epoch from 1 to 4 should have been the last one once";
}

TEST_F(PoolCrash, CrashAndCrashAgainWhilePublishing) {
  // Many crashes in a row, with another disk away each time; the epoch never goes back.
  for (uint64_t seed = 1; seed <= 60; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    Rng rng(seed);
    SimWorld world(seed, 5, kWorldBytes);
    ASSERT_OK(format_test_pool(world, test_config({3, 2}), 42));
    TestWitness witness;
    Epoch done(1);
    for (int round = 0; round < 12; ++round) {
      const int missing = static_cast<int>(rng.below(5));
      const auto pool = open_test_pool(world, witness, seed * 100 + static_cast<uint64_t>(round), {missing});
      ASSERT_OK(pool);
      ASSERT_GE((*pool)->epoch().epoch, done);
      world.crash_at(world.step_count() + 1 + rng.below(40));
      while (!world.crashed()) {
        // Members that are absent are dropped, like a journal does, unless that would leave too few to go on
        // with.
        EpochRecord next = next_epoch(**pool);
        std::erase_if(next.members, [&](DiskSlot slot) { return !(*pool)->usable(slot); });
        for (uint16_t slot = 0; slot < 5 && next.members.size() < 3; ++slot)
          if ((*pool)->usable(DiskSlot(slot)) &&
              std::find(next.members.begin(), next.members.end(), DiskSlot(slot)) == next.members.end())
            next.members.push_back(DiskSlot(slot));
        if ((*pool)->publish(next)) done = (*pool)->epoch().epoch;
      }
      world.restart(kCrashModes[rng.below(5)]);
    }
    EXPECT_GT(done, Epoch(2));
  }
}

}  // namespace
}  // namespace stavefs
