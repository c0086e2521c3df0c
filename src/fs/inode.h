// An inode in memory, and the record that the index holds for it.
//
// The record in the index may only claim what committed data covers: `stored_size` is the size up to which
// that is so, while `record.size` is what users see.  Every commit of an inode's record goes through
// record_to_store().
//
// Inline data is the lowest layer of a regular file's content (file_data.h), always as it was committed last;
// it is the head of the file, the rest of which is a hole, and excludes extents.
//
// Threads: `mutex` guards everything below it.  Lock order: inodes in ascending number (InodeLocks), then
// whatever the ledger and the store lock; no inode lock is held across disk I/O on the write path. Exception:
// index reads of cold keys.

#pragma once

#include <atomic>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <shared_mutex>
#include <string>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "fs/types.h"

namespace stavefs {

class FileData;

inline constexpr size_t kInlineBytes = 1024;
inline constexpr uint64_t kMaxFileBytes = uint64_t{16} << 40;
inline constexpr size_t kMaxSymlinkBytes = 4095;

/// The value of key 'I' (fs/inode_record.cc has its encoding).
struct InodeRecord {
  uint32_t mode = 0;
  uint32_t nlink = 0;
  uint32_t uid = 0;
  uint32_t gid = 0;
  uint64_t rdev = 0;
  uint64_t size = 0;
  uint64_t stored_bytes = 0;  ///< bytes in extents, for st_blocks; 0 exactly when there are none
  TimeNs atime = 0, mtime = 0, ctime = 0, btime = 0;
  uint64_t generation = 0;
  VersionId version;   ///< working version (its birth)
  BucketId bucket;     ///< 0 for the root
  InodeId parent;      ///< of a directory: its parent; of a file: where it was last linked (a hint)
  uint32_t flags = 0;  ///< reserved, zero
  std::string
      inline_data;  ///< head of a regular file without extents, at most kInlineBytes, or a symlink's target
  bool has_inline = false;

  bool operator==(const InodeRecord&) const = default;
  std::string encode() const;
  /// kCorrupt unless every field is in range.
  static Result<InodeRecord> decode(std::string_view value);
  std::string to_text() const;

  bool is_directory() const { return (mode & 0170000) == 0040000; }
  bool is_regular() const { return (mode & 0170000) == 0100000; }
  bool is_symlink() const { return (mode & 0170000) == 0120000; }
};

class Inode : public std::enable_shared_from_this<Inode> {
 public:
  explicit Inode(InodeId number);
  ~Inode();

  const InodeId id;
  mutable std::shared_mutex mutex;

  // Guarded by mutex.
  InodeRecord record;             ///< as users see it
  uint64_t stored_size = 0;       ///< the size that a committed record may claim
  Lsn last_lsn;                   ///< newest change that touched this inode, or its directory's entries
  bool attributes_dirty = false;  ///< times or size changed in memory only; the next flush commits them
  bool deleted = false;           ///< its keys are gone; only open descriptors may still see it
  bool orphan = false;            ///< nlink is 0 and key 'O' keeps it until the last close (and forget())
  bool forgotten = false;         ///< forget() has come for an orphan that is still open
  int open_count = 0;
  std::unique_ptr<FileData> data;  ///< null until the first write or open of a regular file

  /// The record as it may be committed now: users' attributes, but size = stored_size.
  InodeRecord record_to_store() const;
  /// `blocks` includes data that is still dirty, so that du(1) is right after a write.
  Attributes attributes() const;
  /// False while the object holds anything that is not in the index.
  bool clean() const;
};

using InodeRef = std::shared_ptr<Inode>;

/// Exclusive locks on up to a few inodes, always in ascending order of number; duplicates and nulls are fine.
class InodeLocks {
 public:
  explicit InodeLocks(std::initializer_list<Inode*> inodes);
  explicit InodeLocks(std::vector<Inode*> inodes);
  ~InodeLocks();
  InodeLocks(const InodeLocks&) = delete;
  InodeLocks& operator=(const InodeLocks&) = delete;

 private:
  std::vector<Inode*> inodes_;
};

}  // namespace stavefs
