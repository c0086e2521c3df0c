#include "fs/file_data.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <thread>

#include "data_bed.h"

namespace stavefs {
namespace {

std::string random_bytes(Rng& rng, size_t n) {
  std::string bytes(n, '\0');
  for (size_t i = 0; i < n; ++i) bytes[i] = static_cast<char>(rng.next());
  return bytes;
}

/// What a file must hold: every state since the last one that is known to be durable.
struct FileModel {
  std::vector<std::string> states{std::string()};  ///< the newest last

  std::string& now() { return states.back(); }
  void change(const std::function<void(std::string&)>& apply) {
    states.push_back(states.back());
    apply(states.back());
  }
  void write(uint64_t offset, const std::string& bytes) {
    change([&](std::string& s) {
      if (s.size() < offset + bytes.size()) s.resize(offset + bytes.size());
      s.replace(offset, bytes.size(), bytes);
    });
  }
  void truncate(uint64_t size) {
    change([&](std::string& s) { s.resize(size); });
  }
  void durable() { states.erase(states.begin(), states.end() - 1); }
};

/// A short description of how two contents differ.
std::string difference(const std::string& got, const std::string& want) {
  if (got == want) return "";
  std::string text = "sizes " + std::to_string(got.size()) + " and " + std::to_string(want.size());
  for (size_t i = 0; i < std::min(got.size(), want.size()); ++i) {
    if (got[i] != want[i]) return text + ", first difference at " + std::to_string(i);
  }
  return text;
}

/// Random operations on a few files, beside their models.
class Workload {
 public:
  static constexpr uint64_t kFirst = 100;
  static constexpr int kFiles = 4;

  Workload(DataBed& bed, uint64_t seed) : bed_(bed), rng_(seed) {}

  void make_files() {
    for (int i = 0; i < kFiles; ++i) bed_.make_file(kFirst + i);
  }
  std::vector<uint64_t> numbers() const {
    std::vector<uint64_t> all;
    for (int i = 0; i < kFiles; ++i) all.push_back(kFirst + i);
    return all;
  }
  FileModel& model(int i) { return models_[i]; }

  uint64_t some_size() {
    switch (rng_.below(4)) {
      case 0: return rng_.below(200);
      case 1: return rng_.below(2 * kInlineBytes);
      case 2: return rng_.below(40'000);
      default: return rng_.below(700'000);
    }
  }

  /// One operation; an error (of a dead machine) is returned, and the model has the operation then.
  Status step() {
    const int i = static_cast<int>(rng_.below(kFiles));
    const InodeRef inode = bed_.file(kFirst + i);
    FileModel& m = models_[i];
    switch (rng_.below(20)) {
      case 0:
      case 1: {
        const uint64_t size = rng_.one_in(5)   ? 0
                              : rng_.one_in(2) ? rng_.below(m.now().size() + 1)
                                               : some_size();
        m.truncate(size);
        return bed_.truncate(inode, size);
      }
      case 2:
      case 3:
      case 4:
        TRY(bed_.data().fsync(inode, rng_.one_in(2)));
        m.durable();
        return ok();
      case 5: return bed_.data().flush(inode);
      case 6: {
        if (!rng_.one_in(4)) return ok();
        TRY(bed_.data().flush_all());
        for (FileModel& each : models_) each.durable();
        return ok();
      }
      case 7: {
        auto text = bed_.content(inode, rng_.one_in(2));
        if (!text) return std::move(text.error());
        EXPECT_EQ(difference(*text, m.now()), "");
        return ok();
      }
      case 8: return bed_.ledger().maintain();
      default: {
        const bool append = rng_.one_in(3);
        const uint64_t at = append ? m.now().size() : rng_.below(m.now().size() + 5000);
        const std::string bytes =
            random_bytes(rng_, 1 + (rng_.one_in(3) ? some_size() / 2 : rng_.below(5000)));
        m.write(at, bytes);
        return bed_.write(inode, at, bytes);
      }
    }
  }

  void check_all() {
    for (int i = 0; i < kFiles; ++i) {
      const auto text = bed_.content(bed_.file(kFirst + i), rng_.one_in(2));
      ASSERT_TRUE(text) << text.error().to_text();
      ASSERT_EQ(difference(*text, models_[i].now()), "") << "file " << i;
    }
  }

  /// After a crash every file is in one of its model's states, which becomes the only one.
  void check_prefix() {
    for (int i = 0; i < kFiles; ++i) {
      const auto text = bed_.content(bed_.file(kFirst + i));
      ASSERT_TRUE(text) << text.error().to_text();
      auto& states = models_[i].states;
      const auto found = std::find(states.rbegin(), states.rend(), *text);
      ASSERT_NE(found, states.rend())
          << "file " << i << " is in none of its " << states.size()
          << " states; against the durable one: " << difference(*text, states.front());
      states = {*text};
    }
  }

 private:
  DataBed& bed_;
  Rng rng_;
  FileModel models_[kFiles];
};

/// Over the fake store, which checks its caller, and over the real one.
class FileDataOverStore : public testing::TestWithParam<DataBed::Backing> {};
INSTANTIATE_TEST_SUITE_P(Stores, FileDataOverStore,
                         testing::Values(DataBed::Backing::kFake, DataBed::Backing::kReal),
                         [](const auto& info) {
                           return info.param == DataBed::Backing::kFake ? "Fake" : "Real";
                         });

/// Goal: what is read is what was written, through flushes, deferrals, cuts and remounts; counts of live
/// bytes, usage and reservations stay exact.  Method: random operations against strings.
TEST_P(FileDataOverStore, RandomOperationsMatchByteModel) {
  for (uint64_t seed = 1; seed <= 16; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    DataBed bed(seed, DataBed::quiet(), GetParam());
    bed.format();
    bed.open();
    Workload work(bed, seed);
    work.make_files();
    for (int round = 0; round < 3; ++round) {
      for (int i = 0; i < 60; ++i) {
        const Status done = work.step();
        ASSERT_TRUE(done) << done.error().to_text();
        if (i % 20 == 0) bed.upkeep();
        if (HasFailure()) return;
      }
      work.check_all();
      const Status flushed = bed.data().flush_all();
      ASSERT_TRUE(flushed) << flushed.error().to_text();
      EXPECT_EQ(bed.store().reserved(), 0U);
      EXPECT_EQ(bed.data().dirty_bytes(), 0U);
      bed.check_counts(work.numbers());
      bed.upkeep();
      work.check_all();
      bed.close();
      bed.open();
      work.check_all();
      bed.check_counts(work.numbers());
      if (HasFailure()) return;
    }
  }
}

/// Goal: after a power cut a file is as after a prefix of its operations, not older than its last fsync.
/// Method: the same operations, cut at a random disk write; the unflushed writes are resolved in every way.
TEST_P(FileDataOverStore, PowerCutLeavesAPrefixOfEachFilesOperations) {
  constexpr sim::CrashMode kModes[] = {sim::CrashMode::kDropAll, sim::CrashMode::kRandom,
                                       sim::CrashMode::kKeepAll, sim::CrashMode::kPrefix,
                                       sim::CrashMode::kSingle};
  for (uint64_t seed = 1; seed <= 40; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Rng rng(seed);
    DataBed bed(seed, DataBed::quiet(), GetParam());
    bed.format();
    bed.open();
    Workload work(bed, seed);
    work.make_files();
    for (int crash = 0; crash < 4; ++crash) {
      bed.world().crash_at(bed.world().step_count() + 1 + rng.below(150));
      for (int i = 0; i < 60; ++i) {
        if (!work.step()) break;
        if (HasFailure()) return;
      }
      const sim::CrashMode mode = kModes[rng.below(5)];
      SCOPED_TRACE("crash " + std::to_string(crash) + " mode " + std::to_string(static_cast<int>(mode)));
      bed.crash(mode);
      bed.open();
      if (HasFailure()) return;
      work.check_prefix();
      if (HasFailure()) return;
      bed.check_counts(work.numbers());
      const Status flushed = bed.data().flush_all();
      ASSERT_TRUE(flushed) << flushed.error().to_text();
      bed.check_counts(work.numbers());
      work.check_all();
      if (HasFailure()) return;
    }
  }
}

class FileDataTest : public testing::Test {
 protected:
  void SetUp() override {
    bed_.format();
    bed_.open();
    file_ = bed_.make_file(50);
  }
  std::string read() {
    auto text = bed_.content(file_);
    EXPECT_TRUE(text) << text.error().to_text();
    return text ? *text : std::string();
  }
  void reopen_after_crash() {
    file_.reset();
    bed_.crash(sim::CrashMode::kDropAll);
    bed_.open();
    file_ = bed_.file(50);
  }

  DataBed bed_{3};
  InodeRef file_;
  Rng rng_{3};
};

/// Goal: a small fsync costs no stripe, and the data survives nevertheless; so does a later one whose stripes
/// replace it.
TEST_F(FileDataTest, SmallFsyncGoesToTheJournalAndSurvives) {
  const std::string text = random_bytes(rng_, 60'000);
  ASSERT_TRUE(bed_.write(file_, 0, text));
  ASSERT_TRUE(bed_.data().fsync(file_, false));
  EXPECT_EQ(bed_.store().write_calls, 0U);
  ASSERT_TRUE(bed_.write(file_, 10, "not synced"));
  reopen_after_crash();
  EXPECT_EQ(difference(read(), text), "");
  EXPECT_EQ(bed_.data().dirty_bytes(), 60'000U);
  ASSERT_TRUE(bed_.data().flush_all());
  EXPECT_EQ(bed_.store().write_calls, 1U);
  reopen_after_crash();
  EXPECT_EQ(difference(read(), text), "");
  EXPECT_EQ(bed_.data().dirty_bytes(), 0U) << "deferred data came back although extents hold it";
}

/// Goal: deferred data that was overwritten in memory before the flush does not come back over the newer
/// bytes.
TEST_F(FileDataTest, FlushDiscardsDeferredDataThatWasOverwrittenInMemory) {
  ASSERT_TRUE(bed_.write(file_, 0, std::string(5000, 'a')));
  ASSERT_TRUE(bed_.data().fsync(file_, false));
  ASSERT_TRUE(bed_.write(file_, 0, std::string(5000, 'b')));
  ASSERT_TRUE(bed_.data().flush_all());
  reopen_after_crash();
  EXPECT_EQ(difference(read(), std::string(5000, 'b')), "");
}

/// Goal: deferred data survives although the index has overtaken its record.  Method: the index is flushed
/// between fsync and crash.
TEST_F(FileDataTest, DeferredDataSurvivesAFlushOfTheIndex) {
  const std::string text = random_bytes(rng_, 3000);
  ASSERT_TRUE(bed_.write(file_, 0, text));
  ASSERT_TRUE(bed_.data().fsync(file_, false));
  // Fills the memtable until it is written out, with records that have nothing to do with the file.
  for (int i = 0; i < 40; ++i) {
    Change change;
    change.index().put("Mfiller" + std::to_string(i), random_bytes(rng_, 60'000));
    ASSERT_TRUE(bed_.ledger().commit(change));
    ASSERT_TRUE(bed_.ledger().sync_all());
  }
  ASSERT_TRUE(bed_.ledger().maintain());
  reopen_after_crash();
  EXPECT_EQ(difference(read(), text), "");
}

/// Goal: the journal is let go as soon as the deferred data is in extents.  Method: much more data is
/// deferred, overwritten, cut and flushed than the ring can hold; a count that is not given back would stop
/// it.
TEST_F(FileDataTest, DeferredDataDoesNotHoldTheJournalForEver) {
  for (int i = 0; i < 200; ++i) {
    SCOPED_TRACE(i);
    const Status written = bed_.write(file_, rng_.below(100'000), random_bytes(rng_, 50'000));
    ASSERT_TRUE(written) << written.error().to_text();
    const Status synced = bed_.data().fsync(file_, false);
    ASSERT_TRUE(synced) << synced.error().to_text();
    if (i % 7 == 0) {
      ASSERT_TRUE(bed_.truncate(file_, rng_.below(60'000)));
    }
    if (i % 11 == 0) {
      ASSERT_TRUE(bed_.data().flush(file_));
    }
  }
  ASSERT_TRUE(bed_.data().flush_all());
  // Twice the ring of other records: nothing older may stay.
  for (int i = 0; i < 140; ++i) {
    const Status admitted = bed_.ledger().admit();
    ASSERT_TRUE(admitted) << admitted.error().to_text();
    Change change;
    change.index().put("Mfiller", random_bytes(rng_, 60'000));
    ASSERT_TRUE(bed_.ledger().commit(change));
  }
}

/// Goal: a small file lives in its record: no stripe, no extent; growing moves it out, whole.
TEST_F(FileDataTest, SmallFileLivesInItsRecordUntilItGrows) {
  ASSERT_TRUE(bed_.write(file_, 0, "hello"));
  ASSERT_TRUE(bed_.data().fsync(file_, false));
  ASSERT_TRUE(bed_.write(file_, 5, " world"));
  ASSERT_TRUE(bed_.data().fsync(file_, false));
  reopen_after_crash();
  EXPECT_EQ(read(), "hello world");
  EXPECT_TRUE(file_->record.has_inline);
  EXPECT_EQ(bed_.store().write_calls, 0U);
  const std::string tail = random_bytes(rng_, 5000);
  ASSERT_TRUE(bed_.write(file_, 8, tail));
  EXPECT_EQ(difference(read(), "hello wo" + tail), "");
  ASSERT_TRUE(bed_.data().flush_all());
  reopen_after_crash();
  EXPECT_FALSE(file_->record.has_inline);
  EXPECT_EQ(difference(read(), "hello wo" + tail), "");
  bed_.check_counts({50});
}

/// Goal: cutting and growing again shows zeros, never old bytes, wherever these were.
TEST_F(FileDataTest, GrowingAfterACutReadsZeros) {
  for (const uint64_t size : {uint64_t{100}, uint64_t{1000}, uint64_t{200'000}}) {
    for (const int stage : {0, 1, 2}) {
      SCOPED_TRACE("size " + std::to_string(size) + " stage " + std::to_string(stage));
      ASSERT_TRUE(bed_.truncate(file_, 0));
      ASSERT_TRUE(bed_.write(file_, 0, std::string(size, 'x')));
      if (stage == 1) {
        ASSERT_TRUE(bed_.data().fsync(file_, false));
      }
      if (stage == 2) {
        ASSERT_TRUE(bed_.data().flush(file_));
      }
      ASSERT_TRUE(bed_.truncate(file_, size / 2));
      ASSERT_TRUE(bed_.truncate(file_, size));
      const std::string want = std::string(size / 2, 'x') + std::string(size - size / 2, '\0');
      EXPECT_EQ(difference(read(), want), "");
      ASSERT_TRUE(bed_.data().flush_all());
      EXPECT_EQ(difference(read(), want), "");
      reopen_after_crash();
      EXPECT_EQ(difference(read(), want), "");
    }
  }
}

/// Goal: a write during a flush is neither lost nor mixed into it.
TEST_F(FileDataTest, WriteDuringAFlushLiesOverIt) {
  ASSERT_TRUE(bed_.write(file_, 0, std::string(10'000, 'a')));
  bed_.store().during_write = [&] {
    ASSERT_TRUE(bed_.write(file_, 5000, std::string(10'000, 'b')));
    EXPECT_EQ(difference(read(), std::string(5000, 'a') + std::string(10'000, 'b')), "");
  };
  ASSERT_TRUE(bed_.data().flush(file_));
  EXPECT_EQ(file_->stored_size, 10'000U);
  EXPECT_EQ(difference(read(), std::string(5000, 'a') + std::string(10'000, 'b')), "");
  ASSERT_TRUE(bed_.ledger().sync_all());
  reopen_after_crash();
  EXPECT_EQ(difference(read(), std::string(10'000, 'a')), "") << "not the state of the capture";
}

/// Goal: cutting everything that is being flushed makes the flush leave the file alone, with exact counts.
TEST_F(FileDataTest, CutToNothingDuringAFlushWins) {
  ASSERT_TRUE(bed_.write(file_, 0, std::string(300'000, 'a')));
  ASSERT_TRUE(bed_.data().flush(file_));
  ASSERT_TRUE(bed_.write(file_, 100, std::string(300'000, 'b')));
  bed_.store().during_write = [&] {
    ASSERT_TRUE(bed_.truncate(file_, 0));
    ASSERT_TRUE(bed_.truncate(file_, 50'000));
    ASSERT_TRUE(bed_.write(file_, 10, "new"));
  };
  ASSERT_TRUE(bed_.data().flush(file_));
  std::string want(50'000, '\0');
  want.replace(10, 3, "new");
  EXPECT_EQ(difference(read(), want), "");
  ASSERT_TRUE(bed_.data().flush_all());
  EXPECT_EQ(difference(read(), want), "");
  EXPECT_EQ(bed_.store().reserved(), 0U);
  bed_.check_counts({50});
  reopen_after_crash();
  EXPECT_EQ(difference(read(), want), "");
}

/// Goal: an inode removed during its flush leaves nothing: no keys, no live bytes, no usage, no reservation.
TEST_F(FileDataTest, RemovalDuringAFlushLeavesNothing) {
  ASSERT_TRUE(bed_.write(file_, 0, std::string(300'000, 'a')));
  ASSERT_TRUE(bed_.data().flush(file_));
  ASSERT_TRUE(bed_.write(file_, 0, std::string(1000, 'c')));
  ASSERT_TRUE(bed_.data().fsync(file_, false));
  ASSERT_TRUE(bed_.write(file_, 100, std::string(300'000, 'b')));
  bed_.store().during_write = [&] { ASSERT_TRUE(bed_.remove(file_)); };
  ASSERT_TRUE(bed_.data().flush(file_));
  ASSERT_TRUE(bed_.data().flush_all());
  EXPECT_EQ(bed_.store().reserved(), 0U);
  EXPECT_TRUE(bed_.extents(InodeId(50)).empty());
  bed_.check_counts({});
  EXPECT_FALSE(bed_.data().write(file_, 0, std::span<const uint8_t>()));
  file_.reset();
  bed_.crash(sim::CrashMode::kDropAll);
  bed_.open();
  EXPECT_FALSE(bed_.inodes().get(InodeId(50)));
  EXPECT_EQ(bed_.data().dirty_bytes(), 0U);
}

/// Goal: an operation that is given up after it has asked for the file's data leaves the file as it was.
TEST_F(FileDataTest, GivenUpChangesLeaveTheFileAsItWas) {
  ASSERT_TRUE(bed_.write(file_, 0, std::string(30'000, 'a')));
  ASSERT_TRUE(bed_.data().flush_all());
  ASSERT_TRUE(bed_.write(file_, 20'000, std::string(20'000, 'b')));
  const std::string want = std::string(20'000, 'a') + std::string(20'000, 'b');
  {
    const InodeLocks locks({file_.get()});
    Change logging;
    ASSERT_TRUE(bed_.data().log_dirty(*file_, logging));
    EXPECT_EQ(file_->record_to_store().size, 40'000U);
    bed_.data().aborted(*file_);
    EXPECT_EQ(file_->record_to_store().size, 30'000U);
    Change removal;
    ASSERT_TRUE(bed_.data().remove_all(*file_, removal));
    EXPECT_FALSE(removal.empty());
    bed_.data().aborted(*file_);
  }
  EXPECT_EQ(difference(read(), want), "");
  ASSERT_TRUE(bed_.data().flush_all());
  bed_.check_counts({50});
  reopen_after_crash();
  EXPECT_EQ(difference(read(), want), "");
}

/// Goal: a failed flush loses nothing, keeps newer writes above older ones and is reported once to fsync.
TEST_F(FileDataTest, FailedFlushKeepsTheDataAndIsReportedOnce) {
  for (const bool in_write : {true, false}) {
    SCOPED_TRACE(in_write ? "write fails" : "flush fails");
    ASSERT_TRUE(bed_.write(file_, 0, std::string(200'000, 'a')));
    (in_write ? bed_.store().fail_writes : bed_.store().fail_flushes) = 1;
    bed_.store().during_write = [&] { ASSERT_TRUE(bed_.write(file_, 100'000, std::string(200'000, 'b'))); };
    EXPECT_FALSE(bed_.data().flush(file_));
    const std::string want = std::string(100'000, 'a') + std::string(200'000, 'b');
    EXPECT_EQ(difference(read(), want), "");
    EXPECT_EQ(bed_.store().reserved(), 300'000U);
    EXPECT_FALSE(bed_.write(file_, 0, "x")) << "the next write reports it";
    EXPECT_FALSE(bed_.data().fsync(file_, false));
    const Status second = bed_.data().fsync(file_, false);
    ASSERT_TRUE(second) << second.error().to_text();
    EXPECT_EQ(bed_.store().reserved(), 0U);
    reopen_after_crash();
    EXPECT_EQ(difference(read(), want), "");
    bed_.check_counts({50});
  }
}

/// Goal: when there is no space, write() says so and takes nothing; what was accepted before is safe.
TEST_F(FileDataTest, WriteBeyondTheSpaceIsRefusedWhole) {
  bed_.store().capacity = 10'000;
  ASSERT_TRUE(bed_.write(file_, 0, std::string(8000, 'a')));
  const Status refused = bed_.write(file_, 8000, std::string(4000, 'b'));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), ErrorCode::kNoSpace);
  EXPECT_EQ(difference(read(), std::string(8000, 'a')), "");
  ASSERT_TRUE(bed_.write(file_, 0, std::string(2000, 'c'))) << "fits";
  EXPECT_EQ(bed_.store().reserved(), 8000U) << "overwritten bytes were not given back";
  ASSERT_TRUE(bed_.data().flush(file_));
  EXPECT_EQ(bed_.store().reserved(), 0U);
}

TEST_F(FileDataTest, WriteBeyondTheLargestSizeIsEfbig) {
  const uint8_t byte = 1;
  const auto written = bed_.data().write(file_, kMaxFileBytes, {&byte, 1});
  ASSERT_FALSE(written);
  EXPECT_EQ(written.error().errno_value(), EFBIG);
  EXPECT_EQ(bed_.store().reserved(), 0U);
  EXPECT_EQ(bed_.truncate(file_, kMaxFileBytes + 1).error().errno_value(), EFBIG);
  ASSERT_TRUE(bed_.data().write(file_, kMaxFileBytes - 1, {&byte, 1}));
  uint8_t out[10];
  EXPECT_EQ(bed_.data().read(file_, kMaxFileBytes - 4, {out, 10}, false).value(), 4U);
  EXPECT_EQ(out[3], 1);
}

TEST_F(FileDataTest, WriteUpdatesTimesAndSetIdBits) {
  file_->record.mode = 0106755;
  const uint8_t byte = 1;
  const TimeNs before = file_->record.mtime;
  EXPECT_EQ(bed_.data().write(file_, kToEnd, {&byte, 1}).value(), 0U);
  EXPECT_EQ(file_->record.mode, 0106755U);
  EXPECT_GT(file_->record.mtime, before);
  EXPECT_EQ(file_->record.mtime, file_->record.ctime);
  EXPECT_EQ(bed_.data().write(file_, kToEnd, {&byte, 1}, true).value(), 1U);
  EXPECT_EQ(file_->record.mode, 0100755U);
  EXPECT_EQ(file_->attributes().size, 2U);
  EXPECT_EQ(file_->attributes().blocks, 1U) << "dirty bytes count";
}

/// Goal: ten thousand small files cost a few changes and stripes, not ten thousand.
TEST_F(FileDataTest, ManySmallFilesShareStripesAndChanges) {
  constexpr uint64_t kMany = 3000;
  std::vector<InodeRef> files;
  Change change;
  for (uint64_t i = 0; i < kMany; ++i) {
    auto inode = std::make_shared<Inode>(InodeId(1000 + i));
    inode->record.mode = 0100644;
    inode->record.nlink = 1;
    inode->record.bucket = DataBed::kBucket;
    change.index().put(keys::inode(inode->id), inode->record_to_store().encode());
    bed_.inodes().insert(inode);
    files.push_back(inode);
  }
  ASSERT_TRUE(bed_.ledger().commit(change));
  for (uint64_t i = 0; i < kMany; ++i)
    ASSERT_TRUE(bed_.write(files[i], 0, std::string(2000, static_cast<char>('a' + i % 26))));
  const Lsn before = bed_.ledger().head();
  ASSERT_TRUE(bed_.data().flush_all());
  EXPECT_LT(bed_.ledger().head().value - before.value, 20U);
  EXPECT_LT(bed_.store().stripes(), 20U);
  for (uint64_t i = 0; i < kMany; i += 97) {
    EXPECT_EQ(bed_.content(files[i]).value(), std::string(2000, static_cast<char>('a' + i % 26)));
  }
}

/// Goal: random 4 KiB writes that fill a range become few extents.  Method: every block of 1 MiB, in random
/// order.
TEST_F(FileDataTest, ShortNeighboursAreStoredAsOneExtent) {
  std::vector<uint64_t> blocks(256);
  for (size_t i = 0; i < blocks.size(); ++i) blocks[i] = i;
  for (size_t i = blocks.size() - 1; i > 0; --i) std::swap(blocks[i], blocks[rng_.below(i + 1)]);
  std::string want(1u << 20, '\0');
  for (const uint64_t b : blocks) {
    const std::string bytes = random_bytes(rng_, 4096);
    want.replace(b * 4096, 4096, bytes);
    ASSERT_TRUE(bed_.write(file_, b * 4096, bytes));
  }
  ASSERT_TRUE(bed_.data().flush(file_));
  EXPECT_LE(bed_.extents(file_->id).size(), 4U);
  EXPECT_EQ(difference(read(), want), "");
}

/// Goal: a stream becomes whole chunks of 1 MiB at multiples of 1 MiB, whatever the size of its writes, and
/// small appends do not take a page each.
TEST_F(FileDataTest, StreamsFillWholeChunks) {
  for (const size_t step : {size_t{1000}, size_t{4096}, size_t{131'072}, size_t{1} << 20}) {
    SCOPED_TRACE(step);
    ASSERT_TRUE(bed_.truncate(file_, 0));
    ASSERT_TRUE(bed_.data().flush(file_));
    const std::string bytes(step, 'x');
    for (uint64_t at = 0; at < (4u << 20); at += step) ASSERT_TRUE(bed_.write(file_, at, bytes));
    const auto& pieces = file_->data->dirty.pieces();
    EXPECT_LT(pieces.size(), 16U);
    for (const uint64_t start : {1u << 20, 2u << 20, 3u << 20}) {
      const auto piece = pieces.find(start);
      ASSERT_NE(piece, pieces.end());
      EXPECT_EQ(piece->second.length, 1u << 20);
      EXPECT_EQ(piece->second.chunk_offset, 0U);
    }
    EXPECT_LT(bed_.buffers().outstanding_bytes(), 6u << 20);
  }
}

/// Goal: what lies in memory is not read from the store, nor is what nobody asked for.
TEST_F(FileDataTest, ReadsOnlyWhatMemoryDoesNotCover) {
  ASSERT_TRUE(bed_.write(file_, 0, std::string(100'000, 'a')));
  ASSERT_TRUE(bed_.data().flush(file_));
  ASSERT_TRUE(bed_.write(file_, 10'000, std::string(80'000, 'b')));
  const uint64_t before = bed_.store().read_bytes;
  std::vector<uint8_t> out(95'000);
  ASSERT_EQ(bed_.data().read(file_, 0, out, false).value(), 95'000U);
  EXPECT_EQ(bed_.store().read_bytes - before, 15'000U);
  EXPECT_EQ(out[9'999], 'a');
  EXPECT_EQ(out[10'000], 'b');
  EXPECT_EQ(out[89'999], 'b');
  EXPECT_EQ(out[90'000], 'a');
}

/// Goal: a growth in memory and pure changes of times reach the index with the next flush, and fsync of data
/// alone does not wait for times.
TEST_F(FileDataTest, AttributesChangedInMemoryAreCommittedByTheFlush) {
  {
    const InodeLocks locks({file_.get()});
    file_->record.atime = 77;
    bed_.data().note_attributes(*file_);
  }
  const Lsn before = bed_.ledger().head();
  ASSERT_TRUE(bed_.data().fsync(file_, true));
  EXPECT_EQ(bed_.ledger().head(), before);
  ASSERT_TRUE(bed_.data().flush_all());
  EXPECT_GT(bed_.ledger().head(), before);
  ASSERT_TRUE(bed_.write(file_, 0, std::string(5000, 'a')));
  ASSERT_TRUE(bed_.truncate(file_, 9000));
  EXPECT_EQ(file_->stored_size, 0U);
  ASSERT_TRUE(bed_.data().flush_all());
  reopen_after_crash();
  EXPECT_EQ(file_->record.atime, 77);
  EXPECT_EQ(file_->record.size, 9000U);
}

/// Goal: a cut below committed data carries older dirty data along, so that no later operation survives
/// without it.
TEST_F(FileDataTest, CommittedCutCarriesOlderDirtyDataAlong) {
  ASSERT_TRUE(bed_.write(file_, 0, std::string(50'000, 'a')));
  ASSERT_TRUE(bed_.data().flush_all());
  ASSERT_TRUE(bed_.write(file_, 100, std::string(2000, 'b')));
  ASSERT_TRUE(bed_.truncate(file_, 1000));
  ASSERT_TRUE(bed_.ledger().sync_all());
  reopen_after_crash();
  EXPECT_EQ(difference(read(), std::string(100, 'a') + std::string(900, 'b')), "");
}

/// Goal: writers, readers and background flushing at once lose nothing, memory stays bounded, and all is
/// given back at the end.
TEST(FileDataThreads, ConcurrentWritersStayWithinMemoryAndLoseNothing) {
  FileDataManager::Options options;
  options.threads = 2;
  options.max_dirty_bytes = 4u << 20;
  options.flush_above_bytes = 1u << 20;
  options.max_capture_bytes = 2u << 20;
  DataBed bed(11, options);
  bed.format();
  bed.open();
  constexpr int kWriters = 4;
  std::vector<InodeRef> files;
  for (int i = 0; i < kWriters; ++i) files.push_back(bed.make_file(200 + i));
  std::string contents[kWriters];
  std::atomic<bool> done{false};
  std::atomic<size_t> peak{0};
  std::thread watcher([&] {
    while (!done) {
      peak = std::max(peak.load(), bed.buffers().outstanding_bytes());
      std::this_thread::yield();
    }
  });
  const auto work = [&](int i) {
    Rng rng(i);
    std::string& want = contents[i];
    for (int step = 0; step < 300; ++step) {
      const uint64_t at = rng.one_in(2) ? want.size() : rng.below(want.size() + 1);
      const std::string bytes = random_bytes(rng, 1 + rng.below(60'000));
      if (want.size() < at + bytes.size()) want.resize(at + bytes.size());
      want.replace(at, bytes.size(), bytes);
      const Status written = bed.write(files[i], at, bytes);
      ASSERT_TRUE(written) << written.error().to_text();
      if (step % 50 == 7) {
        ASSERT_TRUE(bed.data().fsync(files[i], false));
      }
      if (step % 60 == 9) {
        want.resize(rng.below(want.size()));
        ASSERT_TRUE(bed.truncate(files[i], want.size()));
      }
      if (step % 20 == 3) {
        ASSERT_EQ(difference(bed.content(files[i]).value(), want), "");
      }
    }
  };
  std::vector<std::thread> writers;
  for (int i = 0; i < kWriters; ++i) writers.emplace_back(work, i);
  for (std::thread& writer : writers) writer.join();
  done = true;
  watcher.join();
  // Dirty chunks at most double their data; copies of short neighbours and readers' buffers come on top.
  EXPECT_LT(peak, 24u << 20);
  for (int i = 0; i < kWriters; ++i) EXPECT_EQ(difference(bed.content(files[i]).value(), contents[i]), "");
  files.clear();
  bed.close();
  bed.open();
  for (int i = 0; i < kWriters; ++i)
    EXPECT_EQ(difference(bed.content(bed.file(200 + i)).value(), contents[i]), "");
  bed.check_counts({200, 201, 202, 203});
}

/// Goal: dirty data is written out by age alone.
TEST(FileDataThreads, OldDirtyDataIsFlushedByAge) {
  FileDataManager::Options options;
  options.threads = 1;
  DataBed bed(12, options);
  bed.format();
  bed.open();
  const InodeRef file = bed.make_file(50);
  ASSERT_TRUE(bed.write(file, 0, std::string(5000, 'a')));
  bed.clock().advance(options.flush_after_ns / 2);
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  EXPECT_EQ(bed.data().dirty_bytes(), 5000U) << "too early";
  bed.clock().advance(options.flush_after_ns);
  for (int i = 0; i < 1000 && bed.data().dirty_bytes() > 0; ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  EXPECT_EQ(bed.data().dirty_bytes(), 0U);
}

/// Goal: failing disks do not keep a thread busy, and a writer above the cap gets the error instead of
/// waiting for ever.
TEST(FileDataThreads, FailingFlushBacksOffAndWritersHearOfIt) {
  FileDataManager::Options options;
  options.threads = 1;
  options.max_dirty_bytes = 1u << 20;
  options.flush_above_bytes = 256u << 10;
  DataBed bed(13, options);
  bed.format();
  bed.open();
  const InodeRef file = bed.make_file(50);
  bed.store().fail_writes = 1'000'000;
  Status status;
  for (uint64_t i = 0; i < 100 && status; ++i)
    status = bed.write(file, i * 100'000, std::string(100'000, 'a'));
  EXPECT_FALSE(status);
  const uint64_t calls = bed.store().write_calls;
  std::this_thread::sleep_for(std::chrono::milliseconds(500));
  EXPECT_LT(bed.store().write_calls - calls, 10U);
  bed.store().fail_writes = 0;
  bed.clock().advance(20'000'000'000);
  for (int i = 0; i < 1000 && bed.data().dirty_bytes() > 0; ++i) {
    bed.clock().advance(1'000'000'000);
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  EXPECT_EQ(bed.data().dirty_bytes(), 0U);
}

}  // namespace
}  // namespace stavefs
