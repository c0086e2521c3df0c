// Extended attributes: limits, errnos, namespaces, the computed ones.

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>

#include "fs_world.h"

namespace stavefs::test {
namespace {

class Xattr : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_EQ(w.mkdir("b"), 0);
    ASSERT_EQ(w.create("b/f"), 0);
    f = w.at("b/f");
  }
  int set(std::string_view name, std::string_view value, uint32_t flags = 0) {
    return error_of(w.fs().setxattr(f, name, value, flags));
  }
  std::string get(std::string_view name) {
    const auto value = w.fs().getxattr(f, name);
    return value ? *value : "errno " + std::to_string(error_of(value));
  }
  FsWorld w;
  InodeId f;
};

TEST_F(Xattr, ValuesOfAnyBytesComeBack) {
  // Goal: every namespace, empty and binary values, replaced values, over a remount.  Method: set, look,
  // remove.
  const std::string binary("a\0\xff\n", 4);
  EXPECT_EQ(set("user.a", binary), 0);
  EXPECT_EQ(set("user.empty", ""), 0);
  EXPECT_EQ(set("trusted.t", "1"), 0);
  EXPECT_EQ(set("security.selinux", "label"), 0);
  EXPECT_EQ(set("system.posix_acl_access", "acl"), 0);
  EXPECT_EQ(set("system.posix_acl_default", "acl2"), 0);
  EXPECT_EQ(set("user.a", "short"), 0);
  EXPECT_EQ(set("user.big", std::string(65536, 'v')), 0);
  w.remount();
  EXPECT_EQ(get("user.a"), "short");
  EXPECT_EQ(get("user.empty"), "");
  EXPECT_EQ(get("user.big"), std::string(65536, 'v'));
  auto names = w.fs().listxattr(f);
  ASSERT_TRUE(names);
  std::sort(names->begin(), names->end());
  EXPECT_EQ(*names, (std::vector<std::string>{"security.selinux", "system.posix_acl_access",
                                              "system.posix_acl_default", "trusted.t", "user.a", "user.big",
                                              "user.empty"}));
  EXPECT_EQ(error_of(w.fs().removexattr(f, "user.a")), 0);
  EXPECT_EQ(get("user.a"), "errno " + std::to_string(ENODATA));
  EXPECT_EQ(error_of(w.fs().removexattr(f, "user.a")), ENODATA);
}

TEST_F(Xattr, ChangesTouchCtimeOnly) {
  // Goal: ctime moves with set and remove, mtime does not.  Method: compare attributes.
  const auto before = w.stat("b/f");
  ASSERT_EQ(set("user.a", "v"), 0);
  const auto middle = w.stat("b/f");
  EXPECT_GT(middle->ctime, before->ctime);
  EXPECT_EQ(middle->mtime, before->mtime);
  ASSERT_TRUE(w.fs().removexattr(f, "user.a"));
  EXPECT_GT(w.stat("b/f")->ctime, middle->ctime);
}

TEST_F(Xattr, FlagsDecideBetweenCreateAndReplace) {
  // Goal: EEXIST and ENODATA of setxattr(2).  Method: both flags on both states.
  EXPECT_EQ(set("user.a", "1", FileSystem::kXattrReplace), ENODATA);
  EXPECT_EQ(set("user.a", "1", FileSystem::kXattrCreate), 0);
  EXPECT_EQ(set("user.a", "2", FileSystem::kXattrCreate), EEXIST);
  EXPECT_EQ(set("user.a", "3", FileSystem::kXattrReplace), 0);
  EXPECT_EQ(get("user.a"), "3");
  EXPECT_EQ(set("user.a", "3", 4), EINVAL);
}

TEST_F(Xattr, LimitsGiveTheErrnoOfTheKernel) {
  // Goal: ERANGE, E2BIG, EOPNOTSUPP, EINVAL, ENOSPC.  Method: one beyond each limit.
  EXPECT_EQ(set("", "v"), ERANGE);
  EXPECT_EQ(set("user." + std::string(250, 'n'), "v"), 0);
  EXPECT_EQ(set("user." + std::string(251, 'n'), "v"), ERANGE);
  EXPECT_EQ(set("user.a", std::string(65537, 'v')), E2BIG);
  EXPECT_EQ(set("other.a", "v"), EOPNOTSUPP);
  EXPECT_EQ(set("system.something", "v"), EOPNOTSUPP);
  EXPECT_EQ(set("user.", "v"), EINVAL);
  EXPECT_EQ(error_of(w.fs().getxattr(f, "noname")), EOPNOTSUPP);
  // 256 names of 255 bytes with their NULs are exactly what listxattr(2) can return; one is there already.
  for (int i = 0; i < 255; ++i) {
    const std::string digits = std::to_string(i);
    ASSERT_EQ(set("user." + digits + std::string(250 - digits.size(), 'x'), ""), 0) << i;
  }
  EXPECT_EQ(set("user.more", ""), ENOSPC);
  EXPECT_EQ(set("user." + std::string(250, 'n'), "another value"), 0) << "replacing takes no more room";
  ASSERT_TRUE(w.fs().removexattr(f, "user." + std::string(250, 'n')));
  EXPECT_EQ(set("user.more", ""), 0);
}

TEST_F(Xattr, UserAttributesBelongToFilesAndDirectories) {
  // Goal: EPERM on symlinks and special files, as the kernel says for other filesystems.  Method: each type.
  ASSERT_EQ(w.symlink("b/l", "t"), 0);
  ASSERT_TRUE(w.fs().mknod(w.at("b"), "fifo", S_IFIFO | 0600, 0, w.caller));
  for (const char* path : {"b/l", "b/fifo"}) {
    EXPECT_EQ(error_of(w.fs().setxattr(w.at(path), "user.a", "v", 0)), EPERM);
    EXPECT_EQ(error_of(w.fs().removexattr(w.at(path), "user.a")), EPERM);
    EXPECT_EQ(error_of(w.fs().setxattr(w.at(path), "trusted.a", "v", 0)), 0);
    EXPECT_EQ(error_of(w.fs().getxattr(w.at(path), "user.stavefs.class")), ENODATA);
  }
  EXPECT_EQ(error_of(w.fs().setxattr(w.at("b"), "user.a", "v", 0)), 0);
}

TEST_F(Xattr, GoWithTheirInode) {
  // Goal: no key is left behind, and a hard link shows the same ones.  Method: link, unlink both, look at the
  // index.
  ASSERT_EQ(set("user.a", "v"), 0);
  ASSERT_EQ(w.link("b/f", "b/g"), 0);
  ASSERT_EQ(w.unlink("b/f"), 0);
  EXPECT_EQ(*w.fs().getxattr(w.at("b/g"), "user.a"), "v");
  ASSERT_EQ(w.unlink("b/g"), 0);
  EXPECT_EQ(get("user.a"), "errno " + std::to_string(ESTALE));
  EXPECT_EQ(set("user.a", "v"), ESTALE);
  EXPECT_EQ(w.check_index(), "");
}

TEST_F(Xattr, ComputedOnesSayHowAFileIsStored) {
  // Goal: class, version, health, shards; read-only and not listed.  Method: before and after a shard goes
  // missing.
  ASSERT_EQ(w.write("b/f", std::string(100'000, 'x')), 0);
  ASSERT_TRUE(w.fs().sync());
  EXPECT_EQ(get("user.stavefs.class"), "2+1");
  EXPECT_GT(std::stoull(get("user.stavefs.version")), 0u);
  EXPECT_EQ(get("user.stavefs.health"), "ok");
  EXPECT_EQ(get("user.stavefs.shards"), "1 2+1 0:0 1:1 2:2");
  w.media().degraded.insert(GroupId(1));
  EXPECT_EQ(get("user.stavefs.health"), "degraded");
  EXPECT_EQ(get("user.stavefs.shards"), "1 2+1 0:0 1:1! 2:2");
  EXPECT_EQ(get("user.stavefs.unknown"), "errno " + std::to_string(ENODATA));
  EXPECT_EQ(*w.fs().getxattr(w.at("b"), "user.stavefs.class"), "2+1");
  EXPECT_EQ(*w.fs().getxattr(kRootInode, "user.stavefs.class"), "2+1");
  EXPECT_TRUE(w.fs().listxattr(f)->empty());
  EXPECT_EQ(set("user.stavefs.class", "4+2"), EPERM);
  EXPECT_EQ(error_of(w.fs().removexattr(f, "user.stavefs.health")), EPERM);
}

}  // namespace
}  // namespace stavefs::test
