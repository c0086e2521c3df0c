// rename(2), renameat2(2).  Goal: each pair of source and target kinds, and what is seen of both afterwards.

#include <linux/fs.h>
#include <stdio.h>

#include "scratch.h"

namespace posix_suite {
namespace {

class Rename : public Scratch {
 protected:
  static int rename2(const char* from, const char* to, unsigned flags) {
    return renameat2(AT_FDCWD, from, AT_FDCWD, to, flags);
  }
};

TEST_F(Rename, KindsOfTargetAreNotChecked) {
  put_file("f", "f");
  put_file("g", "g");
  ASSERT_EQ(mkdir("d", 0755), 0);
  ASSERT_EQ(mkdir("empty", 0755), 0);
  ASSERT_EQ(mkdir("full", 0755), 0);
  put_file("full/x", "x");
  EXPECT_EQ(error_of(rename("f", "d")), EISDIR);
  EXPECT_EQ(error_of(rename("d", "f")), ENOTDIR);
  EXPECT_EQ(error_of(rename("d", "full")), ENOTEMPTY);
  EXPECT_EQ(error_of(rename("missing", "f")), ENOENT);
  EXPECT_EQ(error_of(rename("d", "d/inside")), EINVAL);
  EXPECT_EQ(error_of(rename("full/x", "missing/x")), ENOENT);
  EXPECT_EQ(rename("d", "empty"), 0);
  EXPECT_FALSE(exists("d"));
  EXPECT_EQ(rename("f", "g"), 0);
  EXPECT_FALSE(exists("f"));
  EXPECT_EQ(get_file("g"), "f");
}

TEST_F(Rename, TwoNamesOfOneInodeLoseOne) {
  put_file("a", "x");
  ASSERT_EQ(link("a", "b"), 0);
  EXPECT_EQ(rename("a", "b"), 0);  // POSIX: does nothing
  EXPECT_TRUE(exists("a"));
  EXPECT_TRUE(exists("b"));
  EXPECT_EQ(stat_of("a").st_nlink, 2u);
  EXPECT_EQ(rename("a", "a"), 0);
  EXPECT_EQ(get_file("a"), "x");
}

TEST_F(Rename, ReplacedFileLosesItsContentForOpenDescriptors) {
  put_file("old", "old content");
  put_file("new", "new");
  Fd fd("old", O_RDONLY);
  ASSERT_EQ(rename("new", "old"), 0);
  char buffer[32] = {};
  EXPECT_EQ(pread(fd, buffer, sizeof buffer, 0), 11);
  EXPECT_STREQ(buffer, "old content");
  struct stat st = {};
  ASSERT_EQ(fstat(fd, &st), 0);
  EXPECT_EQ(st.st_nlink, 0u);
  EXPECT_EQ(get_file("old"), "new");
}

TEST_F(Rename, NoReplaceReplaces) {
  put_file("a", "a");
  put_file("b", "b");
  EXPECT_EQ(error_of(rename2("a", "b", RENAME_NOREPLACE)), EEXIST);
  EXPECT_EQ(get_file("b"), "b");
  EXPECT_EQ(rename2("a", "c", RENAME_NOREPLACE), 0);
  EXPECT_EQ(get_file("c"), "a");
  EXPECT_EQ(error_of(rename2("b", "c", RENAME_NOREPLACE | RENAME_EXCHANGE)), EINVAL);
}

TEST_F(Rename, ExchangeLosesOneSide) {
  put_file("f", "file");
  ASSERT_EQ(mkdir("d", 0755), 0);
  ASSERT_EQ(mkdir("d/sub", 0755), 0);
  ASSERT_EQ(mkdir("e", 0755), 0);
  put_file("e/g", "g");
  ASSERT_EQ(rename2("f", "d/sub", RENAME_EXCHANGE), 0);
  EXPECT_EQ(get_file("d/sub"), "file");
  EXPECT_TRUE(S_ISDIR(stat_of("f").st_mode));
  EXPECT_EQ(stat_of("d").st_nlink, 2u);
  EXPECT_EQ(stat_of("f/..").st_ino, stat_of(".").st_ino);
  EXPECT_EQ(error_of(rename2("f", "missing", RENAME_EXCHANGE)), ENOENT);
  EXPECT_EQ(rename2("d", "e", RENAME_EXCHANGE), 0);
  EXPECT_EQ(get_file("d/g"), "g");
  EXPECT_EQ(get_file("e/sub"), "file");
}

TEST_F(Rename, MovedDirectoryKeepsItsOldParent) {
  ASSERT_EQ(mkdir("a", 0755), 0);
  ASSERT_EQ(mkdir("b", 0755), 0);
  ASSERT_EQ(mkdir("a/d", 0755), 0);
  put_file("a/d/f", "x");
  ASSERT_EQ(rename("a/d", "b/d"), 0);
  EXPECT_EQ(stat_of("b/d/..").st_ino, stat_of("b").st_ino);
  EXPECT_EQ(get_file("b/d/f"), "x");
  EXPECT_EQ(error_of(access("a/d/f", F_OK)), ENOENT);
  EXPECT_TRUE(list("a").empty());
  EXPECT_EQ(list("b").size(), 1u);
  // The listing itself names the new parent.
  DIR* directory = opendir("b/d");
  ASSERT_NE(directory, nullptr);
  while (const dirent* entry = readdir(directory)) {
    if (std::string(entry->d_name) == "..") {
      EXPECT_EQ(entry->d_ino, stat_of("b").st_ino);
    }
  }
  closedir(directory);
}

TEST_F(Rename, DirectoryIsMovedBelowItself) {
  ASSERT_EQ(mkdir("a", 0755), 0);
  ASSERT_EQ(mkdir("a/b", 0755), 0);
  ASSERT_EQ(mkdir("a/b/c", 0755), 0);
  EXPECT_EQ(error_of(rename("a", "a/b/c/d")), EINVAL);
  EXPECT_EQ(error_of(rename2("a", "a/b/c", RENAME_EXCHANGE)), EINVAL);
  EXPECT_EQ(error_of(rename("a/b/c", "a")), ENOTEMPTY);
}

TEST_F(Rename, TimesOfParentsStandStill) {
  ASSERT_EQ(mkdir("a", 0755), 0);
  ASSERT_EQ(mkdir("b", 0755), 0);
  put_file("a/f", "x");
  const struct stat from = stat_of("a"), to = stat_of("b"), file = stat_of("a/f");
  let_time_pass();
  ASSERT_EQ(rename("a/f", "b/f"), 0);
  EXPECT_TRUE(later(from.st_mtim, stat_of("a").st_mtim));
  EXPECT_TRUE(later(to.st_mtim, stat_of("b").st_mtim));
  EXPECT_TRUE(later(from.st_ctim, stat_of("a").st_ctim));
  EXPECT_TRUE(later(file.st_ctim, stat_of("b/f").st_ctim));
  EXPECT_TRUE(same(file.st_mtim, stat_of("b/f").st_mtim)) << "the file's mtime is its content's";
}

TEST_F(Rename, WrittenDataIsLostByTheRename) {
  // What an editor does: write a new file, rename it over, read.
  for (int i = 0; i < 50; ++i) {
    const std::string content = noise(static_cast<size_t>(i) * 997, static_cast<uint64_t>(i));
    put_file("f.tmp", content);
    ASSERT_EQ(rename("f.tmp", "f"), 0);
    ASSERT_EQ(get_file("f"), content);
    ASSERT_EQ(stat_of("f").st_size, static_cast<off_t>(content.size()));
  }
}

TEST_F(Rename, OpenDirectoryHandlesLoseTheirPlace) {
  ASSERT_EQ(mkdir("a", 0755), 0);
  Fd directory("a", O_RDONLY | O_DIRECTORY);
  ASSERT_EQ(rename("a", "b"), 0);
  const int file = openat(directory, "f", O_CREAT | O_WRONLY, 0644);
  ASSERT_GE(file, 0);
  close(file);
  EXPECT_TRUE(exists("b/f"));
}

}  // namespace
}  // namespace posix_suite
