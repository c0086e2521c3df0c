// The index: an ordered map of keys (index/keys.h) to values, mirrored on the metadata members.
//
// Theory: RocksDB with its own log switched off, one column family, over a FileSystem of ours that writes
// every file to all current copies, checksums every 4 KiB page (seeded with file and page number, so that a
// misplaced page is caught), reads from any copy and falls over to the next.  Each batch carries the LSN that
// it reflects; because a memtable is flushed whole and in order, what is on disk is always the state as of
// some LSN, and the journal replays the rest.
//
// Invariants: no file gets ahead of the journal: `before_flush` runs before each memtable flush.  A copy that
// fails a write is given up through `copy_failed` before RocksDB hears success.  RocksDB never sees an I/O
// error: a bad page is read from another copy and the copy is rebuilt; when no copy is left the index is
// fenced, `fenced` is called and every later operation fails.
//
// Threads: self-synchronised; apply() calls are serialised by the caller, in LSN order.

#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "index/batch.h"
#include "pool/pool.h"

namespace stavefs {

struct MirrorOptions;

inline constexpr const char* kIndexDirectory = "index";

/// A forward scan over [from, to) of a consistent view.  One thread.
class IndexScan {
 public:
  virtual ~IndexScan() = default;
  /// False at the end, or after an error (see status()).
  virtual bool valid() const = 0;
  virtual std::string_view key() const = 0;    ///< REQUIRES: valid(); until next()
  virtual std::string_view value() const = 0;  ///< likewise
  virtual void next() = 0;
  /// Moves to the last key <= `key` of the range (invalid when there is none).
  virtual void seek_for_prev(std::string_view key) = 0;
  virtual void seek(std::string_view key) = 0;
  virtual Status status() const = 0;
};

class Index {
 public:
  struct Options {
    uint64_t cache_bytes = uint64_t{512} << 20;
    uint64_t memtable_bytes = uint64_t{64} << 20;  ///< of one memtable; at most four are alive
    bool read_only = false;
    /// Makes the journal durable up to its head.  An error fails the flush and fences the index.
    std::function<Status()> before_flush;
    /// A copy must no longer count as a member; returns after the epoch has moved.
    std::function<Status(DiskSlot)> copy_failed;
    /// No copy is left.
    std::function<void()> fenced;
  };
  /// Opens (or, when the epoch's members have no index yet, makes) the index on the usable members of
  /// pool.epoch().
  static Result<std::unique_ptr<Index>> open(Pool& pool, Options options);
  /// The same on the given members; callbacks for read_only, copy_failed and fenced are taken from `options`.
  static Result<std::unique_ptr<Index>> open_on(MirrorOptions mirror, std::span<const DiskSlot> members,
                                                Options options);
  ~Index();

  /// The value, or nothing.
  Result<std::optional<std::string>> get(std::string_view key) const;
  /// Positioned at the first key >= `from`; sees everything applied before the call and nothing later.
  /// REQUIRES: the index outlives the scan.
  Result<std::unique_ptr<IndexScan>> scan(std::string_view from, std::string_view to) const;

  /// Applies an encoded batch (IndexBatch) as of `lsn`.  In memory until a flush.
  Status apply(std::string_view encoded_batch, Lsn lsn);

  /// LSN of the last applied batch; after open: of what was found on disk.
  Lsn applied() const;
  /// Everything up to this LSN is durable in files on all current copies.
  Lsn flushed() const;
  /// Writes memtables out; returns when flushed() has reached what was applied() at the call.
  Status flush();
  /// Bytes in memtables.
  uint64_t memtable_bytes() const;

  /// Copies all files to `slot` while work goes on; when it returns, the slot has everything and receives
  /// every further write.  The caller then makes it a member.
  Status add_copy(DiskSlot slot);
  /// Stops using a copy.  Idempotent.  REQUIRES: the epoch does not name the slot any more.  Callbacks may
  /// call it.
  void drop_copy(DiskSlot slot);
  std::vector<DiskSlot> copies() const;

  struct Stats {
    uint64_t file_bytes = 0;  ///< on one copy
    uint64_t repaired_pages = 0;
    uint64_t failed_copies = 0;
  };
  Stats stats() const;

 private:
  struct Impl;
  explicit Index(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace stavefs
