// The verdict of `stavefs status`: healthy only when everything is there, and the right word, exit code and
// names when something is not.

#include <gtest/gtest.h>
#include <sys/stat.h>

#include "tests/unit/engine/sim_engine.h"

namespace stavefs {
namespace {

using testing_support::SimEngine;

constexpr uint64_t kSeed = 20260131;

std::string text_of(const Status& status) { return status ? "ok" : status.error().to_text(); }

/// A file of `bytes` in bucket "b", durable.
Status write_file(FileSystem& fs, const std::string& name, size_t bytes) {
  InodeId root;
  if (auto bucket = fs.bucket("b")) {
    root = bucket->root;
  } else {
    ASSIGN_OR_RETURN(const BucketInfo made, fs.create_bucket("b", {{2, 1}, ChecksumKind::kXxh3}, 0755, {}));
    root = made.root;
  }
  ASSIGN_OR_RETURN(const Attributes file, fs.create(root, name, S_IFREG | 0644, {}));
  const std::vector<uint8_t> data(bytes, 0x5a);
  ASSIGN_OR_RETURN(const size_t written, fs.write(file.id, 0, data, false, false));
  if (written != bytes) return Error(ErrorCode::kIo, EIO, "short write");
  TRY(fs.fsync(file.id, false));
  fs.release_file(file.id);
  return fs.sync();
}

class Verdict : public ::testing::Test {
 protected:
  void SetUp() override {
    auto status = sim_.format();
    ASSERT_TRUE(status) << text_of(status);
    status = sim_.start();
    ASSERT_TRUE(status) << text_of(status);
  }
  SimEngine sim_{kSeed};
};

TEST_F(Verdict, NewPoolIsHealthy) {
  const StatusReport report = sim_.engine().status();
  EXPECT_EQ(report.verdict, "HEALTHY");
  EXPECT_EQ(report.exit_code, 0);
  EXPECT_EQ(report.disks.size(), 4u);
  EXPECT_EQ(report.metadata_copies, 2u);
  EXPECT_EQ(report.geometry, (Geometry{2, 1}));
  EXPECT_GT(report.space.total_bytes, 0u);
  EXPECT_LE(report.space.free_bytes, report.space.total_bytes);
}

TEST_F(Verdict, AbsentDiskMakesItDegradedAndIsNamed) {
  ASSERT_TRUE(sim_.stop());
  ASSERT_TRUE(sim_.start(1u << 3));
  const StatusReport report = sim_.engine().status();
  EXPECT_EQ(report.verdict, "DEGRADED");
  EXPECT_EQ(report.exit_code, 4);
  EXPECT_NE(report.explanation.find("d4"), std::string::npos) << report.explanation;
  EXPECT_EQ(report.disks[3].state, DiskState::kAbsent);
}

// "Healthy" must wait until what was written meanwhile is whole again.
TEST(VerdictWithoutSpareDisk, DiskThatMissedWritesLeavesThePoolDegradedAfterItsReturn) {
  SimEngine sim(kSeed, {2, 1}, 3);
  ASSERT_TRUE(sim.format());
  const Status started = sim.start(1u << 2);
  ASSERT_TRUE(started) << text_of(started);
  const Status written = write_file(sim.engine().fs(), "f", 1u << 20);
  ASSERT_TRUE(written) << text_of(written);
  ASSERT_TRUE(sim.stop());
  ASSERT_TRUE(sim.start());
  const StatusReport report = sim.engine().status();
  EXPECT_TRUE(report.disks[2].stale);
  EXPECT_EQ(report.disks[2].state, DiskState::kActive);
  EXPECT_GT(report.space.degraded_groups, 0u);
  EXPECT_EQ(report.verdict, "DEGRADED");
  EXPECT_EQ(report.exit_code, 4);
}

TEST_F(Verdict, VanishedDiskIsNoticedByUpkeepAndKeptAsAnEvent) {
  sim_.world().set_vanished(2, true);
  (void)sim_.engine().maintain();
  (void)sim_.engine().maintain();
  const StatusReport report = sim_.engine().status();
  EXPECT_EQ(report.verdict, "DEGRADED");
  EXPECT_EQ(report.disks[2].state, DiskState::kFailed);
  EXPECT_FALSE(report.disks[2].reason.empty());
  bool told = false;
  for (const Event& event : report.events) told = told || event.text.find("d3") != std::string::npos;
  EXPECT_TRUE(told);
}

// More losses than parity: what is in the lost groups is EIO, the verdict says so with exit code 3.
TEST_F(Verdict, LostGroupsAreDamage) {
  for (int i = 0; i < 8; ++i) {
    const Status written = write_file(sim_.engine().fs(), "f" + std::to_string(i), 2u << 20);
    ASSERT_TRUE(written) << text_of(written);
  }
  // The two disks without metadata copies, so that the daemon can go on.
  sim_.world().set_vanished(2, true);
  sim_.world().set_vanished(3, true);
  (void)sim_.engine().maintain();
  (void)sim_.engine().maintain();
  const StatusReport report = sim_.engine().status();
  ASSERT_GT(report.space.lost_groups, 0u);
  EXPECT_EQ(report.verdict, "DAMAGED");
  EXPECT_EQ(report.exit_code, 3);
}

TEST_F(Verdict, EventsAreBounded) {
  for (int i = 0; i < 2000; ++i) sim_.engine().add_event("info", "event " + std::to_string(i));
  const StatusReport report = sim_.engine().status();
  EXPECT_LE(report.events.size(), 256u);
  EXPECT_EQ(report.events.back().text, "event 1999");
}

TEST_F(Verdict, DataOfAKilledEngineIsThereAfterTheNextStart) {
  const Status written = write_file(sim_.engine().fs(), "f", 300'000);
  ASSERT_TRUE(written) << text_of(written);
  sim_.kill();
  sim_.world().restart(sim::CrashMode::kDropAll);
  ASSERT_TRUE(sim_.start());
  FileSystem& fs = sim_.engine().fs();
  const auto inode = fs.resolve("b/f");
  ASSERT_TRUE(inode);
  ASSERT_TRUE(fs.open_file(*inode, false, false));
  std::vector<uint8_t> data(300'000);
  const auto read = fs.read(*inode, 0, data, false);
  ASSERT_TRUE(read);
  EXPECT_EQ(*read, data.size());
  EXPECT_EQ(data, std::vector<uint8_t>(300'000, 0x5a));
  fs.release_file(*inode);
}

}  // namespace
}  // namespace stavefs
