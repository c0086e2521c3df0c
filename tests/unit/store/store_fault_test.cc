// Goal: whatever disks do while data is written, what was committed is there and can stand the loss of what
// parity is left; what cannot be made safe is refused. Method: simulated disks that vanish, fail, lie or run
// full at every step of a session.

#include <gtest/gtest.h>

#include <cstring>

#include "store_bed.h"

namespace stavefs::test {
namespace {

/// A bed with something in it, all durable.
std::unique_ptr<StoreBed> filled_bed(uint64_t seed, const BedOptions& options = {}) {
  auto bed = std::make_unique<StoreBed>(seed, options);
  EXPECT_TRUE(bed->start());
  EXPECT_TRUE(bed->put(bed->random_pieces(300000)));
  EXPECT_TRUE(bed->ledger().sync_all());
  return bed;
}

/// Everything must survive the power going now, with `gone` and some more disks lost on top, `count`
/// together.
void expect_safe(StoreBed& bed, uint64_t seed, const std::set<int>& gone, size_t count = 2) {
  ASSERT_TRUE(bed.ledger().sync_all());
  const Lsn durable = bed.ledger().durable();
  std::set<int> lost = gone;
  while (lost.size() < count) {
    lost.insert(static_cast<int>(bed.rng().below(static_cast<uint64_t>(bed.options().disks))));
  }
  StoreBed after(bed, seed, sim::CrashMode::kDropAll);
  for (const int disk : gone) after.world().set_vanished(disk, false);
  const Status started = after.start(lost);
  ASSERT_TRUE(started) << started.error().to_text();
  ASSERT_NO_FATAL_FAILURE(after.adopt_index(durable));
  ASSERT_NO_FATAL_FAILURE(after.check_all("after the power went"));
}

TEST(StoreFault, ADiskThatVanishesAtAnyStepOfASessionLosesNothing) {
  uint64_t steps = 60;
  for (uint64_t step = 1; step <= steps; ++step) {
    const uint64_t seed = 1000 + step;
    SCOPED_TRACE("seed " + std::to_string(seed) + " step " + std::to_string(step));
    const auto bed = filled_bed(seed);
    const int victim = static_cast<int>(bed->rng().below(6));
    const uint64_t before = bed->world().step_count();
    bed->world().vanish_at(victim, before + step);
    const auto temperature =
        step % 2 == 0 ? Temperature::kHot : Temperature::kLarge;  // a new group, or the open one
    const Status put = bed->put(bed->random_pieces(3 << 20), temperature);
    ASSERT_TRUE(put) << put.error().to_text();
    ASSERT_TRUE(bed->put(bed->random_pieces(100000), temperature));
    steps = std::max<uint64_t>(steps, std::min<uint64_t>(150, bed->world().step_count() - before));
    ASSERT_NO_FATAL_FAILURE(bed->check_all("with the disk gone"));
    ASSERT_NO_FATAL_FAILURE(expect_safe(*bed, seed, {victim}));
  }
}

TEST(StoreFault, TwoDisksThatVanishAtAnyStepsLoseNothing) {
  for (uint64_t i = 1; i <= 60; ++i) {
    const uint64_t seed = 2000 + i;
    SCOPED_TRACE("seed " + std::to_string(seed));
    const auto bed = filled_bed(seed);
    const int first = static_cast<int>(bed->rng().below(6));
    const int second = static_cast<int>((static_cast<uint64_t>(first) + 1 + bed->rng().below(5)) % 6);
    const uint64_t before = bed->world().step_count();
    bed->world().vanish_at(first, before + 1 + bed->rng().below(100));
    bed->world().vanish_at(second, before + 1 + bed->rng().below(100));
    for (int k = 0; k < 3; ++k) {
      const Status put = bed->put(bed->random_pieces(2 << 20), static_cast<Temperature>(bed->rng().below(3)));
      ASSERT_TRUE(put) << put.error().to_text();
    }
    ASSERT_NO_FATAL_FAILURE(bed->check_all("with the disks gone"));
    ASSERT_NO_FATAL_FAILURE(expect_safe(*bed, seed, {first, second}));
  }
}

TEST(StoreFault, AFailedWriteCostsTheShardButNotTheData) {
  for (uint64_t seed = 1; seed <= 30; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    const auto bed = filled_bed(seed);
    const int victim = static_cast<int>(seed % 6);
    bed->world().fail_next_write(victim);
    ASSERT_TRUE(bed->put(bed->random_pieces(3 << 20)));
    EXPECT_FALSE(bed->pool().usable(bed->slot(victim)));
    const auto missing = bed->store().missing_by_disk();
    ASSERT_EQ(missing.size(), 1u) << "the shard that missed a write, and no other";
    EXPECT_EQ(missing[0].first, bed->slot(victim));
    ASSERT_NO_FATAL_FAILURE(bed->check_all("after the failure"));
    // The disk that missed something comes back and counts as one loss: one more is allowed.
    ASSERT_NO_FATAL_FAILURE(expect_safe(*bed, seed, {}, 1));
  }
}

TEST(StoreFault, AFailedSyncIsNeverTakenForASuccessLater) {
  // Goal: the data of a failed fsync is on m-1 shards fewer, the group says so, and a second flush does not
  // make it good.
  for (uint64_t seed = 1; seed <= 30; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    const auto bed = filled_bed(seed);
    const int victim = static_cast<int>(seed % 6);
    const auto one =
        bed->store().begin_write(bed->options().geometry, ChecksumKind::kXxh3, Temperature::kLarge);
    const auto two =
        bed->store().begin_write(bed->options().geometry, ChecksumKind::kXxh3, Temperature::kLarge);
    std::vector<Stored> first;
    std::vector<Stored> second;
    ASSERT_TRUE(bed->write(*one, bed->random_pieces(500000), first));
    ASSERT_TRUE(bed->write(*two, bed->random_pieces(500000), second));
    bed->world().fail_next_sync(victim);
    ASSERT_TRUE(one->flush());
    ASSERT_TRUE(two->flush()) << "the other session's data is safe without the disk too";
    ASSERT_TRUE(bed->commit(*one, first));
    ASSERT_TRUE(bed->commit(*two, second));
    EXPECT_FALSE(bed->pool().usable(bed->slot(victim)));
    const auto missing = bed->store().missing_by_disk();
    ASSERT_EQ(missing.size(), 1u);
    EXPECT_EQ(missing[0], std::make_pair(bed->slot(victim), uint64_t{1}));
    ASSERT_TRUE(bed->put(bed->random_pieces(500000))) << "a new group, without the disk";
    ASSERT_NO_FATAL_FAILURE(expect_safe(*bed, seed, {}, 1));
    ASSERT_NO_FATAL_FAILURE(bed->check_all("after the failure"));
  }
}

TEST(StoreFault, WithoutAQuorumNothingIsAcknowledgedAndOldDataStays) {
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    const auto bed = filled_bed(seed);
    for (const int disk : {0, 2, 4}) bed->world().fail_writes(disk, true);
    const Status put = bed->put(bed->random_pieces(1 << 20));
    ASSERT_FALSE(put);
    EXPECT_TRUE(put.error().errno_value() == EIO || put.error().errno_value() == ENOSPC)
        << put.error().to_text();
    ASSERT_NO_FATAL_FAILURE(bed->check_all("reads go on from fenced disks"));
  }
}

TEST(StoreFault, QuorumLostBetweenWriteAndFlushFailsTheFlush) {
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    const auto bed = filled_bed(seed);
    const auto session =
        bed->store().begin_write(bed->options().geometry, ChecksumKind::kXxh3, Temperature::kLarge);
    std::vector<Stored> pieces;
    ASSERT_TRUE(bed->write(*session, bed->random_pieces(500000), pieces));
    for (const int disk : {1, 3, 5}) bed->world().fail_next_sync(disk);
    const Status flushed = session->flush();
    ASSERT_FALSE(flushed);
    EXPECT_EQ(flushed.error().errno_value(), EIO);
    ASSERT_NO_FATAL_FAILURE(bed->check_all("committed before"));
  }
}

TEST(StoreFault, EqualDataAndParityNeedOneMoreThanHalf) {
  BedOptions options;
  options.geometry = {1, 1};
  options.disks = 2;
  StoreBed two(1, options);
  ASSERT_TRUE(two.start());
  two.world().fail_next_write(1);
  EXPECT_FALSE(two.put({two.random_bytes(10000)})) << "one copy is no quorum of 1+1";
  options.disks = 3;
  StoreBed three(1, options);
  ASSERT_TRUE(three.start());
  three.world().fail_next_write(1);
  ASSERT_TRUE(three.put({three.random_bytes(10000)})) << "the third disk takes its place";
  three.world().set_vanished(1, true);
  ASSERT_NO_FATAL_FAILURE(three.check_all("without the failed one"));
}

TEST(StoreFault, WritesThatLieAreCaughtWhenRead) {
  for (uint64_t seed = 1; seed <= 30; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    const auto bed = filled_bed(seed);
    const int liar = static_cast<int>(seed % 6);
    const int other = static_cast<int>((seed + 1 + seed / 6 % 5) % 6);
    bed->world().lose_next_write(liar);
    bed->world().misdirect_next_write(other);
    ASSERT_TRUE(bed->put(bed->random_pieces(2 << 20)));
    ASSERT_NO_FATAL_FAILURE(bed->check_all("with a lost and a misdirected write"));
  }
}

TEST(StoreFault, AFullDiskIsPassedOver) {
  BedOptions options;
  options.disks = 7;
  for (uint64_t seed = 1; seed <= 5; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    StoreBed bed(seed, options);
    ASSERT_TRUE(bed.start());
    bed.world().set_free_bytes(3, 0);
    for (int i = 0; i < 8; ++i) {
      const Status put = bed.put({bed.random_bytes(6 << 20)});
      ASSERT_TRUE(put) << put.error().to_text();
    }
    EXPECT_TRUE(bed.pool().usable(bed.slot(3))) << "a full disk has not failed";
    EXPECT_EQ(bed.store().space().degraded_groups, 0u);
    ASSERT_NO_FATAL_FAILURE(bed.check_all("with a full disk"));
  }
}

TEST(StoreFault, TooManyFullDisksMeanNoSpaceNotDegradedGroups) {
  const auto bed = filled_bed(1);
  bed->world().set_free_bytes(3, 0);
  bed->stored().clear();
  Status put = ok();
  for (int i = 0; i < 20 && put; ++i) put = bed->put({bed->random_bytes(4 << 20)}, Temperature::kCold);
  ASSERT_FALSE(put);
  EXPECT_EQ(put.error().code(), ErrorCode::kNoSpace);
  EXPECT_EQ(bed->store().space().degraded_groups, 0u);
  bed->world().set_free_bytes(3, uint64_t{100} << 20);
  ASSERT_TRUE(bed->store().maintain());
  EXPECT_TRUE(bed->put({bed->random_bytes(4 << 20)}, Temperature::kCold)) << "room came back";
}

TEST(StoreFault, ADegradedGroupIsNotKeptWhenTheDisksAreBack) {
  const auto bed = filled_bed(1);
  ASSERT_TRUE(bed->restart({5}));
  ASSERT_TRUE(bed->put({bed->random_bytes(500000)}));
  const GroupId degraded = bed->stored().back().extent.address.group;
  EXPECT_EQ(bed->store().group(degraded)->shards[5].disk, kNoDisk) << "parity stays unplaced";
  ASSERT_TRUE(bed->ledger().sync_all());
  ASSERT_TRUE(bed->restart());
  ASSERT_TRUE(bed->put({bed->random_bytes(500000)}));
  const GroupId whole = bed->stored().back().extent.address.group;
  EXPECT_NE(degraded, whole);
  const GroupReport report = *bed->store().group(whole);
  for (const ShardReport& shard : report.shards) EXPECT_FALSE(shard.missing);
  EXPECT_EQ(bed->store().missing_by_disk(), (std::vector<std::pair<DiskSlot, uint64_t>>{{kNoDisk, 1}}));
  ASSERT_NO_FATAL_FAILURE(bed->check_all("after all"));
}

TEST(StoreFault, AnAbandonedSessionLeavesNothing) {
  const auto bed = filled_bed(1);
  const SpaceReport before = bed->store().space();
  {
    const auto session =
        bed->store().begin_write(bed->options().geometry, ChecksumKind::kXxh3, Temperature::kHot);
    std::vector<Stored> pieces;
    ASSERT_TRUE(bed->write(*session, bed->random_pieces(3 << 20), pieces));
    ASSERT_TRUE(session->flush());
  }
  EXPECT_EQ(bed->store().space().live_bytes, before.live_bytes);
  ASSERT_TRUE(bed->restart());
  EXPECT_EQ(bed->store().space().groups, before.groups) << "the group that nothing refers to was not freed";
  ASSERT_NO_FATAL_FAILURE(bed->check_all("after a restart"));
}

TEST(StoreFault, NothingIsAcknowledgedAfterThePowerWent) {
  const auto bed = filled_bed(1);
  bed->world().crash_at(bed->world().step_count() + 10);
  const Status put = bed->put(bed->random_pieces(3 << 20));
  EXPECT_FALSE(put);
}

}  // namespace
}  // namespace stavefs::test
