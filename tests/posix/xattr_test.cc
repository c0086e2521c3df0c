// Extended attributes.  Goal: names and values come back byte for byte, errors are those of xattr(7).

#include <string.h>
#include <sys/xattr.h>

#include <set>

#include "scratch.h"

namespace posix_suite {
namespace {

class Xattr : public Scratch {
 protected:
  static int set(const char* path, const std::string& name, const std::string& value, int flags = 0) {
    return error_of(lsetxattr(path, name.c_str(), value.data(), value.size(), flags));
  }
  static std::string get(const char* path, const std::string& name) {
    std::vector<char> room(65536);
    const ssize_t bytes = lgetxattr(path, name.c_str(), room.data(), room.size());
    if (bytes < 0) return "errno " + std::to_string(errno);
    return std::string(room.data(), static_cast<size_t>(bytes));
  }
  static std::set<std::string> names(const char* path) {
    std::vector<char> room(65536);
    const ssize_t bytes = llistxattr(path, room.data(), room.size());
    EXPECT_GE(bytes, 0) << strerror(errno);
    std::set<std::string> found;
    for (ssize_t at = 0; at < bytes; at += static_cast<ssize_t>(strlen(room.data() + at)) + 1) {
      const std::string name = room.data() + at;
      if (name.starts_with("user.")) found.insert(name);
    }
    return found;
  }
};

TEST_F(Xattr, ValueIsChanged) {
  put_file("f", "x");
  ASSERT_EQ(mkdir("d", 0755), 0);
  for (const char* path : {"f", "d"}) {
    const std::string binary = noise(1000, 7), empty;
    EXPECT_EQ(set(path, "user.binary", binary), 0);
    EXPECT_EQ(set(path, "user.empty", empty), 0);
    const std::string long_name = "user." + std::string(250, 'n');
    EXPECT_EQ(set(path, long_name, "long"), 0);
    EXPECT_EQ(get(path, "user.binary"), binary);
    EXPECT_EQ(get(path, "user.empty"), "");
    EXPECT_EQ(get(path, long_name), "long");
    EXPECT_EQ(names(path), (std::set<std::string>{"user.binary", "user.empty", long_name}));
    EXPECT_EQ(set(path, "user.binary", "short"), 0);
    EXPECT_EQ(get(path, "user.binary"), "short");
    EXPECT_EQ(lremovexattr(path, "user.empty"), 0);
    EXPECT_EQ(names(path), (std::set<std::string>{"user.binary", long_name}));
  }
}

TEST_F(Xattr, ErrorsAreWrong) {
  put_file("f", "x");
  ASSERT_EQ(symlink("f", "s"), 0);
  EXPECT_EQ(get("f", "user.none"), "errno " + std::to_string(ENODATA));
  EXPECT_EQ(error_of(lremovexattr("f", "user.none")), ENODATA);
  EXPECT_EQ(set("f", "user.a", "1", XATTR_REPLACE), ENODATA);
  EXPECT_EQ(set("f", "user.a", "1", XATTR_CREATE), 0);
  EXPECT_EQ(set("f", "user.a", "2", XATTR_CREATE), EEXIST);
  EXPECT_EQ(set("f", "user.a", "three", XATTR_REPLACE), 0);
  char small[2];
  EXPECT_EQ(error_of(getxattr("f", "user.a", small, sizeof small)), ERANGE);
  EXPECT_EQ(getxattr("f", "user.a", nullptr, 0), 5);
  EXPECT_EQ(error_of(llistxattr("f", small, sizeof small)), ERANGE);
  EXPECT_EQ(set("s", "user.a", "x"), EPERM) << "user.* stands on files and directories only";
  EXPECT_EQ(set("f", "user." + std::string(251, 'n'), "x"), ERANGE);
  EXPECT_EQ(set("f", "nonsense", "x"), EOPNOTSUPP);
  EXPECT_EQ(set("missing", "user.a", "x"), ENOENT);
}

TEST_F(Xattr, RenameOrLinkLosesThem) {
  put_file("f", "x");
  ASSERT_EQ(set("f", "user.k", "v"), 0);
  const struct stat before = stat_of("f");
  ASSERT_EQ(link("f", "g"), 0);
  ASSERT_EQ(rename("f", "h"), 0);
  EXPECT_EQ(get("g", "user.k"), "v");
  EXPECT_EQ(get("h", "user.k"), "v");
  EXPECT_TRUE(same(before.st_mtim, stat_of("h").st_mtim));
  const struct stat linked = stat_of("h");
  let_time_pass();
  ASSERT_EQ(set("h", "user.k", "w"), 0);
  EXPECT_TRUE(later(linked.st_ctim, stat_of("g").st_ctim)) << "setxattr() changes ctime";
  put_file("new", "");
  EXPECT_TRUE(names("new").empty());
}

TEST_F(Xattr, ManyAttributesAreLost) {
  put_file("f", "x");
  std::set<std::string> expected;
  for (int i = 0; i < 60; ++i) {
    const std::string name = "user.attribute-" + std::to_string(i);
    ASSERT_EQ(set("f", name, noise(30, static_cast<uint64_t>(i))), 0);
    expected.insert(name);
  }
  EXPECT_EQ(names("f"), expected);
  for (int i = 0; i < 60; ++i)
    EXPECT_EQ(get("f", "user.attribute-" + std::to_string(i)), noise(30, static_cast<uint64_t>(i)));
}

TEST_F(Xattr, OthersMaySetThem) {
  put_file("f", "x", 0600);
  ASSERT_EQ(set("f", "trusted.t", "secret"), 0);
  EXPECT_EQ(as_user(kUser, [] { return setxattr("f", "user.a", "1", 1, 0) == 0 ? 0 : errno; }), EACCES);
  EXPECT_EQ(as_user(kUser, [] { return setxattr("f", "trusted.a", "1", 1, 0) == 0 ? 0 : errno; }), EPERM);
  EXPECT_EQ(get("f", "trusted.t"), "secret");
}

}  // namespace
}  // namespace posix_suite
