// A filesystem on a simulated machine that can be unmounted, killed and mounted again.
//
// The metadata path is the real one (pool, journal, index, ledger on simulated disks); data goes to a
// MemoryStore.

#pragma once

#include <gtest/gtest.h>

#include <atomic>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/buffer.h"
#include "base/clock.h"
#include "base/rng.h"
#include "disk/sim/sim_disk.h"
#include "fs/file_system.h"
#include "memory_store.h"
#include "pool/pool.h"
#include "store/ledger.h"

namespace stavefs::test {

/// Goes on by a microsecond with every look, so that no two times are the same.
class StepClock final : public Clock {
 public:
  int64_t realtime_ns() const override { return now_.fetch_add(1000) + offset_; }
  int64_t monotonic_ns() const override { return now_.fetch_add(1000); }
  void set_offset(int64_t ns) { offset_ = ns; }

 private:
  mutable std::atomic<int64_t> now_{1'000'000'000};
  std::atomic<int64_t> offset_{1'700'000'000'000'000'000};
};

class FsWorld {
 public:
  /// Formats a pool of `disks` disks and mounts it.
  explicit FsWorld(uint64_t seed = 1, FileSystem::Options options = small_options());
  ~FsWorld();

  /// No background threads, 2+1.
  static FileSystem::Options small_options();
  FileSystem::Options& options() { return options_; }

  FileSystem& fs() { return *fs_; }
  Ledger& ledger() { return *ledger_; }
  StepClock& clock() { return clock_; }
  MemoryStore::Media& media() { return *media_; }
  sim::SimWorld& world() { return *world_; }

  // Failures fail the test, but for those of a power cut on the way (world().crashed() then).
  void mount();
  void unmount();
  void remount() {
    unmount();
    if (!world_->crashed()) mount();
  }
  /// Power fails and comes back.
  void crash(sim::CrashMode mode = sim::CrashMode::kDropAll);

  // Names by path ("bucket/dir/file"); the last component need not exist.
  InodeId at(std::string_view path);  ///< fails the test when there is nothing
  Result<Attributes> stat(std::string_view path);
  int mkdir(std::string_view path, uint32_t mode = 0755);
  int create(std::string_view path, uint32_t mode = 0644);  ///< and closes it
  int symlink(std::string_view path, std::string_view target);
  int link(std::string_view from, std::string_view to);
  int unlink(std::string_view path);
  int rmdir(std::string_view path);
  int rename(std::string_view from, std::string_view to, uint32_t flags = 0);
  int write(std::string_view path, std::string_view bytes, uint64_t offset = 0);
  std::string read(std::string_view path);
  std::vector<std::string> list(std::string_view path);  ///< names in order of listing, "." and ".." included

  Caller caller{.uid = 1000, .gid = 100};

  /// Compares everything in the index with everything else in it: dentries, link counts, parents, orphans,
  /// usage, buckets. Empty when it fits, else what is wrong.
  std::string check_index();

 private:
  struct Place {
    InodeId parent;
    std::string name;
  };
  Result<Place> place(std::string_view path);
  Status try_mount();
  void stop(bool clean);

  FileSystem::Options options_;
  StepClock clock_;
  BufferPool buffers_{16u << 20};
  std::unique_ptr<sim::SimWorld> world_;
  std::unique_ptr<Witness> witness_;
  Rng rng_;
  std::shared_ptr<MemoryStore::Media> media_ = std::make_shared<MemoryStore::Media>();
  std::unique_ptr<Pool> pool_;
  std::unique_ptr<Ledger> ledger_;
  std::unique_ptr<MemoryStore> store_;
  std::unique_ptr<FileSystem> fs_;
};

/// The errno of an outcome, 0 for success.
template <class T>
int error_of(const Result<T>& result) {
  return result ? 0 : result.error().errno_value();
}

}  // namespace stavefs::test
