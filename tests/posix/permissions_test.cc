// Who may do what.  Method: children of other users try; everything is created and checked by root.

#include <stdio.h>
#include <string.h>

#include "scratch.h"

namespace posix_suite {
namespace {

class Permissions : public Scratch {
 protected:
  static mode_t mode_of(const char* path) { return stat_of(path).st_mode & 07777; }
};

TEST_F(Permissions, StrangerOpensAPrivateFile) {
  put_file("f", "secret", 0600);
  ASSERT_EQ(chown("f", kUser, kUser), 0);
  const auto try_open = [](int flags) { return [flags] { return Fd("f", flags).error(); }; };
  EXPECT_EQ(as_user(kOther, try_open(O_RDONLY)), EACCES);
  EXPECT_EQ(as_user(kOther, try_open(O_WRONLY)), EACCES);
  EXPECT_EQ(as_user(kUser, try_open(O_RDWR)), 0);
  ASSERT_EQ(chmod("f", 0640), 0);
  ASSERT_EQ(chown("f", kUser, kGroup), 0);
  EXPECT_EQ(as_user(kOther, try_open(O_RDONLY)), EACCES);
  EXPECT_EQ(as_user(kOther, kOther, {kGroup}, try_open(O_RDONLY)), 0);
  EXPECT_EQ(as_user(kOther, kOther, {kGroup}, try_open(O_WRONLY)), EACCES);
  EXPECT_EQ(as_user(kOther, [] { return access("f", R_OK) == 0 ? 0 : errno; }), EACCES);
}

TEST_F(Permissions, StrangerChangesADirectory) {
  ASSERT_EQ(mkdir("d", 0755), 0);
  put_file("d/f", "x");
  EXPECT_EQ(as_user(kOther, [] { return Fd("d/new", O_CREAT | O_WRONLY).error(); }), EACCES);
  EXPECT_EQ(as_user(kOther, [] { return error_of(unlink("d/f")); }), EACCES);
  EXPECT_EQ(as_user(kOther, [] { return error_of(rename("d/f", "d/g")); }), EACCES);
  EXPECT_EQ(as_user(kOther, [] { return error_of(mkdir("d/e", 0755)); }), EACCES);
  EXPECT_EQ(as_user(kOther, [] { return error_of(chmod("d/f", 0777)); }), EPERM);
  EXPECT_EQ(as_user(kOther, [] { return error_of(chown("d/f", kOther, kOther)); }), EPERM);
  ASSERT_EQ(chmod("d", 0711), 0);
  EXPECT_EQ(as_user(kOther, [] { return Fd("d", O_RDONLY).error(); }), EACCES);
  EXPECT_EQ(as_user(kOther, [] { return Fd("d/f", O_RDONLY).error(); }), 0);
  ASSERT_EQ(chmod("d", 0744), 0);
  EXPECT_EQ(as_user(kOther, [] { return Fd("d/f", O_RDONLY).error(); }), EACCES);
}

TEST_F(Permissions, StickyDirectoryLetsOthersRemove) {
  ASSERT_EQ(mkdir("d", 0777), 0);
  ASSERT_EQ(chmod("d", 01777), 0);
  EXPECT_EQ(as_user(kUser, [] { return Fd("d/f", O_CREAT | O_WRONLY).error(); }), 0);
  EXPECT_EQ(as_user(kOther, [] { return error_of(unlink("d/f")); }), EPERM);
  EXPECT_EQ(as_user(kOther, [] { return error_of(rename("d/f", "d/g")); }), EPERM);
  EXPECT_EQ(as_user(kUser, [] { return error_of(unlink("d/f")); }), 0);
}

TEST_F(Permissions, NewInodeBelongsToSomebodyElse) {
  ASSERT_EQ(as_user(kUser, kGroup, {},
                    [] {
                      umask(0);
                      if (!Fd("f", O_CREAT | O_WRONLY, 0666).ok() || mkdir("d", 0777) != 0 ||
                          symlink("x", "s") != 0)
                        return 1;
                      return mkfifo("p", 0666) == 0 ? 0 : 2;
                    }),
            0);
  for (const char* path : {"f", "d", "s", "p"}) {
    EXPECT_EQ(stat_of(path).st_uid, kUser) << path;
    EXPECT_EQ(stat_of(path).st_gid, kGroup) << path;
  }
}

TEST_F(Permissions, SetGroupDirectoryDoesNotHandDownItsGroup) {
  ASSERT_EQ(mkdir("d", 0777), 0);
  ASSERT_EQ(chown("d", 0, kGroup), 0);
  ASSERT_EQ(chmod("d", 02777), 0);
  ASSERT_EQ(as_user(kUser,
                    [] {
                      umask(022);
                      if (!Fd("d/f", O_CREAT | O_WRONLY, 0666).ok() || mkdir("d/e", 0777) != 0 ||
                          mkfifo("d/p", 0666) != 0)
                        return 1;
                      return symlink("x", "d/s") == 0 ? 0 : 2;
                    }),
            0);
  for (const char* path : {"d/f", "d/e", "d/p", "d/s"}) EXPECT_EQ(stat_of(path).st_gid, kGroup) << path;
  EXPECT_EQ(mode_of("d/e"), 02755u) << "a new directory hands down as well";
  EXPECT_EQ(mode_of("d/f"), 0644u);
  // Who is not in the group gets no set-group file in it.
  ASSERT_EQ(as_user(kUser, [] { return Fd("d/g", O_CREAT | O_WRONLY, 02755).error(); }), 0);
  EXPECT_EQ(mode_of("d/g"), 0755u);
}

TEST_F(Permissions, OrdinaryOwnerGivesFilesAway) {
  put_file("f", "x");
  ASSERT_EQ(chown("f", kUser, kUser), 0);
  EXPECT_EQ(as_user(kUser, [] { return error_of(chown("f", kOther, static_cast<gid_t>(-1))); }), EPERM);
  EXPECT_EQ(as_user(kUser, [] { return error_of(chown("f", kUser, kGroup)); }), EPERM);
  EXPECT_EQ(as_user(kUser, kUser, {kGroup}, [] { return error_of(chown("f", kUser, kGroup)); }), 0);
  EXPECT_EQ(stat_of("f").st_gid, kGroup);
  // chmod by an owner outside of the group drops set-group.
  EXPECT_EQ(as_user(kUser, [] { return error_of(chmod("f", 02755)); }), 0);
  EXPECT_EQ(mode_of("f"), 0755u);
}

TEST_F(Permissions, StrangersWriteKeepsSetIdBits) {
  struct Way {
    const char* what;
    std::function<int()> change;
  };
  const std::vector<Way> ways = {
      {"write", [] { return pwrite(Fd("f", O_WRONLY), "yyyy", 4, 0) == 4 ? 0 : errno; }},
      {"large write",
       [] { return pwrite(Fd("f", O_WRONLY), noise(300'000, 1).data(), 300'000, 0) == 300'000 ? 0 : errno; }},
      {"append", [] { return write(Fd("f", O_WRONLY | O_APPEND), "z", 1) == 1 ? 0 : errno; }},
      {"truncate", [] { return error_of(truncate("f", 2)); }},
      {"ftruncate", [] { return error_of(ftruncate(Fd("f", O_WRONLY), 1)); }},
      {"O_TRUNC", [] { return Fd("f", O_WRONLY | O_TRUNC).error(); }},
  };
  for (const Way& way : ways) {
    SCOPED_TRACE(way.what);
    put_file("f", "xxxx");
    ASSERT_EQ(chmod("f", 06777), 0);
    EXPECT_EQ(mode_of("f"), 06777u);
    ASSERT_EQ(way.change(), 0);
    EXPECT_EQ(mode_of("f"), 06777u) << "root's writes leave the bits";
    ASSERT_EQ(as_user(kOther, way.change), 0);
    EXPECT_EQ(mode_of("f"), 0777u);
    // The mode alone, which a cache may answer.
    struct statx narrow = {};
    ASSERT_EQ(chmod("f", 06777), 0);
    ASSERT_EQ(statx(AT_FDCWD, "f", 0, STATX_MODE, &narrow), 0);
    ASSERT_EQ(as_user(kOther, way.change), 0);
    ASSERT_EQ(statx(AT_FDCWD, "f", 0, STATX_MODE, &narrow), 0);
    EXPECT_EQ(narrow.stx_mode & 07777, 0777) << "statx of the mode alone";
    // Set-group without group execution is no set-id bit.
    ASSERT_EQ(chmod("f", 02767), 0);
    ASSERT_EQ(as_user(kOther, kOther, {}, way.change), 0);
    EXPECT_EQ(mode_of("f") & 0777, 0767u);
  }
}

TEST_F(Permissions, ChangeOfOwnerKeepsSetIdBits) {
  put_file("f", "x");
  ASSERT_EQ(mkdir("d", 0755), 0);
  ASSERT_EQ(chmod("f", 06755), 0);
  ASSERT_EQ(chmod("d", 02755), 0);
  ASSERT_EQ(chown("f", kUser, kGroup), 0);
  ASSERT_EQ(chown("d", kUser, kGroup), 0);
  EXPECT_EQ(mode_of("f"), 0755u);
  EXPECT_EQ(mode_of("d"), 02755u) << "a directory hands its group down still";
}

TEST_F(Permissions, ProgramsDoNotRun) {
  put_file("script", "#!/bin/sh\nexit 7\n", 0755);
  EXPECT_EQ(in_child([] {
              execl("./script", "script", nullptr);
              return 99;
            }),
            7);
  ASSERT_EQ(chmod("script", 0644), 0);
  EXPECT_EQ(in_child([] {
              execl("./script", "script", nullptr);
              return errno;
            }),
            EACCES);
}

TEST_F(Permissions, TimesAreSetByStrangers) {
  put_file("f", "x", 0666);
  ASSERT_EQ(chmod("f", 0666), 0);
  const auto set_old = [] {
    const timespec times[2] = {{1, 0}, {1, 0}};
    return error_of(utimensat(AT_FDCWD, "f", times, 0));
  };
  const auto touch = [] { return error_of(utimensat(AT_FDCWD, "f", nullptr, 0)); };
  EXPECT_EQ(as_user(kOther, set_old), EPERM);
  EXPECT_EQ(as_user(kOther, touch), 0) << "who may write may say that it is new";
  ASSERT_EQ(chmod("f", 0644), 0);
  EXPECT_EQ(as_user(kOther, touch), EACCES);
}

}  // namespace
}  // namespace posix_suite
