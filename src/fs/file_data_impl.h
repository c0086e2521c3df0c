// What the rooms of FileDataManager share.  Private to src/fs.
//
// The queue: an inode that has something to flush is in the queue, or is just being taken from it, or a flush
// of it is running, whose end queues it again.  The queue holds references, so what is dirty is never
// evicted.
//
// Jobs: one flush of one or several inodes, from the capture to the commit.  A job is active before the first
// inode leaves the queue for it, so whoever sees neither an active job nor a queued inode knows that nothing
// is dirty.
//
// Lock order: inodes in ascending number; then `mutex`, a leaf but for the store's and the ledger's.

#pragma once

#include <chrono>
#include <condition_variable>
#include <map>
#include <mutex>
#include <set>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

#include "fs/extent_map.h"
#include "fs/file_data.h"

namespace stavefs {

inline constexpr uint64_t kMaxChunkBytes = uint64_t{1} << 20;
/// A job's change takes at most about this part of the journal, at an estimate of bytes for each piece.
inline constexpr uint64_t kRingParts = 16;
inline constexpr uint64_t kChangeBytesPerPiece = 512;
/// Extents with longer checksums make longer changes, and cutting an extent copies its checksums.
inline size_t checksum_weight(ChecksumKind kind) { return checksum_bytes(kind) / 8; }
/// Inodes in one flush.
inline constexpr size_t kMaxCaptureInodes = 4096;
/// Pieces handed to the store in one call.
inline constexpr uint64_t kWriteBatchBytes = uint64_t{16} << 20;
/// Neighbouring pieces shorter than this are copied together and stored as one extent.
inline constexpr uint64_t kGatherBelowBytes = uint64_t{256} << 10;
/// Pause of background flushing after a failure, doubled up to the maximum.
inline constexpr int64_t kFirstBackoffNs = 100'000'000;
inline constexpr int64_t kMaxBackoffNs = 10'000'000'000;

/// A part of the capture that went somewhere.
struct PlacedRange {
  uint64_t file_offset = 0;
  ExtentAddress address;
  std::string checksums;
};

/// One inode's part of a job.
struct Captured {
  InodeRef inode;
  std::vector<std::pair<uint64_t, Piece>> pieces;  ///< what goes into stripes, in file order
  uint64_t bytes = 0;                              ///< of `flushing`
  bool to_inline = false;                          ///< goes into the record; `pieces` is empty
  Lsn head;                                        ///< the ledger's head at the capture
  BucketPolicy policy;
  Temperature temperature = Temperature::kHot;
  std::vector<PlacedRange> placed;

  // What becomes true with the commit; made under the lock by prepare().
  bool wanted = false;      ///< `flushing` is committed
  bool has_record = false;  ///< the record is part of the change
  bool complete = false;    ///< nothing newer is in memory
  InodeRecord next;
};

struct FlushJob {
  using SessionKey = std::tuple<Geometry, ChecksumKind, Temperature>;

  uint64_t id = 0;
  std::vector<Captured> inodes;
  uint64_t bytes = 0;   ///< of data
  uint64_t memory = 0;  ///< of chunks
  size_t weight = 0;    ///< of its change: pieces and inodes
  std::map<SessionKey, std::unique_ptr<WriteSession>> sessions;
};

struct FileDataManager::Impl {
  Impl(Ledger& ledger, Store& store, InodeCache& inodes, BufferPool& buffers, Clock& clock,
       PolicyOf policy_of, const Options& options);

  // Bookkeeping (file_data.cc).  REQUIRES: inode locked exclusively.
  static FileData& ensure(Inode& inode);
  /// Brings counters and the reservation in line with what is dirty.
  void account(FileData& data);
  /// Puts the inode into the queue.
  void enqueue(Inode& inode);
  /// Takes it out again when it is there.
  void dequeue(Inode& inode);
  /// Tells the ledger of deferred data that no piece refers to any more.  REQUIRES: all dirty data is logged.
  void destage_unreferenced(FileData& data, Lsn lsn);
  /// Marks unlogged pieces.
  static void mark_logged(FileData& data, Lsn lsn);
  /// Makes the whole size part of a change; adds usage and the record.
  static void claim_size(Inode& inode, Change& change);
  void wait_idle(Inode& inode, std::unique_lock<std::shared_mutex>& lock);
  /// False when there is no such inode.
  Result<bool> adopt_piece(const RecoveredData& piece);

  // Writing (write_path.cc).
  Result<uint64_t> write(const InodeRef& inode, uint64_t offset, std::span<const uint8_t> bytes,
                         bool kill_privileges);
  /// Waits until the inode may take more; its bucket's policy.
  Result<BucketPolicy> admit(const InodeRef& inode);
  Status wait_for_memory();
  void copy_in(FileData& data, uint64_t offset, std::span<const uint8_t> bytes);
  std::shared_ptr<Chunk> new_chunk(const FileData& data, uint64_t offset, uint64_t bytes);

  // Reading (read_path.cc).
  Result<size_t> read(const InodeRef& inode, uint64_t offset, std::span<uint8_t> out, bool aligned);

  // Durability (fsync.cc).
  Status fsync(const InodeRef& inode, bool data_only);
  bool log_dirty(Inode& inode, Change& change);
  void logged(Inode& inode, Lsn lsn);

  // Cutting (truncate.cc).
  Result<bool> truncate(Inode& inode, uint64_t size, Change& change);
  Status shrink(Inode& inode, uint64_t size, Change& change);
  Status remove_all(Inode& inode, Change& change);
  void forget_content(Inode& inode);
  void committed(Inode& inode, Lsn lsn);

  // One job (flush_job.cc).
  uint64_t begin_job();
  void end_job(FlushJob& job, const Status& status);
  /// Takes the inode's dirty state into the job; false when there is nothing to take.
  /// REQUIRES: locked exclusively, no flush of it running.
  bool capture(Inode& inode, FlushJob& job);
  /// Writes and commits what was captured and ends the job; on failure the data is dirty again.
  Status run(FlushJob& job);
  Status write_stripes(FlushJob& job);
  Status commit(FlushJob& job);
  Status prepare(Captured& captured, Change& change);
  Status replace_extents(Captured& captured, Change& change);
  void settle(Captured& captured, Lsn lsn);
  /// `error`: what the inode's users are told; null when it is tried again at once.
  void give_back(Captured& captured, const Error* error);

  // Choosing (flusher.cc).
  Status flush(const InodeRef& inode);
  Status flush_all();
  /// Flushes queued inodes that are dirty since `before_ns` or earlier, oldest first, in one job.  False when
  /// there was none to take.
  bool flush_batch(int64_t before_ns, Status* status);
  /// The oldest queued inode that is dirty since `before_ns` or earlier leaves the queue.
  InodeRef pop(int64_t before_ns, int64_t* since_ns);
  /// Waits until the jobs that are active now have ended, but not beyond `limit`.
  void wait_for_jobs(std::chrono::nanoseconds limit);
  void work_loop();
  /// What is dirty since this time or earlier is to be flushed.  REQUIRES: mutex held.
  int64_t due_before(int64_t now_ns) const;
  void kick();
  void pressure();

  Ledger& ledger;
  Store& store;
  InodeCache& inodes;
  BufferPool& buffers;
  Clock& clock;
  const PolicyOf policy_of;
  const Options options;
  const size_t max_pieces;  ///< of one inode's dirty data; also the weight of a job

  std::atomic<uint64_t> memory{0};     ///< bytes of all chunks
  std::atomic<uint64_t> in_flight{0};  ///< bytes of chunks captured by active jobs
  std::atomic<uint64_t> dirty_bytes{0};

  std::condition_variable_any idle;  ///< a flush_running went false; waited for with the inode's lock

  mutable std::mutex mutex;
  std::condition_variable work;      ///< for the threads
  std::condition_variable progress;  ///< a job has ended
  // Guarded by mutex.
  std::map<std::pair<int64_t, uint64_t>, InodeRef> queue;  ///< by (dirty since, number)
  std::set<uint64_t> active_jobs;
  uint64_t next_job = 1;
  uint64_t failed_jobs = 0;
  std::optional<Error> last_failure;    ///< of the newest ended job
  std::optional<Error> newest_failure;  ///< of the newest job that failed; a later success does not clear it
  int64_t backoff_ns = 0;
  int64_t backoff_until_ns = 0;
  bool stopping = false;
  std::vector<std::thread> threads;
};

}  // namespace stavefs
