// Attributes: modes, owners, times, sizes, room.  Goal: nanoseconds are kept, and what one call changes every
// later stat shows.

#include <sys/statvfs.h>
#include <time.h>

#include <limits>

#include "scratch.h"

namespace posix_suite {
namespace {

class Attributes : public Scratch {
 protected:
  static void set_times(const char* path, timespec atime, timespec mtime) {
    const timespec times[2] = {atime, mtime};
    ASSERT_EQ(utimensat(AT_FDCWD, path, times, AT_SYMLINK_NOFOLLOW), 0);
  }
};

TEST_F(Attributes, NanosecondsAreLost) {
  put_file("f", "x");
  ASSERT_EQ(mkdir("d", 0755), 0);
  ASSERT_EQ(symlink("f", "s"), 0);
  const std::vector<timespec> times = {{1, 1},
                                       {1'700'000'000, 123'456'789},
                                       {1'234'567'890, 999'999'999},
                                       {0, 0},
                                       {-1, 500'000'000},
                                       {-86'400, 7},
                                       {7'258'118'400, 3}};
  for (const char* path : {"f", "d", "s"}) {
    for (const timespec& time : times) {
      const timespec other = {time.tv_sec + 5, 42};
      set_times(path, time, other);
      const struct stat st = stat_of(path);
      EXPECT_TRUE(same(st.st_atim, time)) << path << " " << time.tv_sec;
      EXPECT_TRUE(same(st.st_mtim, other)) << path << " " << time.tv_sec;
    }
  }
}

TEST_F(Attributes, OmittedTimeIsChanged) {
  put_file("f", "x");
  set_times("f", {100, 1}, {200, 2});
  set_times("f", {0, UTIME_OMIT}, {300, 3});
  EXPECT_TRUE(same(stat_of("f").st_atim, {100, 1}));
  EXPECT_TRUE(same(stat_of("f").st_mtim, {300, 3}));
  const time_t now = time(nullptr);
  set_times("f", {0, UTIME_NOW}, {0, UTIME_OMIT});
  EXPECT_GE(stat_of("f").st_atim.tv_sec, now - 1);
  EXPECT_TRUE(same(stat_of("f").st_mtim, {300, 3}));
}

TEST_F(Attributes, NewInodeHasStrangeTimes) {
  timespec before = {};
  clock_gettime(CLOCK_REALTIME, &before);
  let_time_pass();
  put_file("f", "");
  const struct stat st = stat_of("f");
  let_time_pass();
  timespec after = {};
  clock_gettime(CLOCK_REALTIME, &after);
  for (const timespec& time : {st.st_atim, st.st_mtim, st.st_ctim}) {
    EXPECT_TRUE(later(before, time));
    EXPECT_TRUE(later(time, after));
  }
}

TEST_F(Attributes, ChangeTimeStandsStill) {
  put_file("f", "x");
  const auto expect_ctime_moves = [](const char* what, const std::function<void()>& change) {
    const struct stat before = stat_of("f");
    let_time_pass();
    change();
    EXPECT_TRUE(later(before.st_ctim, stat_of("f").st_ctim)) << what;
  };
  expect_ctime_moves("chmod", [] { EXPECT_EQ(chmod("f", 0600), 0); });
  expect_ctime_moves("chown", [] { EXPECT_EQ(chown("f", 1, 2), 0); });
  expect_ctime_moves("utimensat", [] { set_times("f", {1, 1}, {2, 2}); });
  expect_ctime_moves("truncate", [] { EXPECT_EQ(truncate("f", 100), 0); });
  expect_ctime_moves("link", [] { EXPECT_EQ(link("f", "g"), 0); });
  expect_ctime_moves("unlink", [] { EXPECT_EQ(unlink("g"), 0); });
  expect_ctime_moves("write", [] { put_file("f", "abc"); });
}

TEST_F(Attributes, WriteLeavesTheModificationTime) {
  put_file("f", "x");
  Fd fd("f", O_RDWR);
  for (int i = 0; i < 3; ++i) {
    const struct stat before = stat_of("f");
    let_time_pass();
    ASSERT_EQ(pwrite(fd, "y", 1, i), 1);
    struct stat after = {};
    ASSERT_EQ(fstat(fd, &after), 0);
    EXPECT_TRUE(later(before.st_mtim, after.st_mtim));
    EXPECT_TRUE(same(stat_of("f").st_mtim, after.st_mtim));
  }
  const struct stat before = stat_of("f");
  let_time_pass();
  char byte = 0;
  ASSERT_EQ(pread(fd, &byte, 1, 0), 1);
  EXPECT_TRUE(same(before.st_mtim, stat_of("f").st_mtim)) << "read() is no modification";
  let_time_pass();
  ASSERT_EQ(ftruncate(fd, 1), 0);
  EXPECT_TRUE(later(before.st_mtim, stat_of("f").st_mtim)) << "truncate";
  const struct stat cut = stat_of("f");
  let_time_pass();
  EXPECT_TRUE(Fd("f", O_WRONLY | O_TRUNC).ok());
  EXPECT_TRUE(later(cut.st_mtim, stat_of("f").st_mtim)) << "O_TRUNC";
}

TEST_F(Attributes, TimesSetAfterWritingAreLost) {
  // cp -p and rsync: write, set times, close.  Nothing that happens later may touch them.
  Fd fd("f", O_WRONLY | O_CREAT);
  ASSERT_EQ(write(fd, "0123456789", 10), 10);
  const timespec times[2] = {{111, 1}, {222, 2}};
  ASSERT_EQ(futimens(fd, times), 0);
  ASSERT_EQ(fsync(fd), 0);
  fd.close();
  let_time_pass();
  EXPECT_TRUE(same(stat_of("f").st_mtim, {222, 2}));
  EXPECT_TRUE(same(stat_of("f").st_atim, {111, 1}));
}

TEST_F(Attributes, ParentsTimesStandStill) {
  ASSERT_EQ(mkdir("d", 0755), 0);
  const auto expect_moves = [](const char* what, const std::function<void()>& change) {
    const struct stat before = stat_of("d");
    let_time_pass();
    change();
    EXPECT_TRUE(later(before.st_mtim, stat_of("d").st_mtim)) << what;
    EXPECT_TRUE(later(before.st_ctim, stat_of("d").st_ctim)) << what;
  };
  expect_moves("create", [] { put_file("d/f", "x"); });
  expect_moves("mkdir", [] { EXPECT_EQ(mkdir("d/e", 0755), 0); });
  expect_moves("symlink", [] { EXPECT_EQ(symlink("f", "d/s"), 0); });
  expect_moves("link", [] { EXPECT_EQ(link("d/f", "d/g"), 0); });
  expect_moves("mknod", [] { EXPECT_EQ(mkfifo("d/p", 0644), 0); });
  expect_moves("rename", [] { EXPECT_EQ(rename("d/g", "d/h"), 0); });
  expect_moves("unlink", [] { EXPECT_EQ(unlink("d/h"), 0); });
  expect_moves("rmdir", [] { EXPECT_EQ(rmdir("d/e"), 0); });
  const struct stat before = stat_of("d");
  let_time_pass();
  put_file("d/f", "more");  // exists already
  EXPECT_TRUE(same(before.st_mtim, stat_of("d").st_mtim)) << "a write changes no directory";
}

TEST_F(Attributes, ModeBitsAreLost) {
  put_file("f", "x");
  ASSERT_EQ(mkdir("d", 0755), 0);
  for (mode_t mode = 0; mode <= 07777; mode += 0111) {
    ASSERT_EQ(chmod("f", mode), 0);
    ASSERT_EQ(stat_of("f").st_mode, S_IFREG | mode);
    ASSERT_EQ(chmod("d", mode), 0);
    ASSERT_EQ(stat_of("d").st_mode, S_IFDIR | mode);
  }
  ASSERT_EQ(chmod("d", 0755), 0);
}

TEST_F(Attributes, OwnersAreLost) {
  put_file("f", "x");
  ASSERT_EQ(symlink("f", "s"), 0);
  ASSERT_EQ(chown("f", 70'000, 80'000), 0);
  ASSERT_EQ(chown("f", static_cast<uid_t>(-1), 5), 0);
  ASSERT_EQ(lchown("s", 4'000'000'000u, 7), 0);
  EXPECT_EQ(stat_of("f").st_uid, 70'000u);
  EXPECT_EQ(stat_of("f").st_gid, 5u);
  EXPECT_EQ(stat_of("s").st_uid, 4'000'000'000u);
  EXPECT_EQ(stat_of("s").st_gid, 7u);
}

TEST_F(Attributes, UmaskIsIgnored) {
  umask(027);
  put_file("f", "", 0666);
  ASSERT_EQ(mkdir("d", 0777), 0);
  ASSERT_EQ(mkfifo("p", 0666), 0);
  EXPECT_EQ(stat_of("f").st_mode & 07777, 0640u);
  EXPECT_EQ(stat_of("d").st_mode & 07777, 0750u);
  EXPECT_EQ(stat_of("p").st_mode & 07777, 0640u);
  umask(0);
  put_file("g", "", 0666);
  EXPECT_EQ(stat_of("g").st_mode & 07777, 0666u);
  umask(022);
}

TEST_F(Attributes, BlocksAreUnrelatedToContent) {
  put_file("full", noise(1 << 20, suite_seed()));
  Fd full("full", O_RDWR);
  ASSERT_EQ(fsync(full), 0);
  struct stat st = {};
  ASSERT_EQ(fstat(full, &st), 0);
  EXPECT_GE(st.st_blocks * 512, 1 << 20);
  EXPECT_LE(st.st_blocks * 512, 2 << 20);
  Fd sparse("sparse", O_RDWR | O_CREAT);
  ASSERT_EQ(ftruncate(sparse, off_t{1} << 30), 0);
  ASSERT_EQ(fsync(sparse), 0);
  ASSERT_EQ(fstat(sparse, &st), 0);
  EXPECT_LE(st.st_blocks * 512, 1 << 20);
  EXPECT_GT(st.st_blksize, 0);
}

TEST_F(Attributes, RoomIsImpossible) {
  struct statvfs room = {};
  ASSERT_EQ(statvfs(".", &room), 0);
  EXPECT_GT(room.f_frsize, 0u);
  EXPECT_GE(room.f_blocks, room.f_bfree);
  EXPECT_GE(room.f_bfree, room.f_bavail);
  EXPECT_GT(room.f_bavail, 0u);
  EXPECT_EQ(room.f_namemax, 255u);
}

}  // namespace
}  // namespace posix_suite
