// The ledger: journal and index as one, the only way to change metadata.
//
// Theory: commit() gives a change the next LSN, buffers its record in the journal and applies its batch to
// the index, under one short lock, so that both have the same order.  sync() makes it durable.  At open the
// index tells as of which LSN its files are; the journal replays the rest, and leaves the deferred data that
// no extent has taken over yet.
//
// Record encoding: sections, each a byte and its body: 1 = index batch (varint length, bytes); 3 = discard
// (inode u64, offset u64, length u64, upto u64); 2 = deferred data (inode u64, offset u64, varint length,
// bytes).  They stand in this order, so that a discard never meets the data of its own change.
//
// The journal is trimmed to min(what the index has on disk, oldest deferred data not yet durable in an
// extent).
//
// Room: every operation calls admit() before it takes locks; it waits (and helps) until the journal has ample
// room, so that commit(), which is called under inode locks, finds some.
//
// Threads: self-synchronised.

#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "index/index.h"
#include "journal/journal.h"
#include "pool/pool.h"
#include "store/change.h"

namespace stavefs {

/// Deferred data found in the journal that no extent holds.
struct RecoveredData {
  InodeId inode;
  uint64_t offset = 0;
  Lsn lsn;
  std::string bytes;
};

class Ledger {
 public:
  struct Options {
    uint64_t index_cache_bytes = uint64_t{512} << 20;
    uint64_t memtable_bytes = uint64_t{64} << 20;
    bool read_only = false;
  };
  /// Opens index and journal and replays.  After it the pool has a raised epoch.
  static Result<std::unique_ptr<Ledger>> open(Pool& pool, const Options& options);
  ~Ledger();

  /// Deferred data to be laid over the extents; once, after open.  Pieces of one inode are in LSN order.
  std::vector<RecoveredData> take_recovered_data();

  /// Waits until the journal has ample room: destages deferred data, flushes the index, trims.  Called
  /// without locks at the start of an operation.
  Status admit();
  /// The largest change that there may be can be committed now.
  bool has_room_for_change() const { return journal_->has_room(journal_->max_record_bytes()); }
  /// The change's LSN.  kFenced when the pool can no longer be written.
  Result<Lsn> commit(const Change& change);
  /// Durable on all metadata members when it returns.
  Status sync(Lsn lsn);
  Status sync_all() { return sync(head()); }
  Lsn head() const { return journal_->head(); }
  Lsn durable() const { return journal_->durable(); }

  Result<std::optional<std::string>> get(std::string_view key) const { return index_->get(key); }
  Result<std::unique_ptr<IndexScan>> scan(std::string_view from, std::string_view to) const {
    return index_->scan(from, to);
  }
  Result<std::unique_ptr<IndexScan>> scan_prefix(std::string_view prefix) const;

  /// Deferred data committed at `logged` is in extents since the change with LSN `destaged`, or was discarded
  /// by it.
  void data_destaged(Lsn logged, Lsn destaged);

  /// Live bytes of a group; 0 for one that has none.
  int64_t live_bytes(GroupId group) const;
  /// Forgets a freed group's count.  The caller has erased its keys.
  void forget_group(GroupId group);
  Change::Usage usage(BucketId bucket) const;

  /// Asked (from admit, without locks) to destage all deferred data, because it holds the journal up.  Set
  /// once, before use.
  void on_pressure(std::function<void()> callback) { on_pressure_ = std::move(callback); }

  /// One round of upkeep: flushes the index when the ring fills, trims, drops members that lost their copy.
  Status maintain();
  /// Finds new metadata members for lost ones.  Copies the whole index for each, so it has a thread of its
  /// own; one caller at a time.
  Status recruit();
  /// Writes the index out and gives up the part of the journal that is not needed any more.
  Status checkpoint();
  /// Syncs, flushes and marks the epoch clean.  Nothing may be committed afterwards.
  Status close();

  bool fenced() const { return fenced_.load(std::memory_order_acquire); }
  Journal::Stats journal_stats() const { return journal_->stats(); }
  Index::Stats index_stats() const { return index_->stats(); }

 private:
  explicit Ledger(Pool& pool, const Options& options);
  Status replay(Lsn lsn, std::string_view record, Lsn applied);
  void apply_discard(const Change::Discard& discard, Lsn lsn);
  Status load_counts();
  Status reconcile_members();
  Status make_room(size_t bytes);
  Status push_frame();
  bool room_above(uint64_t part) const;
  Status relieve();
  Status write_out_index();
  void update_trim();
  Status fence_on(Status status);
  void encode_record(const Change& change);

  Pool& pool_;
  const Options options_;
  std::function<void()> on_pressure_;
  std::atomic<bool> fenced_{false};
  std::unique_ptr<Index> index_;
  std::unique_ptr<Journal> journal_;
  std::map<InodeId, std::vector<RecoveredData>> recovered_;

  mutable std::mutex commit_mutex_;  // order of LSNs; taken before nothing of ours, held for memory work only
  std::unordered_map<GroupId, int64_t> live_;
  std::unordered_map<BucketId, Change::Usage> usage_;
  std::string record_;  // reused
  std::string batch_;   // reused

  mutable std::mutex data_mutex_;     // a leaf
  std::multiset<Lsn> deferred_;       // LSNs of data records that no durable extent holds
  std::multimap<Lsn, Lsn> destaged_;  // destaging LSN -> data LSN, until the former is durable

  std::set<DiskSlot> failed_recruits_;    // recruit()'s: passed over until some disk changes its state
  uint64_t failed_recruits_version_ = 0;  // likewise

  std::mutex maintain_mutex_;  // one round at a time; held across I/O, and no other lock waits for it
};

}  // namespace stavefs
