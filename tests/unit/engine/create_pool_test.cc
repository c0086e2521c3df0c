// Making a pool: every impossible wish is refused before anything is written, whatever was in a directory
// stays as it was, and what was made is found again.  On ordinary directories, as `create --demo` allows
// them.

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <map>

#include "disk/posix_disk.h"
#include "disk/uring_engine.h"
#include "engine/engine.h"
#include "tests/unit/control/scratch_directory.h"

namespace stavefs {
namespace {

namespace fs = std::filesystem;
using testing_support::ScratchDirectory;

class CreatePool : public ::testing::Test {
 protected:
  CreateOptions options(int disks, Geometry geometry) {
    CreateOptions out;
    out.name = "tank";
    out.geometry = geometry;
    out.demo = true;
    for (int i = 1; i <= disks; ++i) {
      out.directories.push_back(scratch_ / ("d" + std::to_string(i)));
      fs::create_directory(out.directories.back());
    }
    return out;
  }
  /// Names, sizes and times of everything below the scratch directory.
  std::map<std::string, std::pair<uint64_t, fs::file_time_type>> snapshot() const {
    std::map<std::string, std::pair<uint64_t, fs::file_time_type>> out;
    for (const auto& entry : fs::recursive_directory_iterator(scratch_.path())) {
      out[entry.path().string()] = {entry.is_regular_file() ? entry.file_size() : 0, entry.last_write_time()};
    }
    return out;
  }
  void expect_refused(const CreateOptions& wish, ErrorCode code, const std::string& part) {
    const auto before = snapshot();
    for (const bool dry_run : {true, false}) {
      CreateOptions tried = wish;
      tried.dry_run = dry_run;
      const auto report = create_pool(tried);
      ASSERT_FALSE(report) << part;
      EXPECT_EQ(report.error().code(), code) << report.error().to_text();
      EXPECT_NE(report.error().message().find(part), std::string::npos) << report.error().message();
      EXPECT_NE(report.error().message().find("nothing was changed"), std::string::npos)
          << report.error().message();
      EXPECT_EQ(snapshot(), before);
    }
  }

  ScratchDirectory scratch_;
};

TEST_F(CreatePool, NamesThatPathsOrPeopleWouldStumbleOverAreRefused) {
  CreateOptions wish = options(2, {1, 1});
  for (const std::string& name : {std::string(), std::string("Tank"), std::string("a b"), std::string("a/b"),
                                  std::string(".."), std::string("-a"), std::string("_a"), std::string("a."),
                                  std::string("t\xc3\xa4nk"), std::string(64, 'a')}) {
    wish.name = name;
    expect_refused(wish, ErrorCode::kInvalid, "cannot be a pool's name");
  }
}

TEST_F(CreatePool, ImpossibleShapesAreRefused) {
  CreateOptions wish = options(3, {4, 2});
  expect_refused(wish, ErrorCode::kInvalid, "needs 6 disks, 3 given");
  for (const Geometry geometry : {Geometry{0, 2}, Geometry{2, 0}, Geometry{60, 5}}) {
    wish.geometry = geometry;
    expect_refused(wish, ErrorCode::kInvalid, "is impossible");
  }
}

TEST_F(CreatePool, WithoutDemoOrdinaryDirectoriesAreRefused) {
  CreateOptions wish = options(2, {1, 1});
  wish.demo = false;
  expect_refused(wish, ErrorCode::kInvalid, "is not a mounted filesystem of its own");
}

TEST_F(CreatePool, SameDirectoryTwiceIsRefused) {
  CreateOptions wish = options(2, {1, 1});
  fs::create_directory_symlink(wish.directories[0], scratch_ / "other-name");
  for (const std::string& twice :
       {wish.directories[0], scratch_ / "other-name", wish.directories[0] + "/."}) {
    CreateOptions tried = wish;
    tried.directories.push_back(twice);
    expect_refused(tried, ErrorCode::kInvalid, "is given twice");
  }
}

TEST_F(CreatePool, WhatIsNotAnEmptyDirectoryIsRefused) {
  CreateOptions wish = options(2, {1, 1});
  wish.directories.push_back(scratch_ / "missing");
  expect_refused(wish, ErrorCode::kNotFound, "missing");
  scratch_.write("file", "x");
  wish.directories.back() = scratch_ / "file";
  expect_refused(wish, ErrorCode::kInvalid, "is not a directory");
  wish.directories.pop_back();
  scratch_.write("d2/.hidden", "x");
  expect_refused(wish, ErrorCode::kExists, ".hidden");
}

TEST_F(CreatePool, DryRunChangesNothingAndTellsTheSame) {
  CreateOptions wish = options(3, {2, 1});
  wish.dry_run = true;
  const auto before = snapshot();
  const auto report = create_pool(wish);
  ASSERT_TRUE(report) << report.error().to_text();
  EXPECT_EQ(snapshot(), before);
  EXPECT_EQ(report->directories.size(), 3u);
  EXPECT_GT(report->usable_bytes, 0u);
  EXPECT_LT(report->usable_bytes, report->raw_bytes / 3 * 2) << "two of three shards are data";
  EXPECT_GT(report->usable_bytes, report->raw_bytes / 3) << "and the reserves are not that large";
  EXPECT_EQ(report->config.metadata_copies, 2);
  const uint32_t segment = report->config.segment_bytes;
  EXPECT_EQ(segment & (segment - 1), 0u);
}

TEST_F(CreatePool, MadePoolIsFoundAndDefended) {
  CreateOptions wish = options(2, {1, 1});
  fs::create_directory(scratch_ / "d1/lost+found");
  const auto report = create_pool(wish);
  ASSERT_TRUE(report) << report.error().to_text();
  auto io = make_uring_engine({});
  ASSERT_TRUE(io);
  for (int i = 0; i < 2; ++i) {
    auto disk = open_posix_disk(wish.directories[static_cast<size_t>(i)]);
    ASSERT_TRUE(disk);
    const auto probe = probe_disk(**disk, **io);
    ASSERT_TRUE(probe);
    EXPECT_TRUE(probe->has_superblock);
    EXPECT_FALSE(probe->formatting);
    EXPECT_EQ(probe->config.id, report->config.id);
    EXPECT_EQ(probe->member.name, "d" + std::to_string(i + 1));
  }
  CreateOptions again = wish;
  again.name = "other";
  expect_refused(again, ErrorCode::kExists, "of pool \"tank\"");

  // A superblock that cannot be read is no licence to make a new one.
  const std::string superblock = wish.directories[0] + "/superblock";
  const auto bytes = fs::file_size(superblock);
  {
    std::fstream file(superblock, std::ios::in | std::ios::out | std::ios::binary);
    for (uint64_t at = 200; at < bytes; at += 4096) file.seekp(static_cast<std::streamoff>(at)).put('\xff');
  }
  expect_refused(again, ErrorCode::kExists, "damaged or unknown");
}

}  // namespace
}  // namespace stavefs
