// Many threads in few directories: nothing hangs, nothing contradicts itself, and what is left fits together.

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <mutex>
#include <set>
#include <thread>

#include "base/rng.h"
#include "fs_world.h"
#include "namespace_model.h"

namespace stavefs::test {
namespace {

constexpr int kThreads = 4;
constexpr int kOperations = 4000;

class Worker {
 public:
  Worker(FsWorld& w, uint64_t seed, std::vector<InodeId> directories)
      : w_(w), fs_(w.fs()), rng_(seed), directories_(std::move(directories)) {}

  void run() {
    for (int i = 0; i < kOperations; ++i) step();
    for (const InodeId inode : open_) fs_.release_file(inode);
  }
  /// Errnos that were seen and cannot come from a race of sound operations.
  const std::set<int>& surprises() const { return surprises_; }

 private:
  InodeId directory() { return directories_[rng_.below(directories_.size())]; }
  std::string name() { return std::string(1, static_cast<char>('a' + rng_.below(8))); }

  template <class T>
  bool note(const Result<T>& result) {
    static const std::set<int> kRaces = {0,         ENOENT, EEXIST, ENOTDIR, EISDIR,
                                         ENOTEMPTY, EINVAL, ESTALE, EPERM,   ENODATA};
    if (!kRaces.contains(error_of(result))) surprises_.insert(error_of(result));
    return result.has_value();
  }

  void step() {
    const InodeId at = directory();
    switch (rng_.below(14)) {
      case 0:
      case 1: {
        const auto made = fs_.create(at, name(), 0644, w_.caller);
        if (note(made)) open_.push_back(made->id);
        return;
      }
      case 2: {
        const auto made = fs_.mkdir(at, name(), 0755, w_.caller);
        // Later operations go there too, whether it is still there then or not.
        if (note(made) && directories_.size() < 40) directories_.push_back(made->id);
        return;
      }
      case 3: note(fs_.unlink(at, name())); return;
      case 4: note(fs_.rmdir(at, name())); return;
      case 5:
      case 6:
      case 7:
        note(fs_.rename(at, name(), directory(), name(), rng_.one_in(3) ? 1 + rng_.below(2) : 0));
        return;
      case 8: {
        const auto found = fs_.lookup(at, name());
        if (note(found)) note(fs_.link(found->id, directory(), name()));
        return;
      }
      case 9: list(at); return;
      case 10: {
        if (open_.empty()) return;
        const InodeId inode = open_[rng_.below(open_.size())];
        const std::string bytes(1 + rng_.below(50'000), 'x');
        EXPECT_TRUE(fs_.write(inode, rng_.below(10'000),
                              {reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()}, rng_.one_in(2),
                              false));
        EXPECT_TRUE(fs_.getattr(inode)) << "an open inode went away";
        return;
      }
      case 11: {
        if (open_.empty()) return;
        fs_.release_file(open_.back());
        open_.pop_back();
        return;
      }
      case 12: {
        const auto found = fs_.lookup(at, name());
        if (!note(found)) return;
        note(fs_.setattr(found->id, {.set_mode = true, .mode = 0600}));
        note(fs_.setxattr(found->id, "user.x", "v", 0));
        return;
      }
      default: note(rng_.one_in(2) ? fs_.fsyncdir(at) : fs_.sync()); return;
    }
  }

  void list(InodeId at) {
    std::set<std::string> names;
    note(fs_.readdir(at, 0, [&](const DirectoryEntry& entry) {
      EXPECT_TRUE(names.insert(std::string(entry.name)).second) << entry.name << " twice";
      return true;
    }));
  }

  FsWorld& w_;
  FileSystem& fs_;
  Rng rng_;
  std::vector<InodeId> directories_;
  std::vector<InodeId> open_;
  std::set<int> surprises_;
};

TEST(NamespaceStress, ThreadsInFewDirectoriesLeaveASoundTree) {
  // Goal: link counts, parents, no dangling dentry, no cycle, no lost inode, no deadlock, and memory and
  // index agree. Method: threads on eight names in a few directories that they also move around, with
  // background flushing and a cache so small that inodes come and go; then the whole tree, the index, and
  // both again after a remount.
  for (uint64_t seed = 1; seed <= 3; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    FileSystem::Options options = FsWorld::small_options();
    options.data.threads = 2;
    options.data.flush_after_ns = 1'000'000;
    options.max_cached_inodes = 32;
    FsWorld w(seed, options);
    ASSERT_EQ(w.mkdir("b"), 0);
    std::vector<InodeId> directories = {w.at("b")};
    for (const char* path : {"b/a", "b/b", "b/a/c", "b/a/c/d"}) {
      ASSERT_EQ(w.mkdir(path), 0);
      directories.push_back(w.at(path));
    }
    std::vector<Worker> workers;
    for (int i = 0; i < kThreads; ++i)
      workers.emplace_back(w, seed * 100 + static_cast<uint64_t>(i), directories);
    std::vector<std::thread> threads;
    for (Worker& worker : workers) threads.emplace_back([&worker] { worker.run(); });
    for (std::thread& thread : threads) thread.join();
    for (const Worker& worker : workers) EXPECT_EQ(worker.surprises(), std::set<int>());

    ASSERT_TRUE(w.fs().sync());
    EXPECT_EQ(w.check_index(), "");
    const std::string tree = namespace_text(w);
    EXPECT_EQ(tree.find("error"), std::string::npos) << tree;
    w.remount();
    EXPECT_EQ(namespace_text(w), tree);
    EXPECT_EQ(w.check_index(), "");
    if (HasFailure()) return;
  }
}

TEST(NamespaceStress, OneNameForManyThreads) {
  // Goal: of all who create a name exactly one wins, and of all who remove it too.  Method: rounds of both at
  // once.
  FsWorld w;
  ASSERT_EQ(w.mkdir("b"), 0);
  const InodeId b = w.at("b");
  for (int round = 0; round < 200; ++round) {
    std::array<int, kThreads> outcomes{};
    std::vector<std::thread> threads;
    for (int i = 0; i < kThreads; ++i) {
      threads.emplace_back([&, i] {
        const bool create = round % 2 == 0;
        outcomes[static_cast<size_t>(i)] =
            create ? error_of(w.fs().mknod(b, "f", 0100644, 0, w.caller)) : error_of(w.fs().unlink(b, "f"));
      });
    }
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(std::count(outcomes.begin(), outcomes.end(), 0), 1);
    EXPECT_EQ(std::count(outcomes.begin(), outcomes.end(), round % 2 == 0 ? EEXIST : ENOENT), kThreads - 1);
  }
  EXPECT_EQ(w.check_index(), "");
}

TEST(NamespaceStress, CrossingDirectoryMovesMakeNoCycle) {
  // Goal: a into b and b into a at once: one of them is EINVAL.  Method: two threads, many rounds.
  FsWorld w;
  ASSERT_EQ(w.mkdir("t"), 0);
  const InodeId t = w.at("t");
  for (int round = 0; round < 200; ++round) {
    ASSERT_EQ(w.mkdir("t/a"), 0);
    ASSERT_EQ(w.mkdir("t/b"), 0);
    const InodeId a = w.at("t/a"), b = w.at("t/b");
    int first = 0, second = 0;
    std::thread other([&] { second = error_of(w.fs().rename(t, "b", a, "x", 0)); });
    first = error_of(w.fs().rename(t, "a", b, "x", 0));
    other.join();
    EXPECT_TRUE((first == 0) != (second == 0)) << first << " " << second;
    EXPECT_TRUE(first == 0 || first == EINVAL) << first;
    EXPECT_TRUE(second == 0 || second == EINVAL) << second;
    ASSERT_EQ(w.rmdir(first == 0 ? "t/b/x" : "t/a/x"), 0);
    ASSERT_EQ(w.rmdir(first == 0 ? "t/b" : "t/a"), 0);
  }
  EXPECT_EQ(w.check_index(), "");
}

}  // namespace
}  // namespace stavefs::test
