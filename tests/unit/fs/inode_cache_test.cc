#include "fs/inode_cache.h"

#include <gtest/gtest.h>

#include <thread>

#include "data_bed.h"

namespace stavefs {
namespace {

class InodeCacheTest : public testing::Test {
 protected:
  void SetUp() override {
    bed_.format();
    bed_.open();
  }
  void put(uint64_t number, uint64_t generation) {
    InodeRecord record;
    record.mode = 0100644;
    record.nlink = 1;
    record.generation = generation;
    Change change;
    change.index().put(keys::inode(InodeId(number)), record.encode());
    ASSERT_TRUE(bed_.ledger().commit(change));
  }

  DataBed bed_{1};
};

TEST_F(InodeCacheTest, OneObjectPerNumberAndStaleForNone) {
  put(5, 1);
  InodeCache cache(bed_.ledger(), 100);
  const auto first = cache.get(InodeId(5));
  ASSERT_TRUE(first);
  EXPECT_EQ(*first, *cache.get(InodeId(5)));
  EXPECT_EQ((*first)->last_lsn, bed_.ledger().head());
  const auto none = cache.get(InodeId(6));
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().errno_value(), ESTALE);
  EXPECT_EQ(cache.find(InodeId(6)), nullptr);
}

TEST_F(InodeCacheTest, DamagedRecordIsCorruptAndNamesTheInode) {
  Change change;
  change.index().put(keys::inode(InodeId(9)), "rubbish");
  ASSERT_TRUE(bed_.ledger().commit(change));
  InodeCache cache(bed_.ledger(), 100);
  const auto got = cache.get(InodeId(9));
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error().code(), ErrorCode::kCorrupt);
  EXPECT_NE(got.error().to_text().find("inode 9"), std::string::npos);
}

/// Goal: the cache is bounded, but never loses what only memory has.  Method: a small cache, many inodes;
/// some are referenced, open or dirty.
TEST_F(InodeCacheTest, EvictsOnlyWhatIsUnusedAndClean) {
  for (uint64_t i = 1; i <= 1000; ++i) put(i, i);
  InodeCache cache(bed_.ledger(), 64);
  const InodeRef referenced = *cache.get(InodeId(1));
  Inode* open = cache.get(InodeId(2))->get();
  open->open_count = 1;
  Inode* dirty = cache.get(InodeId(3))->get();
  dirty->attributes_dirty = true;
  Inode* flushing = cache.get(InodeId(4))->get();
  flushing->data = std::make_unique<FileData>();
  flushing->data->flush_running = true;
  for (uint64_t i = 5; i <= 1000; ++i) ASSERT_TRUE(cache.get(InodeId(i)));
  EXPECT_LE(cache.size(), 64U + 4U);
  EXPECT_EQ(cache.find(InodeId(1)), referenced);
  EXPECT_EQ(cache.find(InodeId(2)).get(), open);
  EXPECT_EQ(cache.find(InodeId(3)).get(), dirty);
  EXPECT_EQ(cache.find(InodeId(4)).get(), flushing);
  EXPECT_EQ(cache.find(InodeId(5)), nullptr) << "nothing was evicted";
}

/// Goal: no thread ever gets an object that is older than the index.  Method: threads load, change and commit
/// one inode each time under its lock, while other inodes push it out of a tiny cache; a lost update shows as
/// a generation that went back.
TEST_F(InodeCacheTest, NoUpdateIsLostBetweenLoadingAndEviction) {
  constexpr int kThreads = 4;
  constexpr int kRounds = 400;
  for (uint64_t i = 0; i < 64; ++i) put(16 * i + 16, 0);
  InodeCache cache(bed_.ledger(), 1);
  std::atomic<uint64_t> updates{0};
  const auto work = [&](uint64_t seed) {
    Rng rng(seed);
    for (int i = 0; i < kRounds; ++i) {
      ASSERT_TRUE(cache.get(InodeId(16 * (1 + rng.below(3)) + 16)));
      const auto inode = cache.get(InodeId(16));
      ASSERT_TRUE(inode);
      const std::unique_lock lock((*inode)->mutex);
      ++(*inode)->record.generation;
      Change change;
      change.index().put(keys::inode(InodeId(16)), (*inode)->record_to_store().encode());
      ASSERT_TRUE(bed_.ledger().commit(change));
      ++updates;
    }
  };
  std::vector<std::thread> threads;
  for (uint64_t t = 1; t <= kThreads; ++t) threads.emplace_back(work, t);
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ((*cache.get(InodeId(16)))->record.generation, updates);
}

}  // namespace
}  // namespace stavefs
