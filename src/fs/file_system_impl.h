// What the rooms of the filesystem share.  Private to src/fs.
//
// How a namespace operation goes: look at the directories (view) and resolve the names without locks (entry);
// lock all inodes concerned in ascending order; check under the locks that the names still stand for the same
// inodes (unchanged), else start over; edit, commit.
//
// Lock order: rename_mutex, then inodes in ascending number, then bucket table, ledger and store.
// NumberAllocator is asked before inodes are locked.
//
// Room in the journal: begin() waits for it before any lock is taken, because destaging, which makes room,
// needs the locks of regular files.

#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

#include "fs/bucket_table.h"
#include "fs/dentry_format.h"
#include "fs/file_system.h"
#include "fs/names.h"
#include "fs/numbers.h"
#include "fs/operation.h"
#include "index/keys.h"

namespace stavefs {

inline constexpr uint32_t kMaxLinks = uint32_t{1} << 31;
/// Mode bits of <sys/stat.h> that the rooms use.
inline constexpr uint32_t kTypeMask = 0170000, kSocket = 0140000, kSymlink = 0120000, kRegular = 0100000,
                          kBlockDevice = 0060000, kDirectory = 0040000, kCharacterDevice = 0020000,
                          kFifo = 0010000, kSetUid = 04000, kSetGid = 02000, kGroupExecute = 0010,
                          kPermissionMask = 07777;

struct FileSystem::Impl {
  Impl(Ledger& ledger, Store& store, BufferPool& buffers, Clock& clock, const Options& options);

  /// A directory as it was before its entries were looked at.
  struct View {
    InodeRef inode;
    Lsn seen;
    BucketId bucket;
    bool gone = false;  ///< has lost its name: nothing can be made in it
  };
  /// A name and the inode that it stood for.
  struct Entry {
    Dentry dentry;
    InodeRef inode;
  };
  struct Rename;  // one rename (rename.cc)
  struct NewInode {
    uint32_t mode = 0;  ///< type and permissions
    uint64_t rdev = 0;
    std::string_view target;  ///< of a symlink
    bool open = false;
  };

  // Start (file_system.cc).
  Status load();
  Status make_root();
  Status load_buckets();
  Status reap_orphans();

  /// Every operation that changes something starts with it, without locks.  EROFS on a read-only filesystem;
  /// waits for room in the journal.
  Status begin();
  TimeNs now() const { return clock.realtime_ns(); }

  // Names (lookup.cc).
  std::string dentry_key(InodeId parent, std::string_view name) const;
  /// ENOTDIR; ESTALE.
  Result<View> view(InodeId directory);
  Result<std::optional<Dentry>> find(InodeId parent, std::string_view name) const;
  /// The name's entry, or nothing.  kCorrupt when it names an inode that does not exist.
  Result<std::optional<Entry>> entry(InodeId parent, std::string_view name);
  /// True when the name stands for `expected` as it did when the directory was viewed.  kCorrupt when the
  /// entry's type is not the inode's.  REQUIRES: the directory and the expected inode are locked.
  Result<bool> unchanged(const View& view, std::string_view name, const std::optional<Entry>& expected) const;
  /// REQUIRES: locked.
  Result<bool> is_empty(InodeId directory) const;

  // Inodes.
  /// REQUIRES: locked exclusively; `directory` is edited by `op`.
  void touch_directory(Inode& directory, TimeNs time) const;
  Result<InodeRef> regular(InodeId inode);
  /// Makes `name` in the viewed directory (create.cc).
  Result<Attributes> make(InodeId parent, std::string_view name, const NewInode& what, const Caller& caller);
  /// Fills a new inode.  REQUIRES: both locked.
  void fill(Inode& inode, const Inode& parent, const NewInode& what, const Caller& caller) const;

  // The end of an inode (orphans.cc).
  /// Takes one name away (from a directory: its only one).  The inode goes with its last name, or when it's
  /// closed. REQUIRES: locked exclusively.
  Status drop_name(Operation& op, Inode& inode, TimeNs time);
  /// Erases everything about an inode.  REQUIRES: locked exclusively, nlink is 0.
  Status destroy(Operation& op, Inode& inode);
  /// Destroys an orphan that nobody uses any more.  REQUIRES: locked exclusively.
  void reap_if_unused(Inode& inode);

  // Sizes (setattr.cc).
  Result<Attributes> apply(InodeId inode, const AttributeChange& change, bool open);

  Ledger& ledger;
  Store& store;
  BufferPool& buffers;
  Clock& clock;
  const Options options;
  BucketTable buckets;
  NumberAllocator numbers;
  InodeCache inodes;
  FileDataManager data;
  uint64_t dir_seed = 0;                    // constant after load()
  bool running = false;                     // between open and close or abandon
  std::atomic<bool> forgets_follow{false};  // hold_until_forgotten() was called
  std::mutex rename_mutex;  // directories change their parents under it, so that a walk upwards stays true
};

/// Directories of the root are buckets.
inline bool is_bucket_root(const InodeRecord& record) {
  return record.is_directory() && record.parent == kRootInode && record.bucket.value != 0;
}
/// EPERM for a name that no bucket may have.
Status check_bucket_name(std::string_view name);
/// What a bucket's key and value become.
void put_bucket(Change& change, std::string_view name, const BucketRecord& record);
void erase_bucket(Change& change, std::string_view name);

}  // namespace stavefs
