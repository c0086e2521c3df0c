// What is particular to the io_uring engine: memory filesystems, registered files, the held lock.

#include "disk/uring_engine.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <thread>
#include <vector>

#include "disk/posix_disk.h"
#include "disk/posix_file.h"
#include "disk/ring_files.h"
#include "rig.h"

namespace stavefs::test {
namespace {

using namespace std::chrono_literals;

/// Waits until `condition` holds; false when it does not within some seconds.
template <class Condition>
bool eventually(Condition condition) {
  for (int i = 0; i < 1000; ++i) {
    if (condition()) return true;
    std::this_thread::sleep_for(10ms);
  }
  return false;
}

std::string numbered(int i) { return std::string("f").append(std::to_string(i)); }

/// Raises RLIMIT_NOFILE to `count` where it is lower; false when that is not allowed.
bool allow_descriptors(rlim_t count) {
  rlimit limit;
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_max < count) return false;
  if (limit.rlim_cur >= count) return true;
  limit.rlim_cur = count;
  return ::setrlimit(RLIMIT_NOFILE, &limit) == 0;
}

/// Pages of the file's first `bytes` that are not yet written back; -1 where the kernel cannot tell
/// (cachestat(2), Linux 6.5).
int64_t unwritten_pages(const DiskFile& file, uint64_t bytes) {
  constexpr long kCachestat = 451;
  struct {
    uint64_t offset, length;
  } range{0, bytes};
  struct {
    uint64_t cached, dirty, writeback, evicted, recently_evicted;
  } stat{};
  const int fd = static_cast<const PosixFile&>(file).fd();
  if (::syscall(kCachestat, fd, &range, &stat, 0) != 0) return -1;
  return static_cast<int64_t>(stat.dirty + stat.writeback);
}

class UringEngineTest : public ::testing::Test {
 protected:
  ScratchDirectory scratch_{scratch_parent()};
  std::unique_ptr<Disk> disk_ = open_disk();
  std::unique_ptr<IoEngine> engine_ = make_engine(4);

  std::unique_ptr<Disk> open_disk() { return std::move(*open_posix_disk(scratch_.path())); }
  static std::unique_ptr<IoEngine> make_engine(int rings) {
    auto engine = make_uring_engine({.rings = rings, .queue_entries = 8});
    EXPECT_TRUE(engine) << text(engine);
    return std::move(*engine);
  }
  /// False where the scratch directory lies in memory, and the engine goes around its rings.
  bool uses_rings() {
    const auto file = must_open(*disk_, "probe", {.create = true});
    return !static_cast<PosixFile&>(*file).properties().in_memory;
  }
  /// Nobody has the file open.  A write lease is granted only then (fcntl(2), F_SETLEASE).
  bool is_closed(const std::string& name) const {
    const OwnedFd fd(::open((scratch_.path() + "/" + name).c_str(), O_RDWR | O_CLOEXEC));
    return fd.get() >= 0 && ::fcntl(fd.get(), F_SETLEASE, F_WRLCK) == 0;
  }
  bool is_locked() {
    const auto again = open_disk();
    const auto lock = lock_posix_disk(*again, "lock");
    if (lock) ::close(*lock);
    return !lock && lock.error().code() == ErrorCode::kBusy;
  }
};

TEST_F(UringEngineTest, ImpossibleOptionsAreRefused) {
  EXPECT_CODE(make_uring_engine({.rings = 0}), ErrorCode::kInvalid);
  EXPECT_CODE(make_uring_engine({.rings = RingSlots::kMaxRings + 1}), ErrorCode::kInvalid);
  EXPECT_CODE(make_uring_engine({.queue_entries = 0}), ErrorCode::kInvalid);
  EXPECT_CODE(make_uring_engine({.queue_entries = 1u << 30}), ErrorCode::kUnsupported);
}

// Goal: a batch over a disk and a memory filesystem runs every request once, on the right file.
TEST_F(UringEngineTest, BatchOverDiskAndMemoryFilesystem) {
  struct stat st;
  if (::stat("/dev/shm", &st) != 0) GTEST_SKIP() << "no /dev/shm";
  const ScratchDirectory memory("/dev/shm");
  const auto memory_disk = std::move(*open_posix_disk(memory.path()));
  const auto on_disk = must_open(*disk_, "f", {.create = true});
  const auto in_memory = must_open(*memory_disk, "f", {.create = true});
  constexpr uint32_t kBytes = 4096;
  constexpr uint64_t kRequests = 40;
  const std::string bytes = pattern(1, kRequests * kBytes);
  AlignedBuffer out = aligned_copy(bytes);
  std::vector<IoRequest> batch;
  for (uint64_t i = 0; i < kRequests; ++i) {
    batch.push_back({.file = i % 3 == 0 ? in_memory.get() : on_disk.get(),
                     .kind = IoKind::kWrite,
                     .offset = i * kBytes,
                     .data = out.data() + i * kBytes,
                     .bytes = kBytes,
                     .durable = i % 2 == 0,
                     .error = -1});
  }
  batch.push_back({.file = in_memory.get(), .kind = IoKind::kSync, .error = -1});
  batch.push_back({.file = on_disk.get(), .kind = IoKind::kSync, .error = -1});
  batch.push_back({.file = in_memory.get(),
                   .kind = IoKind::kRead,
                   .offset = 1 << 30,
                   .data = out.data(),
                   .bytes = 1,
                   .error = -1});
  engine_->run(batch);
  for (size_t i = 0; i + 1 < batch.size(); ++i) EXPECT_EQ(batch[i].error, 0) << i;
  EXPECT_EQ(batch.back().error, EIO);
  for (uint64_t i = 0; i < kRequests; ++i) {
    EXPECT_EQ(*read(*engine_, i % 3 == 0 ? *in_memory : *on_disk, i * kBytes, kBytes),
              bytes.substr(i * kBytes, kBytes));
  }
}

// Goal: durable writes and syncs are no mere promises.  Method: the kernel's count of dirty pages of a
// buffered file, which a plain write raises, is zero after a durable write and after a sync.
TEST_F(UringEngineTest, DurableWriteAndSyncLeaveNoDirtyPage) {
  constexpr uint32_t kBytes = 64 << 10;
  const auto file = must_open(*disk_, "f", {.create = true});
  EXPECT_OK(write(*engine_, *file, 0, pattern(1, kBytes)));
  if (unwritten_pages(*file, kBytes) <= 0 || !uses_rings()) GTEST_SKIP() << "no dirty pages to be seen";
  EXPECT_OK(sync(*engine_, *file));
  EXPECT_EQ(unwritten_pages(*file, kBytes), 0);
  for (uint64_t i = 0; i < 3 * RingTables::kRegisterAtUse; ++i) {  // by descriptor, then registered
    EXPECT_OK(write(*engine_, *file, 0, pattern(i, kBytes), true));
    EXPECT_EQ(unwritten_pages(*file, kBytes), 0);
  }
  AlignedBuffer buffer = aligned_copy(pattern(9, kBytes));
  std::vector<IoRequest> batch;
  for (uint32_t at = 0; at < kBytes; at += 4096) {  // longer than the queue
    batch.push_back({.file = file.get(),
                     .kind = IoKind::kWrite,
                     .offset = at,
                     .data = buffer.data() + at,
                     .bytes = 4096,
                     .durable = true});
  }
  engine_->run(batch);
  for (const IoRequest& r : batch) EXPECT_EQ(r.error, 0);
  EXPECT_EQ(unwritten_pages(*file, kBytes), 0);
}

// Goal: more batches at once than rings wait and finish.
TEST_F(UringEngineTest, OneRingServesManyThreads) {
  const auto engine = make_engine(1);
  const auto file = must_open(*disk_, "f", {.create = true, .direct = true});
  EXPECT_OK(file->allocate(8 * 4096));
  std::vector<std::thread> threads;
  for (uint64_t t = 0; t < 8; ++t) {
    threads.emplace_back([&, t] {
      for (uint64_t i = 0; i < 50; ++i) {
        const std::string bytes = pattern(t * 100 + i, 4096);
        EXPECT_OK(write(*engine, *file, t * 4096, bytes));
        EXPECT_EQ(*read(*engine, *file, t * 4096, 4096), bytes);
      }
    });
  }
  for (auto& t : threads) t.join();
}

// Goal: a registered file is really closed when its DiskFile goes; otherwise the space of removed files
// would stay taken for the life of the ring.
TEST_F(UringEngineTest, RegisteredFileIsReleasedOnClose) {
  if (!uses_rings()) GTEST_SKIP() << "TMPDIR is a memory filesystem";
  auto file = must_open(*disk_, "f", {.create = true});
  auto& slots = static_cast<PosixFile&>(*file).ring_slots();
  for (int i = 0; i < 2 * RingTables::kRegisterAtUse; ++i)
    EXPECT_OK(write(*engine_, *file, 0, "bytes", true));
  EXPECT_GT(slots.by_ring[0], 0) << "the file was never registered";
  EXPECT_FALSE(is_closed("f"));
  file.reset();
  EXPECT_TRUE(eventually([&] { return is_closed("f"); }));
}

// Goal: slots are used again: more files come and go than a table has slots, and each is looked up in its
// own.
TEST_F(UringEngineTest, SlotsAreReused) {
  io_uring ring;
  ASSERT_EQ(io_uring_queue_init(4, &ring, 0), 0);
  {
    const auto tables = std::make_shared<RingTables>(1);
    EXPECT_OK(tables->attach(0, &ring));
    for (int i = 0; i < 3 * RingTables::kSlots; ++i) {
      const auto file = must_open(*disk_, "f", {.create = true});
      auto& posix = static_cast<PosixFile&>(*file);
      int slot = -1;
      for (int use = 0; use < RingTables::kRegisterAtUse; ++use) {
        EXPECT_EQ(slot, -1) << "registered too early";
        slot = tables->slot_for(0, posix);
      }
      ASSERT_GT(slot, 0) << "no slot left at file " << i;
      ASSERT_EQ(tables->slot_for(0, posix), slot);
    }
    tables->detach(0);
  }
  io_uring_queue_exit(&ring);
}

// Goal: with every slot taken further files still work, by their descriptors.
TEST_F(UringEngineTest, FullTableIsNoError) {
  if (!uses_rings()) GTEST_SKIP() << "TMPDIR is a memory filesystem";
  if (!allow_descriptors(RingTables::kSlots + 200)) GTEST_SKIP() << "too few descriptors are allowed";
  const auto engine = make_engine(1);
  std::vector<std::unique_ptr<DiskFile>> files;
  int by_descriptor = 0;
  for (int i = 0; i < RingTables::kSlots + 50; ++i) {
    files.push_back(must_open(*disk_, numbered(i % 7), {.create = true}));
    for (int use = 0; use < RingTables::kRegisterAtUse; ++use) {
      ASSERT_TRUE(sync(*engine, *files.back()));
    }
    by_descriptor += static_cast<PosixFile&>(*files.back()).ring_slots().by_ring[0] <= 0;
  }
  EXPECT_EQ(by_descriptor, 50);
}

// Goal: a file may outlive its engine, and be used with another one.
TEST_F(UringEngineTest, FileOutlivesItsEngine) {
  auto file = must_open(*disk_, "f", {.create = true});
  for (int round = 0; round < 3; ++round) {
    const auto engine = make_engine(2);
    for (int i = 0; i < 10; ++i) EXPECT_OK(write(*engine, *file, 0, "bytes", true));
    EXPECT_EQ(*read(*engine_, *file, 0, 5), "bytes");
  }
  file.reset();
  EXPECT_TRUE(eventually([&] { return is_closed("f"); }));
}

// Goal: files are closed by one thread while others keep every ring busy; nothing is mixed up.
TEST_F(UringEngineTest, ClosingWhileRingsAreBusy) {
  std::vector<std::thread> threads;
  for (uint64_t t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (uint64_t i = 0; i < 150; ++i) {
        const auto file = must_open(*disk_, numbered(static_cast<int>(t)), {.create = true, .direct = true});
        for (uint64_t use = 0; use < 8; ++use) {
          const std::string bytes = pattern(t << 20 | i << 4 | use, 4096);
          EXPECT_OK(write(*engine_, *file, 0, bytes));
          EXPECT_EQ(*read(*engine_, *file, 0, 4096), bytes);
        }
      }
    });
  }
  for (auto& t : threads) t.join();
}

// Goal: the lock is held by the rings alone, made before and after, and ends with the engine.
TEST_F(UringEngineTest, RingsHoldTheLockWithoutTheDescriptor) {
  const auto lock = lock_posix_disk(*disk_, "lock");
  ASSERT_TRUE(lock) << text(lock);
  EXPECT_OK(hold_descriptor(*engine_, *lock));
  ::close(*lock);
  EXPECT_TRUE(is_locked());
  engine_.reset();
  EXPECT_TRUE(eventually([&] { return !is_locked(); }));
}

// Goal: the table itself pins the lock, with no descriptor anywhere: RingTables' own copy goes with it.
TEST_F(UringEngineTest, RegisteredTableAlonePinsTheLock) {
  io_uring ring;
  ASSERT_EQ(io_uring_queue_init(4, &ring, 0), 0);
  {
    const auto tables = std::make_shared<RingTables>(1);
    const OwnedFd lock(*lock_posix_disk(*disk_, "lock"));
    EXPECT_OK(tables->hold(lock.get()));
    EXPECT_OK(tables->attach(0, &ring));  // a ring made after hold()
    tables->detach(0);
  }
  EXPECT_TRUE(is_locked());
  io_uring_queue_exit(&ring);
  EXPECT_TRUE(eventually([&] { return !is_locked(); }));
}

// Goal: a killed process's lock refuses others while it lives and is free at last.
// Method: a child takes the lock, hands it to its engine, closes the descriptor and is killed while writing.
TEST_F(UringEngineTest, KilledProcessReleasesTheLockInTheEnd) {
  int ready[2];
  ASSERT_EQ(::pipe(ready), 0);
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    const auto disk = open_disk();
    const auto engine = make_engine(2);
    const auto lock = lock_posix_disk(*disk, "lock");
    const auto file = must_open(*disk, "f", {.create = true, .direct = true});
    if (!lock || !hold_descriptor(*engine, *lock)) ::_exit(1);
    ::close(*lock);
    for (bool told = false;; told = true) {
      if (!write(*engine, *file, 0, pattern(1, 1 << 20), true)) ::_exit(2);
      if (!told && ::write(ready[1], "x", 1) != 1) ::_exit(3);
    }
  }
  ::close(ready[1]);
  char byte;
  ASSERT_EQ(::read(ready[0], &byte, 1), 1) << "the child failed";
  ::close(ready[0]);
  EXPECT_TRUE(is_locked());
  ::kill(child, SIGKILL);
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFSIGNALED(status));
  EXPECT_TRUE(eventually([&] { return !is_locked(); }));
}

// Goal: files whose host went read-only are still read, and refuse writes with the errno that says why.
TEST_F(UringEngineTest, ReadOnlyFileRefusesWritesAndSyncs) {
  { EXPECT_OK(write(*engine_, *must_open(*disk_, "f", {.create = true}), 0, "kept")); }
  for (const bool direct : {false, true}) {
    OwnedFd fd(::open((scratch_.path() + "/f").c_str(), O_RDONLY | O_CLOEXEC));
    PosixFile file(*disk_, "f", std::move(fd), {.direct = direct, .read_only = true});
    AlignedBuffer buffer(4096);
    IoRequest batch[] = {
        {.file = &file, .kind = IoKind::kWrite, .data = buffer.data(), .bytes = 4096},
        {.file = &file, .kind = IoKind::kWrite, .data = buffer.data(), .bytes = 4096, .durable = true},
        {.file = &file, .kind = IoKind::kSync},
        {.file = &file, .kind = IoKind::kRead, .data = buffer.data() + 1024, .bytes = 4}};
    engine_->run(batch);
    for (int i = 0; i < 3; ++i) EXPECT_EQ(batch[i].error, EROFS) << i;
    EXPECT_EQ(batch[3].error, 0);
    EXPECT_EQ(std::string(reinterpret_cast<char*>(buffer.data()) + 1024, 4), "kept");
  }
}

// Goal: as many locks as promised can be held, in rings made before and after, and one more is refused.
TEST_F(UringEngineTest, HeldDescriptorsAreBounded) {
  if (!allow_descriptors(RingTables::kMaxHeld + 200)) GTEST_SKIP() << "too few descriptors are allowed";
  const OwnedFd fd(::open(scratch_.path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  io_uring early;
  io_uring late;
  ASSERT_EQ(io_uring_queue_init(4, &early, 0), 0);
  ASSERT_EQ(io_uring_queue_init(4, &late, 0), 0);
  {
    const auto tables = std::make_shared<RingTables>(2);
    EXPECT_OK(tables->attach(0, &early));
    for (int i = 0; i < RingTables::kMaxHeld; ++i) EXPECT_OK(tables->hold(fd.get()));
    EXPECT_CODE(tables->hold(fd.get()), ErrorCode::kInvalid);
    EXPECT_OK(tables->attach(1, &late));
    tables->detach(0);
    tables->detach(1);
  }
  io_uring_queue_exit(&early);
  io_uring_queue_exit(&late);
}

// Goal: a low limit of descriptors makes a small table, and the lock is held all the same.
// Method: a child, since a hard limit cannot be raised again.
TEST_F(UringEngineTest, LowDescriptorLimitStillHoldsTheLock) {
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    const rlimit low{.rlim_cur = 64, .rlim_max = 64};
    if (::setrlimit(RLIMIT_NOFILE, &low) != 0) ::_exit(1);
    const auto engine = make_engine(2);
    const auto lock = lock_posix_disk(*disk_, "lock");
    if (!lock) ::_exit(2);
    if (!hold_descriptor(*engine, *lock)) ::_exit(3);
    ::close(*lock);
    const auto file = must_open(*disk_, "f", {.create = true});
    for (int i = 0; i < 2 * RingTables::kRegisterAtUse; ++i) {
      if (!sync(*engine, *file)) ::_exit(4);
    }
    ::_exit(static_cast<PosixFile&>(*file).ring_slots().by_ring[0] > 0 || !uses_rings() ? 0 : 5);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

}  // namespace
}  // namespace stavefs::test
