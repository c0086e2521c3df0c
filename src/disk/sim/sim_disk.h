// A simulated machine: disks in memory that remember which writes were not flushed, and crash.
//
// Theory: a SimWorld holds the content of its disks twice: what a reader sees now and what is on stable
// media.  A write is pending until a sync of its file; a durable write or a sync moves it.  A crash keeps, of
// the pending writes and names of each disk, a subset drawn from the seed: each pending write is kept,
// dropped, or torn at 512 B or 4 KiB boundaries, and drops may reorder writes (a later one kept, an earlier
// one lost).  Everything that happens is decided by the seed.
//
// Faults by plan: a disk may fail every I/O from the n-th on, refuse space, flip bits on reads, lose or
// misdirect writes, fail one sync (and drop the pending writes of that file, as kernels do).
//
// Threads: self-synchronised.  Never linked into the daemon.

#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/rng.h"
#include "disk/disk.h"

namespace stavefs::sim {

/// How a crash treats pending writes.
enum class CrashMode : uint8_t {
  kDropAll,  ///< nothing that was not flushed survives
  kKeepAll,  ///< everything issued survives (a killed process)
  kRandom,   ///< each pending write: kept, dropped or torn
  kPrefix,   ///< of all pending writes in issue order, a prefix survives
  kSingle,   ///< one random pending write survives
};

class SimWorld {
 public:
  /// `disks` empty disks of `disk_bytes` each.
  SimWorld(uint64_t seed, int disks, uint64_t disk_bytes);
  ~SimWorld();

  int disk_count() const;
  Disk& disk(int index);
  IoEngine& engine();

  /// Writes, syncs and name changes issued so far, over all disks.
  uint64_t step_count() const;
  /// From step `step` on (counted as step_count does) nothing reaches any disk: the step itself and all later
  /// ones fail with EIO. The machine has lost power at that boundary; 0 lifts it.
  void crash_at(uint64_t step);
  bool crashed() const;

  /// Power comes back: pending writes are resolved by `mode` with this world's random source, all open
  /// files become stale (every use fails), crash_at is lifted, faults stay.
  void restart(CrashMode mode);
  /// A copy of what would be on the disks after restart(mode): the original stays as it is.
  std::unique_ptr<SimWorld> fork(uint64_t seed, CrashMode mode) const;

  // Faults, per disk.  All are off at first.
  void set_vanished(int disk, bool vanished);  ///< every operation fails with EIO until it is back
  void fail_writes(int disk, bool fail);       ///< writes and syncs fail with EIO; reads go on
  void fail_next_sync(
      int disk);  ///< one sync fails; the file's pending writes are lost, reads see the new bytes
  void set_read_flip_rate(int disk, uint64_t one_in);  ///< one in n reads has a flipped bit; 0 = never
  void fail_next_write(int disk);                      ///< one write fails with EIO and nothing of it lands
  void lose_next_write(int disk);                      ///< one write is reported done and not done
  void misdirect_next_write(int disk);  ///< one write is reported done and lands elsewhere in its file
  /// The disk vanishes as set_vanished does when step_count reaches `step`; that step fails on it.  0 =
  /// never.
  void vanish_at(int disk, uint64_t step);
  void set_free_bytes(int disk, uint64_t bytes);  ///< further allocation beyond this fails with ENOSPC
  /// Flips bit `bit` of byte `offset` of a file on stable media and in view.  kNotFound / kInvalid.
  Status flip_bit(int disk, const std::string& name, uint64_t offset, int bit);
  /// The bytes of a file as a reader sees them.
  Result<std::string> contents(int disk, const std::string& name) const;

 private:
  struct Impl;
  explicit SimWorld(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace stavefs::sim
