// Inodes without a name: readable while open, gone at the last close or at the next mount.

#include <gtest/gtest.h>

#include "fs_world.h"
#include "index/keys.h"

namespace stavefs::test {
namespace {

size_t count_keys(FsWorld& w, std::string_view prefix) {
  const auto scan = w.ledger().scan_prefix(prefix);
  size_t count = 0;
  for (; (*scan)->valid(); (*scan)->next()) ++count;
  return count;
}

std::string content(FsWorld& w, InodeId inode, size_t bytes) {
  std::string out(bytes, '\0');
  const auto n = w.fs().read(inode, 0, {reinterpret_cast<uint8_t*>(out.data()), out.size()}, false);
  return n ? out.substr(0, *n) : "errno " + std::to_string(error_of(n));
}

TEST(Orphan, AnOpenFileOutlivesItsName) {
  // Goal: read, write, truncate, fsync and getattr go on; nothing is left at the last of two closes.  Method:
  // just that.
  FsWorld w;
  ASSERT_EQ(w.mkdir("b"), 0);
  const auto made = w.fs().create(w.at("b"), "f", 0644, w.caller);
  ASSERT_TRUE(made);
  const InodeId f = made->id;
  ASSERT_TRUE(w.fs().open_file(f, false, false));
  ASSERT_EQ(w.write("b/f", std::string(300'000, 'a')), 0);
  ASSERT_TRUE(w.fs().setxattr(f, "user.a", "v", 0));
  ASSERT_TRUE(w.fs().sync());
  ASSERT_EQ(w.unlink("b/f"), 0);
  EXPECT_EQ(count_keys(w, "O"), 1u);
  EXPECT_EQ(w.fs().getattr(f)->nlink, 0u);
  EXPECT_EQ(content(w, f, 4), "aaaa");
  const uint8_t z = 'z';
  ASSERT_TRUE(w.fs().write(f, 1, {&z, 1}, false, false));
  EXPECT_EQ(content(w, f, 4), "azaa");
  ASSERT_TRUE(w.fs().fsync(f, false));
  ASSERT_TRUE(w.fs().setattr(f, {.set_size = true, .size = 2}));
  EXPECT_EQ(content(w, f, 4), "az");
  EXPECT_EQ(error_of(w.fs().link(f, w.at("b"), "again")), ENOENT);
  EXPECT_EQ(w.check_index(), "");
  w.fs().release_file(f);
  EXPECT_EQ(content(w, f, 4), "az") << "one descriptor is left";
  w.fs().release_file(f);
  EXPECT_EQ(error_of(w.fs().getattr(f)), ESTALE);
  for (const char* prefix : {"O", "A", "X"}) EXPECT_EQ(count_keys(w, prefix), 0u) << prefix;
  EXPECT_EQ(count_keys(w, "I"), 2u);
  EXPECT_EQ(w.check_index(), "");
}

TEST(Orphan, NothingIsLeftOfAFileThatWasNotOpen) {
  // Goal: unlink erases inode, extents, attributes and dirty data in one change.  Method: stored and dirty
  // files; the index.
  FsWorld w;
  ASSERT_EQ(w.mkdir("b"), 0);
  ASSERT_EQ(w.create("b/stored"), 0);
  ASSERT_EQ(w.write("b/stored", std::string(500'000, 's')), 0);
  ASSERT_TRUE(w.fs().setxattr(w.at("b/stored"), "user.a", "v", 0));
  ASSERT_TRUE(w.fs().sync());
  ASSERT_EQ(w.create("b/dirty"), 0);
  ASSERT_EQ(w.write("b/dirty", std::string(500'000, 'd')), 0);
  EXPECT_GT(w.fs().dirty_bytes(), 0u);
  ASSERT_EQ(w.unlink("b/stored"), 0);
  ASSERT_EQ(w.unlink("b/dirty"), 0);
  EXPECT_EQ(w.fs().dirty_bytes(), 0u);
  for (const char* prefix : {"O", "A", "X"}) EXPECT_EQ(count_keys(w, prefix), 0u) << prefix;
  EXPECT_EQ(w.ledger().live_bytes(GroupId(1)), 0);
  w.crash();
  EXPECT_EQ(w.check_index(), "");
}

TEST(Orphan, AnOpenDirectoryThatIsRemovedIsEmpty) {
  // Goal: an empty listing, and nothing can be made in it.  Method: remove it while it is open; close it.
  FsWorld w;
  ASSERT_EQ(w.mkdir("b"), 0);
  ASSERT_EQ(w.mkdir("b/d"), 0);
  const InodeId d = w.at("b/d");
  ASSERT_TRUE(w.fs().open_file(d, false, false));
  ASSERT_EQ(w.rmdir("b/d"), 0);
  size_t entries = 0;
  EXPECT_TRUE(w.fs().readdir(d, 0, [&](const DirectoryEntry&) {
    ++entries;
    return true;
  }));
  EXPECT_EQ(entries, 0u);
  EXPECT_EQ(error_of(w.fs().create(d, "f", 0644, w.caller)), ENOENT);
  EXPECT_EQ(error_of(w.fs().mkdir(d, "d", 0755, w.caller)), ENOENT);
  EXPECT_EQ(error_of(w.fs().lookup(d, "f")), ENOENT);
  EXPECT_EQ(w.fs().getattr(d)->nlink, 0u);
  w.fs().release_file(d);
  EXPECT_EQ(error_of(w.fs().getattr(d)), ESTALE);
  EXPECT_EQ(w.check_index(), "");
}

TEST(Orphan, AreReapedAtTheNextMount) {
  // Goal: neither a clean unmount nor a crash loses space.  Method: 3,000 open unlinked files, more than are
  // reaped at once, some with data and attributes; mount again and look at the index.
  for (const bool crash : {false, true}) {
    FsWorld w(crash ? 2 : 1);
    ASSERT_EQ(w.mkdir("b"), 0);
    const InodeId b = w.at("b");
    for (int i = 0; i < 3000; ++i) {
      const auto made = w.fs().create(b, "f", 0644, w.caller);
      ASSERT_TRUE(made);
      if (i % 100 == 0) {
        ASSERT_EQ(w.write("b/f", std::string(200'000, 'x')), 0);
        ASSERT_TRUE(w.fs().setxattr(made->id, "user.a", "v", 0));
        ASSERT_TRUE(w.fs().fsync(made->id, false));
      }
      ASSERT_EQ(w.unlink("b/f"), 0);
    }
    const auto open = w.fs().create(b, "kept", 0644, w.caller);
    ASSERT_TRUE(open);
    ASSERT_TRUE(w.fs().sync());
    EXPECT_EQ(count_keys(w, "O"), 3000u);
    EXPECT_EQ(w.fs().bucket("b")->files, 3001);
    if (crash) {
      w.crash();
    } else {
      w.remount();
    }
    for (const char* prefix : {"O", "A", "X"}) EXPECT_EQ(count_keys(w, prefix), 0u) << prefix;
    EXPECT_EQ(count_keys(w, "I"), 3u);
    EXPECT_EQ(w.fs().bucket("b")->files, 1);
    EXPECT_EQ(w.ledger().live_bytes(GroupId(1)), 0);
    EXPECT_EQ(w.check_index(), "");
  }
}

TEST(Orphan, AListedInodeThatHasNamesIsLeftAlone) {
  // Goal: a damaged list deletes no file.  Method: 'O' keys planted for a file that has a name and for one
  // that is not there.
  FsWorld w;
  ASSERT_EQ(w.mkdir("b"), 0);
  ASSERT_EQ(w.create("b/f"), 0);
  ASSERT_EQ(w.write("b/f", "precious"), 0);
  Change change;
  change.index().put(keys::orphan(w.at("b/f")), {});
  change.index().put(keys::orphan(InodeId(12345)), {});
  ASSERT_TRUE(w.ledger().commit(change));
  w.remount();
  EXPECT_EQ(w.read("b/f"), "precious");
}

TEST(Orphan, RemovedBucketWithAnOpenFileInIt) {
  // Goal: the last file of a bucket may outlive the bucket.  Method: unlink it open, delete the bucket,
  // write, close.
  FsWorld w;
  ASSERT_EQ(w.mkdir("b"), 0);
  const auto made = w.fs().create(w.at("b"), "f", 0644, w.caller);
  ASSERT_TRUE(made);
  ASSERT_EQ(w.unlink("b/f"), 0);
  ASSERT_EQ(w.rmdir("b"), 0);
  const std::string text(300'000, 't');
  ASSERT_TRUE(
      w.fs().write(made->id, 0, {reinterpret_cast<const uint8_t*>(text.data()), text.size()}, false, false));
  ASSERT_TRUE(w.fs().sync());
  EXPECT_EQ(content(w, made->id, text.size()), text);
  w.fs().release_file(made->id);
  EXPECT_EQ(count_keys(w, "I"), 1u);
  EXPECT_EQ(count_keys(w, "X"), 0u);
  w.remount();
  EXPECT_EQ(w.check_index(), "");
}

TEST(Orphan, ACallerThatKeepsNumbersLosesAnInode) {
  // Goal: with a caller that forgets, an inode without a name stays until it is forgotten and closed, in
  // either order. Method: unlink and rmdir; then all orders of release and forget; the index.
  FsWorld w;
  w.fs().hold_until_forgotten();
  ASSERT_EQ(w.mkdir("b"), 0);
  for (const bool release_first : {true, false}) {
    const auto made = w.fs().create(w.at("b"), "f", 0644, w.caller);
    ASSERT_TRUE(made);
    ASSERT_EQ(w.write("b/f", "content"), 0);
    ASSERT_EQ(w.unlink("b/f"), 0);
    w.fs().forget(kRootInode);
    if (release_first) {
      w.fs().release_file(made->id);
      EXPECT_EQ(w.fs().getattr(made->id)->nlink, 0u);
      ASSERT_TRUE(w.fs().open_file(made->id, false, false)) << "looked up before the name went";
      EXPECT_EQ(content(w, made->id, 7), "content");
      w.fs().release_file(made->id);
      w.fs().forget(made->id);
    } else {
      w.fs().forget(made->id);
      EXPECT_EQ(content(w, made->id, 7), "content") << "still open";
      w.fs().release_file(made->id);
    }
    EXPECT_EQ(error_of(w.fs().getattr(made->id)), ESTALE);
    EXPECT_EQ(count_keys(w, "O"), 0u);
  }
  ASSERT_EQ(w.mkdir("b/d"), 0);
  const InodeId directory = w.at("b/d");
  ASSERT_EQ(w.rmdir("b/d"), 0);
  EXPECT_EQ(w.fs().getattr(directory)->nlink, 0u);
  w.fs().forget(directory);
  EXPECT_EQ(error_of(w.fs().getattr(directory)), ESTALE);
  // One that has names is not touched.
  ASSERT_EQ(w.create("b/named"), 0);
  const InodeId named = w.at("b/named");
  w.fs().forget(named);
  EXPECT_EQ(w.fs().getattr(named)->nlink, 1u);
  // Nobody forgets before a crash: the next start reaps.
  ASSERT_EQ(w.unlink("b/named"), 0);
  EXPECT_EQ(count_keys(w, "O"), 1u);
  ASSERT_TRUE(w.fs().sync());
  w.crash();
  EXPECT_EQ(count_keys(w, "O"), 0u);
  EXPECT_EQ(w.check_index(), "");
}

}  // namespace
}  // namespace stavefs::test
