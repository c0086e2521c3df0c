// The mirrored directory while disks fail: nobody above sees an error as long as one copy is good, and nobody
// is told that something is done before every copy has it or has left the epoch.

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <thread>

#include "mirror_bed.h"

namespace stavefs {
namespace {

using sim::CrashMode;

/// What has been reported as done so far.
struct Done {
  std::map<std::string, std::string> files;
};

/// Every copy that has not been given up has everything that was reported as done, even if power fails now.
void check_all_copies(MirrorBed& bed, const Done& done, int disks) {
  MirrorBed after(bed.world().fork(1, CrashMode::kDropAll));
  for (int disk = 0; disk < disks; ++disk) {
    if (bed.has_failed(DiskSlot(static_cast<uint16_t>(disk)))) continue;
    SCOPED_TRACE(testing::Message() << "slot " << disk);
    after.world().vanish_at(disk, 0);  // it may have vanished a moment ago, with everything on it
    after.world().set_vanished(disk, false);
    const auto alone = open_set(after, slots({disk}), true);
    ASSERT_TRUE(alone);
    for (const auto& [name, bytes] : done.files) ASSERT_EQ(bytes, contents(*alone, name)) << name;
  }
}

/// Creations, appends, syncs, a rename and a removal.  False as soon as something is refused.
bool scripted_work(MirrorBed& bed, MirrorSet& set, Done& done, int disks) {
  Rng rng(3);
  const auto settle = [&](const std::string& name, const std::string& bytes) {
    done.files[name] = bytes;
    check_all_copies(bed, done, disks);
  };
  Result<std::unique_ptr<MirrorWriter>> manifest = set.create("MANIFEST-000001");
  if (!manifest) return false;
  std::string records;
  for (int i = 0; i < 3; ++i) {
    const std::string record = random_bytes(rng, 3000);
    const std::string table = random_bytes(rng, 60000 * static_cast<size_t>(i) + 500);
    const std::string name = fmt::format("00000{}.sst", i);
    Result<std::unique_ptr<MirrorWriter>> writer = set.create(name);
    if (!writer) return false;
    if (!(*writer)->append(table) || !(*writer)->sync() || !(*writer)->close()) return false;
    settle(name, table);
    if (!(*manifest)->append(record) || !(*manifest)->sync()) return false;
    settle("MANIFEST-000001", records += record);
  }
  if (!(*manifest)->close()) return false;
  Result<std::unique_ptr<MirrorWriter>> current = set.create("1.dbtmp");
  if (!current || !(*current)->append("MANIFEST-000001\n") || !(*current)->sync() || !(*current)->close())
    return false;
  if (!set.rename("1.dbtmp", "CURRENT")) return false;
  settle("CURRENT", "MANIFEST-000001\n");
  done.files.erase("000000.sst");
  if (!set.remove("000000.sst") || !set.sync_names()) return false;
  check_all_copies(bed, done, disks);
  return true;
}

uint64_t steps_of_script() {
  MirrorBed bed(1, 3);
  const auto set = open_set(bed, slots({0, 1, 2}));
  Done done;
  EXPECT_TRUE(scripted_work(bed, *set, done, 3));
  return bed.world().step_count();
}

// One disk vanishes at each step of the script in turn.
TEST(MirrorFault, DiskVanishingAtAnyStepIsGivenUpBeforeSuccess) {
  const uint64_t steps = steps_of_script();
  ASSERT_GT(steps, 30u);
  for (int disk = 0; disk < 3; ++disk) {
    for (uint64_t step = 1; step <= steps; ++step) {
      SCOPED_TRACE(testing::Message() << "disk " << disk << " step " << step);
      MirrorBed bed(1, 3);
      bed.world().vanish_at(disk, step);
      const auto set = open_set(bed, slots({0, 1, 2}));
      ASSERT_TRUE(set);
      Done done;
      ASSERT_TRUE(scripted_work(bed, *set, done, 3));
      ASSERT_EQ(0, bed.fenced);
      for (const auto& [name, bytes] : done.files) ASSERT_EQ(bytes, contents(*set, name));
      if (HasFatalFailure()) return;
    }
  }
}

// Two of three vanish, at different steps: the last one carries on alone.
TEST(MirrorFault, TwoDisksVanishingLeaveTheThird) {
  const uint64_t steps = steps_of_script();
  for (uint64_t seed = 1; seed <= 40; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    Rng rng(seed);
    MirrorBed bed(seed, 3);
    bed.world().vanish_at(static_cast<int>(seed % 3), 1 + rng.below(steps));
    bed.world().vanish_at(static_cast<int>((seed + 1) % 3), 1 + rng.below(steps));
    const auto set = open_set(bed, slots({0, 1, 2}));
    ASSERT_TRUE(set);
    Done done;
    ASSERT_TRUE(scripted_work(bed, *set, done, 3));
    EXPECT_EQ(0, bed.fenced);
  }
}

// One failed sync: its pages may be lost although later reads see them; the copy is given up, and not asked
// again.
TEST(MirrorFault, FailedSyncIsNeverRetried) {
  MirrorBed bed(1, 2);
  const auto set = open_set(bed, slots({0, 1}));
  const auto writer = *set->create("000001.sst");
  Rng rng(1);
  const std::string bytes = random_bytes(rng, 2 << 20);
  ASSERT_TRUE(writer->append(bytes));
  bed.world().fail_next_sync(0);
  ASSERT_TRUE(writer->sync());
  EXPECT_EQ(slots({0}), bed.failed());
  EXPECT_EQ(slots({1}), set->copies());
  check_all_copies(bed, {{{"000001.sst", bytes}}}, 2);
}

// The epoch cannot be moved: nothing is acknowledged any more.
TEST(MirrorFault, CopyThatCannotBeGivenUpFences) {
  MirrorBed bed(1, 2);
  MirrorOptions options = bed.options();
  options.copy_failed = [](DiskSlot) -> Status { return Error(ErrorCode::kFenced, EIO, "no"); };
  const auto set = *MirrorSet::open(std::move(options), slots({0, 1}));
  write_file(*set, "before", "bytes");
  bed.world().fail_next_write(1);
  const auto writer = *set->create("after");
  ASSERT_TRUE(writer->append("bytes"));
  EXPECT_FALSE(writer->sync());
  EXPECT_EQ(1, bed.fenced);
  EXPECT_FALSE(set->create("more"));
  EXPECT_FALSE(contents(*set, "before"));
}

// While one thread gives a copy up, another one's sync, which that copy did not get, must wait for the epoch.
TEST(MirrorFault, SyncWaitsForACopyThatAnotherThreadGivesUp) {
  MirrorBed bed(1, 3);
  std::atomic<bool> moving{false}, moved{false}, go{false};
  MirrorOptions options = bed.options();
  options.copy_failed = [&](DiskSlot slot) {
    moving = true;
    while (!go) std::this_thread::yield();
    moved = true;
    return bed.copy_failed(slot);
  };
  const auto set = *MirrorSet::open(std::move(options), slots({0, 1, 2}));
  bed.world().set_vanished(2, true);
  std::thread first([&] { write_file(*set, "first", "bytes"); });
  for (int i = 0; i < 1000 && !moving; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(10));
  EXPECT_TRUE(moving);
  std::thread second([&] {
    write_file(*set, "second", "bytes");
    EXPECT_TRUE(moved);
  });
  std::this_thread::sleep_for(std::chrono::milliseconds(30));
  go = true;
  first.join();
  second.join();
  EXPECT_EQ(slots({2}), bed.failed());
}

// A callback that drops the failing copy itself (as a pool's does when it fences the disk) does not lock up.
TEST(MirrorFault, CallbacksMayDropTheCopy) {
  MirrorBed bed(1, 2);
  MirrorSet* pointer = nullptr;
  MirrorOptions options = bed.options();
  options.report = [&](DiskSlot slot, IoKind, int, std::string_view) { pointer->drop_copy(slot); };
  options.copy_failed = [&](DiskSlot slot) {
    pointer->drop_copy(slot);
    return bed.copy_failed(slot);
  };
  const auto set = *MirrorSet::open(std::move(options), slots({0, 1}));
  pointer = set.get();
  bed.world().set_vanished(0, true);
  write_file(*set, "file", "bytes");
  EXPECT_EQ(slots({0}), bed.failed());
  EXPECT_EQ(slots({1}), set->copies());
}

// Flipped bits on one copy, in every page: reads are right, and the copy is written anew.
TEST(MirrorFault, FlippedBitsAreReadFromTheOtherCopyAndRepaired) {
  for (const int bad : {0, 1}) {
    MirrorBed bed(1, 2);
    Rng rng(1);
    const std::string bytes = random_bytes(rng, 300000);
    const auto set = open_set(bed, slots({0, 1}));
    write_file(*set, "000001.sst", bytes);
    const uint64_t pages = set->stats().file_bytes / kPageBytes;
    for (uint64_t page = 0; page < pages; ++page)
      ASSERT_TRUE(bed.world().flip_bit(bad, "index/000001.sst", page * kPageBytes + 777, 3));
    const auto reader = *set->open_file("000001.sst");
    for (int i = 0; i < 200; ++i) {
      const uint64_t offset = rng.below(bytes.size());
      std::string part(rng.below(20000), '\0');
      const Result<size_t> got = reader->read(offset, part.size(), part.data());
      ASSERT_TRUE(got);
      part.resize(*got);
      ASSERT_EQ(bytes.substr(offset, part.size()), part);
    }
    // The preferred copy alone is read, so only its bad pages are met.
    if (bed.corrupt > 0) {
      set->wait_for_repairs();
      EXPECT_EQ(pages, set->stats().repaired_pages);
      const auto alone = open_set(bed, slots({bad}), true);
      EXPECT_EQ(bytes, contents(*alone, "000001.sst"));
    }
    EXPECT_TRUE(bed.failed().empty());
    EXPECT_EQ(0, bed.fenced);
  }
}

// A write that was reported done and lost, or that went elsewhere, is found by the page's own numbers.
TEST(MirrorFault, LostAndMisdirectedWritesAreRepaired) {
  for (const bool lost : {true, false}) {
    for (const int bad : {0, 1}) {
      MirrorBed bed(1, 2);
      Rng rng(1);
      const std::string bytes = random_bytes(rng, 3 << 20);
      {
        const auto set = open_set(bed, slots({0, 1}));
        const auto writer = *set->create("000001.sst");
        ASSERT_TRUE(writer->append(bytes.substr(0, 1 << 20)));
        lost ? bed.world().lose_next_write(bad) : bed.world().misdirect_next_write(bad);
        ASSERT_TRUE(writer->append(bytes.substr(1 << 20)));
        ASSERT_TRUE(writer->sync());
        ASSERT_TRUE(writer->close());
        ASSERT_EQ(bytes, contents(*set, "000001.sst"));
      }
      const auto set = open_set(bed, slots({0, 1}));
      EXPECT_EQ(bytes, contents(*set, "000001.sst")) << lost << bad;
      set->wait_for_repairs();
      EXPECT_EQ(bytes, contents(*set, "000001.sst")) << lost << bad;
    }
  }
}

// The disk lies again while its bad file is written anew: that is noticed by reading back, and the copy is
// given up.
TEST(MirrorFault, RebuildThatDidNotLandIsNoticed) {
  for (const bool lost : {true, false}) {
    MirrorBed bed(1, 2);
    Rng rng(1);
    const std::string bytes = random_bytes(rng, 300000);
    const auto set = open_set(bed, slots({0, 1}));
    write_file(*set, "000001.sst", bytes);
    write_file(*set, "000002.sst", bytes);
    // Of two files one is read from each copy, so that one of them meets the flips.
    for (const char* name : {"index/000001.sst", "index/000002.sst"})
      for (uint64_t page = 0; page < 70; ++page)
        ASSERT_TRUE(bed.world().flip_bit(0, name, page * kPageBytes + 9, 3));
    lost ? bed.world().lose_next_write(0) : bed.world().misdirect_next_write(0);
    EXPECT_EQ(bytes, contents(*set, "000001.sst"));
    EXPECT_EQ(bytes, contents(*set, "000002.sst"));
    set->wait_for_repairs();
    EXPECT_EQ(slots({0}), bed.failed());
    EXPECT_EQ(slots({1}), set->copies());
  }
}

TEST(MirrorFault, FlipsOnAllCopiesFenceAndNeverReturnWrongBytes) {
  MirrorBed bed(1, 2);
  const auto set = open_set(bed, slots({0, 1}));
  write_file(*set, "000001.sst", std::string(10000, 'x'));
  for (const int disk : {0, 1})
    ASSERT_TRUE(bed.world().flip_bit(disk, "index/000001.sst", kPageBytes + 200, 0));
  const auto reader = *set->open_file("000001.sst");
  char byte = 0;
  EXPECT_TRUE(reader->read(0, 1, &byte));  // another page
  EXPECT_EQ(0, bed.fenced);
  EXPECT_FALSE(reader->read(kPagePayloadBytes + 1, 1, &byte));
  EXPECT_EQ(1, bed.fenced);
  EXPECT_FALSE(reader->read(0, 1, &byte));
  EXPECT_FALSE(set->create("more"));
}

// A disk that cannot be read is no reason for an error, and is given up as soon as a rebuild meets it.
TEST(MirrorFault, UnreadableDiskIsReadAround) {
  MirrorBed bed(1, 2);
  const auto set = open_set(bed, slots({0, 1}));
  for (int i = 0; i < 4; ++i) write_file(*set, fmt::format("f{}", i), "bytes");
  bed.world().set_vanished(0, true);
  for (int i = 0; i < 4; ++i) EXPECT_EQ("bytes", contents(*set, fmt::format("f{}", i)));
  set->wait_for_repairs();
  EXPECT_GT(bed.io_errors, 0);
  EXPECT_EQ(slots({0}), bed.failed());
  EXPECT_EQ(slots({1}), set->copies());
  for (int i = 0; i < 4; ++i) EXPECT_EQ("bytes", contents(*set, fmt::format("f{}", i)));
}

// Bits that flip on the way from the disk, not on it, cost nothing but a second read.
TEST(MirrorFault, TransientFlipsAreHarmless) {
  MirrorBed bed(5, 2);
  const auto set = open_set(bed, slots({0, 1}));
  Rng rng(5);
  const std::string bytes = random_bytes(rng, 1 << 20);
  write_file(*set, "000001.sst", bytes);
  bed.world().set_read_flip_rate(0, 5);
  bed.world().set_read_flip_rate(1, 5);
  const auto reader = *set->open_file("000001.sst");
  for (int i = 0; i < 300; ++i) {
    const uint64_t offset = rng.below(bytes.size() - 100);
    std::string part(100, '\0');
    const Result<size_t> got = reader->read(offset, part.size(), part.data());
    if (!got) break;  // both copies flipped, twice: an error, never wrong bytes
    ASSERT_EQ(bytes.substr(offset, 100), part);
  }
  EXPECT_GT(bed.corrupt, 0);
}

// A copy joins while files are written, renamed and removed; afterwards it serves alone.
TEST(MirrorFault, CopyAddedDuringWorkIsComplete) {
  for (uint64_t seed = 1; seed <= 6; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    MirrorBed bed(seed, 2);
    {
      const auto leftover = *bed.world().disk(1).open("index/000001.sst", {.create = true});
      ASSERT_TRUE(leftover->truncate(5000));
    }
    const auto set = open_set(bed, slots({0}));
    std::map<std::string, std::string> model;
    Rng rng(seed);
    const auto work = [&](int from, int to) {
      for (int i = from; i < to; ++i) {
        const std::string name = fmt::format("f{}", i);
        const std::string bytes = random_bytes(rng, 1 + rng.below(40000));
        const auto writer = *set->create(name);
        ASSERT_TRUE(writer->append(bytes.substr(0, bytes.size() / 2)));
        if (rng.one_in(2)) {
          ASSERT_TRUE(writer->sync());
        }
        ASSERT_TRUE(writer->append(bytes.substr(bytes.size() / 2)));
        ASSERT_TRUE(writer->sync());
        ASSERT_TRUE(writer->close());
        model[name] = bytes;
        if (rng.one_in(3)) {
          ASSERT_TRUE(set->rename(name, "CURRENT"));
          model["CURRENT"] = bytes;
          model.erase(name);
        } else if (rng.one_in(3)) {
          ASSERT_TRUE(set->remove(name));
          model.erase(name);
        }
      }
    };
    work(0, 20);
    // One file stays open over the joining.
    const auto open = *set->create("MANIFEST-000001");
    ASSERT_TRUE(open->append("first"));
    ASSERT_TRUE(open->sync());
    std::thread worker([&] { work(20, 200); });
    const Status added = set->add_copy(DiskSlot(1));
    worker.join();
    ASSERT_TRUE(added) << added.error().to_text();
    ASSERT_TRUE(open->append("second"));
    ASSERT_TRUE(open->sync());
    model["MANIFEST-000001"] = "firstsecond";
    set->drop_copy(DiskSlot(0));
    ASSERT_EQ(slots({1}), set->copies());
    work(200, 210);
    bed.world().set_vanished(0, true);
    for (const auto& [name, bytes] : model) ASSERT_EQ(bytes, contents(*set, name)) << name;
    bed.world().restart(CrashMode::kDropAll);
    const auto alone = open_set(bed, slots({1}), true);
    for (const auto& [name, bytes] : model) ASSERT_EQ(bytes, contents(*alone, name)) << name;
  }
}

TEST(MirrorFault, DroppingTheLastCopyFences) {
  MirrorBed bed(1, 2);
  const auto set = open_set(bed, slots({0, 1}));
  set->drop_copy(DiskSlot(0));
  set->drop_copy(DiskSlot(0));
  EXPECT_EQ(0, bed.fenced);
  set->drop_copy(DiskSlot(1));
  EXPECT_EQ(1, bed.fenced);
}

}  // namespace
}  // namespace stavefs
