// The state behind a SimWorld: its disks, its power and its one random source.
//
// Theory: every operation of a Disk, a DiskFile or the engine becomes one call of Machine under one mutex, so
// the order of calls and the seed decide everything.  Whatever changes a disk is a step; the step at
// which power fails is interrupted: it stays pending, and the crash decides what is left of it.
//
// Threads: self-synchronised; the mutex is a leaf.

#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/rng.h"
#include "disk/disk.h"
#include "disk/sim/sim_disk.h"
#include "disk/sim/sim_inode.h"
#include "disk/sim/sim_names.h"

namespace stavefs::sim {

struct SimFaults {
  bool vanished = false;
  bool fail_writes = false;
  bool fail_next_sync = false;
  bool fail_next_write = false;
  bool lose_next_write = false;
  bool misdirect_next_write = false;
  uint64_t read_flip_one_in = 0;
  uint64_t vanish_at = 0;
};

struct SimDiskState {
  SimNames names;
  SimFaults faults;
  uint64_t total_bytes = 0;
  uint64_t limit_bytes = 0;  ///< what the files may hold together
  uint64_t used_bytes = 0;
};

/// What an open file of a machine refers to.
struct SimHandle {
  int disk = 0;
  InodePtr inode;
  uint64_t boot = 0;  ///< stale when the machine has restarted since
  bool direct = false;
};

class Machine {
 public:
  Machine(uint64_t seed, int disks, uint64_t disk_bytes);
  Machine(uint64_t seed, std::vector<SimDiskState> disks);

  int disk_count() const { return static_cast<int>(disks_.size()); }

  // Operations; each returns 0 or an errno.
  int open(int disk, const std::string& name, const OpenOptions& options, SimHandle* handle);
  void close(const SimHandle& handle);
  int size(const SimHandle& handle, uint64_t* bytes);
  /// kAllocate, kTruncate or kPunch.
  int reshape(const SimHandle& handle, PendingChange change);
  int remove(int disk, const std::string& name);
  int rename(int disk, const std::string& from, const std::string& to);
  int list(int disk, const std::string& directory, std::vector<std::string>* names);
  int sync_names(int disk, const std::string& directory);
  int space(int disk, DiskSpace* space);
  int probe(int disk);
  /// Runs a batch in an order drawn from the seed; handles[i] belongs to batch[i].
  void run(std::span<IoRequest> batch, std::span<const SimHandle* const> handles);

  // Power.
  uint64_t step_count() const;
  void crash_at(uint64_t step);
  bool crashed() const;
  void restart(CrashMode mode);
  std::shared_ptr<Machine> fork(uint64_t seed, CrashMode mode) const;

  // Faults and inspection.
  void with_faults(int disk, const std::function<void(SimFaults&)>& change);
  void set_free_bytes(int disk, uint64_t bytes);
  int flip_bit(int disk, const std::string& name, uint64_t offset, int bit);
  int contents(int disk, const std::string& name, std::string* bytes) const;

 private:
  enum class Power : uint8_t { kOn, kFailsNow, kOff };

  Power take_step();
  bool reachable(int disk) const;
  bool stale(const SimHandle& handle) const { return handle.boot != boot_; }
  int change_names(SimDiskState& disk, PendingName change);
  void name_lost(SimDiskState& disk, const InodePtr& inode);
  int read(const SimHandle& handle, const IoRequest& request);
  int write(const SimHandle& handle, const IoRequest& request);
  int sync(const SimHandle& handle, uint64_t sequence);
  int apply_write(const SimHandle& handle, PendingChange change, bool durable);

  mutable std::mutex mutex_;
  // Guarded by mutex_.
  Rng rng_;
  std::vector<SimDiskState> disks_;
  uint64_t steps_ = 0;
  uint64_t crash_step_ = 0;
  uint64_t next_sequence_ = 1;
  uint64_t boot_ = 0;
  bool crashed_ = false;
};

/// The disks after a crash: what `mode` and `rng` leave of the pending changes.
std::vector<SimDiskState> resolve_crash(const std::vector<SimDiskState>& disks, CrashMode mode, Rng& rng);

}  // namespace stavefs::sim
