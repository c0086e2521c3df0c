// Errors must lead to the documented state and to no other, once, and be visible.  Method: report errors by
// hand and let simulated disks fail under a publication.

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "tests/unit/pool/sim_pool.h"

namespace stavefs {
namespace {

using sim::SimWorld;

class PoolHealth : public ::testing::Test {
 protected:
  PoolHealth() : world(1, 5, uint64_t{64} << 20) {
    silence_log();
    EXPECT_OK(format_test_pool(world, test_config({2, 1}), 42));
    auto opened = open_test_pool(world, witness, 7);
    EXPECT_OK(opened);
    pool = std::move(*opened);
    pool->on_fenced([this](DiskSlot slot) {
      fenced.push_back(slot);
      pool->reports();  // would hang if a lock were held
      EXPECT_FALSE(pool->usable(slot));
    });
  }
  DiskReport report_of(uint16_t slot) { return pool->reports()[slot]; }

  SimWorld world;
  TestWitness witness;
  std::unique_ptr<Pool> pool;
  std::vector<DiskSlot> fenced;
};

TEST_F(PoolHealth, WriteAndSyncErrorsFenceAtOnce) {
  const uint64_t version = pool->state_version();
  pool->report(DiskSlot(1), IoKind::kWrite, EIO, "segment 5");
  pool->report(DiskSlot(2), IoKind::kSync, EIO, "segment 6");
  pool->report(DiskSlot(2), IoKind::kSync, EIO, "segment 6");
  EXPECT_EQ(fenced, (std::vector<DiskSlot>{DiskSlot(1), DiskSlot(2)}));
  EXPECT_EQ(pool->state_version(), version + 2);
  EXPECT_FALSE(pool->writable(DiskSlot(1)));
  EXPECT_NE(pool->disk(DiskSlot(1)), nullptr) << "I/O in flight may still refer to it";
  const DiskReport report = report_of(1);
  EXPECT_EQ(to_string(report.state), "failed");
  EXPECT_EQ(report.write_errors, 1u);
  EXPECT_NE(report.reason.find("segment 5"), std::string::npos);
}

TEST_F(PoolHealth, ReadErrorsFenceOnlyWithoutASuccessBetween) {
  for (int round = 0; round < 3; ++round) {
    for (int i = 0; i < kReadErrorsToFence - 1; ++i) pool->report(DiskSlot(0), IoKind::kRead, EIO, "x");
    pool->report(DiskSlot(0), IoKind::kRead, 0, "x");
  }
  EXPECT_TRUE(pool->usable(DiskSlot(0)));
  EXPECT_EQ(report_of(0).read_errors, 3u * (kReadErrorsToFence - 1));
  for (int i = 0; i < kReadErrorsToFence; ++i) pool->report(DiskSlot(0), IoKind::kRead, EIO, "x");
  EXPECT_FALSE(pool->usable(DiskSlot(0)));
}

TEST_F(PoolHealth, FullDiskIsReadAndKept) {
  pool->report(DiskSlot(3), IoKind::kWrite, ENOSPC, "segment");
  EXPECT_TRUE(pool->usable(DiskSlot(3)));
  EXPECT_FALSE(pool->writable(DiskSlot(3)));
  EXPECT_TRUE(report_of(3).full);
  EXPECT_TRUE(fenced.empty());
  pool->report(DiskSlot(3), IoKind::kSync, ENOSPC, "segment");
  EXPECT_FALSE(pool->usable(DiskSlot(3))) << "a failed sync has lost writes, whatever the errno";
}

TEST_F(PoolHealth, ChecksumErrorsAreCounted) {
  pool->report_corrupt(DiskSlot(4), "unit 7");
  pool->report_corrupt(DiskSlot(4), "unit 7");
  EXPECT_EQ(report_of(4).checksum_errors, 2u);
  EXPECT_TRUE(pool->usable(DiskSlot(4)));
}

TEST_F(PoolHealth, ReportsAboutDisksThatAreNotHereDoNothing) {
  pool->report(kNoDisk, IoKind::kWrite, EIO, "x");
  pool->report_corrupt(DiskSlot(77), "x");
  pool->fence(DiskSlot(5), "x");
  EXPECT_TRUE(fenced.empty());
}

TEST_F(PoolHealth, VanishedDiskIsFoundByProbing) {
  pool->probe_disks();
  EXPECT_TRUE(fenced.empty());
  world.set_vanished(2, true);
  pool->probe_disks();
  pool->probe_disks();
  EXPECT_EQ(fenced, std::vector<DiskSlot>{DiskSlot(2)});
  EXPECT_NE(report_of(2).reason.find("vanished"), std::string::npos);
}

TEST_F(PoolHealth, FailedMemberStopsAPublicationAndFailedDataDiskDoesNot) {
  world.fail_writes(4, true);
  ASSERT_OK(pool->publish(next_epoch(*pool)));
  EXPECT_EQ(fenced, std::vector<DiskSlot>{DiskSlot(4)});
  world.fail_writes(1, true);
  const Epoch before = pool->epoch().epoch;
  EXPECT_CODE(pool->publish(next_epoch(*pool)), ErrorCode::kIo);
  EXPECT_EQ(fenced, (std::vector<DiskSlot>{DiskSlot(4), DiskSlot(1)}));
  EXPECT_CODE(pool->publish(next_epoch(*pool)), ErrorCode::kIo);  // a fenced disk is no member
  ASSERT_OK(pool->publish(next_epoch(*pool, {1})));
  EXPECT_GT(pool->epoch().epoch, before);
  EXPECT_EQ(witness.value->epoch, pool->epoch().epoch);
  EXPECT_EQ(witness.value->ticket, pool->epoch().ticket);
}

TEST_F(PoolHealth, NumbersOfFailedAttemptsAreNotUsedAgain) {
  const EpochRecord next = next_epoch(*pool);
  world.fail_next_write(1);
  EXPECT_CODE(pool->publish(next), ErrorCode::kIo);
  EpochRecord again = next_epoch(*pool, {1});
  again.epoch = next.epoch;
  ASSERT_OK(pool->publish(again));
  EXPECT_GT(pool->epoch().epoch, next.epoch);
}

TEST_F(PoolHealth, WitnessThatCannotBeWrittenStopsAPublication) {
  const EpochRecord before = pool->epoch();
  witness.fail = true;
  EXPECT_CODE(pool->publish(next_epoch(*pool)), ErrorCode::kNoSpace);
  EXPECT_EQ(pool->epoch().epoch, before.epoch);
  witness.fail = false;
  EXPECT_OK(pool->publish(next_epoch(*pool)));
}

TEST_F(PoolHealth, OnlyTheCleanMarkOfAPublishedEpochMayChange) {
  ASSERT_OK(pool->publish(next_epoch(*pool)));
  EpochRecord record = pool->epoch();
  record.clean = true;
  ASSERT_OK(pool->publish(record));
  EXPECT_TRUE(pool->epoch().clean);
  record.start_lsn = Lsn(5);
  EXPECT_CODE(pool->publish(record), ErrorCode::kInvalid);
  record = next_epoch(*pool);
  record.members.clear();
  EXPECT_CODE(pool->publish(record), ErrorCode::kInvalid);
  record = pool->epoch();
  record.epoch = Epoch(1);
  EXPECT_CODE(pool->publish(record), ErrorCode::kInvalid);
}

TEST_F(PoolHealth, ConcurrentReportsFenceOnce) {
  std::atomic<int> calls{0};
  pool->on_fenced([&](DiskSlot) { ++calls; });
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&] {
      for (int i = 0; i < 200; ++i) {
        pool->report(DiskSlot(static_cast<uint16_t>(i % 5)), i % 2 == 0 ? IoKind::kWrite : IoKind::kRead, EIO,
                     "x");
        pool->reports();
      }
    });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(calls, 5);
}

}  // namespace
}  // namespace stavefs
