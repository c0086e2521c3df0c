// One ring and the execution of a batch on it.  Internal to this module.
//
// Theory: submissions are kept below the ring's queue length; what completed short or was interrupted goes
// in again with the rest of its range.  What io_uring would hand to a kernel worker although it seldom waits
// for a device is done by the calling thread between submitting and waiting (see runs_on_caller).
//
// Errors: the ring itself does not fail.  A submission that the kernel has no memory for is tried again
// until it has: the buffers of what is in flight belong to the kernel, so there is no way back from here.
//
// Threads: a ring belongs to one thread at a time.

#pragma once

#include <liburing.h>

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/result.h"
#include "disk/disk.h"
#include "disk/posix_file.h"
#include "disk/ring_files.h"

namespace stavefs {

/// True for requests that gain nothing from a ring: everything in memory filesystems, and buffered writes
/// that need not be durable.  Host filesystems such as ext4 cannot do those without blocking, so io_uring
/// wakes a worker: 59 us in place of 3 us for 4 KiB (tests/bench/disk_bench.cc).
bool runs_on_caller(const IoRequest& request, const PosixFile& file);

/// Executes `request` on the calling thread and sets its error.
void run_inline(IoRequest& request, PosixFile& file);

class UringBatch {
 public:
  static Result<std::unique_ptr<UringBatch>> make(int index, unsigned queue_entries,
                                                  std::shared_ptr<RingTables> tables);
  ~UringBatch();
  UringBatch(const UringBatch&) = delete;
  UringBatch& operator=(const UringBatch&) = delete;

  /// REQUIRES: every file is a PosixFile.
  void run(std::span<IoRequest> batch);

 private:
  UringBatch(int index, std::shared_ptr<RingTables> tables) : index_(index), tables_(std::move(tables)) {}

  void fill_queue(std::span<IoRequest> batch);
  void prepare(IoRequest& request, uint32_t index);
  /// Hands the queue to the kernel and waits for `completions` of them.
  void submit(unsigned completions);
  void reap(std::span<IoRequest> batch);
  void complete(IoRequest& request, uint32_t index, int result);

  const int index_;
  const std::shared_ptr<RingTables> tables_;
  io_uring ring_{};
  bool ready_ = false;
  unsigned queue_entries_ = 0;

  // Of the batch being run.
  std::vector<uint32_t> done_;   // bytes transferred so far, per request
  std::vector<uint32_t> again_;  // requests to be submitted once more
  size_t next_ = 0;              // first request not yet looked at
  unsigned in_flight_ = 0;
};

}  // namespace stavefs
