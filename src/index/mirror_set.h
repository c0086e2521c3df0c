// A directory of append-only files that stands on several disks alike.
//
// Theory: a file is a sequence of self-verifying pages (page_format.h), the same on every copy.  What changes
// a file (write, sync, rename, removal) goes to all copies in one batch; what reads it asks one copy,
// verifies, and asks the next one for the pages that were bad.  The set keeps a catalogue of its files in
// memory; open() makes it by comparing the copies, which after a crash may differ in what was not synced: of
// each file the longest valid prefix counts, page by page from any copy that has it, and copies that lack
// some of it are rebuilt before open() returns.
//
// A copy that fails a change is given up: it is reported, and `copy_failed` returns after the epoch has
// moved, before the change counts as done anywhere.  A change that a concurrent failure has kept from a copy
// waits likewise.  A copy with a bad page is kept: the file is written anew beside the bad one, read back,
// and renamed over it, in the background.
//
// Invariants: a page that was written is never written again.  No change returns success before every copy
// has it durably (sync, rename) or is out of the epoch.  When no copy is left, or a page is bad on all of
// them, the set is fenced: sticky, `fenced` is called once, and nothing succeeds from then on.
//
// Threads: self-synchronised; a writer belongs to one thread at a time.  Callbacks run without any lock held;
// they may call drop_copy() and must not call anything that changes files.  Lock order: add_mutex_, gate_,
// MirrorFile::exclusive, mutex_, MirrorFile::mutex.  gate_ and MirrorFile::exclusive are held across disk
// I/O: they order changes of files against add_copy and rebuilding, and readers take neither.

#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "base/buffer.h"
#include "base/ids.h"
#include "base/result.h"
#include "base/rng.h"
#include "disk/disk.h"
#include "index/mirror_file.h"

namespace stavefs {

struct MirrorOptions {
  IoEngine* engine = nullptr;
  std::string directory = "index";
  uint64_t seed = 0;       ///< of the random part of file identities
  bool read_only = false;  ///< nothing is written to any disk

  /// The disk in a slot, null when it is absent; valid as long as the set.
  std::function<Disk*(DiskSlot)> disk;
  /// A failed I/O: errno and what it was for.
  std::function<void(DiskSlot, IoKind, int error, std::string_view what)> report;
  /// Bytes that do not match their checksum.
  std::function<void(DiskSlot, std::string_view what)> report_corrupt;
  /// The copy must not count any more; returns after the epoch has moved.  An error fences the set.
  std::function<Status(DiskSlot)> copy_failed;
  /// No copy is left.  Called once.
  std::function<void()> fenced;
};

class MirrorWriter;
class MirrorReader;

class MirrorSet {
 public:
  /// Compares the copies in `members`, repairs what lags, and makes the catalogue.  A member that cannot be
  /// listed or repaired is given up.  kIo when none is left.
  static Result<std::unique_ptr<MirrorSet>> open(MirrorOptions options, std::span<const DiskSlot> members);
  ~MirrorSet();

  /// An empty file, in place of what has that name.  It gets onto the disks with the first bytes or the first
  /// sync.
  Result<std::unique_ptr<MirrorWriter>> create(std::string_view name);
  /// kNotFound.
  Result<std::unique_ptr<MirrorReader>> open_file(std::string_view name);
  /// kNotFound.
  Status remove(std::string_view name);
  /// Replaces `to`; durable, on all copies, when it returns.  The file is written anew under its new name, so
  /// this is for small files.  REQUIRES: `from` has no writer.
  Status rename(std::string_view from, std::string_view to);
  /// Makes removals durable (creations and renames are durable with the sync that follows them).
  Status sync_names();

  bool exists(std::string_view name) const;
  /// Bytes in the file; kNotFound.
  Result<uint64_t> size(std::string_view name) const;
  std::vector<std::string> list() const;

  /// Copies everything to `slot` while work goes on; changes wait while the last files are copied.  When it
  /// returns, every further change goes to that copy too.
  Status add_copy(DiskSlot slot);
  /// Stops using a copy.  Idempotent.  REQUIRES: the epoch does not name the slot any more.
  void drop_copy(DiskSlot slot);
  std::vector<DiskSlot> copies() const;

  /// Stops everything for good.
  void fence(std::string_view reason);
  bool is_fenced() const { return fenced_.load(std::memory_order_acquire); }
  /// Returns when no rebuilding is queued or under way.
  void wait_for_repairs();

  struct Stats {
    uint64_t files = 0;
    uint64_t file_bytes = 0;      ///< on one copy
    uint64_t repaired_pages = 0;  ///< rewritten because they were bad or missing on one copy
    uint64_t failed_copies = 0;
  };
  Stats stats() const;

 private:
  friend class MirrorWriter;
  friend class MirrorReader;
  class Change;
  struct Scan;
  struct Repair {
    std::shared_ptr<MirrorCopy> copy;
    std::shared_ptr<MirrorFile> file;
  };
  using FilePtr = std::shared_ptr<MirrorFile>;
  using CopyPtr = std::shared_ptr<MirrorCopy>;

  explicit MirrorSet(MirrorOptions options);
  Error fenced_error() const;
  std::string path(std::string_view name) const { return options_.directory + "/" + std::string(name); }

  // Membership (mirror_set.cc).
  std::vector<CopyPtr> live_copies() const;
  void give_up(const CopyPtr& copy, IoKind kind, const Error& error, std::string_view what);
  /// Waits until no copy is between failing and being out of the epoch.
  Status settle();
  uint64_t new_file_id();
  FilePtr find(std::string_view name) const;
  void rename_on(Change& change, const FilePtr& from, const FilePtr& to);
  /// Success when there is no such name.
  Status remove_name(const MirrorCopy& copy, std::string_view name);

  // Reading (mirror_read.cc).
  /// Whether a page that no copy has fences the set.
  enum class OnLoss : uint8_t { kFence, kReturn };
  /// Reads and verifies pages [first, first + count) into `to`.
  Status read_pages(const FilePtr& file, uint32_t first, uint32_t count, uint8_t* to, OnLoss on_loss);
  class PageRead;
  Result<std::shared_ptr<DiskFile>> handle(const FilePtr& file, const CopyPtr& copy);
  void note_bad(const FilePtr& file, const CopyPtr& copy, const Error& error);

  // Recovery (mirror_recover.cc).
  Status recover(std::span<const DiskSlot> members);
  Status recover_file(const std::string& name);
  Scan scan_file(const std::string& name, const std::vector<CopyPtr>& copies);
  Status list_copies(std::vector<std::string>& names);
  void lose(const CopyPtr& copy, IoKind kind, const Error& error, std::string_view what);

  // Copying (mirror_copy.cc).
  /// Writes `file` anew on `copy`, reads it back, and puts it in place of what is there; durable when it
  /// returns. `target_failed` tells an error of that copy from one of the others.  REQUIRES: file->exclusive
  /// or the gate alone.
  Status install(const FilePtr& file, const CopyPtr& copy, bool& target_failed);
  Status write_copy(const FilePtr& file, DiskFile& target, bool& target_failed);
  uint64_t count_bad_pages(const FilePtr& file, const CopyPtr& copy);
  void repair_loop();
  void repair(const Repair& job);
  Status purge(const CopyPtr& copy);
  /// Copies what is not being written and not in `has` (identities by name).  False when there was nothing.
  Result<bool> copy_settled_files(const CopyPtr& copy, std::map<std::string, uint64_t>& has);
  Status finish_joining(const CopyPtr& copy, const std::map<std::string, uint64_t>& has);

  const MirrorOptions options_;
  BufferPool buffers_;
  std::mutex add_mutex_;    ///< one add_copy at a time
  std::shared_mutex gate_;  ///< shared by changes of files; exclusive while a copy joins
  std::atomic<bool> fenced_{false};
  std::atomic<bool> names_dirty_{false};
  std::atomic<uint64_t> repaired_pages_{0};
  std::atomic<uint64_t> failed_copies_{0};

  mutable std::mutex mutex_;                           ///< guards what follows
  std::condition_variable settled_;                    ///< a copy has left, or the set is fenced
  std::condition_variable repairs_;                    ///< the queue has changed, or stopping_
  std::vector<CopyPtr> copies_;                        ///< live and failing ones
  std::map<std::string, FilePtr, std::less<>> files_;  ///< by name on disk
  uint64_t next_creation_ = 1;
  Rng rng_;
  std::deque<Repair> queue_;
  bool repairing_ = false;
  bool stopping_ = false;
  std::thread repair_thread_;
};

/// Appends to a file.  Pages are kept until a buffer is full, or until a sync or close.
class MirrorWriter {
 public:
  /// Writes out what is left, without a sync; errors are gone (close() tells them).
  ~MirrorWriter();

  Status append(std::string_view bytes);
  /// Everything appended so far is durable on all copies when it returns, the file's name included.
  Status sync();
  /// Writes out what is left.  Idempotent.
  Status close();
  /// Bytes appended.
  uint64_t size() const { return appended_; }

 private:
  friend class MirrorSet;
  MirrorWriter(MirrorSet& set, std::shared_ptr<MirrorFile> file) : set_(set), file_(std::move(file)) {}

  enum class Durability : uint8_t { kNone, kBytes, kBytesAndName };
  /// Writes the buffered pages, the last one full or not.
  Status write_out(Durability durability);
  void encode_pages();
  void open_on(MirrorSet::Change& change);
  void write_on(MirrorSet::Change& change, bool durable);
  void sync_on(MirrorSet::Change& change);
  DiskFile* handle(const MirrorCopy* copy) const;

  MirrorSet& set_;
  const std::shared_ptr<MirrorFile> file_;
  AlignedBuffer buffer_;
  std::vector<uint16_t> used_;  ///< of each buffered page; only the last one may be not full
  uint64_t appended_ = 0;
  uint32_t synced_pages_ = 0;
  bool created_ = false;  ///< on the disks
  bool name_durable_ = false;
  bool bytes_durable_ = true;  ///< every page written so far was synced
  bool closed_ = false;
  bool broken_ = false;  ///< a write failed: nothing may follow it
  std::vector<std::pair<std::shared_ptr<MirrorCopy>, std::shared_ptr<DiskFile>>> handles_;
};

/// Reads a file.  Self-synchronised.
class MirrorReader {
 public:
  ~MirrorReader();
  /// Reads up to `bytes` from `offset`; returns how many there were.
  Result<size_t> read(uint64_t offset, size_t bytes, char* to);
  uint64_t size() const { return file_->bytes(); }

 private:
  friend class MirrorSet;
  MirrorReader(MirrorSet& set, std::shared_ptr<MirrorFile> file);

  MirrorSet& set_;
  const std::shared_ptr<MirrorFile> file_;
};

}  // namespace stavefs
