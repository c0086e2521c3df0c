// The filesystem: POSIX semantics over ledger and store, with no FUSE in it.
//
// Errors: Results carry the errno of POSIX (ENOENT, EEXIST, ENOTEMPTY, ...).  Permission checks are the
// kernel's.
//
// Top level: the root (inode 1) holds only directories, which are buckets: mkdir, rmdir and rename there
// create, delete and rename buckets; everything else is EPERM.  rename and link between buckets are EXDEV.
//
// Every operation is one change: after a crash it is there whole or not at all, and namespace operations
// survive in the order in which they were made.
//
// Threads: self-synchronised.  See inode.h for the lock order.

#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <shared_mutex>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/buffer.h"
#include "base/clock.h"
#include "fs/file_data.h"
#include "fs/inode_cache.h"
#include "fs/names.h"
#include "fs/types.h"
#include "store/ledger.h"
#include "store/store.h"

namespace stavefs {

class FileSystem {
 public:
  struct Options {
    size_t max_cached_inodes = 400'000;
    FileDataManager::Options data;
    BucketPolicy default_policy;
    bool read_only = false;
    NameHash name_hash = &hash_name;  ///< fixed by the format; tests put a weak one here
  };
  /// Makes the root of a new pool when there is none, lays recovered data, reaps orphans.
  static Result<std::unique_ptr<FileSystem>> open(Ledger& ledger, Store& store, BufferPool& buffers,
                                                  Clock& clock, const Options& options);
  ~FileSystem();
  /// Flushes and syncs everything and stops the threads.  Called once, before destruction.
  Status close();
  /// Stops the threads without writing anything (a simulated crash, or a fenced pool).
  void abandon();

  // Names.  `name` is 1 to 255 bytes without '/' and NUL, neither "." nor ".." (ENAMETOOLONG, EINVAL).
  Result<Attributes> lookup(InodeId parent, std::string_view name);
  Result<Attributes> mknod(InodeId parent, std::string_view name, uint32_t mode, uint64_t rdev,
                           const Caller& caller);
  /// mknod of a regular file, then open() of it.  EEXIST when the name is there.
  Result<Attributes> create(InodeId parent, std::string_view name, uint32_t mode, const Caller& caller);
  Result<Attributes> mkdir(InodeId parent, std::string_view name, uint32_t mode, const Caller& caller);
  Result<Attributes> symlink(InodeId parent, std::string_view name, std::string_view target,
                             const Caller& caller);
  Result<Attributes> link(InodeId inode, InodeId new_parent, std::string_view new_name);
  Status unlink(InodeId parent, std::string_view name);
  Status rmdir(InodeId parent, std::string_view name);
  enum RenameFlags : uint32_t { kNoReplace = 1, kExchange = 2 };
  Status rename(InodeId parent, std::string_view name, InodeId new_parent, std::string_view new_name,
                uint32_t flags);
  Result<std::string> readlink(InodeId inode);
  /// Calls `visit` for entries after `cookie` (0: from the start, "." and ".." first) until it returns false.
  /// Cookies stay valid while the directory changes: an entry that was there throughout is seen exactly once.
  Status readdir(InodeId directory, uint64_t cookie, const std::function<bool(const DirectoryEntry&)>& visit);

  // Inodes.
  Result<Attributes> getattr(InodeId inode);
  Result<Attributes> setattr(InodeId inode, const AttributeChange& change);
  Result<std::string> getxattr(InodeId inode, std::string_view name);  ///< ENODATA
  enum XattrFlags : uint32_t { kXattrCreate = 1, kXattrReplace = 2 };
  Status setxattr(InodeId inode, std::string_view name, std::string_view value, uint32_t flags);
  Result<std::vector<std::string>> listxattr(InodeId inode);
  Status removexattr(InodeId inode, std::string_view name);
  Result<FileSystemStats> statfs();

  // Regular files.  An open inode outlives its last name; so does a directory that was opened here (without
  // truncate): when it is removed, its listing is empty.
  Status open_file(InodeId inode, bool truncate, bool kill_privileges);
  void release_file(InodeId inode);
  Result<size_t> read(InodeId inode, uint64_t offset, std::span<uint8_t> out, bool aligned);
  Result<size_t> write(InodeId inode, uint64_t offset, std::span<const uint8_t> bytes, bool append,
                       bool kill_privileges);
  Status fsync(InodeId inode, bool data_only);
  Status fsyncdir(InodeId directory);
  /// Everything is durable.
  Status sync();
  /// The caller keeps inodes by number, as the kernel does: from now on one without a name stays usable until
  /// forget(). Called before the first operation of such a caller.
  void hold_until_forgotten();
  /// Its caller has dropped its last reference.  For an inode that has names it means nothing.
  void forget(InodeId inode);

  // Buckets.
  Result<BucketInfo> create_bucket(std::string_view name, const BucketPolicy& policy, uint32_t mode,
                                   const Caller& caller);
  Result<std::vector<BucketInfo>> list_buckets();
  Result<BucketInfo> bucket(std::string_view name);
  /// ENOTEMPTY unless it is empty.
  Status delete_bucket(std::string_view name);

  /// For `stavefs info`.  `path` is relative to the mount, without a leading '/'.
  Result<InodeId> resolve(std::string_view path);
  Result<FileLayout> layout(InodeId inode);
  uint64_t dirty_bytes() const;

 private:
  struct Impl;
  explicit FileSystem(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace stavefs
