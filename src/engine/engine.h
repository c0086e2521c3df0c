// The engine: one opened pool, put together from the floors below in the right order, and taken apart again.
//
// Start: disks, lock, rings, membership (pool), journal and index (ledger), groups (store), names (fs), then
// the background thread.  Stop is the reverse.  The lock on each disk is registered in the rings, so that it
// outlives a killed process until its last write has landed.
//
// Two background threads: one does upkeep (probes the disks, maintains ledger and store) once a second or
// when a disk fails; the other finds new homes for lost metadata copies, which takes as long as copying the
// index.
//
// Threads: open and close from one thread; the accessors' objects are self-synchronised.

#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/buffer.h"
#include "base/clock.h"
#include "base/rng.h"
#include "disk/disk.h"
#include "fs/file_system.h"
#include "pool/pool.h"
#include "store/ledger.h"
#include "store/store.h"

namespace stavefs {

/// The daemon's memory, divided (architecture.md, section 7).
struct MemoryBudget {
  uint64_t total_bytes = uint64_t{2} << 30;
  uint64_t index_cache_bytes() const { return total_bytes / 4; }
  uint64_t memtable_bytes() const { return total_bytes / 32; }
  uint64_t dirty_bytes() const { return total_bytes / 8; }
  uint64_t idle_buffer_bytes() const { return total_bytes / 16; }
  uint64_t stripe_buffer_bytes() const { return total_bytes / 21; }
  size_t cached_inodes() const { return static_cast<size_t>(total_bytes / 6 / 1024); }
};

/// Something that happened, kept for `status` and `events`.
struct Event {
  int64_t time_ns = 0;
  std::string severity;  ///< "info", "warning", "error"
  std::string text;
};

struct StatusReport {
  std::string pool;
  Uuid id;
  std::string verdict;       ///< "HEALTHY", "DEGRADED", "DAMAGED", "FENCED"
  std::string explanation;   ///< one sentence
  std::string next_command;  ///< the exact command to run next; empty when there is none
  int exit_code = 0;         ///< 0, 3 or 4 (interface.md)
  Geometry geometry;
  Epoch epoch;
  std::vector<DiskReport> disks;
  std::vector<std::pair<DiskSlot, uint64_t>> missing_groups;
  SpaceReport space;
  uint64_t dirty_bytes = 0;
  uint64_t journal_live_bytes = 0;
  uint64_t journal_ring_bytes = 0;
  uint64_t index_bytes = 0;
  uint64_t metadata_copies = 0;         ///< now
  uint64_t metadata_copies_wanted = 0;  ///< m + 1
  std::vector<Event> events;            ///< newest last, bounded
};

class Engine {
 public:
  struct Options {
    std::vector<std::string> disk_paths;  ///< missing directories count as absent disks
    std::string witness_path;
    MemoryBudget memory;
    Uuid expected_pool;  ///< nil: any, but all of one pool
    bool force_degraded = false;
    bool direct = true;
  };
  /// Opens a pool read-write.  kBusy: in use by another daemon; kDegraded, kForeign, kCorrupt as Pool::open;
  /// kNotFound when no disk of the pool is there.
  static Result<std::unique_ptr<Engine>> open(const Options& options);

  /// The parts that a simulation brings itself.
  struct Environment {
    std::vector<Pool::Attached> disks;
    IoEngine* io = nullptr;
    Witness* witness = nullptr;
    Clock* clock = nullptr;
    Rng* rng = nullptr;
    bool background = true;  ///< false: nothing runs unless called
    MemoryBudget memory;
    bool force_degraded = false;
    bool direct = true;             ///< O_DIRECT on segments
    FileDataManager::Options data;  ///< thresholds and caps; no threads when background is off
  };
  static Result<std::unique_ptr<Engine>> open(Environment environment);
  ~Engine();  ///< without close(): stops without writing (as after a crash)

  /// Flushes, syncs, marks the pool clean.
  Status close();

  FileSystem& fs() { return *fs_; }
  Store& store() { return *store_; }
  Ledger& ledger() { return *ledger_; }
  Pool& pool() { return *pool_; }
  BufferPool& buffers() { return *buffers_; }
  Clock& clock() { return *clock_; }

  StatusReport status() const;
  void add_event(std::string severity, std::string text);
  /// One round of what the background threads do.
  Status maintain();

 private:
  Engine() = default;
  static Result<std::unique_ptr<Engine>> assemble(std::unique_ptr<Engine> engine, Environment environment);
  Status upkeep();
  /// Calls `work` once a second, or when woken, until the engine stops.
  void repeat(const char* what, const std::function<Status()>& work);

  std::vector<int> locks_;  // descriptors; closed last
  std::unique_ptr<Clock> own_clock_;
  std::unique_ptr<Rng> own_rng_;
  std::unique_ptr<Witness> own_witness_;
  std::unique_ptr<IoEngine> own_io_;
  Clock* clock_ = nullptr;
  Rng* rng_ = nullptr;
  std::unique_ptr<BufferPool> buffers_;
  std::unique_ptr<Pool> pool_;
  std::unique_ptr<Ledger> ledger_;
  std::unique_ptr<Store> store_;
  std::unique_ptr<FileSystem> fs_;
  bool background_ = false;
  bool closed_ = false;

  mutable std::mutex mutex_;  // events and the background thread's flags; a leaf
  std::condition_variable wake_;
  bool stopping_ = false;
  std::deque<Event> events_;
  std::thread thread_;
  std::thread recruiter_;
};

/// What `stavefs create` needs to know.
struct CreateOptions {
  std::string name;
  Geometry geometry;
  ChecksumKind checksum = ChecksumKind::kXxh3;
  std::vector<std::string> directories;
  bool demo = false;  ///< allows directories that share a device or are no mounts of their own
  bool dry_run = false;
};
struct CreateReport {
  PoolConfig config;
  std::vector<std::string> directories;
  uint64_t raw_bytes = 0;
  uint64_t usable_bytes = 0;
};
/// Checks everything first, then formats; nothing is changed when a check fails.  kInvalid for a name, class
/// or number of disks that cannot be; kNotFound for a missing directory; kExists for one that is not empty or
/// holds a pool (named); kInvalid for one that shares its device with another one or is no mount of its own.
Result<CreateReport> create_pool(const CreateOptions& options);
/// The part below the checks, for any disks: writes rings, then superblocks.
Status format_pool(const PoolConfig& config, std::span<const Pool::NewDisk> disks, IoEngine& engine,
                   Rng& rng);

}  // namespace stavefs
