// The bytes of regular files: dirty data in memory, its way into stripes, reading and cutting.
//
// Theory: write() copies bytes into memory (`dirty`).  A flush captures the whole dirty state of an inode (it
// becomes `flushing`), writes it into stripes, makes these durable and then, in one change, replaces the
// extents under it, puts the inode's record with the captured size and discards deferred data that the
// capture contained.  So a file's committed content is always a prefix of its writes.  Readers lay `dirty`
// over `flushing` over the extents.
//
// A small fsync (at most kDeferBytes dirty) commits the bytes as deferred data: they stay dirty, marked with
// the LSN, until a later flush destages them.
//
// While a flush runs, `flushing` holds the whole capture or nothing: whatever must cut a part of it waits for
// the flush, a cut that takes all of it clears it, and the flush then leaves the file alone.
//
// Files of at most kInlineBytes without extents are kept in their record: their flush writes no stripe.
//
// Flushing is done by threads of the manager (flusher.cc), and by callers that must wait for it.  One flush
// per inode at a time. Dirty memory is bounded: writers wait in write(), without locks, while it is above the
// cap.
//
// Failure: data whose flush failed goes back under what was written since, and stays readable; kNoSpace and
// kIo are reported to fsync, and by the next write.
//
// Threads: self-synchronised on top of the inodes' locks.

#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <span>
#include <vector>

#include "base/buffer.h"
#include "base/clock.h"
#include "fs/inode.h"
#include "fs/inode_cache.h"
#include "fs/interval_map.h"
#include "store/ledger.h"
#include "store/store.h"

namespace stavefs {

/// At most this much dirty data goes into the journal on fsync; more goes to stripes.
inline constexpr uint64_t kDeferBytes = 128u << 10;

/// Dirty pieces of one inode at which a writer waits for a flush, so that the change of a flush stays small;
/// fewer when the journal is small.
inline constexpr size_t kMaxDirtyPieces = 8192;

/// Per-inode part; guarded by the inode's mutex.
class FileData {
 public:
  IntervalMap dirty;
  IntervalMap flushing;
  bool flush_running = false;
  uint64_t flushing_size = 0;  ///< the file's size as of the capture
  Lsn flushing_upto;  ///< newest deferred data that the capture contains or supersedes; 0 when there is none
  int64_t dirty_since_ns = 0;    ///< monotonic; when `dirty` last became non-empty
  uint64_t reserved = 0;         ///< bytes of Store::reserve held for dirty and flushing
  Geometry geometry;             ///< of the reservation; fixed while `reserved` is not 0
  std::optional<Error> failure;  ///< of the last flush; cleared when reported by fsync
  bool failure_told = false;     ///< a write has reported it
  std::set<Lsn> deferred;  ///< changes with deferred data of this inode that no extent has taken over yet

 private:
  friend class FileDataManager;
  enum class Pending : uint8_t { kNothing, kCut, kLogged, kRemoved };
  Pending pending_ =
      Pending::kNothing;  ///< what the change being built did: committed() and logged() finish it
  uint64_t claimed_from_ =
      0;                 ///< stored_size before the change being built claimed more; aborted() returns to it
  bool queued_ = false;  ///< the manager's queue has, or is just taking, this inode
  int64_t queued_since_ns_ = 0;
  uint64_t counted_ = 0;         ///< this inode's part of the manager's dirty_bytes()
  std::shared_ptr<Chunk> tail_;  ///< where small and contiguous writes are appended
  uint64_t run_start_ = 0;       ///< the current run of contiguous writes
  uint64_t run_end_ = 0;
};

class FileDataManager {
 public:
  struct Options {
    uint64_t max_dirty_bytes = uint64_t{256} << 20;   ///< writers wait above it
    uint64_t flush_above_bytes = uint64_t{32} << 20;  ///< flushing starts above it ...
    int64_t flush_after_ns = 1'000'000'000;           ///< ... or at this age
    uint64_t max_capture_bytes = uint64_t{64} << 20;  ///< one flush takes inodes up to this sum
    int threads = 2;                                  ///< 0: nothing happens in the background (simulations)
  };
  /// Which redundancy an inode's bucket wants.
  using PolicyOf = std::function<BucketPolicy(BucketId)>;

  FileDataManager(Ledger& ledger, Store& store, InodeCache& inodes, BufferPool& buffers, Clock& clock,
                  PolicyOf policy_of, const Options& options);
  ~FileDataManager();  ///< REQUIRES: stop() was called
  void start();
  void stop();  ///< ends the threads; flushes nothing

  /// Puts deferred data that recovery found over the inodes' extents, as dirty data marked with its LSN.
  Status adopt(std::vector<RecoveredData> recovered);

  /// Writes at `offset` (kToEnd: at the end of the file, atomically) and returns the offset used.  Updates
  /// size and times, clears set-id bits when `kill_privileges`.  kNoSpace before anything is taken over.
  /// EFBIG above 16 TiB.
  Result<uint64_t> write(const InodeRef& inode, uint64_t offset, std::span<const uint8_t> bytes,
                         bool kill_privileges = false);
  /// Fills `out` from `offset`; returns how many bytes lie before the end of the file.  Holes are zeros.
  /// `aligned`: out.data() is 4 KiB aligned, so that data may be read straight into it.
  Result<size_t> read(const InodeRef& inode, uint64_t offset, std::span<uint8_t> out, bool aligned);

  /// Everything written before the call, and the inode itself, is durable when it returns.
  Status fsync(const InodeRef& inode, bool data_only);
  /// Writes all dirty data of `inode` into stripes and commits it (no journal sync).
  Status flush(const InodeRef& inode);
  /// Every dirty inode; then the journal is synced.
  Status flush_all();

  /// The inode's times (or the like) were changed in memory: a later flush commits its record.
  /// REQUIRES: inode locked exclusively.
  void note_attributes(Inode& inode);

  /// Adds to `change` what makes dirty data of `inode` part of it: deferred data records when there is
  /// little; false when there is too much or a flush is on its way, and the caller must unlock, flush() and
  /// start over.  Adds the inode's record when it adds data; a caller that puts the record itself does so
  /// after this call.  After the commit call logged(). REQUIRES: inode locked exclusively.
  bool log_dirty(Inode& inode, Change& change);
  void logged(Inode& inode, Lsn lsn);

  /// Changes size, mtime and ctime in memory and adds what is needed to `change` (extents erased or trimmed,
  /// deferred data discarded, usage, record put).  May add nothing when only memory changes.  False, with
  /// nothing changed: dirty data must be flushed first (see log_dirty).  EFBIG above 16 TiB.  After the
  /// commit call committed(). REQUIRES: inode locked exclusively, regular file.
  Result<bool> truncate(Inode& inode, uint64_t size, Change& change);
  /// Adds the removal of all extents and deferred data of an inode that goes away and of its bytes from the
  /// bucket's usage.  The record and the file count are the caller's.  Memory (dirty data too) goes with
  /// committed(), after the commit.  Does nothing to what is not a regular file. REQUIRES: inode locked
  /// exclusively until committed() or aborted().
  Status remove_all(Inode& inode, Change& change);
  /// The change of truncate() or remove_all() has LSN `lsn`.  REQUIRES: as there, still locked.
  void committed(Inode& inode, Lsn lsn);
  /// The change that log_dirty() or remove_all() added to is not going to be committed.  REQUIRES: as there,
  /// still locked.  (After truncate() has changed the size there is no way back: nothing but the commit may
  /// follow, and its failure fences the pool.)
  void aborted(Inode& inode);

  /// Bytes of files that are not in a stripe yet.
  uint64_t dirty_bytes() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace stavefs
