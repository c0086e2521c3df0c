// The index when power fails, and when disks fail, at every step of a workload with flushes and compactions.

#include <gtest/gtest.h>
#include <rocksdb/env.h>

#include <atomic>
#include <functional>
#include <thread>

#include "index_bed.h"

namespace stavefs {
namespace {

using sim::CrashMode;

/// The state as of each LSN, and what the index has told.
struct Told {
  std::map<uint64_t, IndexModel> history{{0, {}}};
  uint64_t flushed = 0;  ///< greatest value of flushed() seen
  uint64_t applied = 0;
};

/// Batches, some of them followed by a flush, and reopening; ends early when the index refuses something.
void workload(MirrorBed& bed, const std::vector<DiskSlot>& members, Told& told, bool must_succeed) {
  Rng rng(42);
  IndexModel model;
  for (int round = 0; round < 2; ++round) {
    const auto opened = open_index(bed, members, index_options(bed));
    if (must_succeed) {
      ASSERT_TRUE(opened) << opened.error().to_text();
    }
    if (!opened) return;
    Index& index = **opened;
    told.applied = index.applied().value;
    model = told.history.at(told.applied);
    for (int i = 0; i < 40; ++i) {
      const IndexBatch batch = random_batch(rng);
      const uint64_t lsn = told.applied + 1;
      apply_to(model, batch);
      told.history[lsn] = model;
      if (!index.apply(batch.encoded(), Lsn(lsn))) {
        ASSERT_FALSE(must_succeed);
        return;
      }
      told.applied = lsn;
      if (i % 8 == 7 && !index.flush()) {
        ASSERT_FALSE(must_succeed);
        return;
      }
      told.flushed = std::max(told.flushed, index.flushed().value);
      if (must_succeed && i % 8 == 7) {
        ASSERT_EQ(told.applied, index.flushed().value);
      }
    }
    if (must_succeed) {
      ASSERT_EQ(model, contents(index));
    }
  }
}

void check_reopened(MirrorBed& bed, const std::vector<DiskSlot>& members, const Told& told) {
  Result<std::unique_ptr<Index>> opened = open_index(bed, members, index_options(bed));
  ASSERT_TRUE(opened) << opened.error().to_text();
  const uint64_t lsn = (*opened)->applied().value;
  ASSERT_GE(lsn, told.flushed);
  ASSERT_LE(lsn, told.applied + 1);
  ASSERT_EQ(told.history.at(lsn), contents(**opened));
  // It works on.
  IndexBatch batch;
  batch.put("after", "crash");
  ASSERT_TRUE((*opened)->apply(batch.encoded(), Lsn(lsn + 1)));
  ASSERT_TRUE((*opened)->flush());
}

uint64_t steps_of_workload(int disks) {
  MirrorBed bed(1, disks);
  Told told;
  std::vector<DiskSlot> members;
  for (int i = 0; i < disks; ++i) members.push_back(DiskSlot(static_cast<uint16_t>(i)));
  workload(bed, members, told, true);
  return bed.world().step_count();
}

/// Runs body(step) for every step on several threads: RocksDB sleeps for a second after each error, in a pool
/// of threads that all of its instances share.
void for_each_step(uint64_t steps, const std::function<void(uint64_t)>& body) {
  constexpr int kThreads = 24;
  rocksdb::Env::Default()->SetBackgroundThreads(kThreads, rocksdb::Env::HIGH);
  rocksdb::Env::Default()->SetBackgroundThreads(kThreads, rocksdb::Env::LOW);
  std::atomic<uint64_t> next{1};
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i)
    threads.emplace_back([&] {
      for (uint64_t step = next++; step <= steps && !testing::Test::HasFatalFailure(); step = next++)
        body(step);
    });
  for (std::thread& thread : threads) thread.join();
}

// The reopened index holds exactly the state of an LSN that is not behind what it had told to be flushed;
// with both copies, and with each of them alone.
TEST(IndexCrash, PowerFailureAtEveryStepKeepsWhatWasFlushed) {
  const uint64_t steps = steps_of_workload(2);
  ASSERT_GT(steps, 200u);
  std::atomic<int> states{0};
  for_each_step(steps, [&](uint64_t step) {
    SCOPED_TRACE(testing::Message() << "step " << step);
    MirrorBed bed(1, 2);
    bed.world().crash_at(step);
    Told told;
    workload(bed, slots({0, 1}), told, false);
    for (const CrashMode mode : {CrashMode::kDropAll, CrashMode::kKeepAll, CrashMode::kRandom,
                                 CrashMode::kPrefix, CrashMode::kSingle}) {
      SCOPED_TRACE(testing::Message() << "mode " << static_cast<int>(mode) << " seed " << step);
      {
        MirrorBed after(bed.world().fork(step, mode));
        check_reopened(after, slots({0, 1}), told);
      }
      const int alone = static_cast<int>((step + static_cast<uint64_t>(mode)) % 2);
      SCOPED_TRACE(testing::Message() << "alone on slot " << alone);
      MirrorBed after(bed.world().fork(step, mode));
      check_reopened(after, slots({alone}), told);
      states += 2;
    }
  });
  RecordProperty("crash_states", states);
}

// One of two disks vanishes at every step in turn: no error is seen, and the other disk has everything.
TEST(IndexCrash, DiskVanishingAtEveryStepIsNotSeen) {
  const uint64_t steps = steps_of_workload(2);
  for_each_step(steps, [&](uint64_t step) {
    const int disk = static_cast<int>(step % 2);
    SCOPED_TRACE(testing::Message() << "disk " << disk << " step " << step);
    MirrorBed bed(1, 2);
    bed.world().vanish_at(disk, step);
    Told told;
    workload(bed, slots({0, 1}), told, true);
    ASSERT_EQ(0, bed.fenced);
    MirrorBed after(bed.world().fork(step, CrashMode::kDropAll));
    check_reopened(after, slots({1 - disk}), told);
  });
}

// Bits flip on one disk, all over its index files, while the index works: every answer is right, and when the
// index has read everything, that copy is right again.
TEST(IndexCrash, FlippedBitsOnOneCopyAreNeverSeen) {
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    const int bad = static_cast<int>(seed % 2);
    MirrorBed bed(seed, 2);
    Told told;
    workload(bed, slots({0, 1}), told, true);
    Rng rng(seed);
    const auto names = *bed.world().disk(bad).list("index");
    for (const std::string& name : names) {
      const auto size = (*bed.world().disk(bad).open("index/" + name, {}))->size();
      for (uint64_t page = 0; page < *size / kPageBytes; ++page)
        if (rng.one_in(2)) {
          ASSERT_TRUE(
              bed.world().flip_bit(bad, "index/" + name, page * kPageBytes + rng.below(kPageBytes), 2));
        }
    }
    {
      const auto opened = open_index(bed, slots({0, 1}), index_options(bed));
      ASSERT_TRUE(opened) << opened.error().to_text();
      ASSERT_EQ(told.history.at((*opened)->applied().value), contents(**opened));
      EXPECT_GT((*opened)->stats().repaired_pages, 0u);
    }
    EXPECT_TRUE(bed.failed().empty());
    check_reopened(bed, slots({bad}), told);
  }
}

// The same page is bad on both copies: an error and a fence, and never another state.
TEST(IndexCrash, FlipsOnAllCopiesAreAnErrorAndNeverWrongData) {
  int refused = 0;
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    MirrorBed bed(seed, 2);
    Told told;
    workload(bed, slots({0, 1}), told, true);
    Rng rng(seed);
    const std::vector<std::string> names = *bed.world().disk(0).list("index");
    for (const std::string& name : names) {
      if (!name.ends_with(".sst")) continue;
      const auto size = (*bed.world().disk(0).open("index/" + name, {}))->size();
      const uint64_t at = rng.below(*size);
      for (const int disk : {0, 1}) ASSERT_TRUE(bed.world().flip_bit(disk, "index/" + name, at, 2));
    }
    const auto opened = open_index(bed, slots({0, 1}), index_options(bed));
    if (!opened) {
      ++refused;
      continue;
    }
    for (const auto& [key, value] : told.history.at(told.flushed)) {
      const auto found = (*opened)->get(key);
      if (found) {
        EXPECT_EQ(value, found->value_or("none"));
      }
      refused += !found;
    }
  }
  EXPECT_GT(refused, 0);
}

}  // namespace
}  // namespace stavefs
