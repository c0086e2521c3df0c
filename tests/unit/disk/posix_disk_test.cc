// What is particular to a disk that is a directory of the host.

#include "disk/posix_disk.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "rig.h"

namespace stavefs::test {
namespace {

class PosixDiskTest : public ::testing::Test {
 protected:
  ScratchDirectory scratch_{scratch_parent()};
  const std::string path_ = scratch_.path() + "/disk";
  std::unique_ptr<Disk> disk_ = open_disk();

  std::unique_ptr<Disk> open_disk() {
    std::filesystem::create_directory(path_);
    auto disk = open_posix_disk(path_);
    EXPECT_TRUE(disk) << text(disk);
    return std::move(*disk);
  }
  static mode_t mode_of(const std::string& path) {
    struct stat st;
    return ::lstat(path.c_str(), &st) == 0 ? st.st_mode & 07777 : 0;
  }
};

TEST_F(PosixDiskTest, MissingDirectoryAndFileAreTold) {
  EXPECT_CODE(open_posix_disk(scratch_.path() + "/none"), ErrorCode::kNotFound);
  std::ofstream(scratch_.path() + "/file") << "x";
  EXPECT_CODE(open_posix_disk(scratch_.path() + "/file"), ErrorCode::kInvalid);
  EXPECT_EQ(disk_->describe(), path_);
}

// Goal: nobody but the owner reads a pool's files, whatever the umask.
TEST_F(PosixDiskTest, FilesAndDirectoriesArePrivate) {
  const mode_t old = ::umask(0);
  must_open(*disk_, "segments/1", {.create = true});
  ::umask(old);
  EXPECT_EQ(mode_of(path_ + "/segments/1"), 0600u);
  EXPECT_EQ(mode_of(path_ + "/segments"), 0700u);
}

// Goal: when another directory stands at the disk's path, probe says so and nothing is written there.
TEST_F(PosixDiskTest, NothingIsWrittenIntoAStandInDirectory) {
  EXPECT_OK(disk_->probe());
  std::filesystem::rename(path_, path_ + ".moved");
  EXPECT_CODE(disk_->probe(), ErrorCode::kNotFound);
  std::filesystem::create_directory(path_);
  EXPECT_CODE(disk_->probe(), ErrorCode::kNotFound);
  must_open(*disk_, "segments/1", {.create = true});
  EXPECT_TRUE(std::filesystem::is_empty(path_));
  EXPECT_TRUE(std::filesystem::exists(path_ + ".moved/segments/1"));
  std::filesystem::remove(path_);
  std::filesystem::rename(path_ + ".moved", path_);
  EXPECT_OK(disk_->probe());
}

// Goal: a hostile disk cannot lead us elsewhere by links, or stop us by a FIFO.
TEST_F(PosixDiskTest, LinksAndSpecialFilesAreRefused) {
  const std::string outside = scratch_.path() + "/outside";
  std::filesystem::create_directory(outside);
  std::ofstream(outside + "/file") << "secret";
  std::filesystem::create_directory_symlink(outside, path_ + "/segments");
  std::filesystem::create_symlink(outside + "/file", path_ + "/superblock");
  ASSERT_EQ(::mkfifo((path_ + "/fifo").c_str(), 0600), 0);
  for (const char* name : {"segments/file", "segments/new", "superblock"}) {
    SCOPED_TRACE(name);
    EXPECT_FALSE(disk_->open(name, {}));
    EXPECT_FALSE(disk_->open(name, {.create = true, .truncate = true}));
  }
  EXPECT_FALSE(disk_->open("fifo", {}));
  EXPECT_FALSE(disk_->remove("segments/file"));
  EXPECT_FALSE(disk_->list("segments"));
  EXPECT_FALSE(disk_->sync_names("segments"));
  must_open(*disk_, "mine", {.create = true});
  EXPECT_FALSE(disk_->rename("mine", "segments/mine"));
  EXPECT_EQ(std::filesystem::file_size(outside + "/file"), 6u);
  EXPECT_FALSE(std::filesystem::exists(outside + "/new"));
  EXPECT_CODE(lock_posix_disk(*disk_, "superblock"), ErrorCode::kIo);
}

// Goal: allocated space is really taken, and punching gives it back.
TEST_F(PosixDiskTest, AllocateTakesSpaceAndPunchGivesItBack) {
  auto file = must_open(*disk_, "f", {.create = true});
  EXPECT_OK(file->allocate(1 << 20));
  struct stat st;
  ASSERT_EQ(::stat((path_ + "/f").c_str(), &st), 0);
  EXPECT_GE(st.st_blocks * 512, 1 << 20);
  EXPECT_OK(file->punch(0, 512 << 10));
  ASSERT_EQ(::stat((path_ + "/f").c_str(), &st), 0);
  EXPECT_LE(st.st_blocks * 512, (512 << 10) + 65536);
  EXPECT_EQ(st.st_size, 1 << 20);
}

// Goal: the lock is exclusive between descriptors and ends with the last of them.
TEST_F(PosixDiskTest, SecondLockIsBusyUntilTheFirstIsClosed) {
  const auto first = lock_posix_disk(*disk_, "lock");
  ASSERT_TRUE(first) << text(first);
  const auto again = open_disk();
  EXPECT_CODE(lock_posix_disk(*again, "lock"), ErrorCode::kBusy);
  EXPECT_CODE(lock_posix_disk(*again, "../lock"), ErrorCode::kInvalid);
  ::close(*first);
  const auto second = lock_posix_disk(*again, "lock");
  ASSERT_TRUE(second) << text(second);
  ::close(*second);
}

}  // namespace
}  // namespace stavefs::test
