// The index against a naive model, and what it promises about LSNs, flushes and members.

#include "index/index.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "index/keys.h"
#include "index_bed.h"

namespace stavefs {
namespace {

using sim::CrashMode;

TEST(Index, NewIndexIsEmpty) {
  MirrorBed bed(1, 2);
  const auto index = *open_index(bed, slots({0, 1}), index_options(bed));
  EXPECT_EQ(Lsn(0), index->applied());
  EXPECT_EQ(Lsn(0), index->flushed());
  EXPECT_TRUE(contents(*index).empty());
  EXPECT_EQ(std::nullopt, *index->get("I"));
  EXPECT_TRUE(index->flush());
  EXPECT_EQ(slots({0, 1}), index->copies());
}

// Random batches with explicit flushes between; reopened, the state is that of the LSN that the index says it
// has.
TEST(Index, ReopenedIndexHoldsTheStateOfItsLsn) {
  for (uint64_t seed = 1; seed <= 6; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    MirrorBed bed(seed, 2);
    Rng rng(seed);
    std::map<uint64_t, IndexModel> history{{0, {}}};
    for (int round = 0; round < 4; ++round) {
      const auto opened = open_index(bed, slots({0, 1}), index_options(bed));
      ASSERT_TRUE(opened) << opened.error().to_text();
      Index& index = **opened;
      uint64_t lsn = index.applied().value;
      ASSERT_TRUE(history.contains(lsn));
      EXPECT_EQ(index.applied(), index.flushed());
      IndexModel model = history[lsn];
      ASSERT_EQ(model, contents(index));
      uint64_t flushed = lsn;
      for (int i = 0; i < 300; ++i) {
        const IndexBatch batch = random_batch(rng);
        lsn += 1 + rng.below(3);
        ASSERT_TRUE(index.apply(batch.encoded(), Lsn(lsn)));
        apply_to(model, batch);
        history[lsn] = model;
        ASSERT_EQ(Lsn(lsn), index.applied());
        if (rng.one_in(100)) {
          ASSERT_TRUE(index.flush());
          flushed = lsn;
        }
        ASSERT_GE(index.flushed().value, flushed);
        ASSERT_LE(index.flushed().value, lsn);
      }
      ASSERT_EQ(model, contents(index));
      for (const auto& [key, value] : model) ASSERT_EQ(value, (*index.get(key)).value_or("none")) << key;
    }
    EXPECT_TRUE(bed.failed().empty());
  }
}

TEST(Index, ScanSeesOneViewAndItsRangeOnly) {
  MirrorBed bed(1, 1);
  const auto index = *open_index(bed, slots({0}), index_options(bed));
  IndexBatch batch;
  for (const char* key : {"a", "b1", "b3", "b5", "c"}) batch.put(key, key);
  ASSERT_TRUE(index->apply(batch.encoded(), Lsn(1)));
  const auto scan = *index->scan("b", keys::prefix_end("b"));
  IndexBatch later;
  later.put("b2", "later");
  later.erase("b3");
  ASSERT_TRUE(index->apply(later.encoded(), Lsn(2)));
  ASSERT_TRUE(index->flush());

  std::string seen;
  for (; scan->valid(); scan->next()) seen.append(scan->key()).append("=").append(scan->value()).append(" ");
  EXPECT_EQ("b1=b1 b3=b3 b5=b5 ", seen);
  EXPECT_TRUE(scan->status());

  const auto prev = [&](std::string_view key) {
    scan->seek_for_prev(key);
    return scan->valid() ? std::string(scan->key()) : "none";
  };
  EXPECT_EQ("b3", prev("b4"));
  EXPECT_EQ("b3", prev("b3"));
  EXPECT_EQ("none", prev("b0"));
  EXPECT_EQ("none", prev("a"));  // there is an "a", but not in the range
  EXPECT_EQ("b5", prev("c"));    // beyond the range: its last key
  EXPECT_EQ("b5", prev("zzz"));
  scan->seek_for_prev("b4");
  scan->next();
  EXPECT_EQ("b5", scan->key());
  scan->seek("b2");
  EXPECT_EQ("b3", scan->key());
  scan->seek("a");
  EXPECT_EQ("b1", scan->key());
  scan->seek("c");
  EXPECT_FALSE(scan->valid());
  EXPECT_TRUE(scan->status());
}

TEST(Index, MalformedBatchChangesNothing) {
  MirrorBed bed(1, 1);
  const auto index = *open_index(bed, slots({0}), index_options(bed));
  IndexBatch batch;
  batch.put("k", "v");
  const Status s = index->apply(batch.encoded() + "\x09", Lsn(1));
  ASSERT_FALSE(s);
  EXPECT_EQ(ErrorCode::kCorrupt, s.error().code());
  EXPECT_EQ(Lsn(0), index->applied());
  EXPECT_EQ(std::nullopt, *index->get("k"));
  EXPECT_TRUE(index->apply(batch.encoded(), Lsn(1)));
}

TEST(Index, LsnsOnlyGrow) {
  MirrorBed bed(1, 1);
  const auto index = *open_index(bed, slots({0}), index_options(bed));
  IndexBatch batch;
  batch.put("k", "v");
  ASSERT_TRUE(index->apply(batch.encoded(), Lsn(5)));
  EXPECT_FALSE(index->apply(batch.encoded(), Lsn(5)));
  EXPECT_FALSE(index->apply(batch.encoded(), Lsn(4)));
  EXPECT_EQ(Lsn(5), index->applied());
}

// A deletion of everything does not delete the index's own LSN.
TEST(Index, RangeDeletionLeavesTheLsn) {
  MirrorBed bed(1, 1);
  {
    const auto index = *open_index(bed, slots({0}), index_options(bed));
    IndexBatch batch;
    batch.put("a", "1");
    ASSERT_TRUE(index->apply(batch.encoded(), Lsn(1)));
    IndexBatch all;
    all.erase_range("A", "z");
    ASSERT_TRUE(index->apply(all.encoded(), Lsn(2)));
    ASSERT_TRUE(index->flush());
    EXPECT_EQ(Lsn(2), index->flushed());
  }
  const auto index = *open_index(bed, slots({0}), index_options(bed));
  EXPECT_EQ(Lsn(2), index->applied());
  EXPECT_TRUE(contents(*index).empty());
}

// The hook tells how far the journal is durable; no table file may reflect more than that.
TEST(Index, JournalIsSyncedBeforeEveryFlush) {
  MirrorBed bed(1, 2);
  Index::Options options = index_options(bed);
  std::atomic<uint64_t> journal_head{0}, journal_durable{0};
  std::atomic<int> calls{0};
  options.before_flush = [&]() -> Status {
    journal_durable = journal_head.load();
    ++calls;
    return ok();
  };
  const auto index = *open_index(bed, slots({0, 1}), std::move(options));
  Rng rng(1);
  for (uint64_t lsn = 1; lsn <= 3000; ++lsn) {
    journal_head = lsn;
    ASSERT_TRUE(index->apply(random_batch(rng).encoded(), Lsn(lsn)));
    const Lsn flushed = index->flushed();
    ASSERT_LE(flushed.value, journal_durable);
  }
  EXPECT_GT(calls, 3);
}

// A journal that cannot be synced: nothing newer may get into the files, and the index stops.
TEST(Index, FailingHookKeepsNewerStateOffTheDisksAndFences) {
  MirrorBed bed(1, 2);
  IndexModel model;
  Rng rng(1);
  {
    std::atomic<bool> fail{false};
    Index::Options options = index_options(bed);
    options.before_flush = [&]() -> Status {
      if (fail) return Error(ErrorCode::kIo, EIO, "journal");
      return ok();
    };
    const auto index = *open_index(bed, slots({0, 1}), std::move(options));
    for (uint64_t lsn = 1; lsn <= 50; ++lsn) {
      const IndexBatch batch = random_batch(rng);
      ASSERT_TRUE(index->apply(batch.encoded(), Lsn(lsn)));
      apply_to(model, batch);
    }
    ASSERT_TRUE(index->flush());
    fail = true;
    for (uint64_t lsn = 51; lsn <= 60; ++lsn)
      ASSERT_TRUE(index->apply(random_batch(rng).encoded(), Lsn(lsn)));
    EXPECT_FALSE(index->flush());
    EXPECT_EQ(1, bed.fenced);
    EXPECT_EQ(Lsn(50), index->flushed());
    const Status s = index->apply(random_batch(rng).encoded(), Lsn(61));
    ASSERT_FALSE(s);
    EXPECT_EQ(ErrorCode::kFenced, s.error().code());
    EXPECT_FALSE(index->get("I0001"));
    EXPECT_FALSE(index->scan("A", "Z"));
  }
  for (const CrashMode mode : {CrashMode::kDropAll, CrashMode::kKeepAll}) {
    MirrorBed after(bed.world().fork(1, mode));
    const auto index = *open_index(after, slots({0, 1}), index_options(after));
    EXPECT_EQ(Lsn(50), index->applied());
    EXPECT_EQ(model, contents(*index));
  }
}

TEST(Index, ReadOnlyIndexAnswersAndWritesNothing) {
  MirrorBed bed(1, 2);
  Index::Options reading = index_options(bed);
  reading.read_only = true;
  {
    const auto none = open_index(bed, slots({0, 1}), reading);
    ASSERT_FALSE(none);
    EXPECT_EQ(ErrorCode::kNotFound, none.error().code());
  }
  IndexBatch batch;
  batch.put("key", "value");
  {
    const auto index = *open_index(bed, slots({0, 1}), index_options(bed));
    ASSERT_TRUE(index->apply(batch.encoded(), Lsn(9)));
    ASSERT_TRUE(index->flush());
  }
  const uint64_t steps = bed.world().step_count();
  {
    const auto opened = open_index(bed, slots({0, 1}), reading);
    ASSERT_TRUE(opened) << opened.error().to_text();
    EXPECT_EQ(Lsn(9), (*opened)->applied());
    EXPECT_EQ("value", *(*opened)->get("key"));
    EXPECT_FALSE((*opened)->apply(batch.encoded(), Lsn(10)));
    EXPECT_FALSE((*opened)->flush());
  }
  EXPECT_EQ(steps, bed.world().step_count());
}

// Tables without the file that leads to them are damage, not a new index.
TEST(Index, MissingCurrentWithTablesIsRefused) {
  MirrorBed bed(1, 2);
  {
    const auto index = *open_index(bed, slots({0, 1}), index_options(bed));
    IndexBatch batch;
    batch.put("key", "value");
    ASSERT_TRUE(index->apply(batch.encoded(), Lsn(1)));
    ASSERT_TRUE(index->flush());
  }
  for (const int disk : {0, 1}) ASSERT_TRUE(bed.world().disk(disk).remove("index/CURRENT"));
  const auto opened = open_index(bed, slots({0, 1}), index_options(bed));
  ASSERT_FALSE(opened);
  EXPECT_EQ(ErrorCode::kCorrupt, opened.error().code());
}

TEST(Index, DamagedCurrentOnAllCopiesIsRefused) {
  MirrorBed bed(1, 2);
  { const auto index = *open_index(bed, slots({0, 1}), index_options(bed)); }
  for (const int disk : {0, 1}) ASSERT_TRUE(bed.world().flip_bit(disk, "index/CURRENT", 41, 0));
  EXPECT_FALSE(open_index(bed, slots({0, 1}), index_options(bed)));
}

// A third copy joins while batches are applied and flushed; then the first two disks are gone for good.
TEST(Index, CopyAddedDuringWritesServesAlone) {
  for (uint64_t seed = 1; seed <= 3; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    MirrorBed bed(seed, 3);
    Rng rng(seed);
    IndexModel model;
    uint64_t lsn = 0;
    {
      const auto index = *open_index(bed, slots({0, 1}), index_options(bed));
      const auto work = [&](int batches) {
        for (int i = 0; i < batches; ++i) {
          const IndexBatch batch = random_batch(rng);
          ASSERT_TRUE(index->apply(batch.encoded(), Lsn(++lsn)));
          apply_to(model, batch);
        }
      };
      work(2000);
      std::thread worker([&] { work(6000); });
      const Status added = index->add_copy(DiskSlot(2));
      worker.join();
      ASSERT_TRUE(added) << added.error().to_text();
      EXPECT_EQ(slots({0, 1, 2}), index->copies());
      EXPECT_FALSE(index->add_copy(DiskSlot(2)));
      bed.world().set_vanished(0, true);
      bed.world().set_vanished(1, true);
      index->drop_copy(DiskSlot(0));
      index->drop_copy(DiskSlot(1));
      work(500);
      ASSERT_TRUE(index->flush());
      EXPECT_EQ(Lsn(lsn), index->flushed());
      ASSERT_EQ(model, contents(*index));
    }
    bed.world().restart(CrashMode::kDropAll);
    const auto index = *open_index(bed, slots({2}), index_options(bed));
    EXPECT_EQ(Lsn(lsn), index->applied());
    EXPECT_EQ(model, contents(*index));
  }
}

TEST(Index, StatsCountWhatIsOnOneCopy) {
  MirrorBed bed(1, 2);
  Index::Options options = index_options(bed);
  options.memtable_bytes = 1 << 20;
  const auto index = *open_index(bed, slots({0, 1}), std::move(options));
  IndexBatch batch;
  Rng rng(1);
  for (int i = 0; i < 300; ++i) batch.put(fmt::format("k{}", i), random_bytes(rng, 1000));
  ASSERT_TRUE(index->apply(batch.encoded(), Lsn(1)));
  IndexBatch small;
  small.put("k", "v");
  ASSERT_TRUE(index->apply(small.encoded(), Lsn(2)));  // the count is that before the last batch
  EXPECT_GT(index->memtable_bytes(), 300000u);
  ASSERT_TRUE(index->flush());
  EXPECT_GT(index->stats().file_bytes, 300000u);
  EXPECT_LT(index->stats().file_bytes, 500000u);
}

}  // namespace
}  // namespace stavefs
