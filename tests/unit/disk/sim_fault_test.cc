// The faults that a simulated machine can be told to have, and its accounting of space.

#include <set>

#include "base/rng.h"
#include "disk/sim/sim_disk.h"
#include "disk/sim/sim_inode.h"
#include "disk/sim/sparse_bytes.h"
#include "rig.h"

namespace stavefs::test {
namespace {

using sim::CrashMode;
using sim::SimWorld;

class SimFault : public ::testing::Test {
 protected:
  static constexpr uint64_t kDiskBytes = 64 << 20;
  SimWorld world_{1, 2, kDiskBytes};
  std::unique_ptr<DiskFile> file_ = make(0, "f");
  std::unique_ptr<DiskFile> other_ = make(1, "f");

  std::unique_ptr<DiskFile> make(int disk, std::string_view name) {
    auto file = must_open(world_.disk(disk), name, {.create = true});
    EXPECT_OK(write(world_.engine(), *file, 0, "old"));
    EXPECT_OK(sync(world_.engine(), *file));
    EXPECT_OK(world_.disk(disk).sync_names(""));
    return file;
  }
  uint64_t free_bytes(int disk) { return world_.disk(disk).space()->free_bytes; }
};

// Goal: as on Linux: one sync fails, the next succeeds, readers see the new bytes, the media keeps the old
// ones.
TEST_F(SimFault, FailedSyncLosesTheWritesAndTheNextSyncLies) {
  EXPECT_OK(write(world_.engine(), *file_, 0, "new"));
  world_.fail_next_sync(0);
  EXPECT_CODE(sync(world_.engine(), *file_), ErrorCode::kIo);
  EXPECT_OK(sync(world_.engine(), *file_));
  EXPECT_EQ(*read(world_.engine(), *file_, 0, 3), "new");
  for (const CrashMode mode : {CrashMode::kDropAll, CrashMode::kKeepAll, CrashMode::kRandom}) {
    EXPECT_EQ(*world_.fork(1, mode)->contents(0, "f"), "old");
  }
  // What is written and synced afterwards is safe, and nothing else comes along.
  EXPECT_OK(write(world_.engine(), *file_, 1, "E"));
  EXPECT_OK(sync(world_.engine(), *file_));
  EXPECT_EQ(*world_.fork(1, CrashMode::kKeepAll)->contents(0, "f"), "oEd");
  EXPECT_EQ(*read(world_.engine(), *file_, 0, 3), "nEw");
}

// Goal: a failing disk refuses writes, syncs and names, and goes on reading; the other disk does not notice.
TEST_F(SimFault, FailingWritesLeaveReadsAndOtherDisksAlone) {
  world_.fail_writes(0, true);
  EXPECT_CODE(write(world_.engine(), *file_, 0, "new"), ErrorCode::kIo);
  EXPECT_CODE(write(world_.engine(), *file_, 0, "new", true), ErrorCode::kIo);
  EXPECT_CODE(sync(world_.engine(), *file_), ErrorCode::kIo);
  EXPECT_CODE(file_->allocate(1 << 20), ErrorCode::kIo);
  EXPECT_CODE(world_.disk(0).open("g", {.create = true}), ErrorCode::kIo);
  EXPECT_CODE(world_.disk(0).remove("f"), ErrorCode::kIo);
  EXPECT_EQ(*read(world_.engine(), *file_, 0, 3), "old");
  EXPECT_OK(write(world_.engine(), *other_, 0, "new", true));
  world_.fail_writes(0, false);
  EXPECT_OK(write(world_.engine(), *file_, 0, "new", true));
  EXPECT_EQ(*world_.fork(1, CrashMode::kDropAll)->contents(0, "f"), "new");
}

TEST_F(SimFault, VanishedDiskFailsEverythingAndComesBackAsItWas) {
  world_.set_vanished(0, true);
  EXPECT_CODE(read(world_.engine(), *file_, 0, 3), ErrorCode::kIo);
  EXPECT_CODE(write(world_.engine(), *file_, 0, "new"), ErrorCode::kIo);
  EXPECT_CODE(sync(world_.engine(), *file_), ErrorCode::kIo);
  EXPECT_CODE(file_->size(), ErrorCode::kIo);
  EXPECT_CODE(world_.disk(0).probe(), ErrorCode::kIo);
  EXPECT_CODE(world_.disk(0).list(""), ErrorCode::kIo);
  EXPECT_CODE(world_.disk(0).space(), ErrorCode::kIo);
  EXPECT_CODE(world_.disk(0).sync_names(""), ErrorCode::kIo);
  EXPECT_OK(world_.disk(1).probe());
  world_.set_vanished(0, false);
  EXPECT_EQ(*read(world_.engine(), *file_, 0, 3), "old");
  EXPECT_OK(world_.disk(0).probe());
}

// Goal: a disk can die at an exact step, and stays dead over a power cut.
TEST_F(SimFault, DiskVanishesAtItsStep) {
  world_.vanish_at(0, world_.step_count() + 2);
  EXPECT_OK(write(world_.engine(), *file_, 0, "one", true));
  EXPECT_CODE(write(world_.engine(), *file_, 0, "two", true), ErrorCode::kIo);
  EXPECT_OK(write(world_.engine(), *other_, 0, "two", true));
  const auto fork = world_.fork(1, CrashMode::kKeepAll);
  EXPECT_CODE(fork->disk(0).probe(), ErrorCode::kIo);
  fork->set_vanished(0, false);
  EXPECT_EQ(*fork->contents(0, "f"), "one");
}

TEST_F(SimFault, OneWriteFailsIsLostOrIsMisdirected) {
  world_.fail_next_write(0);
  EXPECT_CODE(write(world_.engine(), *file_, 0, "bad", true), ErrorCode::kIo);
  EXPECT_EQ(*world_.contents(0, "f"), "old");

  world_.lose_next_write(0);
  EXPECT_OK(write(world_.engine(), *other_, 0, "two", true));
  EXPECT_EQ(*world_.contents(1, "f"), "two");
  EXPECT_OK(write(world_.engine(), *file_, 0, "bad", true));
  EXPECT_EQ(*world_.contents(0, "f"), "old");

  const std::string rows = pattern(1, 8 * 4096);
  EXPECT_OK(write(world_.engine(), *file_, 0, rows));
  world_.misdirect_next_write(0);
  EXPECT_OK(write(world_.engine(), *file_, 4096, std::string(4096, 'x'), true));
  const std::string now = *world_.contents(0, "f");
  EXPECT_EQ(now.size(), rows.size());
  EXPECT_EQ(now.substr(4096, 4096), rows.substr(4096, 4096));
  EXPECT_NE(now, rows);
  EXPECT_NE(now.find(std::string(4096, 'x')), std::string::npos);
  EXPECT_OK(write(world_.engine(), *file_, 4096, std::string(4096, 'y'), true));
  EXPECT_EQ((*world_.contents(0, "f")).substr(4096, 4096), std::string(4096, 'y'));
}

// Goal: flips come at about the asked rate, one bit each, and never reach the media.
TEST_F(SimFault, ReadsFlipSingleBitsAtTheAskedRate) {
  const std::string bytes = pattern(1, 4096);
  EXPECT_OK(write(world_.engine(), *file_, 0, bytes));
  world_.set_read_flip_rate(0, 4);
  int flipped = 0;
  for (int i = 0; i < 1000; ++i) {
    const std::string got = *read(world_.engine(), *file_, 0, 4096);
    int bits = 0;
    for (size_t b = 0; b < got.size(); ++b) bits += __builtin_popcount((got[b] ^ bytes[b]) & 0xff);
    ASSERT_LE(bits, 1);
    flipped += bits;
  }
  EXPECT_GT(flipped, 180);
  EXPECT_LT(flipped, 320);
  world_.set_read_flip_rate(0, 0);
  EXPECT_EQ(*read(world_.engine(), *file_, 0, 4096), bytes);
}

// Goal: a flipped bit is in view and on the media, also under a pending write.
TEST_F(SimFault, FlippedBitIsInViewAndOnMedia) {
  EXPECT_CODE(world_.flip_bit(0, "missing", 0, 0), ErrorCode::kNotFound);
  EXPECT_CODE(world_.flip_bit(0, "f", 3, 0), ErrorCode::kInvalid);
  EXPECT_CODE(world_.flip_bit(0, "f", 0, 8), ErrorCode::kInvalid);
  EXPECT_OK(world_.flip_bit(0, "f", 0, 0));
  EXPECT_EQ(*read(world_.engine(), *file_, 0, 3), "nld");
  EXPECT_EQ(*world_.fork(1, CrashMode::kDropAll)->contents(0, "f"), "nld");
  EXPECT_OK(write(world_.engine(), *file_, 0, "new"));
  EXPECT_OK(world_.flip_bit(0, "f", 0, 0));
  EXPECT_OK(sync(world_.engine(), *file_));
  EXPECT_EQ(*world_.fork(1, CrashMode::kDropAll)->contents(0, "f"), "oew");
}

// Goal: a direct file is as strict as the strictest host.
TEST_F(SimFault, DirectFilesRefuseUnalignedAccess) {
  auto direct = must_open(world_.disk(0), "direct", {.create = true, .direct = true});
  EXPECT_CODE(write(world_.engine(), *direct, 512, pattern(1, 4096)), ErrorCode::kInvalid);
  EXPECT_CODE(write(world_.engine(), *direct, 0, pattern(1, 100)), ErrorCode::kInvalid);
  AlignedBuffer buffer(8192);
  IoRequest r{.file = direct.get(), .kind = IoKind::kWrite, .data = buffer.data() + 512, .bytes = 4096};
  EXPECT_CODE(run_one(world_.engine(), r), ErrorCode::kInvalid);
  EXPECT_EQ(*direct->size(), 0u);
}

// Goal: space is counted in blocks held, refused when it is gone, and comes back.
TEST_F(SimFault, SpaceIsCountedRefusedAndGivenBack) {
  const uint64_t before = free_bytes(0);
  EXPECT_EQ(before, kDiskBytes - 4096);
  auto big = must_open(world_.disk(0), "big", {.create = true});
  EXPECT_OK(big->allocate(1 << 20));
  EXPECT_OK(write(world_.engine(), *big, 0, pattern(1, 1 << 20)));
  EXPECT_EQ(free_bytes(0), before - (1 << 20));
  EXPECT_OK(big->punch(0, 8192));
  EXPECT_OK(big->truncate(512 << 10));
  EXPECT_EQ(free_bytes(0), before - (512 << 10) + 8192);

  world_.set_free_bytes(0, 4096);
  EXPECT_EQ(free_bytes(0), 4096u);
  EXPECT_CODE(big->allocate(1 << 20), ErrorCode::kNoSpace);
  EXPECT_CODE(write(world_.engine(), *big, 0, pattern(1, 8192)), ErrorCode::kNoSpace);
  EXPECT_EQ(*read(world_.engine(), *big, 0, 8192), std::string(8192, '\0'));
  EXPECT_OK(write(world_.engine(), *big, 0, pattern(1, 4096)));
  EXPECT_OK(write(world_.engine(), *big, 8192, pattern(1, 4096)));  // held already
  EXPECT_OK(world_.disk(0).remove("big"));
  EXPECT_EQ(free_bytes(0), 0u) << "still open";
  big.reset();
  EXPECT_EQ(free_bytes(0), (512u << 10) - 4096);
  world_.restart(CrashMode::kKeepAll);
  EXPECT_EQ(free_bytes(0), (512u << 10) - 4096);
}

// Goal: sparse content behaves like a string, and a copy is independent.  Method: random operations, printed
// seed.
TEST(SparseBytes, MatchesAStringAndCopiesAreIndependent) {
  constexpr uint64_t kMax = 3 << 20;
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Rng rng(seed);
    sim::SparseBytes bytes;
    std::string model;
    sim::SparseBytes copy;
    std::string copy_model;
    const auto check = [](const sim::SparseBytes& got, const std::string& want) {
      ASSERT_EQ(got.size(), want.size());
      std::string all(want.size(), 'x');
      got.read(0, {reinterpret_cast<uint8_t*>(all.data()), all.size()});
      ASSERT_TRUE(all == want);
    };
    for (uint64_t step = 0; step < 60; ++step) {
      const uint64_t offset = rng.below(kMax);
      const uint64_t length = 1 + rng.below(100'000);
      switch (rng.below(5)) {
        case 0:
          bytes.resize(offset);
          model.resize(offset);
          break;
        case 1:
          bytes.zero(offset, length);
          for (uint64_t i = offset; i < std::min<uint64_t>(offset + length, model.size()); ++i) model[i] = 0;
          break;
        case 2:
          copy = bytes;
          copy_model = model;
          break;
        default: {
          const std::string fresh = pattern(step, length);
          bytes.write(offset, {reinterpret_cast<const uint8_t*>(fresh.data()), fresh.size()});
          if (model.size() < offset + length) model.resize(offset + length);
          model.replace(offset, length, fresh);
        }
      }
      check(bytes, model);
      check(copy, copy_model);
    }
  }
}

}  // namespace
}  // namespace stavefs::test
