// Random operations on filesystem and model, with remounts and power cuts.

#include "namespace_model.h"

#include <gtest/gtest.h>

#include "base/log.h"
#include "base/rng.h"
#include "fs_world.h"

namespace stavefs::test {
namespace {

class ModelRun {
 public:
  explicit ModelRun(uint64_t seed) : rng_(seed), w_(seed) { history_.push_back(model_); }

  void run(int operations, bool crashes) {
    for (int i = 0; i < operations && !::testing::Test::HasFailure(); ++i) {
      step();
      if (w_.world().crashed()) {
        recover();
        continue;
      }
      if (crashes && rng_.one_in(25)) w_.world().crash_at(w_.world().step_count() + 1 + rng_.below(12));
      if (rng_.one_in(40)) {
        compare("while mounted");
        open_.clear();
        w_.remount();
        if (w_.world().crashed()) {
          recover();
        } else {
          least_ = history_.size() - 1;
          compare("after a remount");
        }
      }
    }
    if (::testing::Test::HasFailure()) return;
    if (w_.world().crashed()) return recover();
    compare("at the end");
  }
  int crashes() const { return crashes_; }
  size_t lost() const { return lost_; }

 private:
  using Path = std::pair<std::string, uint64_t>;

  std::string name() {
    static const char* const kNames[] = {"a", "b", "c", "d", "e", ".f", "\xff\xfe"};
    return kNames[rng_.below(std::size(kNames))];
  }
  Path directory() {
    const auto all = model_.directories();
    return all[rng_.below(all.size())];
  }
  /// A place to put something: seldom the root.
  Path place() {
    Path at = directory();
    for (int i = 0; i < 3 && at.first.empty(); ++i) at = directory();
    return at;
  }
  Path anything() {
    const auto all = model_.everything();
    return all[rng_.below(all.size())];
  }
  static std::string join(const Path& directory, const std::string& name) {
    return directory.first.empty() ? name : directory.first + "/" + name;
  }

  /// Compares the outcomes of a change in `directory` and remembers the state after it.
  void changed(const std::string& what, InodeId directory, int expected, int actual, NamespaceModel before) {
    history_.push_back(model_);
    if (w_.world().crashed()) {
      // The power failed under the operation: it is there or not.
      if (actual != expected) history_.push_back(std::move(before));
      return;
    }
    EXPECT_EQ(actual, expected) << what << "\n" << before.to_text();
    if (actual != 0 || !rng_.one_in(8) || before.to_text() == model_.to_text()) return;
    if (w_.fs().fsyncdir(directory)) least_ = history_.size() - 1;
  }

  void step() {
    NamespaceModel before = model_;
    const Path at = place();
    const InodeId in = w_.at(at.first);
    const std::string child = name();
    const std::string path = join(at, child);
    switch (rng_.below(14)) {
      case 0: {
        const int expected = model_.make(at.second, child, 0040755);
        return changed("mkdir " + path, in, expected, w_.mkdir(path), std::move(before));
      }
      case 1:
      case 2: {
        const int expected = model_.make(at.second, child, 0100644);
        return changed("create " + path, in, expected, w_.create(path), std::move(before));
      }
      case 3: {
        const int expected = model_.make(at.second, child, 0120777, "target");
        return changed("symlink " + path, in, expected, w_.symlink(path, "target"), std::move(before));
      }
      case 4: {
        const Path from = anything();
        const int expected = model_.link(from.second, at.second, child);
        return changed("link " + from.first + " " + path, in, expected, w_.link(from.first, path),
                       std::move(before));
      }
      case 5: {
        const int expected = model_.unlink(at.second, child);
        return changed("unlink " + path, in, expected, w_.unlink(path), std::move(before));
      }
      case 6: {
        const int expected = model_.rmdir(at.second, child);
        return changed("rmdir " + path, in, expected, w_.rmdir(path), std::move(before));
      }
      case 7:
      case 8:
      case 9: {
        const Path from = rng_.one_in(3) ? at : directory();
        const std::string old = name();
        const auto flags = static_cast<uint32_t>(rng_.one_in(3) ? 1 + rng_.below(2) : 0);
        const int expected = model_.rename(from.second, old, at.second, child, flags);
        return changed("rename " + join(from, old) + " " + path + " " + std::to_string(flags), in, expected,
                       w_.rename(join(from, old), path, flags), std::move(before));
      }
      case 10: return attribute(std::move(before));
      case 11: return data();
      case 12: return handle();
      default:
        if (w_.fs().sync()) least_ = history_.size() - 1;
    }
  }

  void attribute(NamespaceModel before) {
    const Path target = anything();
    const InodeId inode = w_.at(target.first);
    if (rng_.one_in(2)) {
      const auto mode = static_cast<uint32_t>(rng_.below(01000));
      const int expected = model_.chmod(target.second, mode);
      const int actual = error_of(w_.fs().setattr(inode, {.set_mode = true, .mode = mode}));
      return changed("chmod " + target.first, inode, expected, actual, std::move(before));
    }
    const std::string value = std::to_string(rng_.below(1000));
    const int expected = model_.set_xattr(target.second, "trusted.x", value);
    const int actual = error_of(w_.fs().setxattr(inode, "trusted.x", value, 0));
    changed("setxattr " + target.first, inode, expected, actual, std::move(before));
  }

  /// Dirty data for renames and removals to meet.
  void data() {
    const Path target = anything();
    if ((model_.node(target.second).mode & 0170000) != 0100000) return;
    const InodeId inode = w_.at(target.first);
    const int error = w_.write(target.first, std::string(1 + rng_.below(200'000), 'w'), rng_.below(1000));
    EXPECT_TRUE(error == 0 || w_.world().crashed()) << error;
    if (!rng_.one_in(3)) return;
    const Status synced = w_.fs().fsync(inode, rng_.one_in(2));
    EXPECT_TRUE(synced || w_.world().crashed());
  }

  /// Open files turn removals into orphans.
  void handle() {
    if (!open_.empty() && rng_.one_in(2)) {
      const InodeId inode = open_.back();
      open_.pop_back();
      EXPECT_TRUE(w_.fs().getattr(inode)) << "an open inode went away";
      w_.fs().release_file(inode);
      return;
    }
    const Path target = anything();
    if ((model_.node(target.second).mode & 0170000) == 0120000) return;
    const InodeId inode = w_.at(target.first);
    EXPECT_TRUE(w_.fs().open_file(inode, false, false));
    open_.push_back(inode);
  }

  /// Power comes back: the namespace must be that after some operation since the last one that was made
  /// durable.
  void recover() {
    static constexpr sim::CrashMode kModes[] = {sim::CrashMode::kDropAll, sim::CrashMode::kKeepAll,
                                                sim::CrashMode::kRandom, sim::CrashMode::kPrefix,
                                                sim::CrashMode::kSingle};
    open_.clear();
    ++crashes_;
    w_.crash(kModes[rng_.below(std::size(kModes))]);
    const std::string found = namespace_text(w_);
    size_t at = history_.size();
    while (at > least_ && history_[at - 1].to_text() != found) --at;
    ASSERT_GT(at, least_) << "after the crash:\n"
                          << found << "what was durable:\n"
                          << history_[least_].to_text() << "the newest:\n"
                          << history_.back().to_text();
    lost_ += history_.size() - at;
    model_ = history_[at - 1];
    history_.assign(1, model_);
    least_ = 0;
    EXPECT_EQ(w_.check_index(), "") << "after a crash";
    for (const auto& [path, inode] : model_.everything()) {
      if ((model_.node(inode).mode & 0170000) != 0100000) continue;
      EXPECT_EQ(w_.read(path).size(), w_.stat(path)->size) << path;
    }
  }

  void compare(const char* when) {
    EXPECT_EQ(namespace_text(w_), model_.to_text()) << when;
    EXPECT_EQ(w_.check_index(), "") << when;
  }

  Rng rng_;
  FsWorld w_;
  NamespaceModel model_;
  std::vector<NamespaceModel> history_;
  size_t least_ = 0;
  std::vector<InodeId> open_;
  int crashes_ = 0;
  size_t lost_ = 0;
};

TEST(NamespaceModel, RandomOperationsGiveTheModelsOutcome) {
  // Goal: every outcome and the whole tree are as the model says, remounts included.  Method: random
  // operations on few names.
  for (uint64_t seed = 1; seed <= 12; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    ModelRun(seed).run(600, false);
    if (HasFailure()) return;
  }
}

TEST(NamespaceModel, CrashLeavesAPrefixOfTheOperations) {
  // Goal: after a power cut at any step the namespace is that after some operation, none before the last
  // durable one. Method: the same with power cuts at random steps, in the middle of mounts and unmounts too.
  log_to_file("/dev/null");  // every crash is an error to the layers below
  int crashes = 0;
  size_t lost = 0;
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    ModelRun run(seed);
    run.run(300, true);
    if (HasFailure()) return;
    crashes += run.crashes();
    lost += run.lost();
  }
  log_to_file("/dev/stderr");
  EXPECT_GT(crashes, 70) << "too few crashes to prove anything";
  EXPECT_GT(lost, 0u) << "no crash took anything back: they all came right after a sync";
}

}  // namespace
}  // namespace stavefs::test
