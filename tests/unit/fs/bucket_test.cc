// Buckets: the directories of the root.

#include <gtest/gtest.h>
#include <sys/stat.h>

#include "fs_world.h"

namespace stavefs::test {
namespace {

TEST(Bucket, MkdirAtTheTopMakesOneWithTheDefaultPolicy) {
  // Goal: directory and bucket are one thing.  Method: make by mkdir and by create_bucket, look from both
  // sides, remount.
  FsWorld w;
  ASSERT_EQ(w.mkdir("plain", 0750), 0);
  const BucketPolicy policy{Geometry{4, 2}, ChecksumKind::kSha256};
  const auto made = w.fs().create_bucket("special", policy, 0700, w.caller);
  ASSERT_TRUE(made);
  EXPECT_EQ(made->policy.geometry, policy.geometry);
  for (int i = 0; i < 2; ++i) {
    const auto buckets = w.fs().list_buckets();
    ASSERT_TRUE(buckets);
    ASSERT_EQ(buckets->size(), 2u);
    EXPECT_EQ((*buckets)[0].name, "plain");
    EXPECT_EQ((*buckets)[0].policy.geometry, (Geometry{2, 1}));
    EXPECT_EQ((*buckets)[1].name, "special");
    EXPECT_EQ((*buckets)[1].policy.checksum, ChecksumKind::kSha256);
    EXPECT_NE((*buckets)[0].id, (*buckets)[1].id);
    EXPECT_EQ((*buckets)[1].root, w.at("special"));
    EXPECT_EQ(w.stat("plain")->mode, 0040750u);
    EXPECT_EQ(*w.fs().getxattr(w.at("special"), "user.stavefs.class"), "4+2");
    EXPECT_EQ(w.check_index(), "");
    w.remount();
  }
}

TEST(Bucket, UsageCountsFilesAndBytes) {
  // Goal: list_buckets tells the truth.  Method: files, directories and links come and go in two buckets.
  FsWorld w;
  ASSERT_EQ(w.mkdir("a"), 0);
  ASSERT_EQ(w.mkdir("b"), 0);
  ASSERT_EQ(w.create("a/f"), 0);
  ASSERT_EQ(w.mkdir("a/d"), 0);
  ASSERT_EQ(w.symlink("a/l", "t"), 0);
  ASSERT_EQ(w.link("a/f", "a/d/f"), 0);
  ASSERT_EQ(w.create("b/f"), 0);
  ASSERT_EQ(w.write("a/f", std::string(10'000, 'x')), 0);
  ASSERT_TRUE(w.fs().sync());
  EXPECT_EQ(w.fs().bucket("a")->files, 3);
  EXPECT_EQ(w.fs().bucket("a")->bytes, 10'000);
  EXPECT_EQ(w.fs().bucket("b")->files, 1);
  ASSERT_EQ(w.unlink("a/f"), 0);
  EXPECT_EQ(w.fs().bucket("a")->files, 3);
  ASSERT_EQ(w.unlink("a/d/f"), 0);
  ASSERT_EQ(w.rmdir("a/d"), 0);
  w.remount();
  EXPECT_EQ(w.fs().bucket("a")->files, 1);
  EXPECT_EQ(w.fs().bucket("a")->bytes, 0);
  EXPECT_EQ(w.check_index(), "");
}

TEST(Bucket, NothingButBucketsStandsAtTheTop) {
  // Goal: EPERM for everything else; reserved names.  Method: every way to make something at the root.
  FsWorld w;
  ASSERT_EQ(w.mkdir("b"), 0);
  ASSERT_EQ(w.create("b/f"), 0);
  EXPECT_EQ(w.create("f"), EPERM);
  EXPECT_EQ(error_of(w.fs().mknod(kRootInode, "fifo", S_IFIFO, 0, w.caller)), EPERM);
  EXPECT_EQ(w.symlink("l", "b"), EPERM);
  EXPECT_EQ(w.link("b/f", "f"), EPERM);
  EXPECT_EQ(w.create("b"), EEXIST);
  EXPECT_EQ(w.symlink("b", "x"), EEXIST);
  EXPECT_EQ(w.unlink("b"), EISDIR);
  EXPECT_EQ(w.mkdir(".versions"), EPERM);
  EXPECT_EQ(w.mkdir(".x"), EPERM);
  EXPECT_EQ(w.rename("b", ".snapshot"), EPERM);
  EXPECT_EQ(w.mkdir("b/.hidden"), 0) << "below a bucket, dots are free";
  EXPECT_EQ(w.mkdir(std::string(256, 'n')), ENAMETOOLONG);
  EXPECT_EQ(w.mkdir(std::string(255, 'n')), 0);
  EXPECT_EQ(w.mkdir("b"), EEXIST);
  EXPECT_EQ(error_of(w.fs().create_bucket("bad", {Geometry{0, 1}, ChecksumKind::kXxh3}, 0755, w.caller)),
            EINVAL);
  EXPECT_EQ(error_of(w.fs().bucket("none")), ENOENT);
  EXPECT_EQ(error_of(w.fs().delete_bucket("none")), ENOENT);
}

TEST(Bucket, DeleteNeedsItEmptyAndFreesTheName) {
  // Goal: ENOTEMPTY, then gone; a new bucket of the name is another one.  Method: delete, make again,
  // remount.
  FsWorld w;
  ASSERT_EQ(w.mkdir("b"), 0);
  ASSERT_EQ(w.create("b/f"), 0);
  const BucketId first = w.fs().bucket("b")->id;
  EXPECT_EQ(error_of(w.fs().delete_bucket("b")), ENOTEMPTY);
  ASSERT_EQ(w.unlink("b/f"), 0);
  EXPECT_EQ(error_of(w.fs().delete_bucket("b")), 0);
  EXPECT_EQ(error_of(w.fs().bucket("b")), ENOENT);
  EXPECT_EQ(error_of(w.stat("b")), ENOENT);
  w.remount();
  ASSERT_EQ(w.mkdir("b"), 0);
  EXPECT_NE(w.fs().bucket("b")->id, first);
  ASSERT_EQ(w.rmdir("b"), 0);
  EXPECT_TRUE(w.fs().list_buckets()->empty());
  EXPECT_EQ(w.check_index(), "");
}

TEST(Bucket, RenameKeepsItsContentAndIdentity) {
  // Goal: rename, replace, exchange, no-replace of buckets; 'B' keys follow.  Method: each, then a remount.
  FsWorld w;
  for (const char* name : {"a", "b", "empty"}) ASSERT_EQ(w.mkdir(name), 0);
  ASSERT_EQ(w.create("a/fa"), 0);
  ASSERT_EQ(w.create("b/fb"), 0);
  const BucketId a = w.fs().bucket("a")->id, b = w.fs().bucket("b")->id;
  EXPECT_EQ(w.rename("a", "b"), ENOTEMPTY);
  EXPECT_EQ(w.rename("a", "empty", FileSystem::kNoReplace), EEXIST);
  ASSERT_EQ(w.rename("a", "b", FileSystem::kExchange), 0);
  EXPECT_EQ(w.fs().bucket("a")->id, b);
  EXPECT_EQ(w.fs().bucket("b")->id, a);
  EXPECT_TRUE(w.stat("b/fa"));
  ASSERT_EQ(w.rename("b", "empty"), 0);
  EXPECT_EQ(w.fs().bucket("empty")->id, a);
  EXPECT_EQ(error_of(w.fs().bucket("b")), ENOENT);
  ASSERT_EQ(w.rename("empty", "c"), 0);
  EXPECT_EQ(w.check_index(), "");
  w.remount();
  EXPECT_EQ(w.fs().list_buckets()->size(), 2u);
  EXPECT_EQ(w.fs().bucket("c")->id, a);
  EXPECT_TRUE(w.stat("c/fa"));
  EXPECT_EQ(w.stat("")->nlink, 4u);
  EXPECT_EQ(w.check_index(), "");
}

}  // namespace
}  // namespace stavefs::test
