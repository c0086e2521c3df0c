// Single operations: what they return, which errno, which attributes they change.

#include "fs/file_system.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <set>

#include "fs_world.h"
#include "index/keys.h"

namespace stavefs::test {
namespace {

TEST(FileSystem, NewPoolHasAnEmptyRoot) {
  // Goal: what make_root leaves.  Method: look, then remount and look again.
  FsWorld w;
  for (int i = 0; i < 2; ++i) {
    const auto root = w.stat("");
    ASSERT_TRUE(root);
    EXPECT_EQ(root->id, kRootInode);
    EXPECT_EQ(root->mode, 0040755u);
    EXPECT_EQ(root->nlink, 2u);
    EXPECT_EQ(w.list(""), (std::vector<std::string>{".", ".."}));
    w.remount();
  }
}

TEST(FileSystem, CreateSetsTheAttributesOfPosix) {
  // Goal: owner, mode, times, links; the parent's times.  Method: one file and one directory.
  FsWorld w;
  ASSERT_EQ(w.mkdir("b"), 0);
  const auto before = w.stat("b");
  const auto file = w.fs().create(w.at("b"), "f", 0104754, w.caller);
  ASSERT_TRUE(file);
  EXPECT_EQ(file->mode, 0104754u);
  EXPECT_EQ(file->uid, 1000u);
  EXPECT_EQ(file->gid, 100u);
  EXPECT_EQ(file->nlink, 1u);
  EXPECT_EQ(file->size, 0u);
  EXPECT_EQ(file->atime, file->mtime);
  EXPECT_EQ(file->mtime, file->ctime);
  EXPECT_EQ(file->btime, file->ctime);
  const auto after = w.stat("b");
  EXPECT_GT(after->mtime, before->mtime);
  EXPECT_GT(after->ctime, before->ctime);
  EXPECT_EQ(after->nlink, 2u);
  w.fs().release_file(file->id);
  ASSERT_EQ(w.mkdir("b/d", 01777), 0);
  EXPECT_EQ(w.stat("b/d")->mode, 0041777u);
  EXPECT_EQ(w.stat("b/d")->nlink, 2u);
  EXPECT_EQ(w.stat("b")->nlink, 3u);
  EXPECT_EQ(w.stat("")->nlink, 3u);
  w.remount();
  EXPECT_EQ(w.stat("b/f")->mode, 0104754u);
  EXPECT_EQ(w.stat("b")->mtime, w.stat("b/d")->btime);
  EXPECT_EQ(w.check_index(), "");
}

TEST(FileSystem, UmaskIsAppliedToPermissionsOnly) {
  // Goal: a caller that leaves the mask to us gets it.  Method: mask 077 on files and directories.
  FsWorld w;
  w.caller.umask = 077;
  ASSERT_EQ(w.mkdir("b", 0777), 0);
  ASSERT_EQ(w.create("b/f", 0666), 0);
  EXPECT_EQ(w.stat("b")->mode, 0040700u);
  EXPECT_EQ(w.stat("b/f")->mode, 0100600u);
}

TEST(FileSystem, SetGroupIdDirectoriesPassTheirGroupOn) {
  // Goal: inheritance as on ext4.  Method: a set-group-id directory of another group than the caller's.
  FsWorld w;
  ASSERT_EQ(w.mkdir("b"), 0);
  ASSERT_EQ(w.mkdir("b/d"), 0);
  ASSERT_TRUE(w.fs().setattr(w.at("b/d"), {.set_mode = true, .set_gid = true, .mode = 02775, .gid = 55}));
  ASSERT_EQ(w.create("b/d/f", 0664), 0);
  ASSERT_EQ(w.mkdir("b/d/sub"), 0);
  EXPECT_EQ(w.stat("b/d/f")->gid, 55u);
  EXPECT_EQ(w.stat("b/d/f")->mode, 0100664u);
  EXPECT_EQ(w.stat("b/d/sub")->gid, 55u);
  EXPECT_EQ(w.stat("b/d/sub")->mode, 0042755u);
  ASSERT_EQ(w.mkdir("b/plain"), 0);
  EXPECT_EQ(w.stat("b/plain")->gid, 100u);
}

TEST(FileSystem, NamesThatCannotBeGiveTheirErrno) {
  // Goal: every operation that takes a name checks it.  Method: the three kinds of bad names through all of
  // them.
  FsWorld w;
  ASSERT_EQ(w.mkdir("b"), 0);
  ASSERT_EQ(w.create("b/f"), 0);
  const InodeId b = w.at("b"), f = w.at("b/f");
  FileSystem& fs = w.fs();
  const std::string nul("a\0b", 3);
  for (const auto& [name, expected] :
       std::vector<std::pair<std::string, int>>{{std::string(256, 'n'), ENAMETOOLONG},
                                                {"a/b", EINVAL},
                                                {nul, EINVAL},
                                                {".", EINVAL},
                                                {"..", EINVAL},
                                                {"", EINVAL}}) {
    EXPECT_EQ(error_of(fs.lookup(b, name)), expected);
    EXPECT_EQ(error_of(fs.mknod(b, name, S_IFREG, 0, w.caller)), expected);
    EXPECT_EQ(error_of(fs.create(b, name, 0644, w.caller)), expected);
    EXPECT_EQ(error_of(fs.mkdir(b, name, 0755, w.caller)), expected);
    EXPECT_EQ(error_of(fs.symlink(b, name, "t", w.caller)), expected);
    EXPECT_EQ(error_of(fs.link(f, b, name)), expected);
    EXPECT_EQ(error_of(fs.unlink(b, name)), expected);
    EXPECT_EQ(error_of(fs.rmdir(b, name)), expected);
    EXPECT_EQ(error_of(fs.rename(b, name, b, "x", 0)), expected);
    EXPECT_EQ(error_of(fs.rename(b, "f", b, name, 0)), expected);
  }
  EXPECT_EQ(error_of(fs.lookup(b, std::string(255, 'n'))), ENOENT);
  EXPECT_EQ(w.create("b/" + std::string(255, 'n')), 0);
}

TEST(FileSystem, NamesOfAnyBytesAndDeepPathsWork) {
  // Goal: hostile names.  Method: every byte as a name, then a chain of 2,000 directories, over a remount.
  FsWorld w;
  ASSERT_EQ(w.mkdir("b"), 0);
  for (int byte = 1; byte < 256; ++byte) {
    if (byte == '/' || byte == '.') continue;
    ASSERT_EQ(w.create("b/" + std::string(1, static_cast<char>(byte))), 0) << byte;
  }
  InodeId at = w.at("b");
  for (int i = 0; i < 2000; ++i) {
    const auto made = w.fs().mkdir(at, "deeper", 0755, w.caller);
    ASSERT_TRUE(made);
    at = made->id;
  }
  EXPECT_EQ(error_of(w.fs().rename(w.at("b"), "deeper", at, "loop", 0)), EINVAL);
  w.remount();
  EXPECT_EQ(w.list("b").size(), 2u + 253u + 1u);
  EXPECT_EQ(w.check_index(), "");
}

TEST(FileSystem, ErrnosOfMissingTakenAndWrongKinds) {
  // Goal: ENOENT, EEXIST, ENOTDIR, EISDIR, ENOTEMPTY, ESTALE.  Method: each operation on each wrong thing.
  FsWorld w;
  ASSERT_EQ(w.mkdir("b"), 0);
  ASSERT_EQ(w.mkdir("b/d"), 0);
  ASSERT_EQ(w.create("b/f"), 0);
  ASSERT_EQ(w.create("b/d/inner"), 0);
  FileSystem& fs = w.fs();
  const InodeId b = w.at("b"), f = w.at("b/f");
  EXPECT_EQ(error_of(fs.lookup(b, "none")), ENOENT);
  EXPECT_EQ(error_of(fs.lookup(f, "x")), ENOTDIR);
  EXPECT_EQ(error_of(fs.lookup(InodeId(999999), "x")), ESTALE);
  EXPECT_EQ(w.create("b/f"), EEXIST);
  EXPECT_EQ(w.mkdir("b/f"), EEXIST);
  EXPECT_EQ(w.mkdir("b/d"), EEXIST);
  EXPECT_EQ(w.symlink("b/f", "t"), EEXIST);
  EXPECT_EQ(w.link("b/f", "b/d"), EEXIST);
  EXPECT_EQ(error_of(fs.create(f, "x", 0644, w.caller)), ENOTDIR);
  EXPECT_EQ(error_of(fs.unlink(f, "x")), ENOTDIR);
  EXPECT_EQ(error_of(fs.link(f, f, "x")), ENOTDIR);
  EXPECT_EQ(w.unlink("b/none"), ENOENT);
  EXPECT_EQ(w.unlink("b/d"), EISDIR);
  EXPECT_EQ(w.rmdir("b/f"), ENOTDIR);
  EXPECT_EQ(w.rmdir("b/none"), ENOENT);
  EXPECT_EQ(w.rmdir("b/d"), ENOTEMPTY);
  EXPECT_EQ(w.link("b/d", "b/d2"), EPERM);
  EXPECT_EQ(error_of(fs.getattr(InodeId(999999))), ESTALE);
  EXPECT_EQ(error_of(fs.setattr(InodeId(999999), {.set_mode = true})), ESTALE);
  EXPECT_EQ(error_of(fs.readdir(f, 0, [](const DirectoryEntry&) { return true; })), ENOTDIR);
  EXPECT_EQ(error_of(fs.readlink(f)), EINVAL);
  std::string bytes(10, 'x');
  const std::span<uint8_t> span(reinterpret_cast<uint8_t*>(bytes.data()), bytes.size());
  EXPECT_EQ(error_of(fs.read(b, 0, span, false)), EISDIR);
  EXPECT_EQ(error_of(fs.write(b, 0, span, false, false)), EISDIR);
  EXPECT_EQ(error_of(fs.setattr(b, {.set_size = true})), EISDIR);
  EXPECT_EQ(w.check_index(), "");
}

TEST(FileSystem, SymlinksKeepTheirTarget) {
  // Goal: targets of any bytes up to the limit.  Method: lengths around it, over a remount.
  FsWorld w;
  ASSERT_EQ(w.mkdir("b"), 0);
  const std::string longest(4095, '\xff');
  EXPECT_EQ(w.symlink("b/empty", ""), ENOENT);
  EXPECT_EQ(w.symlink("b/long", std::string(4096, 't')), ENAMETOOLONG);
  ASSERT_EQ(w.symlink("b/l", longest), 0);
  ASSERT_EQ(w.symlink("b/s", "../x"), 0);
  w.remount();
  EXPECT_EQ(*w.fs().readlink(w.at("b/l")), longest);
  EXPECT_EQ(*w.fs().readlink(w.at("b/s")), "../x");
  EXPECT_EQ(w.stat("b/s")->mode, 0120777u);
  EXPECT_EQ(w.stat("b/l")->size, 4095u);
}

TEST(FileSystem, SpecialFilesKeepTypeAndDevice) {
  // Goal: mknod of every type.  Method: all of them, over a remount; what mknod cannot make is refused.
  FsWorld w;
  ASSERT_EQ(w.mkdir("b"), 0);
  const InodeId b = w.at("b");
  const uint64_t device = (uint64_t{8} << 32) | 17;
  for (const uint32_t type : {S_IFIFO, S_IFSOCK, S_IFCHR, S_IFBLK, S_IFREG}) {
    ASSERT_TRUE(w.fs().mknod(b, std::to_string(type), type | 0640, device, w.caller));
  }
  ASSERT_TRUE(w.fs().mknod(b, "plain", 0640, 0, w.caller));
  EXPECT_EQ(error_of(w.fs().mknod(b, "d", S_IFDIR, 0, w.caller)), EPERM);
  EXPECT_EQ(error_of(w.fs().mknod(b, "l", S_IFLNK, 0, w.caller)), EINVAL);
  w.remount();
  for (const uint32_t type : {S_IFIFO, S_IFSOCK, S_IFCHR, S_IFBLK, S_IFREG}) {
    const auto attributes = w.stat("b/" + std::to_string(type));
    ASSERT_TRUE(attributes);
    EXPECT_EQ(attributes->mode, type | 0640);
    EXPECT_EQ(attributes->rdev, type == S_IFCHR || type == S_IFBLK ? device : 0);
  }
  EXPECT_EQ(w.stat("b/plain")->mode, S_IFREG | 0640);
  EXPECT_EQ(error_of(w.fs().setattr(w.at("b/" + std::to_string(S_IFIFO)), {.set_size = true})), EINVAL);
}

TEST(FileSystem, HardLinksShareOneInode) {
  // Goal: nlink, ctime, the parent's times; the inode lives as long as a name.  Method: three names, taken
  // away one by one.
  FsWorld w;
  ASSERT_EQ(w.mkdir("b"), 0);
  ASSERT_EQ(w.mkdir("b/d"), 0);
  ASSERT_EQ(w.create("b/f"), 0);
  ASSERT_EQ(w.write("b/f", "content"), 0);
  const auto before = w.stat("b/f");
  const auto parent = w.stat("b/d");
  ASSERT_EQ(w.link("b/f", "b/d/g"), 0);
  ASSERT_EQ(w.link("b/d/g", "b/h"), 0);
  EXPECT_EQ(w.stat("b/h")->nlink, 3u);
  EXPECT_GT(w.stat("b/f")->ctime, before->ctime);
  EXPECT_GT(w.stat("b/d")->mtime, parent->mtime);
  EXPECT_EQ(w.stat("b/h")->id, before->id);
  w.remount();
  ASSERT_EQ(w.unlink("b/f"), 0);
  const auto middle = w.stat("b/h");
  EXPECT_EQ(middle->nlink, 2u);
  ASSERT_EQ(w.unlink("b/h"), 0);
  EXPECT_GT(w.stat("b/d/g")->ctime, middle->ctime);
  EXPECT_EQ(w.read("b/d/g"), "content");
  ASSERT_EQ(w.unlink("b/d/g"), 0);
  EXPECT_EQ(error_of(w.fs().getattr(before->id)), ESTALE);
  EXPECT_EQ(w.check_index(), "");
}

TEST(FileSystem, LinkCountsHaveALimit) {
  // Goal: EMLINK at 2^31 for files and directories.  Method: a count just below the limit planted in the
  // index.
  FsWorld w;
  ASSERT_EQ(w.mkdir("b"), 0);
  ASSERT_EQ(w.mkdir("b/d"), 0);
  ASSERT_EQ(w.mkdir("b/d/sub"), 0);
  ASSERT_EQ(w.mkdir("b/other"), 0);
  ASSERT_EQ(w.create("b/f"), 0);
  const InodeId ids[] = {w.at("b/d"), w.at("b/f")};
  w.unmount();
  w.mount();
  Change change;
  for (const InodeId id : ids) {
    auto record = InodeRecord::decode(**w.ledger().get(keys::inode(id)));
    ASSERT_TRUE(record);
    record->nlink = (1u << 31) - 1;
    change.index().put(keys::inode(id), record->encode());
  }
  ASSERT_TRUE(w.ledger().commit(change));
  w.remount();
  EXPECT_EQ(w.link("b/f", "b/f1"), 0);
  EXPECT_EQ(w.link("b/f", "b/f2"), EMLINK);
  EXPECT_EQ(w.mkdir("b/d/s1"), 0);
  EXPECT_EQ(w.mkdir("b/d/s2"), EMLINK);
  EXPECT_EQ(w.rename("b/other", "b/d/other"), EMLINK);
  EXPECT_EQ(w.rename("b/d/sub", "b/d/renamed"), 0);
  EXPECT_EQ(w.create("b/d/file"), 0);
}

TEST(FileSystem, SetattrChangesWhatIsAskedFor) {
  // Goal: each field alone, ctime always.  Method: one field after the other, then a remount.
  FsWorld w;
  ASSERT_EQ(w.mkdir("b"), 0);
  ASSERT_EQ(w.create("b/f", 0644), 0);
  const InodeId f = w.at("b/f");
  const auto before = w.stat("b/f");
  auto now = w.fs().setattr(f, {.set_mode = true, .mode = 0100600});
  ASSERT_TRUE(now);
  EXPECT_EQ(now->mode, 0100600u);
  EXPECT_GT(now->ctime, before->ctime);
  EXPECT_EQ(now->mtime, before->mtime);
  now = w.fs().setattr(f, {.set_atime = true, .set_mtime = true, .atime = -5, .mtime = 7});
  EXPECT_EQ(now->atime, -5);
  EXPECT_EQ(now->mtime, 7);
  now = w.fs().setattr(f, {.set_atime = true, .atime_now = true});
  EXPECT_GT(now->atime, before->ctime);
  EXPECT_EQ(now->mtime, 7);
  now = w.fs().setattr(f, {.set_mtime = true, .mtime_now = true});
  EXPECT_GT(now->mtime, before->ctime);
  now = w.fs().setattr(f, {.set_ctime = true, .ctime = 99});
  EXPECT_EQ(now->ctime, 99);
  now = w.fs().setattr(f, {.set_uid = true, .set_gid = true, .uid = 1, .gid = 2});
  EXPECT_EQ(now->uid, 1u);
  EXPECT_EQ(now->gid, 2u);
  w.remount();
  const auto after = w.stat("b/f");
  EXPECT_EQ(after->mode, now->mode);
  EXPECT_EQ(after->uid, 1u);
  EXPECT_EQ(after->gid, 2u);
  EXPECT_EQ(after->atime, now->atime);
  EXPECT_EQ(after->mtime, now->mtime);
  EXPECT_EQ(after->ctime, now->ctime);
}

TEST(FileSystem, SetIdBitsGoWithOwnershipAndWrites) {
  // Goal: chown, writing and truncation take privileges away as ext4 does.  Method: modes with and without
  // group execution.
  FsWorld w;
  ASSERT_EQ(w.mkdir("b"), 0);
  ASSERT_EQ(w.create("b/f"), 0);
  const InodeId f = w.at("b/f");
  const auto mode_after = [&](uint32_t mode, const AttributeChange& change) {
    EXPECT_TRUE(w.fs().setattr(f, {.set_mode = true, .mode = mode}));
    const auto attributes = w.fs().setattr(f, change);
    return attributes ? attributes->mode & 07777 : 0;
  };
  EXPECT_EQ(mode_after(06755, {.set_uid = true, .uid = 3}), 0755u);
  EXPECT_EQ(mode_after(06745, {.set_gid = true, .gid = 3}), 02745u);
  EXPECT_EQ(mode_after(06755, {.set_mode = true, .set_uid = true, .mode = 06711, .uid = 4}), 06711u);
  EXPECT_EQ(mode_after(06755, {.set_size = true, .kill_privileges = true}), 0755u);
  EXPECT_EQ(mode_after(06755, {.set_size = true}), 06755u);
  EXPECT_EQ(mode_after(06755, {.set_mtime = true, .mtime_now = true}), 06755u);
  ASSERT_TRUE(w.fs().open_file(f, true, true));
  EXPECT_EQ(w.stat("b/f")->mode & 07777, 0755u);
  w.fs().release_file(f);
  EXPECT_TRUE(w.fs().setattr(f, {.set_mode = true, .mode = 06755}));
  const uint8_t byte = 1;
  ASSERT_TRUE(w.fs().write(f, 0, {&byte, 1}, false, true));
  EXPECT_EQ(w.stat("b/f")->mode & 07777, 0755u);
  ASSERT_EQ(w.mkdir("b/d", 02755), 0);
  const auto d = w.fs().setattr(w.at("b/d"), {.set_gid = true, .gid = 9});
  EXPECT_EQ(d->mode & 07777, 02755u);
}

TEST(FileSystem, TruncationIsSeenAtOnceAndAfterARemount) {
  // Goal: sizes through setattr and open, dirty data included.  Method: cut, extend, remount.
  FsWorld w;
  ASSERT_EQ(w.mkdir("b"), 0);
  ASSERT_EQ(w.create("b/f"), 0);
  const InodeId f = w.at("b/f");
  const std::string text(300'000, 'q');
  ASSERT_EQ(w.write("b/f", text), 0);
  auto now = w.fs().setattr(f, {.set_size = true, .size = 100'000});
  ASSERT_TRUE(now);
  EXPECT_EQ(now->size, 100'000u);
  EXPECT_EQ(w.read("b/f"), text.substr(0, 100'000));
  ASSERT_TRUE(w.fs().sync());
  now = w.fs().setattr(f, {.set_size = true, .size = 50'000});
  EXPECT_EQ(w.read("b/f"), text.substr(0, 50'000));
  now = w.fs().setattr(f, {.set_size = true, .size = 60'000});
  EXPECT_EQ(w.read("b/f"), text.substr(0, 50'000) + std::string(10'000, '\0'));
  w.remount();
  EXPECT_EQ(w.read("b/f"), text.substr(0, 50'000) + std::string(10'000, '\0'));
  ASSERT_TRUE(w.fs().open_file(f, true, false));
  EXPECT_EQ(w.stat("b/f")->size, 0u);
  w.fs().release_file(f);
  w.remount();
  EXPECT_EQ(w.read("b/f"), "");
  EXPECT_EQ(w.check_index(), "");
}

TEST(FileSystem, OpeningTheWrongThingsFails) {
  // Goal: errnos of open.  Method: directory, symlink, what is gone.
  FsWorld w;
  ASSERT_EQ(w.mkdir("b"), 0);
  ASSERT_EQ(w.symlink("b/l", "t"), 0);
  EXPECT_EQ(error_of(w.fs().open_file(w.at("b"), true, false)), EISDIR);
  EXPECT_EQ(error_of(w.fs().open_file(w.at("b/l"), false, false)), ELOOP);
  EXPECT_EQ(error_of(w.fs().open_file(InodeId(4711), false, false)), ESTALE);
}

TEST(FileSystem, InodeNumbersAreNeverUsedTwice) {
  // Goal: numbers that a crash took back are not handed out again.  Method: files that nobody synced, a
  // crash, again; and enough files to cross ranges.
  FsWorld w(7);
  ASSERT_EQ(w.mkdir("b"), 0);
  ASSERT_TRUE(w.fs().sync());
  std::set<uint64_t> seen;
  for (int round = 0; round < 5; ++round) {
    for (int i = 0; i < 900; ++i) {
      const auto made =
          w.fs().mknod(w.at("b"), std::to_string(round) + "." + std::to_string(i), S_IFREG, 0, w.caller);
      ASSERT_TRUE(made);
      EXPECT_TRUE(seen.insert(made->id.value).second) << "round " << round << " inode " << made->id.value;
    }
    w.crash();
    EXPECT_EQ(w.list("b").size(), 2u) << "the crash should have taken all of it: nothing was synced";
  }
  for (int i = 0; i < 5000; ++i) {
    const auto made = w.fs().mknod(w.at("b"), std::to_string(i), S_IFREG, 0, w.caller);
    ASSERT_TRUE(made);
    EXPECT_TRUE(seen.insert(made->id.value).second);
  }
}

TEST(FileSystem, StatfsFollowsTheStore) {
  // Goal: df tells the truth.  Method: written data lowers what is free, before and after it's flushed.
  FsWorld w;
  ASSERT_EQ(w.mkdir("b"), 0);
  ASSERT_EQ(w.create("b/f"), 0);
  const auto empty = w.fs().statfs();
  ASSERT_TRUE(empty);
  EXPECT_EQ(empty->blocks, w.media().capacity / 4096);
  EXPECT_EQ(empty->free_blocks, empty->blocks);
  EXPECT_EQ(empty->files - empty->free_files, 3u);
  EXPECT_EQ(empty->name_max, 255u);
  ASSERT_EQ(w.write("b/f", std::string(1 << 20, 'x')), 0);
  EXPECT_EQ(w.fs().statfs()->free_blocks, empty->blocks - 256);
  ASSERT_TRUE(w.fs().sync());
  EXPECT_EQ(w.fs().statfs()->free_blocks, empty->blocks - 256);
}

TEST(FileSystem, ReadOnlyRefusesEveryChange) {
  // Goal: EROFS and no write.  Method: every changing operation on a pool mounted read-only.
  FsWorld w;
  ASSERT_EQ(w.mkdir("b"), 0);
  ASSERT_EQ(w.create("b/f"), 0);
  ASSERT_EQ(w.write("b/f", "data"), 0);
  w.unmount();
  w.options().read_only = true;
  w.mount();
  FileSystem& fs = w.fs();
  const InodeId b = w.at("b"), f = w.at("b/f");
  EXPECT_EQ(w.read("b/f"), "data");
  EXPECT_EQ(w.mkdir("c"), EROFS);
  EXPECT_EQ(w.mkdir("b/c"), EROFS);
  EXPECT_EQ(w.create("b/c"), EROFS);
  EXPECT_EQ(w.symlink("b/c", "t"), EROFS);
  EXPECT_EQ(w.link("b/f", "b/c"), EROFS);
  EXPECT_EQ(w.unlink("b/f"), EROFS);
  EXPECT_EQ(w.rmdir("b"), EROFS);
  EXPECT_EQ(w.rename("b/f", "b/g"), EROFS);
  EXPECT_EQ(w.write("b/f", "x"), EROFS);
  EXPECT_EQ(error_of(fs.setattr(f, {.set_mode = true})), EROFS);
  EXPECT_EQ(error_of(fs.setxattr(f, "user.a", "v", 0)), EROFS);
  EXPECT_EQ(error_of(fs.removexattr(f, "user.a")), EROFS);
  EXPECT_EQ(error_of(fs.open_file(f, true, false)), EROFS);
  EXPECT_EQ(error_of(fs.open_file(f, false, false)), 0);
  EXPECT_EQ(error_of(fs.fsync(f, false)), 0);
  EXPECT_EQ(error_of(fs.fsyncdir(b)), 0);
  EXPECT_EQ(error_of(fs.sync()), 0);
}

TEST(FileSystem, ResolveWalksPaths) {
  // Goal: the paths that `info` takes.  Method: empty components, dots, what is not there.
  FsWorld w;
  ASSERT_EQ(w.mkdir("b"), 0);
  ASSERT_EQ(w.mkdir("b/d"), 0);
  ASSERT_EQ(w.create("b/d/f"), 0);
  EXPECT_EQ(*w.fs().resolve(""), kRootInode);
  EXPECT_EQ(*w.fs().resolve("b//d/./f"), w.at("b/d/f"));
  EXPECT_EQ(*w.fs().resolve("b/d/../d/f"), w.at("b/d/f"));
  EXPECT_EQ(*w.fs().resolve("../.."), kRootInode);
  EXPECT_EQ(error_of(w.fs().resolve("b/x/f")), ENOENT);
  EXPECT_EQ(error_of(w.fs().resolve("b/d/f/x")), ENOTDIR);
}

TEST(FileSystem, LayoutShowsWhereBytesAre) {
  // Goal: dirty, inline and stored bytes.  Method: a file of each kind, before and after a sync.
  FsWorld w;
  ASSERT_EQ(w.mkdir("b"), 0);
  ASSERT_EQ(w.create("b/small"), 0);
  ASSERT_EQ(w.create("b/big"), 0);
  ASSERT_EQ(w.write("b/small", "tiny"), 0);
  ASSERT_EQ(w.write("b/big", std::string(600'000, 'x')), 0);
  auto big = w.fs().layout(w.at("b/big"));
  ASSERT_TRUE(big);
  EXPECT_EQ(big->dirty_bytes, 600'000u);
  EXPECT_EQ(big->bucket.name, "b");
  EXPECT_TRUE(big->extents.empty());
  ASSERT_TRUE(w.fs().sync());
  big = w.fs().layout(w.at("b/big"));
  EXPECT_EQ(big->dirty_bytes, 0u);
  uint64_t end = 0;
  for (const auto& extent : big->extents) {
    EXPECT_EQ(extent.file_offset, end);
    end += extent.length;
  }
  EXPECT_EQ(end, 600'000u);
  const auto small = w.fs().layout(w.at("b/small"));
  EXPECT_EQ(small->inline_bytes, 4u);
  EXPECT_TRUE(small->extents.empty());
}

TEST(FileSystem, ADanglingDentryIsEioAndNothingIsDeleted) {
  // Goal: a damaged index makes no operation hang, and none removes what it cannot read.  Method: an inode's
  // key taken away, and a dentry that says a wrong type.
  FsWorld w;
  ASSERT_EQ(w.mkdir("b"), 0);
  ASSERT_EQ(w.create("b/f"), 0);
  ASSERT_EQ(w.mkdir("b/d"), 0);
  ASSERT_EQ(w.create("b/d/inner"), 0);
  const InodeId f = w.at("b/f"), d = w.at("b/d");
  std::string dentry_key;
  {
    const auto scan = w.ledger().scan_prefix(keys::dentry_prefix(w.at("b")));
    for (; (*scan)->valid(); (*scan)->next()) {
      if ((*scan)->key().ends_with("d")) dentry_key = (*scan)->key();
    }
  }
  Change change;
  change.index().erase(keys::inode(f));
  std::string file_type;
  ByteWriter writer(file_type);
  writer.u64(d.value);
  writer.u8(8);
  change.index().put(dentry_key, file_type);
  ASSERT_TRUE(w.ledger().commit(change));
  w.remount();
  EXPECT_EQ(error_of(w.fs().lookup(w.at("b"), "f")), EIO);
  EXPECT_EQ(w.unlink("b/f"), EIO);
  EXPECT_EQ(w.rename("b/f", "b/g"), EIO);
  EXPECT_EQ(w.unlink("b/d"), EIO);
  EXPECT_EQ(w.list("b").size(), 4u);
  EXPECT_TRUE(w.fs().lookup(d, "inner"));
}

}  // namespace
}  // namespace stavefs::test
