// A group in memory: k+m segments, who appends to it, and what of it is known to be durable.
//
// Theory: what a group is (GroupRecord) changes only through GroupTable, which commits it first.  Here is
// what goes with it while the pool is open: the row where the next stripe goes, the sessions that have
// written into it, the open files, and two stamps: every batch of writes that has completed raises `written`,
// every sync raises `synced` to what `written` was when it started.  A session is durable when `synced` has
// reached its own stamp.
//
// The rows that the summary will need are kept free: appending stops before they would be taken.
//
// Threads: self-synchronised.  Lock order: sync turn, record turn, then the two leaves.  The turns are held
// across I/O or commits and are taken by nobody else; sync turns of several groups are taken in order of
// GroupId.

#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "codec/reed_solomon.h"
#include "disk/disk.h"
#include "store/group_format.h"

namespace stavefs {

using SegmentFile = std::shared_ptr<DiskFile>;

class Group {
 public:
  /// REQUIRES: `codec` is of the record's geometry.
  Group(GroupId id, GroupRecord record, std::shared_ptr<const ReedSolomon> codec, uint32_t rows);

  // Constant.
  GroupId id() const { return id_; }
  const Geometry& geometry() const { return geometry_; }
  Temperature temperature() const { return temperature_; }
  const std::vector<ShardPlace>& shards() const { return shards_; }
  const ReedSolomon& codec() const { return *codec_; }
  uint32_t rows() const { return rows_; }
  uint32_t total() const { return static_cast<uint32_t>(shards_.size()); }

  GroupState state() const { return state_.load(std::memory_order_acquire); }
  uint64_t missing() const { return missing_.load(std::memory_order_acquire); }
  /// Shards that are neither missing nor unplaced.
  int live_shards() const;
  GroupRecord record() const;

  // Appending.  A group starts closed.
  void start_appending(Row next, size_t summary_bytes);
  void stop_appending();
  bool appending() const { return room_.load(std::memory_order_acquire) != 0; }
  /// Rows that the next stripe may take, about; 0 when nothing can be appended.
  uint32_t room() const { return room_.load(std::memory_order_acquire); }
  /// Rows for a stripe whose 'S' value has `record_bytes`; nothing when they are not there.  With `join` the
  /// caller becomes a session of the group if it gets them.
  std::optional<Row> append(uint32_t rows, size_t record_bytes, bool join);
  void leave();
  uint32_t sessions() const;
  /// Becomes the only session of a group that takes no more stripes and has none: for who seals or frees it.
  bool enter_idle();
  Row next_row() const;

  /// A batch of writes has completed; the stamp that a sync must reach to cover it.
  uint64_t note_written() { return written_.fetch_add(1, std::memory_order_acq_rel) + 1; }
  uint64_t written() const { return written_.load(std::memory_order_acquire); }

  // Files.
  SegmentFile file(uint32_t shard) const;
  std::vector<SegmentFile> files() const;
  void set_file(uint32_t shard, SegmentFile file);
  /// Closes what is open; running batches keep theirs.
  void drop_files();
  /// The segment is not what the record says: never read from it again.
  void mark_bad(uint32_t shard) { bad_.fetch_or(uint64_t{1} << shard, std::memory_order_acq_rel); }
  uint64_t bad() const { return bad_.load(std::memory_order_acquire); }
  bool identity_known(uint32_t shard) const {
    return (checked_.load(std::memory_order_acquire) >> shard & 1) != 0;
  }
  void note_identity(uint32_t shard) { checked_.fetch_or(uint64_t{1} << shard, std::memory_order_acq_rel); }

  /// For eviction of files: when it was last read, in ticks of the one who evicts.
  std::atomic<uint64_t> last_use{0};

  std::mutex sync_turn;        ///< one sync of this group at a time; guards the next two
  uint64_t synced = 0;         ///< every batch stamped up to here is durable, or its shard is missing
  bool names_durable = false;  ///< the segments' names are on stable media

  std::mutex record_turn;  ///< one change of the record at a time, held over its commit
  /// REQUIRES: record_turn is held and `record` is committed.
  void apply(const GroupRecord& record);

 private:
  void update_room();

  const GroupId id_;
  const Geometry geometry_;
  const Temperature temperature_;
  const std::vector<ShardPlace> shards_;
  const std::shared_ptr<const ReedSolomon> codec_;
  const uint32_t rows_;

  std::atomic<GroupState> state_;
  std::atomic<uint64_t> missing_;
  std::atomic<uint64_t> bad_{0};
  std::atomic<uint64_t> checked_{0};
  std::atomic<uint64_t> written_{0};
  std::atomic<uint32_t> room_{0};

  mutable std::mutex mutex_;  // a leaf; guards what follows
  GroupRecord record_;
  bool appending_ = false;
  uint32_t next_row_ = 0;
  size_t summary_bytes_ = 0;
  uint32_t sessions_ = 0;

  mutable std::mutex files_mutex_;  // a leaf; guards what follows
  std::vector<SegmentFile> files_;
};

}  // namespace stavefs
