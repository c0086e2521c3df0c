// A pool's membership: which disks belong, which are here, which may be trusted, and since which epoch.
//
// Theory: every disk's superblock carries the whole member table and the newest epoch it has seen.  The epoch
// names the metadata members: the disks that carry the journal and the index.  It is raised at every mount
// and before the member set changes in any way that a later acknowledgement relies on.  The host keeps a
// witness: the newest epoch it has published, so that a minority of members is enough after a loss, while an
// old image put back is never mistaken for the present.
//
// An epoch is published in two steps.  First every usable disk gets it as *pending*, then the witness stores
// it, then every usable disk gets it as the epoch.  So whoever sees it published knows that all its members
// had it; a pending one that the witness knows counts as published, any other was never acknowledged on and
// is forgotten.  A metadata member that has neither is an old image put back: it counts as missing.
//
// Mount rule: read-write when the newest visible epoch is not older than the witness and either all its
// metadata members are here, or at most m are missing and (a majority is here, or the witness equals that
// epoch). More than m missing disks of a set are refused too.  Anything else needs `force_degraded`, which
// mints a new fork. A disk of the parent fork that is behind the split is merely stale; one that went on
// without us is refused.
//
// Disk health: an error on write or sync fences the disk for the rest of this mount: it takes no more writes
// and what it should have received is missing from it.  Read errors are counted; kReadErrorsToFence without a
// success between them fence the disk as well.  ENOSPC marks it full: no new segments.
//
// Threads: self-synchronised.  Lock order: a leaf; callbacks run without any lock of the pool held, on the
// thread that found the fault.  That may be the journal's writer: a callback must not call the journal, only
// wake who will.

#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/ids.h"
#include "base/result.h"
#include "base/rng.h"
#include "base/uuid.h"
#include "codec/checksum.h"
#include "disk/disk.h"
#include "disk/superblock_format.h"
#include "pool/geometry.h"

namespace stavefs {

inline constexpr int kReadErrorsToFence = 16;

/// What is fixed when a pool is made.
struct PoolConfig {
  Uuid id;
  std::string name;
  Geometry geometry;  ///< the default class
  ChecksumKind checksum = ChecksumKind::kXxh3;
  uint32_t segment_bytes = 0;   ///< a power of two, 4 MiB to 256 MiB
  uint64_t ring_bytes = 0;      ///< journal ring on each metadata member, a multiple of 4 KiB
  uint8_t metadata_copies = 0;  ///< m + 1
  int64_t created_ns = 0;
};

/// clamp(median / 4096, 4 MiB, 256 MiB) rounded down to a power of two.
uint32_t choose_segment_bytes(std::span<const uint64_t> disk_bytes);

/// One row of the member table.
struct Member {
  DiskSlot slot;
  Uuid uuid;
  std::string name;       ///< "d1": what people call it; unique in the pool
  uint16_t set = 0;       ///< at most 64 disks in a set
  uint32_t segments = 0;  ///< capacity
  bool removed = false;   ///< was taken out of the pool; the slot is not reused
};

/// The newest agreement about the metadata copies.
struct EpochRecord {
  Epoch epoch;
  Uuid fork;                      ///< changes only when a force-degraded mount splits history
  std::vector<DiskSlot> members;  ///< disks with journal and index
  Lsn start_lsn;                  ///< last LSN of the chain when the epoch began
  Hash128 chain_hash;             ///< hash of the frame that ends at start_lsn; zero when there is none
  bool clean = false;             ///< nothing has been written since a clean unmount
  uint64_t ticket = 0;            ///< random, drawn by publish(): no two publications share epoch and ticket
};

enum class DiskState : uint8_t {
  kActive,  ///< here and trusted
  kAbsent,  ///< not found at mount
  kFailed,  ///< fenced: an error made it untrustworthy for this mount
  kRemoved,
};
std::string_view to_string(DiskState state);  ///< "active", "absent", "failed", "removed"

struct DiskReport {
  Member member;
  DiskState state = DiskState::kAbsent;
  std::string path;   ///< last known place
  bool full = false;  ///< takes no new segments
  bool metadata_member = false;
  bool stale = false;  ///< its superblock was behind the newest epoch when the pool was opened
  uint64_t read_errors = 0;
  uint64_t write_errors = 0;
  uint64_t checksum_errors = 0;
  std::string reason;  ///< why it is not active, for people
  DiskSpace space;     ///< of the host filesystem; zeros when not here
};

/// Keeps the newest published epoch on the host, outside the pool's disks.  Self-synchronised.
class Witness {
 public:
  struct Value {
    Epoch epoch;
    Uuid fork;
    uint64_t ticket = 0;
    bool operator==(const Value&) const = default;
  };
  virtual ~Witness() = default;
  /// Empty when this host has never mounted the pool.
  virtual Result<std::optional<Value>> load() = 0;
  /// Durable when it returns.
  virtual Status store(const Value& value) = 0;
};

/// A witness in the file `path` (written beside, synced, renamed); its directory is made on demand.
std::unique_ptr<Witness> make_file_witness(std::string path);
/// A witness in memory, for simulations: survives as long as the object.
std::unique_ptr<Witness> make_memory_witness();

/// What a blank or foreign directory turned out to be.
struct ProbeResult {
  bool has_superblock = false;
  bool formatting = false;  ///< the making of its pool was interrupted, or another disk saw the end of it
  PoolConfig config;
  Member member;
  Epoch epoch;
};
/// Reads a disk's superblock.  has_superblock false for a blank disk; kCorrupt when there are superblock
/// copies but none is valid; kUnsupported for unknown incompatible features.  Never writes.
Result<ProbeResult> probe_disk(Disk& disk, IoEngine& engine);

class Pool {
 public:
  struct NewDisk {
    Disk* disk = nullptr;
    std::string path;
    uint64_t bytes = 0;  ///< what the pool may use of it
  };
  /// Writes the superblocks of a new pool: slots 0..n-1 named d1..dn, epoch 1 with the first
  /// metadata_copies disks as members.  `config.id`, segment and ring sizes must be set.  Until every disk
  /// has its superblock all of them say "formatting": a pool whose making was interrupted is refused as such
  /// by open(). kInvalid says what is impossible; nothing is written then. REQUIRES: the disks are blank (the
  /// caller has checked and asked).
  static Status format(const PoolConfig& config, std::span<const NewDisk> disks, IoEngine& engine, Rng& rng);

  struct Attached {
    std::unique_ptr<Disk> disk;
    std::string path;
  };
  struct OpenOptions {
    bool force_degraded = false;
    bool read_only = false;  ///< looks, never publishes; no mount rule
  };
  /// Reads superblocks, settles the newest epoch and applies the mount rule; writes nothing.  Disks of
  /// another pool (kForeign, both named), two disks with one identity and, without force, too few disks
  /// (kDegraded: says which are missing and what to do) are refused.  Disks of the pool that lag behind are
  /// taken, marked stale.
  static Result<std::unique_ptr<Pool>> open(std::vector<Attached> disks, IoEngine& engine, Witness& witness,
                                            Rng& rng, const OpenOptions& options);
  ~Pool();

  const PoolConfig& config() const { return config_; }
  IoEngine& engine() const { return engine_; }
  /// In slot order, removed ones included; fixed while the pool is open.
  std::span<const Member> members() const { return members_; }
  /// The disk in `slot`, null when it is absent.  Stays valid (though perhaps failed) while the pool is open.
  Disk* disk(DiskSlot slot) const;
  /// Present and not fenced.
  bool usable(DiskSlot slot) const;
  /// usable, and may take new segments.
  bool writable(DiskSlot slot) const;

  EpochRecord epoch() const;
  /// Makes `next` the newest epoch: writes it to every usable disk's superblock, then to the witness. Success
  /// when every metadata member of `next` and at least one disk has it durably and the witness stored it.  A
  /// member that fails is fenced and kIo returned: the caller shrinks the set and tries again. A number that
  /// was tried before is passed over: epoch() tells the one that was taken, and the ticket. kFenced on a pool
  /// opened read-only; any error but kIo means that the epoch cannot be moved at all. REQUIRES: next.epoch >
  /// epoch().epoch, or the same epoch with only `clean` changed.
  Status publish(const EpochRecord& next);

  /// What an I/O on `slot` led to; decides fencing.  `error` is a positive errno, or 0 for a success after
  /// errors.
  void report(DiskSlot slot, IoKind kind, int error, std::string_view what);
  /// A checksum mismatch of bytes read from `slot`.
  void report_corrupt(DiskSlot slot, std::string_view what);
  /// Fences a disk; `reason` for people.  Idempotent.
  void fence(DiskSlot slot, std::string_view reason);
  /// Compares each disk's path with the disk that is held; fences what has vanished.  Called every few
  /// seconds.
  void probe_disks();
  /// Called (without locks) after a disk was fenced.  Set once, before use.
  void on_fenced(std::function<void(DiskSlot)> callback) { on_fenced_ = std::move(callback); }
  /// Seed of the journal's checksums, known to this pool only.
  uint64_t journal_key() const { return journal_key_; }
  bool read_only() const { return read_only_; }
  /// Raised by one at every change of a disk's state.
  uint64_t state_version() const { return state_version_.load(std::memory_order_acquire); }

  std::vector<DiskReport> reports() const;

 private:
  struct Slot;
  struct Opening;
  Pool(IoEngine& engine, Witness& witness, uint64_t seed);
  Status publish_next(SuperblockEpoch target, std::vector<DiskSlot>& fenced);
  Status publish_clean(const EpochRecord& next, std::vector<DiskSlot>& fenced);
  Status write_superblocks(const SuperblockEpoch& epoch, const SuperblockEpoch* pending,
                           std::span<const uint16_t> required, std::vector<DiskSlot>& fenced);
  bool mark_failed(DiskSlot slot, std::string_view reason);
  void accept(const SuperblockEpoch& epoch);
  Slot* slot_at(DiskSlot slot) const;

  // Fixed once open.
  PoolConfig config_;
  std::vector<Member> members_;
  IoEngine& engine_;
  Witness& witness_;
  uint64_t journal_key_ = 0;
  uint64_t compat_ = 0;  // feature bits are kept as they were found
  uint64_t ro_compat_ = 0;
  bool read_only_ = false;
  std::function<void(DiskSlot)> on_fenced_;
  std::vector<std::unique_ptr<Slot>> slots_;  // by slot; null when absent; a slot synchronises itself

  std::atomic<uint64_t> state_version_{1};
  std::mutex publish_mutex_;  // held across the I/O of a publication; before mutex_
  SuperblockEpoch current_;   // guarded by publish_mutex_, like what follows
  uint64_t last_tried_ = 0;   // highest epoch number seen or tried
  std::optional<Uuid> minted_fork_;
  Rng rng_;
  mutable std::mutex mutex_;  // guards what follows, and the slots' reasons
  EpochRecord epoch_;
};

}  // namespace stavefs
