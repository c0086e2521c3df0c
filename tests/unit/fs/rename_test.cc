// rename: outcomes, errnos, link counts, times, and what a crash may leave of a replaced file.

#include <gtest/gtest.h>

#include "fs_world.h"

namespace stavefs::test {
namespace {

constexpr uint32_t kNoReplace = FileSystem::kNoReplace;
constexpr uint32_t kExchange = FileSystem::kExchange;

class Rename : public ::testing::Test {
 protected:
  void SetUp() override {
    for (const char* directory : {"b", "b/d1", "b/d2", "b/d1/sub", "b/full", "b/full/x", "other"}) {
      ASSERT_EQ(w.mkdir(directory), 0);
    }
    for (const char* file : {"b/f", "b/g", "b/d1/f1", "other/o"}) {
      ASSERT_EQ(w.create(file), 0);
      ASSERT_EQ(w.write(file, file), 0);
    }
  }
  void TearDown() override {
    EXPECT_EQ(w.check_index(), "");
    w.remount();
    EXPECT_EQ(w.check_index(), "");
  }
  FsWorld w;
};

TEST_F(Rename, MovesAFileAndTouchesWhatPosixSays) {
  // Goal: new name, same inode; ctime of the file, mtime and ctime of both parents.  Method: across
  // directories.
  const auto file = w.stat("b/f");
  const auto from = w.stat("b"), to = w.stat("b/d1");
  ASSERT_EQ(w.rename("b/f", "b/d1/moved"), 0);
  EXPECT_EQ(error_of(w.stat("b/f")), ENOENT);
  const auto moved = w.stat("b/d1/moved");
  EXPECT_EQ(moved->id, file->id);
  EXPECT_EQ(moved->mtime, file->mtime);
  EXPECT_GT(moved->ctime, file->ctime);
  EXPECT_GT(w.stat("b")->mtime, from->mtime);
  EXPECT_GT(w.stat("b")->ctime, from->ctime);
  EXPECT_GT(w.stat("b/d1")->mtime, to->mtime);
  EXPECT_EQ(w.stat("b/d1")->nlink, to->nlink);
  EXPECT_EQ(w.read("b/d1/moved"), "b/f");
}

TEST_F(Rename, MovesADirectoryWithItsDotDot) {
  // Goal: both parents' link counts and "..".  Method: a directory to another one and back.
  const auto b = w.stat("b"), d2 = w.stat("b/d2");
  ASSERT_EQ(w.rename("b/d1", "b/d2/moved"), 0);
  EXPECT_EQ(w.stat("b")->nlink, b->nlink - 1);
  EXPECT_EQ(w.stat("b/d2")->nlink, d2->nlink + 1);
  EXPECT_EQ(*w.fs().resolve("b/d2/moved/.."), d2->id);
  EXPECT_EQ(w.read("b/d2/moved/f1"), "b/d1/f1");
  ASSERT_EQ(w.rename("b/d2/moved", "b/d1"), 0);
  EXPECT_EQ(w.stat("b")->nlink, b->nlink);
}

TEST_F(Rename, ReplacesAFileOrAnEmptyDirectory) {
  // Goal: the target goes.  Method: file over file, directory over empty directory, in place and across.
  const InodeId f = w.at("b/f"), g = w.at("b/g"), d1 = w.at("b/d1");
  ASSERT_EQ(w.rename("b/f", "b/g"), 0);
  EXPECT_EQ(w.at("b/g"), f);
  EXPECT_EQ(error_of(w.fs().getattr(g)), ESTALE);
  EXPECT_EQ(w.read("b/g"), "b/f");
  const auto b = w.stat("b");
  ASSERT_EQ(w.rename("b/d1", "b/d2"), 0);
  EXPECT_EQ(w.at("b/d2"), d1);
  EXPECT_EQ(w.stat("b")->nlink, b->nlink - 1);
  ASSERT_EQ(w.rename("b/d2", "b/full/x"), 0);
  EXPECT_EQ(w.stat("b/full")->nlink, 3u);
  EXPECT_EQ(w.stat("b")->nlink, b->nlink - 2);
}

TEST_F(Rename, ReplacedHardLinkLosesOneName) {
  // Goal: a target with other names lives on.  Method: two names, one of them replaced.
  ASSERT_EQ(w.link("b/g", "b/d1/g2"), 0);
  ASSERT_EQ(w.rename("b/f", "b/g"), 0);
  EXPECT_EQ(w.stat("b/d1/g2")->nlink, 1u);
  EXPECT_EQ(w.read("b/d1/g2"), "b/g");
}

TEST_F(Rename, RefusesWithTheErrnoOfExt4) {
  // Goal: nothing changes and the errno is right.  Method: one wrong request after the other, then the same
  // tree.
  const auto before = w.list("b");
  EXPECT_EQ(w.rename("b/none", "b/x"), ENOENT);
  EXPECT_EQ(w.rename("b/f", "b/f/x"), ENOTDIR);
  EXPECT_EQ(w.rename("b/f", "b/d1"), EISDIR);
  EXPECT_EQ(w.rename("b/d1", "b/f"), ENOTDIR);
  EXPECT_EQ(w.rename("b/d1", "b/full"), ENOTEMPTY);
  EXPECT_EQ(w.rename("b/d1", "b/d1/sub/x"), EINVAL);
  EXPECT_EQ(w.rename("b/d1", "b/d1/x"), EINVAL);
  EXPECT_EQ(w.rename("b/d1/sub", "b/d1"), ENOTEMPTY);
  EXPECT_EQ(w.rename("b/f", "other/f"), EXDEV);
  EXPECT_EQ(w.rename("b/d1", "top"), EXDEV);
  EXPECT_EQ(w.rename("other", "b/other"), EXDEV);
  EXPECT_EQ(w.link("b/f", "other/f"), EXDEV);
  EXPECT_EQ(w.rename("b/f", "b/g", kNoReplace), EEXIST);
  EXPECT_EQ(w.rename("b/f", "b/f", kNoReplace), EEXIST);
  EXPECT_EQ(w.rename("b/f", "b/none", kExchange), ENOENT);
  EXPECT_EQ(w.rename("b/f", "b/g", kExchange | kNoReplace), EINVAL);
  EXPECT_EQ(w.rename("b/f", "b/g", 4), EINVAL);
  EXPECT_EQ(w.rename("b/d1", "b/d1/sub", kExchange), EINVAL);
  EXPECT_EQ(w.rename("b/d1/sub", "b/d1", kExchange), EINVAL);
  EXPECT_EQ(w.list("b"), before);
  EXPECT_EQ(w.rename("b/f", "b/fresh", kNoReplace), 0);
}

TEST_F(Rename, OntoAnotherNameOfTheSameInodeChangesNothing) {
  // Goal: POSIX's odd rule.  Method: two links in one directory and across; and a name onto itself.
  ASSERT_EQ(w.link("b/f", "b/d1/f"), 0);
  const auto before = w.stat("b/f");
  EXPECT_EQ(w.rename("b/f", "b/d1/f"), 0);
  EXPECT_EQ(w.rename("b/f", "b/d1/f", kExchange), 0);
  EXPECT_EQ(w.rename("b/f", "b/f"), 0);
  EXPECT_EQ(w.rename("b/d1", "b/d1"), 0);
  EXPECT_EQ(w.stat("b/f")->nlink, 2u);
  EXPECT_EQ(w.stat("b/f")->ctime, before->ctime);
  EXPECT_TRUE(w.stat("b/d1/f"));
}

TEST_F(Rename, ExchangeSwapsAnyTwoKinds) {
  // Goal: files, directories, and one of each; link counts of both parents.  Method: each pair across
  // directories.
  const InodeId f = w.at("b/f"), f1 = w.at("b/d1/f1"), sub = w.at("b/d1/sub"), full = w.at("b/full");
  ASSERT_EQ(w.rename("b/f", "b/d1/f1", kExchange), 0);
  EXPECT_EQ(w.at("b/f"), f1);
  EXPECT_EQ(w.at("b/d1/f1"), f);
  const auto b = w.stat("b"), d1 = w.stat("b/d1");
  ASSERT_EQ(w.rename("b/full", "b/d1/sub", kExchange), 0);
  EXPECT_EQ(w.at("b/full"), sub);
  EXPECT_EQ(w.at("b/d1/sub"), full);
  EXPECT_EQ(*w.fs().resolve("b/d1/sub/.."), d1->id);
  EXPECT_EQ(*w.fs().resolve("b/full/.."), b->id);
  EXPECT_EQ(w.stat("b")->nlink, b->nlink);
  EXPECT_EQ(w.stat("b/d1")->nlink, d1->nlink);
  ASSERT_EQ(w.rename("b/f", "b/d1/sub", kExchange), 0);
  EXPECT_EQ(w.stat("b")->nlink, b->nlink + 1);
  EXPECT_EQ(w.stat("b/d1")->nlink, d1->nlink - 1);
  EXPECT_EQ(w.at("b/f/x"), w.at("b/f/x"));
}

TEST_F(Rename, OverAnOpenFileKeepsItReadable) {
  // Goal: the replaced file is an orphan until it is closed.  Method: read it through its number afterwards.
  const InodeId g = w.at("b/g");
  ASSERT_TRUE(w.fs().open_file(g, false, false));
  ASSERT_EQ(w.rename("b/f", "b/g"), 0);
  EXPECT_EQ(w.fs().getattr(g)->nlink, 0u);
  char bytes[3];
  const auto n = w.fs().read(g, 0, {reinterpret_cast<uint8_t*>(bytes), 3}, false);
  ASSERT_TRUE(n);
  EXPECT_EQ(std::string(bytes, *n), "b/g");
  w.fs().release_file(g);
  EXPECT_EQ(error_of(w.fs().getattr(g)), ESTALE);
}

void replace_survives(size_t bytes, bool sync_directory) {
  FsWorld w(bytes);
  ASSERT_EQ(w.mkdir("b"), 0);
  ASSERT_EQ(w.create("b/config"), 0);
  ASSERT_EQ(w.write("b/config", "old"), 0);
  ASSERT_TRUE(w.fs().sync());
  const std::string fresh(bytes, 'n');
  ASSERT_EQ(w.create("b/config.tmp"), 0);
  ASSERT_EQ(w.write("b/config.tmp", fresh), 0);
  ASSERT_EQ(w.rename("b/config.tmp", "b/config"), 0);
  if (sync_directory) {
    ASSERT_TRUE(w.fs().fsyncdir(w.at("b")));
  }
  w.crash();
  EXPECT_EQ(w.read("b/config"), sync_directory ? fresh : "old");
  EXPECT_EQ(w.check_index(), "");
}

TEST(RenameCrash, ReplacedFileIsOldOrNewNeverEmpty) {
  // Goal: write, rename without fsync, crash.  Method: contents that go inline, into the journal, and into
  // stripes; with the directory synced the new content must be there, without it the old one is.
  for (const size_t bytes : {size_t{10}, size_t{5'000}, size_t{100'000}, size_t{1'000'000}}) {
    for (const bool sync_directory : {false, true}) {
      SCOPED_TRACE(std::to_string(bytes) + (sync_directory ? " synced" : ""));
      replace_survives(bytes, sync_directory);
    }
  }
}

}  // namespace
}  // namespace stavefs::test
