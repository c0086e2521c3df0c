// The production IoEngine: io_uring (liburing 2.3; Axboe, "Efficient IO with io_uring", 2019).
//
// Theory: a few rings serve all disks.  A batch takes an idle ring, submits everything with one system
// call and waits for the completions on the calling thread: no request crosses threads.  Files on memory
// filesystems (tmpfs, ramfs) and buffered writes that need not be durable, which io_uring would hand to
// kernel workers, are served by preadv2/pwritev2 on the calling thread instead.  The lock descriptor of the
// pool is registered in every ring, so that the lock outlives a killed process until the ring's last write
// has landed.
//
// Threads: self-synchronised.

#pragma once

#include <memory>

#include "disk/disk.h"

namespace stavefs {

/// The most rings that an engine can have, and descriptors that it can hold.
inline constexpr int kMaxUringRings = 32;
inline constexpr int kMaxHeldDescriptors = 1024;

struct UringOptions {
  int rings = 8;                 ///< batches that may run at once; further ones wait for a ring
  unsigned queue_entries = 256;  ///< submissions in flight in one ring; larger batches go in parts
};

/// kUnsupported when the kernel has no io_uring for us.
Result<std::unique_ptr<IoEngine>> make_uring_engine(const UringOptions& options);

/// Registers `descriptor` in all rings of an engine made by make_uring_engine (see above).  kInvalid when it
/// holds kMaxHeldDescriptors already.
Status hold_descriptor(IoEngine& engine, int descriptor);

}  // namespace stavefs
