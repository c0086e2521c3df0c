// Recovery's invariants, each broken on purpose: what was acknowledged is there or the mount is refused by
// name; what was not may go; old disks never outvote; members are repaired before anything is served. Method:
// rings damaged by hand after known writes.

#include <gtest/gtest.h>

#include "tests/unit/journal/sim_journal.h"

namespace stavefs {
namespace {

using sim::SimWorld;

class Recovery : public ::testing::Test {
 protected:
  Recovery() { silence_log(); }
  /// A pool whose journal has ten records in ten frames.
  void make(Geometry geometry, int disks) {
    world = std::make_unique<SimWorld>(5, disks, uint64_t{256} << 20);
    format_journal_pool(*world, geometry);
    auto opened = open_journal(*world, witness, 1);
    ASSERT_OK(opened);
    format = ring_format(*opened->pool);
    for (int i = 1; i <= 10; ++i) {
      const auto lsn = opened->journal->append(text(i));
      ASSERT_OK(lsn);
      ASSERT_OK(opened->journal->sync(*lsn));
    }
    for (const FrameHeader& frame : frames_on(*world, 0, format))
      offset_of[frame.first_lsn.value] = frame.ring_offset;
    ASSERT_EQ(offset_of.size(), 10u);
  }
  static std::string text(int i) { return "record number " + std::to_string(i); }
  void flip(int disk, uint64_t lsn) {
    ASSERT_OK(world->flip_bit(disk, kJournalFile, offset_of[lsn] + kFrameHeaderBytes + 6, 3));
  }
  Result<OpenJournal> open(Lsn after = Lsn(0), const std::set<int>& without = {}) {
    return open_journal(*world, witness, ++seed, after, without);
  }
  static Records records(int first, int last) {
    Records records;
    for (int i = first; i <= last; ++i) records[static_cast<uint64_t>(i)] = text(i);
    return records;
  }

  std::unique_ptr<SimWorld> world;
  TestWitness witness;
  RingFormat format;
  std::map<uint64_t, uint64_t> offset_of;
  uint64_t seed = 100;
};

TEST_F(Recovery, DamageOnOneMemberIsRepairedFromAnother) {
  make({2, 1}, 3);
  flip(0, 4);
  flip(1, 7);
  flip(0, 10);
  {
    const auto opened = open();
    ASSERT_OK(opened);
    EXPECT_EQ(opened->replayed, records(1, 10));
  }
  // All members have everything again.
  EXPECT_EQ(frames_on(*world, 0, format).size(), 10u);
  EXPECT_EQ(frames_on(*world, 0, format), frames_on(*world, 1, format));
  const auto alone = open(Lsn(0), {1});
  ASSERT_OK(alone);
  EXPECT_EQ(alone->replayed, records(1, 10));
}

TEST_F(Recovery, DamageInTheMiddleOnAllMembersIsRefusedAndNothingIsWritten) {
  make({2, 1}, 3);
  flip(0, 4);
  flip(1, 4);
  const uint64_t steps = world->step_count();
  const auto refused = open();
  EXPECT_CODE(refused, ErrorCode::kCorrupt);
  EXPECT_NE(refused.error().message().find("records 4 to 4"), std::string::npos) << refused.error().message();
  EXPECT_EQ(world->step_count(), steps);
  EXPECT_CODE(open(Lsn(4)), ErrorCode::kCorrupt);  // it may hold data that is in no index
}

TEST_F(Recovery, TornTailIsAcceptedAndGoneForGood) {
  make({2, 1}, 3);
  flip(0, 10);
  flip(1, 10);
  {
    const auto opened = open();
    ASSERT_OK(opened);
    EXPECT_EQ(opened->replayed, records(1, 9));
    EXPECT_EQ(*opened->journal->append("instead"), Lsn(10));
    ASSERT_OK(opened->journal->sync(Lsn(10)));
  }
  const auto again = open();
  ASSERT_OK(again);
  EXPECT_EQ(again->replayed.at(10), "instead");
}

TEST_F(Recovery, TailOnOneMemberOnlyIsGivenToAllBeforeItIsReplayed) {
  make({2, 1}, 3);
  flip(1, 10);
  {
    auto pool = open_test_pool(*world, witness, 7);
    ASSERT_OK(pool);
    const Epoch before = (*pool)->epoch().epoch;
    size_t on_second = 0;
    const auto journal = Journal::open(**pool, Lsn(0), [&](Lsn, std::string_view) {
      on_second = frames_on(*world, 1, format).size();
      EXPECT_GT((*pool)->epoch().epoch, before);
      return ok();
    });
    ASSERT_OK(journal);
    EXPECT_EQ(on_second, 10u);
  }
  const auto alone = open(Lsn(0), {0});
  ASSERT_OK(alone);
  EXPECT_EQ(alone->replayed, records(1, 10));
}

TEST_F(Recovery, TailThatWasGivenUpNeverComesBack) {
  // Member 0 has a tenth record that was never acknowledged; the pool goes on without member 0, writes
  // another tenth record; member 0 returns.
  make({2, 1}, 3);
  const DiskImage first = take_image(*world, 0, {kJournalFile});
  flip(1, 10);
  {
    const auto opened = open(Lsn(0), {0});
    ASSERT_OK(opened);
    EXPECT_EQ(opened->replayed, records(1, 9));
    ASSERT_OK(opened->journal->append("the other tenth"));
    ASSERT_OK(opened->journal->sync(Lsn(10)));
  }
  put_image(*world, 0, first);
  for (int round = 0; round < 2; ++round) {
    const auto opened = open();
    ASSERT_OK(opened);
    EXPECT_EQ(opened->replayed.at(10), "the other tenth");
    EXPECT_EQ(opened->pool->epoch().members, std::vector<DiskSlot>{DiskSlot(1)});
  }
}

TEST_F(Recovery, OldImageOfAMemberNeverOutvotes) {
  make({2, 1}, 3);
  const DiskImage old = take_image(*world, 0, {kJournalFile, kSuperblockFile});
  {
    const auto opened = open();
    ASSERT_OK(opened);
    ASSERT_OK(opened->journal->append("eleven"));
    ASSERT_OK(opened->journal->sync(Lsn(11)));
  }
  put_image(*world, 0, old);
  {
    const auto opened = open();
    ASSERT_OK(opened);
    EXPECT_EQ(opened->replayed.at(11), "eleven");
    EXPECT_EQ(opened->pool->epoch().members, std::vector<DiskSlot>{DiskSlot(1)});
  }
  EXPECT_CODE(open(Lsn(0), {1}), ErrorCode::kDegraded);
}

TEST_F(Recovery, MissingAndBlankRingsCostTheirMembershipOnly) {
  make({3, 2}, 5);
  ASSERT_OK(world->disk(0).remove(kJournalFile));
  ASSERT_OK(Journal::format(world->disk(1), world->engine(), kTestRingBytes));
  {
    const auto opened = open();
    ASSERT_OK(opened);
    EXPECT_EQ(opened->replayed, records(1, 10));
    EXPECT_EQ(opened->pool->epoch().members, (std::vector<DiskSlot>{DiskSlot(1), DiskSlot(2)}))
        << "the blank one is repaired, the missing one dropped";
  }
  EXPECT_EQ(frames_on(*world, 1, format).size(), 10u);
}

TEST_F(Recovery, NoRingAtAllIsAnError) {
  make({2, 1}, 3);
  for (int disk : {0, 1}) ASSERT_OK(world->disk(disk).remove(kJournalFile));
  EXPECT_CODE(open(), ErrorCode::kIo);
}

TEST_F(Recovery, UnreadableTailIsNoTornTail) {
  // Both disks fail to read behind the last frame that can be read: there may be more, so refuse; when one
  // disk can tell that there is nothing, go on.
  make({2, 1}, 3);
  class BadSectors final : public IoEngine {
   public:
    BadSectors(IoEngine& engine, std::set<std::string> disks, uint64_t from)
        : engine_(engine), disks_(std::move(disks)), from_(from) {}
    void run(std::span<IoRequest> batch) override {
      engine_.run(batch);
      for (IoRequest& r : batch)
        if (r.kind == IoKind::kRead && r.file->name() == kJournalFile &&
            disks_.contains(r.file->disk().describe()) && r.offset + r.bytes > from_)
          r.error = EIO;
    }

   private:
    IoEngine& engine_;
    const std::set<std::string> disks_;
    const uint64_t from_;
  };
  const auto open_with = [&](const std::set<std::string>& bad) -> Result<Records> {
    const auto copy = world->fork(1, sim::CrashMode::kKeepAll);
    BadSectors engine(copy->engine(), bad, offset_of[10]);
    std::vector<Pool::Attached> disks;
    for (int i = 0; i < 3; ++i) disks.push_back({std::make_unique<BorrowedDisk>(copy->disk(i)), path_of(i)});
    Rng rng(1);
    TestWitness same;
    same.value = witness.value;
    ASSIGN_OR_RETURN(const auto pool, Pool::open(std::move(disks), engine, same, rng, {}));
    Records replayed;
    TRY(Journal::open(*pool, Lsn(0), collect(replayed)));
    return replayed;
  };
  EXPECT_CODE(open_with({"sim:0", "sim:1"}), ErrorCode::kIo);
  const auto one = open_with({"sim:1"});
  ASSERT_OK(one);
  EXPECT_EQ(*one, records(1, 10));
}

TEST_F(Recovery, FailedReplayIsReportedAndCanBeRepeated) {
  make({2, 1}, 3);
  {
    auto pool = open_test_pool(*world, witness, 7);
    ASSERT_OK(pool);
    const auto failed = Journal::open(**pool, Lsn(0), [&](Lsn lsn, std::string_view) -> Status {
      if (lsn == Lsn(5)) return Error(ErrorCode::kNoMemory, ENOMEM, "index");
      return ok();
    });
    EXPECT_CODE(failed, ErrorCode::kNoMemory);
  }
  const auto opened = open();
  ASSERT_OK(opened);
  EXPECT_EQ(opened->replayed, records(1, 10));
}

TEST_F(Recovery, IndexOlderThanTheTrimPointIsRefused) {
  make({2, 1}, 3);
  {
    const auto opened = open();
    ASSERT_OK(opened);
    opened->journal->trim(Lsn(10));
    for (int i = 0; i < 40; ++i) {
      const auto lsn = opened->journal->append("filler");
      ASSERT_OK(lsn);
      ASSERT_OK(opened->journal->sync(*lsn));
      opened->journal->trim(*lsn);
    }
  }
  const auto refused = open(Lsn(5));
  EXPECT_CODE(refused, ErrorCode::kCorrupt);
  EXPECT_NE(refused.error().message().find("older"), std::string::npos) << refused.error().message();
  EXPECT_OK(open(Lsn(50)));
}

TEST_F(Recovery, IndexAheadOfADamagedTailKeepsItsOrder) {
  make({2, 1}, 3);
  flip(0, 10);
  flip(1, 10);
  {
    const auto opened = open(Lsn(10));
    ASSERT_OK(opened);
    EXPECT_EQ(opened->replayed, records(1, 9));
    EXPECT_EQ(*opened->journal->append("eleven"), Lsn(11));
    ASSERT_OK(opened->journal->sync(Lsn(11)));
  }
  const auto again = open(Lsn(10));
  ASSERT_OK(again);
  Records expected = records(1, 9);
  expected[11] = "eleven";
  EXPECT_EQ(again->replayed, expected);
  EXPECT_CODE(open(Lsn(9)), ErrorCode::kCorrupt);
}

TEST_F(Recovery, RecordThatImitatesAFrameIsNotTakenForOne) {
  // A record holds a page that is a copy of a real frame with a higher LSN, placed where the scan would meet
  // it once the frame around it is partly overwritten.  The imitation lacks nothing but the pool's key.
  make({2, 1}, 3);
  const auto opened = open(Lsn(10));
  ASSERT_OK(opened);
  RingFormat guess = format;
  guess.key = 0;
  std::string record(8192 - 200, '\0');
  std::vector<uint8_t> imitation(kPageBytes);
  FrameHeader header;
  header.epoch = opened->pool->epoch().epoch;
  header.ticket = opened->pool->epoch().ticket;
  header.first_lsn = Lsn(500);
  header.last_lsn = Lsn(500);
  header.durable_lsn = Lsn(499);
  header.payload_bytes = 10;
  const Le32 length = 6;
  std::memcpy(imitation.data() + kFrameHeaderBytes, &length, sizeof length);
  header.ring_offset = 11 * kPageBytes;  // the second page of the frame at 10 * 4096
  seal_frame(guess, header, imitation);
  std::memcpy(record.data() + kPageBytes - kFrameHeaderBytes - kRecordOverheadBytes, imitation.data(), 3900);
  ASSERT_OK(opened->journal->append(record));
  ASSERT_OK(opened->journal->sync(Lsn(11)));
  // Destroy the frame's own header, as an overwrite would.
  for (int disk : {0, 1}) ASSERT_OK(world->flip_bit(disk, kJournalFile, 10 * kPageBytes + 1, 1));
  const auto again = open(Lsn(10));
  ASSERT_OK(again);
  EXPECT_EQ(again->replayed, records(1, 10));
}

TEST_F(Recovery, NewestFrameLostOnAllMembersAfterACleanStartIsRefused) {
  // The epoch began after record 10 and nothing was written in it: that frame was durable everywhere.
  make({2, 1}, 3);
  ASSERT_OK(open());
  flip(0, 10);
  flip(1, 10);
  EXPECT_CODE(open(), ErrorCode::kCorrupt);
  EXPECT_CODE(open(Lsn(10)), ErrorCode::kCorrupt);
}

TEST_F(Recovery, RingsFullOfDamagedFramesAreRefusedInBoundedTime) {
  // Headers with right checksums that each promise the longest frame.
  world = std::make_unique<SimWorld>(5, 3, uint64_t{256} << 20);
  constexpr uint64_t kRing = uint64_t{16} << 20;
  format_journal_pool(*world, {2, 1}, kRing);
  auto pool = open_test_pool(*world, witness, 7);
  ASSERT_OK(pool);
  const RingFormat ring = ring_format(**pool);
  std::vector<uint8_t> frame(ring.max_frame_bytes());
  for (int disk : {0, 1}) {
    auto file = world->disk(disk).open(kJournalFile, {});
    ASSERT_OK(file);
    for (uint64_t offset = 0; offset + frame.size() <= kRing; offset += kPageBytes) {
      FrameHeader header;
      header.ring_offset = offset;
      header.first_lsn = header.last_lsn = Lsn(1);
      header.payload_bytes = static_cast<uint32_t>(ring.max_frame_bytes() - kFrameHeaderBytes);
      if (offset == 0) seal_frame(ring, header, frame);
      // Only the header changes: sealing each frame whole would take as long as we must not.
      journal_format::FrameFields f;
      std::memcpy(&f, frame.data(), sizeof f);
      f.ring_offset = offset;
      f.hash[0] = f.hash[1] = f.header_check = 0;
      f.header_check = xxh3_64(&f, sizeof f, ring.key);
      std::memcpy(frame.data(), &f, sizeof f);
      ASSERT_OK(run_one(world->engine(), {.file = file->get(),
                                          .kind = IoKind::kWrite,
                                          .offset = offset,
                                          .data = frame.data(),
                                          .bytes = kPageBytes,
                                          .durable = true}));
    }
  }
  Records none;
  EXPECT_CODE(Journal::open(**pool, Lsn(0), collect(none)), ErrorCode::kIo);
}

}  // namespace
}  // namespace stavefs
