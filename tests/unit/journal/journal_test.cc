// What the journal promises while it runs: order, room, group commit, members that come and go, and that it
// stops for good when it cannot keep its promise.  Method: simulated disks with faults; what was promised is
// checked by opening again.

#include "journal/journal.h"

#include <gtest/gtest.h>

#include <chrono>
#include <numeric>
#include <thread>

#include "tests/unit/journal/sim_journal.h"

namespace stavefs {
namespace {

using sim::SimWorld;

class JournalTest : public ::testing::Test {
 protected:
  JournalTest() { silence_log(); }
  void make(Geometry geometry, int disks, uint64_t ring_bytes = kTestRingBytes) {
    now = {};
    witness.value.reset();
    world = std::make_unique<SimWorld>(5, disks, uint64_t{256} << 20);
    format_journal_pool(*world, geometry, ring_bytes);
    open();
  }
  void open(Lsn after = Lsn(0), const std::set<int>& without = {}) {
    now.journal.reset();
    now.pool.reset();
    auto opened = open_journal(*world, witness, ++seed, after, without);
    ASSERT_OK(opened);
    now = std::move(*opened);
  }
  Lsn append(std::string_view record) {
    const auto lsn = now.journal->append(record);
    EXPECT_OK(lsn);
    return lsn ? *lsn : Lsn(0);
  }
  void append_and_sync(std::string_view record) { ASSERT_OK(now.journal->sync(append(record))); }
  std::vector<uint16_t> members() const {
    std::vector<uint16_t> slots;
    for (const DiskSlot slot : now.pool->epoch().members) slots.push_back(slot.value);
    return slots;
  }

  std::unique_ptr<SimWorld> world;
  TestWitness witness;
  OpenJournal now;
  uint64_t seed = 0;
};

using Slots = std::vector<uint16_t>;

TEST_F(JournalTest, RecordsComeBackInOrderAndUnsyncedOnesAreNotPromised) {
  make({2, 1}, 3);
  EXPECT_EQ(now.journal->head(), Lsn(0));
  EXPECT_EQ(append("one"), Lsn(1));
  EXPECT_EQ(append(""), Lsn(2));
  EXPECT_EQ(now.journal->durable(), Lsn(0));
  ASSERT_OK(now.journal->sync(Lsn(1)));
  EXPECT_EQ(now.journal->durable(), Lsn(2)) << "what was buffered goes along";
  EXPECT_EQ(append("three"), Lsn(3));
  EXPECT_GT(now.journal->unsynced_bytes(), 0u);
  world->restart(sim::CrashMode::kDropAll);
  open();
  EXPECT_EQ(now.replayed, (Records{{1, "one"}, {2, ""}}));
  EXPECT_EQ(append("another"), Lsn(3));
  ASSERT_OK(now.journal->sync(Lsn(999)));  // beyond the head means the head
  now.journal->trim(Lsn(2));
  append_and_sync("four");
  open(Lsn(2));
  EXPECT_EQ(now.replayed, (Records{{3, "another"}, {4, "four"}}));
  EXPECT_EQ(now.journal->head(), Lsn(4));
  EXPECT_EQ(now.journal->durable(), Lsn(4));
}

TEST_F(JournalTest, RecordsAboveTheTrimPointAreReplayedThoughTheIndexIsAhead) {
  // Deferred data stands in records whose metadata the index already has.
  make({2, 1}, 3);
  for (const char* record : {"one", "two", "three"}) append_and_sync(record);
  now.journal->trim(Lsn(1));
  append_and_sync("four");
  now.journal->trim(Lsn(3));  // no frame says so
  open(Lsn(4));
  EXPECT_EQ(now.replayed, (Records{{2, "two"}, {3, "three"}, {4, "four"}}));
  open(Lsn(0));
  EXPECT_EQ(now.replayed.begin()->first, 1u) << "an index that is behind gets all that it lacks";
}

TEST_F(JournalTest, EveryMemberGetsTheSameBytesAndOthersNone) {
  make({3, 2}, 5);
  for (int i = 0; i < 5; ++i) append_and_sync("record " + std::to_string(i));
  const auto first = frames_on(*world, 0, ring_format(*now.pool));
  EXPECT_EQ(first.size(), 5u);
  EXPECT_EQ(frames_on(*world, 1, ring_format(*now.pool)), first);
  EXPECT_EQ(frames_on(*world, 2, ring_format(*now.pool)), first);
  EXPECT_FALSE(world->contents(3, kJournalFile));
}

TEST_F(JournalTest, OneSyncCostsOneDurableWritePerMember) {
  make({3, 2}, 5);
  append_and_sync("warm");
  const uint64_t before = world->step_count();
  append("a");
  append("b");
  append_and_sync("c");
  EXPECT_EQ(world->step_count() - before, 3u);
  ASSERT_OK(now.journal->sync(Lsn(2)));
  EXPECT_EQ(world->step_count() - before, 3u) << "nothing to do";
}

TEST_F(JournalTest, RingWrapsForeverWhenTrimmed) {
  make({2, 1}, 3);
  Rng rng(3);
  std::string last;
  for (int i = 0; i < 500; ++i) {
    now.journal->trim(now.journal->durable());
    last = std::string(rng.below(now.journal->max_record_bytes() + 1), static_cast<char>('a' + i % 26));
    append_and_sync(last);
    if (i % 97 == 0) {
      open(Lsn(now.journal->durable().value - 1));
      ASSERT_EQ(now.replayed.size(), 1u);
      ASSERT_EQ(now.replayed.begin()->second, last) << i;
    }
  }
  EXPECT_EQ(now.journal->head(), Lsn(500));
}

TEST_F(JournalTest, FullRingRefusesUntilTrimmedAndLosesNothing) {
  make({2, 1}, 3);
  uint64_t count = 0;
  const std::string record(1000, 'r');
  while (now.journal->has_room(record.size())) {
    append_and_sync(record);
    ++count;
  }
  EXPECT_EQ(count, 15u) << "frames of one page in a ring of 16, one kept for making a trim count";
  EXPECT_CODE(now.journal->append(record), ErrorCode::kNoSpace);
  EXPECT_EQ(now.journal->head(), Lsn(count)) << "a refused record takes no LSN";
  now.journal->trim(Lsn(2));
  EXPECT_FALSE(now.journal->has_room(record.size())) << "no frame says so yet";
  EXPECT_TRUE(now.journal->has_room(0));
  append_and_sync("");
  EXPECT_EQ(now.journal->stats().live_bytes, kTestRingBytes - 2 * kPageBytes);
  EXPECT_TRUE(now.journal->has_room(record.size()));
  append_and_sync(record);
  EXPECT_FALSE(now.journal->has_room(record.size()));
  now.journal->trim(Lsn(0));  // never goes back
  open(Lsn(2));
  EXPECT_EQ(now.replayed.size(), count);
}

TEST_F(JournalTest, ManyUnsyncedRecordsBecomeSeveralFramesAndStayWithinTheRing) {
  make({2, 1}, 3);
  const std::string record(700, 'r');
  uint64_t count = 0;
  while (now.journal->has_room(record.size())) {
    append(record);
    ++count;
  }
  EXPECT_GT(count * 704, kTestRingBytes * 8 / 10) << "most of the ring is usable";
  EXPECT_CODE(now.journal->append(record), ErrorCode::kNoSpace);
  ASSERT_OK(now.journal->sync(Lsn(count)));
  EXPECT_GE(now.journal->stats().frames, 4u);
  EXPECT_EQ(now.journal->unsynced_bytes(), 0u);
  open();
  EXPECT_EQ(now.replayed.size(), count);
}

TEST_F(JournalTest, RoomIsExactWhateverTheSizesAndSyncs) {
  // A record for which has_room said yes must go in, and every frame must find its place at sync.
  for (uint64_t round = 1; round <= 40; ++round) {
    make({2, 1}, 3);
    Rng rng(round);
    uint64_t refused = 0;
    for (int i = 0; i < 300; ++i) {
      const uint64_t bytes =
          1 + (rng.one_in(5) ? rng.below(now.journal->max_record_bytes()) : rng.below(600));
      const bool room = now.journal->has_room(bytes);
      const auto lsn = now.journal->append(std::string(bytes, 'x'));
      ASSERT_EQ(lsn.has_value(), room) << "round " << round << " step " << i;
      if (!room) {
        ++refused;
        ASSERT_OK(now.journal->sync(now.journal->head()));
        now.journal->trim(now.journal->durable());
        append_and_sync("");
      } else if (rng.one_in(4)) {
        ASSERT_OK(now.journal->sync(*lsn));
      }
    }
    EXPECT_GT(refused, 0u);
    now.journal.reset();
  }
}

TEST_F(JournalTest, RecordSizesUpToTheLimitAndNoMore) {
  make({2, 1}, 3, 8 << 20);
  const uint64_t most = now.journal->max_record_bytes();
  EXPECT_EQ(most, 1u << 20);
  const std::string big(most, 'B');
  append("small");
  append(big);
  append_and_sync("small too");
  EXPECT_CODE(now.journal->append(big + "x"), ErrorCode::kInvalid);
  EXPECT_FALSE(now.journal->has_room(most + 1));
  open();
  EXPECT_EQ(now.replayed, (Records{{1, "small"}, {2, big}, {3, "small too"}}));
}

TEST_F(JournalTest, RecordLongerThanAFrameUsuallyIsGetsItsOwn) {
  make({2, 1}, 3, 64 << 20);
  std::string big(now.journal->max_record_bytes(), '\0');
  ASSERT_EQ(big.size(), 8u << 20);
  std::iota(big.begin(), big.end(), '\0');
  append("before");
  append(big);
  append_and_sync("after");
  EXPECT_EQ(now.journal->stats().frames, 3u);
  open();
  ASSERT_EQ(now.replayed.size(), 3u);
  EXPECT_TRUE(now.replayed[2] == big);
}

TEST_F(JournalTest, FailedMemberIsDroppedBeforeTheAcknowledgement) {
  make({3, 2}, 5);
  append_and_sync("one");
  const Epoch before = now.pool->epoch().epoch;
  world->fail_writes(1, true);
  append_and_sync("two");
  EXPECT_EQ(members(), (Slots{0, 2}));
  EXPECT_GT(now.pool->epoch().epoch, before);
  EXPECT_EQ(now.pool->epoch().start_lsn, Lsn(2));
  EXPECT_EQ(witness.value->epoch, now.pool->epoch().epoch);
  world->set_vanished(2, true);
  append_and_sync("three");
  EXPECT_EQ(members(), (Slots{0}));
  // The two that were dropped are back and know less; they do not count.
  world->fail_writes(1, false);
  world->set_vanished(2, false);
  world->restart(sim::CrashMode::kDropAll);
  open();
  EXPECT_EQ(now.replayed, (Records{{1, "one"}, {2, "two"}, {3, "three"}}));
  EXPECT_EQ(members(), (Slots{0}));
  // Only they are here: refused.
  now.journal.reset();
  now.pool.reset();
  EXPECT_CODE(open_journal(*world, witness, 1, Lsn(0), {0}), ErrorCode::kDegraded);
}

TEST_F(JournalTest, MemberFencedElsewhereIsDroppedAtTheNextSync) {
  make({2, 1}, 3);
  append_and_sync("one");
  now.pool->fence(DiskSlot(0), "an index copy on it failed");
  append_and_sync("two");
  EXPECT_EQ(members(), (Slots{1}));
}

TEST_F(JournalTest, FullDiskLosesItsMembershipOnly) {
  // A host filesystem that needs space to overwrite: the ring cannot be written, the data can be read.
  make({2, 1}, 3);
  append_and_sync("one");
  auto file = world->disk(0).open(kJournalFile, {});
  ASSERT_OK(file);
  ASSERT_OK((*file)->punch(0, kTestRingBytes));
  world->set_free_bytes(0, 0);
  append_and_sync("two");
  EXPECT_EQ(members(), (Slots{1}));
  EXPECT_TRUE(now.pool->usable(DiskSlot(0)));
  EXPECT_FALSE(now.pool->writable(DiskSlot(0)));
}

TEST_F(JournalTest, NoMemberLeftFencesForGoodAndWakesEverybody) {
  make({2, 1}, 3);
  append_and_sync("one");
  world->fail_writes(0, true);
  world->fail_writes(1, true);
  std::vector<std::thread> threads;
  std::atomic<int> fenced{0};
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&] {
      const auto lsn = now.journal->append("never");
      const Status status = lsn ? now.journal->sync(*lsn) : Status(lsn.error());
      if (!status && status.error().code() == ErrorCode::kFenced) ++fenced;
    });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(fenced, 4);
  world->fail_writes(0, false);
  world->fail_writes(1, false);
  EXPECT_CODE(now.journal->sync(Lsn(1)), ErrorCode::kFenced);
  EXPECT_CODE(now.journal->append("x"), ErrorCode::kFenced);
  EXPECT_CODE(now.journal->drop_member(DiskSlot(0)), ErrorCode::kFenced);
  EXPECT_CODE(now.journal->add_member(DiskSlot(2)), ErrorCode::kFenced);
  EXPECT_CODE(now.journal->mark_clean(), ErrorCode::kFenced);
}

TEST_F(JournalTest, EpochThatCannotMoveFences) {
  make({2, 1}, 3);
  append_and_sync("one");
  witness.fail = true;
  world->fail_writes(0, true);
  EXPECT_CODE(now.journal->sync(append("two")), ErrorCode::kFenced);
  EXPECT_EQ(now.journal->durable(), Lsn(1));
  witness.fail = false;
  EXPECT_CODE(now.journal->sync(Lsn(2)), ErrorCode::kFenced);
}

TEST_F(JournalTest, MemberThatFailsDuringThePublicationIsDroppedToo) {
  // One member fails its frame, the next one its superblock: the third is enough.
  make({3, 2}, 5);
  append_and_sync("one");
  world->fail_next_write(0);
  append("two");
  // The frame goes to three members; superblocks come after it.
  world->vanish_at(1, world->step_count() + 4);
  ASSERT_OK(now.journal->sync(Lsn(2)));
  EXPECT_EQ(members(), (Slots{2}));
  world->set_vanished(1, false);
  world->restart(sim::CrashMode::kDropAll);
  open();
  EXPECT_EQ(now.replayed.size(), 2u);
}

TEST_F(JournalTest, DroppingMembersOnRequest) {
  make({3, 2}, 5);
  append_and_sync("one");
  append("two");
  ASSERT_OK(now.journal->drop_member(DiskSlot(4)));  // not a member
  ASSERT_OK(now.journal->drop_member(DiskSlot(0)));
  ASSERT_OK(now.journal->drop_member(DiskSlot(0)));
  EXPECT_EQ(members(), (Slots{1, 2}));
  ASSERT_OK(now.journal->sync(Lsn(2)));
  EXPECT_EQ(frames_on(*world, 0, ring_format(*now.pool)).size(), 1u);
  EXPECT_EQ(frames_on(*world, 1, ring_format(*now.pool)).size(), 2u);
  ASSERT_OK(now.journal->drop_member(DiskSlot(1)));
  EXPECT_CODE(now.journal->drop_member(DiskSlot(2)), ErrorCode::kFenced);
}

TEST_F(JournalTest, NewMemberHasEverythingThatIsLive) {
  make({2, 2}, 4);
  for (int i = 0; i < 30; ++i) {
    append_and_sync("record " + std::to_string(i));
    if (i >= 6) now.journal->trim(Lsn(now.journal->durable().value - 5));
  }
  append("not synced yet");
  ASSERT_OK(now.journal->drop_member(DiskSlot(0)));
  ASSERT_OK(now.journal->add_member(DiskSlot(3)));
  ASSERT_OK(now.journal->add_member(DiskSlot(3)));
  EXPECT_EQ(members(), (Slots{1, 2, 3}));
  append_and_sync("after");
  const auto frames = frames_on(*world, 3, ring_format(*now.pool));
  EXPECT_EQ(frames.size(), 7u) << "those above what the newest frame calls trimmed, and what came after";
  // It alone is enough now.
  open(Lsn(25), {1, 2});
  ASSERT_FALSE(now.replayed.empty());
  EXPECT_EQ(now.replayed.begin()->first, 26u);
  EXPECT_EQ(now.replayed[32], "after");
}

TEST_F(JournalTest, MemberOfAnEmptyOrTrimmedJournalCanBeAdded) {
  make({2, 1}, 4);
  ASSERT_OK(now.journal->add_member(DiskSlot(2)));
  append_and_sync("one");
  now.journal->trim(Lsn(1));
  ASSERT_OK(now.journal->add_member(DiskSlot(3)));
  EXPECT_EQ(members(), (Slots{0, 1, 2, 3}));
  open(Lsn(1));
  EXPECT_EQ(append("two"), Lsn(2));
}

TEST_F(JournalTest, FormerMemberCanComeBackWithoutItsOldFrames) {
  make({2, 1}, 3);
  append_and_sync("one");
  ASSERT_OK(now.journal->drop_member(DiskSlot(0)));
  append_and_sync("two");
  ASSERT_OK(now.journal->add_member(DiskSlot(0)));
  append_and_sync("three");
  ASSERT_OK(now.journal->drop_member(DiskSlot(1)));
  append_and_sync("four");
  open();
  EXPECT_EQ(now.replayed, (Records{{1, "one"}, {2, "two"}, {3, "three"}, {4, "four"}}));
}

TEST_F(JournalTest, NewMemberThatFailsLeavesTheOthersWorking) {
  make({2, 1}, 4);
  append_and_sync("one");
  for (uint64_t step = 1; step <= 12; ++step) {
    const auto copy = world->fork(step, sim::CrashMode::kKeepAll);
    TestWitness same;
    same.value = witness.value;
    auto opened = open_journal(*copy, same, step);
    ASSERT_OK(opened);
    copy->vanish_at(3, copy->step_count() + step);
    const Status added = opened->journal->add_member(DiskSlot(3));
    const auto lsn = opened->journal->append("two");
    ASSERT_OK(lsn);
    EXPECT_OK(opened->journal->sync(*lsn));
    const auto is = opened->pool->epoch().members;
    EXPECT_EQ(is, (std::vector<DiskSlot>{DiskSlot(0), DiskSlot(1)})) << "step " << step;
  }
  EXPECT_CODE(now.journal->add_member(DiskSlot(9)), ErrorCode::kIo);
}

TEST_F(JournalTest, CleanMarkIsTheLastThing) {
  make({2, 1}, 3);
  append("one");
  ASSERT_OK(now.journal->mark_clean());
  EXPECT_EQ(now.journal->durable(), Lsn(1));
  EXPECT_TRUE(now.pool->epoch().clean);
  EXPECT_CODE(now.journal->append("late"), ErrorCode::kInvalid);
  now.journal.reset();
  now.pool.reset();
  const auto pool = open_test_pool(*world, witness, 77);
  ASSERT_OK(pool);
  EXPECT_TRUE((*pool)->epoch().clean);
  open();
  EXPECT_FALSE(now.pool->epoch().clean) << "open for writing again";
  EXPECT_EQ(now.replayed.size(), 1u);
}

TEST_F(JournalTest, LookingOnlyWritesNothing) {
  make({2, 1}, 3);
  append_and_sync("one");
  const uint64_t steps = world->step_count();
  auto looking = open_journal(*world, witness, 3, Lsn(0), {}, {.read_only = true});
  ASSERT_OK(looking);
  EXPECT_EQ(looking->replayed.size(), 1u);
  EXPECT_CODE(looking->journal->append("x"), ErrorCode::kInvalid);
  EXPECT_CODE(looking->journal->mark_clean(), ErrorCode::kFenced);
  EXPECT_EQ(world->step_count(), steps);
}

/// Calls `hook` after the n-th sync of the ring on one disk.
class HookEngine final : public IoEngine {
 public:
  HookEngine(IoEngine& engine, std::string disk, int after_syncs, std::function<void()> hook)
      : engine_(engine), disk_(std::move(disk)), left_(after_syncs), hook_(std::move(hook)) {}
  void run(std::span<IoRequest> batch) override {
    engine_.run(batch);
    const IoRequest& r = batch[0];
    if (r.kind == IoKind::kSync && r.file->name() == kJournalFile && r.file->disk().describe() == disk_ &&
        --left_ == 0)
      hook_();
  }

 private:
  IoEngine& engine_;
  const std::string disk_;
  int left_;
  const std::function<void()> hook_;
};

TEST_F(JournalTest, NewMemberHasWhatWasWrittenWhileItWasBeingCopied) {
  make({2, 1}, 4);
  now = {};
  Journal* journal = nullptr;
  // The first sync belongs to the making of the ring, the second follows the bulk of the copy.
  HookEngine engine(world->engine(), "sim:3", 2, [&] {
    const auto lsn = journal->append("meanwhile");
    ASSERT_OK(lsn);
    ASSERT_OK(journal->sync(*lsn));
  });
  std::vector<Pool::Attached> disks;
  for (int i = 0; i < 4; ++i) disks.push_back({std::make_unique<BorrowedDisk>(world->disk(i)), path_of(i)});
  Rng rng(1);
  auto pool = Pool::open(std::move(disks), engine, witness, rng, {});
  ASSERT_OK(pool);
  Records none;
  auto opened = Journal::open(**pool, Lsn(0), collect(none));
  ASSERT_OK(opened);
  journal = opened->get();
  ASSERT_OK(journal->append("before"));
  ASSERT_OK(journal->sync(Lsn(1)));
  ASSERT_OK(journal->drop_member(DiskSlot(0)));
  ASSERT_OK(journal->add_member(DiskSlot(3)));
  EXPECT_EQ(journal->durable(), Lsn(2));
  EXPECT_EQ(frames_on(*world, 3, ring_format(**pool)), frames_on(*world, 1, ring_format(**pool)));
  EXPECT_EQ(frames_on(*world, 3, ring_format(**pool)).size(), 2u);
}

/// Lets writes take their time, so that callers meet.
class SlowEngine final : public IoEngine {
 public:
  explicit SlowEngine(IoEngine& engine) : engine_(engine) {}
  void run(std::span<IoRequest> batch) override {
    if (batch[0].kind == IoKind::kWrite) std::this_thread::sleep_for(std::chrono::microseconds(300));
    engine_.run(batch);
  }

 private:
  IoEngine& engine_;
};

TEST_F(JournalTest, WaitingCallersShareFrames) {
  make({2, 1}, 4, 8 << 20);
  now.journal.reset();
  now.pool.reset();
  SlowEngine slow(world->engine());
  std::vector<Pool::Attached> disks;
  for (int i = 0; i < 4; ++i) disks.push_back({std::make_unique<BorrowedDisk>(world->disk(i)), path_of(i)});
  Rng rng(1);
  auto pool = Pool::open(std::move(disks), slow, witness, rng, {});
  ASSERT_OK(pool);
  Records none;
  auto journal = Journal::open(**pool, Lsn(0), collect(none));
  ASSERT_OK(journal);
  constexpr int kThreads = 16;
  constexpr int kEach = 50;
  std::vector<std::thread> threads;
  std::mutex mutex;
  Records acknowledged;
  for (int t = 0; t < kThreads; ++t)
    threads.emplace_back([&, t] {
      for (int i = 0; i < kEach; ++i) {
        const std::string record = std::to_string(t * 1000 + i);
        const auto lsn = (*journal)->append(record);
        ASSERT_OK(lsn);
        ASSERT_OK((*journal)->sync(*lsn));
        EXPECT_GE((*journal)->durable(), *lsn);
        std::lock_guard lock(mutex);
        acknowledged[lsn->value] = record;
      }
    });
  // Members come and go meanwhile.
  for (int i = 0; i < 5; ++i) {
    EXPECT_OK((*journal)->add_member(DiskSlot(3)));
    EXPECT_OK((*journal)->drop_member(DiskSlot(static_cast<uint16_t>(i % 2 == 0 ? 0 : 3))));
    if (i % 2 == 0) {
      EXPECT_OK((*journal)->add_member(DiskSlot(0)));
    }
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(acknowledged.size(), static_cast<size_t>(kThreads * kEach));
  EXPECT_LT((*journal)->stats().frames, static_cast<uint64_t>(kThreads * kEach / 2));
  EXPECT_EQ((*journal)->stats().records, static_cast<uint64_t>(kThreads * kEach));
  journal->reset();
  pool->reset();
  world->restart(sim::CrashMode::kDropAll);
  open();
  EXPECT_EQ(now.replayed, acknowledged);
}

}  // namespace
}  // namespace stavefs
