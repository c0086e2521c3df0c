// What every disk and engine must do, run on every implementation and decorator.

#include <algorithm>
#include <thread>
#include <vector>

#include "disk_model.h"
#include "rig.h"

namespace stavefs::test {
namespace {

class DiskConformance : public ::testing::TestWithParam<Backend> {
 protected:
  DiskConformance() : rig_(GetParam().make()) {}
  Disk& disk() { return rig_->disk(); }
  IoEngine& engine() { return rig_->engine(); }
  std::unique_ptr<DiskFile> make(std::string_view name, bool direct = false) {
    return must_open(disk(), name, {.create = true, .direct = direct});
  }

 private:
  std::unique_ptr<Rig> rig_;
};

INSTANTIATE_TEST_SUITE_P(All, DiskConformance, ::testing::ValuesIn(all_backends()),
                         [](const auto& info) { return info.param.name; });

// Goal: bytes come back, through the page cache and around it, at any length and offset that is allowed.
TEST_P(DiskConformance, WrittenBytesComeBack) {
  auto buffered = make("plain");
  const std::string odd = pattern(1, 12345);
  EXPECT_OK(write(engine(), *buffered, 777, odd));
  EXPECT_EQ(*read(engine(), *buffered, 777, odd.size()), odd);
  EXPECT_EQ(*read(engine(), *buffered, 0, 777), std::string(777, '\0'));
  EXPECT_EQ(*buffered->size(), 777 + odd.size());

  auto direct = make("segments/00000001", true);
  const std::string rows = pattern(2, 256 << 10);
  EXPECT_OK(write(engine(), *direct, 8192, rows));
  EXPECT_OK(write(engine(), *direct, 8192 + 4096, rows.substr(0, 4096), true));
  EXPECT_OK(sync(engine(), *direct));
  EXPECT_EQ(*read(engine(), *direct, 8192, 8192), rows.substr(0, 4096) + rows.substr(0, 4096));
  EXPECT_EQ(*read(engine(), *direct, 8192 + 8192, 4096), rows.substr(8192, 4096));
}

// Goal: a read never returns less than was asked for, nor zeros for what is not there.
TEST_P(DiskConformance, ReadPastTheEndIsAnError) {
  for (const bool direct : {false, true}) {
    auto file = make(direct ? "direct" : "buffered", direct);
    EXPECT_OK(write(engine(), *file, 0, pattern(1, 8192)));
    EXPECT_TRUE(read(engine(), *file, 4096, 4096));
    EXPECT_CODE(read(engine(), *file, 4096, 8192), ErrorCode::kIo);
    EXPECT_CODE(read(engine(), *file, 8192, 4096), ErrorCode::kIo);
    EXPECT_CODE(read(engine(), *file, 1 << 20, 4096), ErrorCode::kIo);
    EXPECT_OK(file->truncate(6000));
    EXPECT_CODE(read(engine(), *file, 4096, 4096), ErrorCode::kIo);
  }
}

// Goal: requests of no bytes succeed and change nothing.
TEST_P(DiskConformance, EmptyRequestsDoNothing) {
  auto file = make("f");
  EXPECT_OK(write(engine(), *file, 5000, ""));
  EXPECT_EQ(*file->size(), 0u);
  EXPECT_OK(read(engine(), *file, 0, 0));
  engine().run({});
}

// Goal: each open option means what disk.h says.
TEST_P(DiskConformance, OpenOptionsAreHonoured) {
  EXPECT_CODE(disk().open("missing", {}), ErrorCode::kNotFound);
  EXPECT_CODE(disk().open("missing/file", {}), ErrorCode::kNotFound);
  auto file = make("d/f");
  EXPECT_OK(write(engine(), *file, 0, "hello"));
  EXPECT_CODE(disk().open("d/f", {.create = true, .exclusive = true}), ErrorCode::kExists);
  EXPECT_CODE(disk().open("d/f", {.create = true, .exclusive = true, .direct = true}), ErrorCode::kExists);
  EXPECT_TRUE(disk().open("d/new", {.create = true, .exclusive = true, .direct = true}));
  EXPECT_EQ(*must_open(disk(), "d/f", {.create = true})->size(), 5u);
  EXPECT_EQ(*must_open(disk(), "d/f", {.truncate = true})->size(), 0u);
  EXPECT_EQ(*file->size(), 0u);
  EXPECT_EQ(file->name(), "d/f");
  EXPECT_EQ(&file->disk(), &disk());
}

// Goal: no name reaches outside the disk or deeper than one directory.
TEST_P(DiskConformance, BadNamesAreRefused) {
  const std::string_view kBad[] = {"", ".", "..", "/", "/x", "x/", "a//b", "a/b/c", "../x", "a/..", "./a"};
  make("good");
  for (const std::string_view name : kBad) {
    SCOPED_TRACE(name);
    EXPECT_CODE(disk().open(name, {.create = true}), ErrorCode::kInvalid);
    EXPECT_CODE(disk().remove(name), ErrorCode::kInvalid);
    EXPECT_CODE(disk().rename("good", name), ErrorCode::kInvalid);
    EXPECT_CODE(disk().rename(name, "other"), ErrorCode::kInvalid);
  }
  EXPECT_CODE(disk().list("a/b"), ErrorCode::kInvalid);
  EXPECT_CODE(disk().list(".."), ErrorCode::kInvalid);
  EXPECT_CODE(disk().sync_names(".."), ErrorCode::kInvalid);
  EXPECT_EQ(*disk().list(""), std::vector<std::string>{"good"});
}

// Goal: a directory is no file and a file is no directory.
TEST_P(DiskConformance, FilesAndDirectoriesAreNotConfused) {
  make("d/f");
  make("file");
  EXPECT_FALSE(disk().open("d", {.create = true}));
  EXPECT_FALSE(disk().remove("d"));
  EXPECT_FALSE(disk().rename("file", "d"));
  EXPECT_FALSE(disk().open("file/x", {.create = true}));
  EXPECT_FALSE(disk().list("file"));
  EXPECT_EQ(*disk().list("d"), std::vector<std::string>{"f"});
}

// Goal: listings are complete, sorted and without the directory part; a missing directory is empty.
TEST_P(DiskConformance, ListShowsExactlyWhatIsThere) {
  EXPECT_EQ(disk().list("nowhere")->size(), 0u);
  for (const char* name : {"index/b", "index/a", "segments/1", "superblock", "index/c"}) make(name);
  EXPECT_OK(disk().remove("index/b"));
  EXPECT_EQ(*disk().list("index"), (std::vector<std::string>{"a", "c"}));
  EXPECT_EQ(*disk().list("segments"), (std::vector<std::string>{"1"}));
  EXPECT_EQ(*disk().list(""), (std::vector<std::string>{"index", "segments", "superblock"}));
  EXPECT_OK(disk().sync_names(""));
  EXPECT_OK(disk().sync_names("index"));
  EXPECT_OK(disk().sync_names("nowhere"));
}

// Goal: rename replaces, across directories too; a removed file stays usable while it is open.
TEST_P(DiskConformance, RenameReplacesAndOpenFilesSurviveRemoval) {
  auto a = make("a");
  auto b = make("d/b");
  EXPECT_OK(write(engine(), *a, 0, "from a"));
  EXPECT_OK(write(engine(), *b, 0, "from b"));
  EXPECT_OK(disk().rename("a", "d/b"));
  EXPECT_CODE(disk().open("a", {}), ErrorCode::kNotFound);
  EXPECT_EQ(*read(engine(), *must_open(disk(), "d/b", {}), 0, 6), "from a");
  EXPECT_EQ(*read(engine(), *b, 0, 6), "from b");
  EXPECT_OK(disk().rename("d/b", "e/c"));
  EXPECT_OK(disk().rename("e/c", "e/c"));
  EXPECT_CODE(disk().rename("d/b", "x"), ErrorCode::kNotFound);
  EXPECT_OK(disk().remove("e/c"));
  EXPECT_CODE(disk().remove("e/c"), ErrorCode::kNotFound);
  EXPECT_CODE(disk().remove("nowhere/c"), ErrorCode::kNotFound);
  EXPECT_OK(write(engine(), *a, 0, "still "));
  EXPECT_EQ(*read(engine(), *a, 0, 6), "still ");
}

// Goal: allocate only ever grows a file, by zeros; truncate cuts and extends; punch leaves zeros and the
// length.
TEST_P(DiskConformance, LengthChangesKeepTheRest) {
  auto file = make("f", true);
  const std::string bytes = pattern(3, 64 << 10);
  EXPECT_OK(write(engine(), *file, 0, bytes));
  EXPECT_OK(file->allocate(1 << 20));
  EXPECT_EQ(*file->size(), 1u << 20);
  EXPECT_OK(file->allocate(4096));
  EXPECT_EQ(*file->size(), 1u << 20);
  EXPECT_EQ(*read(engine(), *file, 0, bytes.size()), bytes);
  EXPECT_EQ(*read(engine(), *file, 64 << 10, 64 << 10), std::string(64 << 10, '\0'));
  EXPECT_OK(file->punch(8192, 16384));
  EXPECT_EQ(*file->size(), 1u << 20);
  EXPECT_EQ(*read(engine(), *file, 8192, 16384), std::string(16384, '\0'));
  EXPECT_EQ(*read(engine(), *file, 24576, 4096), bytes.substr(24576, 4096));
  EXPECT_OK(file->truncate(4096));
  EXPECT_OK(file->truncate(12288));
  EXPECT_EQ(*read(engine(), *file, 0, 12288), bytes.substr(0, 4096) + std::string(8192, '\0'));
  EXPECT_OK(file->punch(0, 0));
  EXPECT_OK(file->allocate(0));
}

// Goal: no room is kNoSpace and leaves the file alone.
TEST_P(DiskConformance, AllocateBeyondTheDiskIsNoSpace) {
  if (!GetParam().cheap_no_space) GTEST_SKIP() << "would fill the host's disk";
  auto file = make("f");
  EXPECT_OK(write(engine(), *file, 0, "kept"));
  const DiskSpace space = *disk().space();
  EXPECT_CODE(file->allocate(space.total_bytes + (1 << 20)), ErrorCode::kNoSpace);
  EXPECT_EQ(*file->size(), 4u);
  EXPECT_EQ(*read(engine(), *file, 0, 4), "kept");
}

TEST_P(DiskConformance, SpaceAndProbeAnswer) {
  const DiskSpace space = *disk().space();
  EXPECT_GT(space.total_bytes, 0u);
  EXPECT_LE(space.free_bytes, space.total_bytes);
  EXPECT_OK(disk().probe());
  EXPECT_FALSE(disk().describe().empty());
}

// Goal: a batch larger than any queue runs every request once, and one that fails spoils no other.
TEST_P(DiskConformance, LargeBatchWithOneBadRequest) {
  constexpr size_t kRequests = 500;
  constexpr uint32_t kBytes = 4096;
  for (const bool direct : {false, true}) {
    auto file = make(direct ? "direct" : "buffered", direct);
    AlignedBuffer out(kRequests * kBytes);
    const std::string bytes = pattern(4, out.size());
    std::copy(bytes.begin(), bytes.end(), out.data());
    std::vector<IoRequest> batch;
    for (size_t i = 0; i < kRequests; ++i) {
      batch.push_back({.file = file.get(),
                       .kind = IoKind::kWrite,
                       .offset = i * kBytes,
                       .data = out.data() + i * kBytes,
                       .bytes = kBytes,
                       .durable = i % 100 == 0,
                       .error = -1});
    }
    engine().run(batch);
    for (const IoRequest& r : batch) ASSERT_EQ(r.error, 0) << r.offset;

    AlignedBuffer in(kRequests * kBytes);
    for (size_t i = 0; i < kRequests; ++i) {
      batch[i].kind = IoKind::kRead;
      batch[i].data = in.data() + i * kBytes;
      batch[i].error = -1;
    }
    batch[250].offset = uint64_t{1} << 30;
    engine().run(batch);
    for (size_t i = 0; i < kRequests; ++i) {
      ASSERT_EQ(batch[i].error, i == 250 ? EIO : 0) << i;
      if (i == 250) continue;
      ASSERT_TRUE(std::equal(in.data() + i * kBytes, in.data() + (i + 1) * kBytes, out.data() + i * kBytes))
          << i;
    }
  }
}

// Goal: more threads than rings, on shared and private files that come and go, never mix up bytes.
TEST_P(DiskConformance, ConcurrentBatchesDoNotMix) {
  constexpr int kThreads = 8;
  constexpr int kRounds = 40;
  constexpr uint64_t kShare = 64 << 10;
  auto shared = make("shared", true);
  EXPECT_OK(shared->allocate(kThreads * kShare));
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (int round = 0; round < kRounds; ++round) {
        const std::string name = "private/" + std::to_string(t) + "-" + std::to_string(round % 3);
        auto own = make(name, round % 2 == 0);
        const std::string bytes = pattern(static_cast<uint64_t>(t * 1000 + round), kShare);
        AlignedBuffer out = aligned_copy(bytes);
        IoRequest writes[] = {
            {.file = shared.get(),
             .kind = IoKind::kWrite,
             .offset = static_cast<uint64_t>(t) * kShare,
             .data = out.data(),
             .bytes = kShare},
            {.file = own.get(), .kind = IoKind::kWrite, .data = out.data(), .bytes = kShare},
            {.file = own.get(), .kind = IoKind::kSync}};
        engine().run(writes);
        for (const IoRequest& r : writes) EXPECT_EQ(r.error, 0);
        EXPECT_EQ(*read(engine(), *shared, static_cast<uint64_t>(t) * kShare, kShare), bytes);
        EXPECT_EQ(*read(engine(), *own, 0, kShare), bytes);
        own.reset();
        if (round % 3 == 2) {
          EXPECT_OK(disk().remove(name));
        }
      }
    });
  }
  for (auto& t : threads) t.join();
}

// Goal: who reads the message knows what was done, where and on which disk.
TEST_P(DiskConformance, ErrorNamesOperationFileAndDisk) {
  auto file = make("segments/00000001");
  const auto failed = read(engine(), *file, 8192, 4096);
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().message(), "read 4096 bytes at 8192 of segments/00000001 on " + disk().describe());
  EXPECT_EQ(failed.error().errno_value(), EIO);
}

// Goal: any sequence of operations gives what a map of strings gives.  Method: random operations with a
// printed seed.
TEST_P(DiskConformance, RandomOperationsMatchANaiveModel) {
  for (uint64_t seed = 1; seed <= 6; ++seed) {
    const auto rig = GetParam().make();
    EXPECT_EQ(compare_with_model(rig->disk(), rig->engine(), seed, 400), "") << "seed " << seed;
  }
}

}  // namespace
}  // namespace stavefs::test
