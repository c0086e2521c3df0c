// An IoEngine that fails, corrupts or delays what passes through it.
//
// Theory: faults are decorators, so a test runs the very engine that production runs, over real disks or
// simulated ones. A plan belongs to a disk and counts the I/Os of that disk.  What is made to fail is not
// passed on: a failed write leaves nothing behind, a failed sync flushes nothing.
//
// Threads: self-synchronised; concurrent batches are counted in the order in which they arrive.

#pragma once

#include <cerrno>
#include <chrono>
#include <cstdint>
#include <map>
#include <mutex>
#include <vector>

#include "base/rng.h"
#include "disk/disk.h"

namespace stavefs {

/// What befalls one disk.  A default-made plan does nothing.
struct FaultPlan {
  // The n-th I/O of its kind since plan() fails; 1 is the next one, 0 none.
  uint64_t fail_read_at = 0;
  uint64_t fail_write_at = 0;
  uint64_t fail_sync_at = 0;
  bool stay_failed = false;            ///< and so do all later ones of that kind
  int error = EIO;                     ///< errno of what fails
  uint64_t flip_one_in = 0;            ///< one in n successful reads has a flipped bit; 0 = never
  std::chrono::microseconds delay{0};  ///< a batch that touches the disk takes this much longer
};

class FaultEngine final : public IoEngine {
 public:
  struct Counts {
    uint64_t reads = 0;
    uint64_t writes = 0;
    uint64_t syncs = 0;
    uint64_t failed = 0;   ///< by plan
    uint64_t flipped = 0;  ///< by plan
  };

  /// REQUIRES: `inner` outlives this engine.
  FaultEngine(IoEngine& inner, uint64_t seed) : inner_(inner), rng_(seed) {}

  /// Replaces the plan of `disk` and counts from zero again.
  void plan(const Disk& disk, const FaultPlan& plan);
  /// Since plan() was last called for `disk`, or since the beginning.
  Counts counts(const Disk& disk) const;

  void run(std::span<IoRequest> batch) override;

 private:
  struct DiskState {
    FaultPlan plan;
    Counts counts;
  };
  /// Counts the request; true when its plan lets it fail.
  static bool fails(DiskState& state, const IoRequest& request);
  void flip(std::span<IoRequest> batch);

  IoEngine& inner_;
  mutable std::mutex mutex_;  // a leaf, not held while the inner engine runs
  // Guarded by mutex_.
  Rng rng_;
  std::map<const Disk*, DiskState> disks_;
};

}  // namespace stavefs
