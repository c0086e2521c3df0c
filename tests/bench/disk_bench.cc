// What the io_uring engine costs beside plain system calls on the calling thread, on the same files.
//
// Files lie in TMPDIR (default /var/tmp), all on one host filesystem; STAVEFS_BENCH_DIR overrides.  Each pair
// of figures has the same bytes, flags and files: "Uring" is one batch, "Plain" one call after another.

#include <benchmark/benchmark.h>
#include <fcntl.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

#include "base/buffer.h"
#include "base/check.h"
#include "disk/posix_disk.h"
#include "disk/uring_engine.h"

namespace stavefs {
namespace {

constexpr uint64_t kFileBytes = 64 << 20;

/// Some preallocated and once written files, through our engine and as bare descriptors.
class Files {
 public:
  Files(size_t count, bool direct) : path_(parent() + "/stavefs-bench-XXXXXX") {
    CHECK(::mkdtemp(path_.data()) != nullptr);
    disk_ = std::move(*open_posix_disk(path_));
    engine_ = std::move(*make_uring_engine({}));
    AlignedBuffer fill(1 << 20);
    std::memset(fill.data(), 1, fill.size());
    for (size_t i = 0; i < count; ++i) {
      const std::string name = std::to_string(i);
      files_.push_back(std::move(*disk_->open(name, {.create = true, .direct = direct})));
      CHECK(files_.back()->allocate(kFileBytes));
      for (uint64_t at = 0; at < kFileBytes; at += fill.size()) {
        CHECK(run_one(*engine_, {.file = files_.back().get(),
                                 .kind = IoKind::kWrite,
                                 .offset = at,
                                 .data = fill.data(),
                                 .bytes = static_cast<uint32_t>(fill.size())}));
      }
      CHECK(run_one(*engine_, {.file = files_.back().get(), .kind = IoKind::kSync}));
      int fd = ::open((path_ + "/" + name).c_str(), O_RDWR | (direct ? O_DIRECT : 0) | O_CLOEXEC);
      if (fd < 0) fd = ::open((path_ + "/" + name).c_str(), O_RDWR | O_CLOEXEC);
      CHECK(fd >= 0);
      fds_.push_back(fd);
    }
  }
  ~Files() {
    for (const int fd : fds_) ::close(fd);
    files_.clear();
    std::filesystem::remove_all(path_);
  }

  /// One request of `bytes` on each file, at the next place of a walk through it.
  std::vector<IoRequest> batch(IoKind kind, uint32_t bytes, bool durable, AlignedBuffer& buffer) {
    std::vector<IoRequest> requests;
    for (const auto& file : files_) {
      requests.push_back({.file = file.get(),
                          .kind = kind,
                          .offset = at_,
                          .data = buffer.data(),
                          .bytes = bytes,
                          .durable = durable});
    }
    at_ = (at_ + bytes) % kFileBytes;
    return requests;
  }

  void run_uring(std::vector<IoRequest>& requests) {
    engine_->run(requests);
    for (const IoRequest& r : requests) CHECK(r.error == 0);
  }
  void run_plain(std::vector<IoRequest>& requests) {
    for (size_t i = 0; i < requests.size(); ++i) {
      const IoRequest& r = requests[i];
      const iovec piece{.iov_base = r.data, .iov_len = r.bytes};
      const auto offset = static_cast<off_t>(r.offset);
      switch (r.kind) {
        case IoKind::kRead: CHECK(::preadv2(fds_[i], &piece, 1, offset, 0) == r.bytes); break;
        case IoKind::kWrite:
          CHECK(::pwritev2(fds_[i], &piece, 1, offset, r.durable ? RWF_DSYNC : 0) == r.bytes);
          break;
        case IoKind::kSync: CHECK(::fdatasync(fds_[i]) == 0); break;
      }
    }
  }

 private:
  static std::string parent() {
    for (const char* variable : {"STAVEFS_BENCH_DIR", "TMPDIR"}) {
      if (const char* set = std::getenv(variable); set != nullptr && *set != '\0') return set;
    }
    return "/var/tmp";
  }

  std::string path_;
  std::unique_ptr<Disk> disk_;
  std::unique_ptr<IoEngine> engine_;
  std::vector<std::unique_ptr<DiskFile>> files_;
  std::vector<int> fds_;
  uint64_t at_ = 0;
};

void run(benchmark::State& state, size_t files_wanted, IoKind kind, uint32_t bytes, bool durable, bool uring,
         bool direct = true) {
  Files files(files_wanted, direct);
  AlignedBuffer buffer(bytes);
  std::memset(buffer.data(), 2, buffer.size());
  for (auto _ : state) {
    auto requests = files.batch(kind, bytes, durable, buffer);
    if (uring) {
      files.run_uring(requests);
    } else {
      files.run_plain(requests);
    }
  }
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations()) *
                          static_cast<int64_t>(files_wanted * bytes));
}

// The stripe of a 4+2 group; three copies of a small journal frame; and single requests.
BENCHMARK_CAPTURE(run, StripeWrite_6x256KiB_Uring, 6, IoKind::kWrite, 256 << 10, false, true)->UseRealTime();
BENCHMARK_CAPTURE(run, StripeWrite_6x256KiB_Plain, 6, IoKind::kWrite, 256 << 10, false, false)->UseRealTime();
BENCHMARK_CAPTURE(run, StripeRead_4x256KiB_Uring, 4, IoKind::kRead, 256 << 10, false, true)->UseRealTime();
BENCHMARK_CAPTURE(run, StripeRead_4x256KiB_Plain, 4, IoKind::kRead, 256 << 10, false, false)->UseRealTime();
BENCHMARK_CAPTURE(run, JournalWrite_3x4KiB_Durable_Uring, 3, IoKind::kWrite, 4096, true, true)->UseRealTime();
BENCHMARK_CAPTURE(run, JournalWrite_3x4KiB_Durable_Plain, 3, IoKind::kWrite, 4096, true, false)
    ->UseRealTime();
BENCHMARK_CAPTURE(run, SingleRead_4KiB_Uring, 1, IoKind::kRead, 4096, false, true)->UseRealTime();
BENCHMARK_CAPTURE(run, SingleRead_4KiB_Plain, 1, IoKind::kRead, 4096, false, false)->UseRealTime();
BENCHMARK_CAPTURE(run, SingleRead_256KiB_Uring, 1, IoKind::kRead, 256 << 10, false, true)->UseRealTime();
BENCHMARK_CAPTURE(run, SingleRead_256KiB_Plain, 1, IoKind::kRead, 256 << 10, false, false)->UseRealTime();
BENCHMARK_CAPTURE(run, SingleWrite_4KiB_Uring, 1, IoKind::kWrite, 4096, false, true)->UseRealTime();
BENCHMARK_CAPTURE(run, SingleWrite_4KiB_Plain, 1, IoKind::kWrite, 4096, false, false)->UseRealTime();
BENCHMARK_CAPTURE(run, BufferedRead_4KiB_Uring, 1, IoKind::kRead, 4096, false, true, false)->UseRealTime();
BENCHMARK_CAPTURE(run, BufferedRead_4KiB_Plain, 1, IoKind::kRead, 4096, false, false, false)->UseRealTime();
BENCHMARK_CAPTURE(run, BufferedWrite_4KiB_Uring, 1, IoKind::kWrite, 4096, false, true, false)->UseRealTime();
BENCHMARK_CAPTURE(run, BufferedWrite_4KiB_Plain, 1, IoKind::kWrite, 4096, false, false, false)->UseRealTime();
BENCHMARK_CAPTURE(run, BufferedWrite_3x64KiB_Uring, 3, IoKind::kWrite, 64 << 10, false, true, false)
    ->UseRealTime();
BENCHMARK_CAPTURE(run, BufferedWrite_3x64KiB_Plain, 3, IoKind::kWrite, 64 << 10, false, false, false)
    ->UseRealTime();
BENCHMARK_CAPTURE(run, Sync_6_Uring, 6, IoKind::kSync, 4096, false, true)->UseRealTime();
BENCHMARK_CAPTURE(run, Sync_6_Plain, 6, IoKind::kSync, 4096, false, false)->UseRealTime();
BENCHMARK_CAPTURE(run, Sync_1_Uring, 1, IoKind::kSync, 4096, false, true)->UseRealTime();
BENCHMARK_CAPTURE(run, Sync_1_Plain, 1, IoKind::kSync, 4096, false, false)->UseRealTime();

}  // namespace
}  // namespace stavefs

BENCHMARK_MAIN();
