#include "disk/fault_engine.h"

#include <chrono>

#include "disk/sim/sim_disk.h"
#include "disk_model.h"
#include "rig.h"

namespace stavefs::test {
namespace {

class FaultEngineTest : public ::testing::Test {
 protected:
  sim::SimWorld world_{1, 2, 64 << 20};
  FaultEngine engine_{world_.engine(), 7};
  std::unique_ptr<DiskFile> bad_ = must_open(world_.disk(0), "f", {.create = true});
  std::unique_ptr<DiskFile> good_ = must_open(world_.disk(1), "f", {.create = true});
};

// Goal: exactly the n-th I/O of a kind fails, on its disk only, and a failed write left nothing.
TEST_F(FaultEngineTest, OnlyThePlannedWriteFailsAndLeavesNothing) {
  EXPECT_OK(write(engine_, *bad_, 0, "old"));
  engine_.plan(world_.disk(0), {.fail_write_at = 2, .error = ENOSPC});
  EXPECT_OK(write(engine_, *bad_, 10, "one"));
  EXPECT_OK(write(engine_, *good_, 0, "new"));
  EXPECT_CODE(write(engine_, *bad_, 0, "new"), ErrorCode::kNoSpace);
  EXPECT_EQ(*read(engine_, *bad_, 0, 3), "old");
  EXPECT_OK(write(engine_, *bad_, 0, "new"));
  EXPECT_EQ(*read(engine_, *good_, 0, 3), "new");
  EXPECT_EQ(engine_.counts(world_.disk(0)).failed, 1u);
  EXPECT_EQ(engine_.counts(world_.disk(0)).writes, 3u);
  EXPECT_EQ(engine_.counts(world_.disk(1)).failed, 0u);
}

// Goal: a failed sync flushed nothing; with stay_failed it never comes back, and other kinds go on.
TEST_F(FaultEngineTest, FailedSyncFlushesNothingAndStaysFailed) {
  EXPECT_OK(world_.disk(0).sync_names(""));
  EXPECT_OK(write(engine_, *bad_, 0, "lost"));
  engine_.plan(world_.disk(0), {.fail_sync_at = 1, .stay_failed = true});
  for (int i = 0; i < 3; ++i) EXPECT_CODE(sync(engine_, *bad_), ErrorCode::kIo);
  EXPECT_EQ(*read(engine_, *bad_, 0, 4), "lost");
  EXPECT_EQ(*world_.fork(1, sim::CrashMode::kDropAll)->contents(0, "f"), "");
}

// Goal: in a mixed batch the failing reads fail, the others return their own bytes.
TEST_F(FaultEngineTest, MixedBatchKeepsItsOrder) {
  EXPECT_OK(write(engine_, *bad_, 0, "bad."));
  EXPECT_OK(write(engine_, *good_, 0, "good"));
  engine_.plan(world_.disk(0), {.fail_read_at = 1});
  char bytes[3][5] = {};
  IoRequest batch[3];
  for (int i = 0; i < 3; ++i) {
    batch[i] = {.file = i == 1 ? good_.get() : bad_.get(),
                .kind = IoKind::kRead,
                .data = reinterpret_cast<uint8_t*>(bytes[i]),
                .bytes = 4};
  }
  engine_.run(batch);
  EXPECT_EQ(batch[0].error, EIO);
  EXPECT_EQ(batch[1].error, 0);
  EXPECT_EQ(batch[2].error, 0);
  EXPECT_STREQ(bytes[0], "");
  EXPECT_STREQ(bytes[1], "good");
  EXPECT_STREQ(bytes[2], "bad.");
}

TEST_F(FaultEngineTest, DelayHoldsUpBatchesOfThatDiskOnly) {
  using Clock = std::chrono::steady_clock;
  EXPECT_OK(write(engine_, *bad_, 0, "x"));
  engine_.plan(world_.disk(0), {.delay = std::chrono::milliseconds(30)});
  const auto start = Clock::now();
  EXPECT_OK(read(engine_, *bad_, 0, 1));
  EXPECT_GE(Clock::now() - start, std::chrono::milliseconds(30));
}

// Goal: the model comparison of the conformance suite is able to fail.  Method: one flipped bit in a read.
TEST_F(FaultEngineTest, PlantedBitFlipIsCaughtByTheModel) {
  sim::SimWorld world(3, 1, 64 << 20);
  FaultEngine engine(world.engine(), 1);
  engine.plan(world.disk(0), {.flip_one_in = 10});
  EXPECT_NE(compare_with_model(world.disk(0), engine, 1, 400), "");
  EXPECT_GT(engine.counts(world.disk(0)).flipped, 0u);
}

// Goal: and so is it for a write that was reported done and was not.
TEST_F(FaultEngineTest, PlantedLostWriteIsCaughtByTheModel) {
  sim::SimWorld world(3, 1, 64 << 20);
  world.lose_next_write(0);
  EXPECT_NE(compare_with_model(world.disk(0), world.engine(), 1, 400), "");
}

}  // namespace
}  // namespace stavefs::test
