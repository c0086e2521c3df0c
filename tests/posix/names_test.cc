// Names: creating, linking and removing them.  Goal: the errno of POSIX and Linux for each, and what every
// name of an inode shows afterwards, through whatever the kernel has cached.

#include <sys/sysmacros.h>

#include "scratch.h"

namespace posix_suite {
namespace {

class Names : public Scratch {};

TEST_F(Names, MissingNameStaysMissingAfterItWasMade) {
  for (int i = 0; i < 3; ++i) EXPECT_EQ(error_of(access("x", F_OK)), ENOENT);
  put_file("x", "1");
  EXPECT_EQ(get_file("x"), "1");
  ASSERT_EQ(unlink("x"), 0);
  EXPECT_EQ(error_of(access("x", F_OK)), ENOENT);
  ASSERT_EQ(mkdir("x", 0755), 0);
  EXPECT_TRUE(S_ISDIR(stat_of("x").st_mode));
  ASSERT_EQ(rmdir("x"), 0);
  ASSERT_EQ(symlink("y", "x"), 0);
  EXPECT_TRUE(S_ISLNK(stat_of("x").st_mode));
}

TEST_F(Names, LengthLimitIsWrong) {
  const std::string longest(255, 'n');
  put_file(longest, "long");
  EXPECT_EQ(get_file(longest), "long");
  EXPECT_EQ(list().count(longest), 1u);
  const std::string too_long(256, 'n');
  EXPECT_EQ(Fd(too_long, O_CREAT | O_WRONLY).error(), ENAMETOOLONG);
  EXPECT_EQ(error_of(mkdir(too_long.c_str(), 0755)), ENAMETOOLONG);
  EXPECT_EQ(error_of(access(too_long.c_str(), F_OK)), ENAMETOOLONG);
  EXPECT_EQ(error_of(rename(longest.c_str(), too_long.c_str())), ENAMETOOLONG);
}

TEST_F(Names, BytesOfANameAreChanged) {
  std::vector<std::string> names = {"\xff\xfe", "new\nline", " ", "-",        "..a", "ümläut", "e\xcc\x81",
                                    "\xc3\xa9", "A",         "a", "\x01\x7f", "\\",  "\t"};
  for (const std::string& name : names) put_file(name, name);
  const auto listed = list();
  EXPECT_EQ(listed.size(), names.size());
  for (const std::string& name : names) {
    EXPECT_EQ(listed.count(name), 1u) << name;
    EXPECT_EQ(get_file(name), name);
  }
}

TEST_F(Names, ExclusiveCreateTakesAnExistingName) {
  EXPECT_TRUE(Fd("f", O_CREAT | O_EXCL | O_RDWR).ok());
  EXPECT_EQ(Fd("f", O_CREAT | O_EXCL | O_RDWR).error(), EEXIST);
  ASSERT_EQ(symlink("nowhere", "s"), 0);
  EXPECT_EQ(Fd("s", O_CREAT | O_EXCL | O_RDWR).error(), EEXIST);
  EXPECT_TRUE(Fd("s", O_CREAT | O_RDWR).ok());  // through the symlink
  EXPECT_TRUE(exists("nowhere"));
  EXPECT_EQ(error_of(mkdir("f", 0755)), EEXIST);
  EXPECT_EQ(error_of(mkdir("s", 0755)), EEXIST);
  EXPECT_EQ(error_of(symlink("z", "f")), EEXIST);
  EXPECT_EQ(error_of(mkfifo("f", 0644)), EEXIST);
}

TEST_F(Names, WrongKindOfObjectIsAccepted) {
  put_file("f", "");
  ASSERT_EQ(mkdir("d", 0755), 0);
  EXPECT_EQ(Fd("d", O_WRONLY).error(), EISDIR);
  EXPECT_EQ(Fd("f", O_RDONLY | O_DIRECTORY).error(), ENOTDIR);
  EXPECT_EQ(Fd("f/x", O_RDONLY).error(), ENOTDIR);
  EXPECT_EQ(error_of(unlink("d")), EISDIR);
  EXPECT_EQ(error_of(rmdir("f")), ENOTDIR);
  EXPECT_EQ(error_of(truncate("d", 0)), EISDIR);
  EXPECT_EQ(error_of(unlink("missing")), ENOENT);
  EXPECT_EQ(error_of(rmdir("missing")), ENOENT);
  EXPECT_EQ(error_of(mkdir("missing/d", 0755)), ENOENT);
}

TEST_F(Names, DirectoryWithEntriesIsRemoved) {
  ASSERT_EQ(mkdir("d", 0755), 0);
  put_file("d/f", "x");
  EXPECT_EQ(error_of(rmdir("d")), ENOTEMPTY);
  ASSERT_EQ(mkdir("d/e", 0755), 0);
  ASSERT_EQ(unlink("d/f"), 0);
  EXPECT_EQ(error_of(rmdir("d")), ENOTEMPTY);
  EXPECT_EQ(error_of(rmdir("d/.")), EINVAL);
  EXPECT_EQ(error_of(rmdir("d/e/..")), ENOTEMPTY);
  ASSERT_EQ(rmdir("d/e"), 0);
  EXPECT_EQ(rmdir("d"), 0);
}

TEST_F(Names, SymlinkTargetIsChanged) {
  for (const size_t length : {1u, 59u, 60u, 255u, 1000u, 1024u, 1025u, 4095u}) {
    const std::string target = noise(length, length).replace(0, 1, "t");
    std::string clean;
    for (const char c : target) clean.push_back(c == '\0' ? '0' : c);
    ASSERT_EQ(symlink(clean.c_str(), "s"), 0) << length;
    std::vector<char> read(5000);
    EXPECT_EQ(readlink("s", read.data(), read.size()), static_cast<ssize_t>(length));
    EXPECT_EQ(std::string(read.data(), length), clean);
    EXPECT_EQ(stat_of("s").st_size, static_cast<off_t>(length));
    ASSERT_EQ(unlink("s"), 0);
  }
  put_file("f", "x");
  char room[8];
  EXPECT_EQ(error_of(readlink("f", room, sizeof room)), EINVAL);
}

TEST_F(Names, SymlinkLoopIsFollowed) {
  ASSERT_EQ(symlink("b", "a"), 0);
  ASSERT_EQ(symlink("a", "b"), 0);
  EXPECT_EQ(Fd("a", O_RDONLY).error(), ELOOP);
  EXPECT_EQ(Fd("a", O_RDONLY | O_NOFOLLOW).error(), ELOOP);
}

TEST_F(Names, HardLinksDisagree) {
  put_file("a", "one");
  let_time_pass();
  const struct stat before = stat_of("a");
  ASSERT_EQ(link("a", "b"), 0);
  EXPECT_EQ(stat_of("a").st_nlink, 2u);
  EXPECT_EQ(stat_of("b").st_nlink, 2u);
  EXPECT_EQ(stat_of("a").st_ino, stat_of("b").st_ino);
  EXPECT_TRUE(later(before.st_ctim, stat_of("a").st_ctim)) << "link() changes ctime";
  put_file("b", "two, longer");
  EXPECT_EQ(get_file("a"), "two, longer");
  EXPECT_EQ(stat_of("a").st_size, 11);
  ASSERT_EQ(mkdir("d", 0755), 0);
  ASSERT_EQ(link("b", "d/c"), 0);
  EXPECT_EQ(stat_of("a").st_nlink, 3u);
  ASSERT_EQ(chmod("d/c", 0600), 0);
  EXPECT_EQ(stat_of("a").st_mode & 07777, 0600u);
  const struct stat linked = stat_of("a");
  let_time_pass();
  ASSERT_EQ(unlink("b"), 0);
  EXPECT_EQ(stat_of("a").st_nlink, 2u);
  EXPECT_EQ(stat_of("d/c").st_nlink, 2u);
  EXPECT_TRUE(later(linked.st_ctim, stat_of("d/c").st_ctim)) << "unlink() of another name changes ctime";
  put_file("x", "x");
  ASSERT_EQ(rename("x", "a"), 0);
  EXPECT_EQ(stat_of("d/c").st_nlink, 1u) << "rename() over a name takes a link away";
  EXPECT_EQ(get_file("d/c"), "two, longer");
}

TEST_F(Names, LinkErrorsAreWrong) {
  put_file("f", "");
  ASSERT_EQ(mkdir("d", 0755), 0);
  EXPECT_EQ(error_of(link("d", "e")), EPERM);
  EXPECT_EQ(error_of(link("f", "d")), EEXIST);
  EXPECT_EQ(error_of(link("f", "f")), EEXIST);
  EXPECT_EQ(error_of(link("missing", "x")), ENOENT);
  ASSERT_EQ(symlink("nowhere", "s"), 0);
  EXPECT_EQ(link("s", "s2"), 0);  // the symlink itself
  EXPECT_TRUE(S_ISLNK(stat_of("s2").st_mode));
}

TEST_F(Names, SpecialFilesLoseTheirKind) {
  ASSERT_EQ(mkfifo("fifo", 0620), 0);
  ASSERT_EQ(mknod("char", S_IFCHR | 0600, makedev(300, 70000)), 0);
  ASSERT_EQ(mknod("block", S_IFBLK | 0600, makedev(8, 1)), 0);
  ASSERT_EQ(mknod("socket", S_IFSOCK | 0600, 0), 0);
  ASSERT_EQ(mknod("plain", S_IFREG | 0640, 0), 0);
  EXPECT_TRUE(S_ISFIFO(stat_of("fifo").st_mode));
  EXPECT_EQ(stat_of("char").st_rdev, makedev(300, 70000));
  EXPECT_EQ(stat_of("block").st_rdev, makedev(8, 1));
  EXPECT_TRUE(S_ISSOCK(stat_of("socket").st_mode));
  EXPECT_EQ(stat_of("plain").st_mode, S_IFREG | 0640u);
  const auto listed = list();
  EXPECT_EQ(listed.at("fifo"), DT_FIFO);
  EXPECT_EQ(listed.at("char"), DT_CHR);
  EXPECT_EQ(listed.at("block"), DT_BLK);
  EXPECT_EQ(listed.at("socket"), DT_SOCK);
  EXPECT_EQ(listed.at("plain"), DT_REG);
  const int reader = in_child([] {
    const Fd out("fifo", O_RDWR | O_NONBLOCK);
    char byte = 'x';
    return ::write(out, &byte, 1) == 1 && ::read(out, &byte, 1) == 1 ? 0 : 1;
  });
  EXPECT_EQ(reader, 0);
}

TEST_F(Names, DirectoryLinkCountIgnoresSubdirectories) {
  ASSERT_EQ(mkdir("d", 0755), 0);
  EXPECT_EQ(stat_of("d").st_nlink, 2u);
  ASSERT_EQ(mkdir("d/a", 0755), 0);
  ASSERT_EQ(mkdir("d/b", 0755), 0);
  put_file("d/f", "");
  EXPECT_EQ(stat_of("d").st_nlink, 4u);
  ASSERT_EQ(mkdir("e", 0755), 0);
  ASSERT_EQ(rename("d/a", "e/a"), 0);
  EXPECT_EQ(stat_of("d").st_nlink, 3u);
  EXPECT_EQ(stat_of("e").st_nlink, 3u);
  ASSERT_EQ(rmdir("d/b"), 0);
  EXPECT_EQ(stat_of("d").st_nlink, 2u);
}

TEST_F(Names, RemovedWorkingDirectoryStillTakesNames) {
  ASSERT_EQ(mkdir("d", 0755), 0);
  const int result = in_child([] {
    if (chdir("d") != 0 || rmdir("../d") != 0) return 1;
    if (Fd("f", O_CREAT | O_WRONLY).error() != ENOENT) return 2;
    if (mkdir("e", 0755) == 0 || errno != ENOENT) return 3;
    return 0;
  });
  EXPECT_EQ(result, 0);
  EXPECT_FALSE(exists("d"));
}

}  // namespace
}  // namespace posix_suite
