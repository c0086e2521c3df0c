// What the filesystem's callers see: attributes, callers, policies.

#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "codec/checksum.h"
#include "pool/geometry.h"

namespace stavefs {

/// Nanoseconds since 1970-01-01 UTC; negative before it.
using TimeNs = int64_t;

/// Who asks.  Permissions are the kernel's business (default_permissions); this decides ownership of new
/// inodes.
struct Caller {
  uint32_t uid = 0;
  uint32_t gid = 0;
  uint32_t umask = 0;  ///< already applied to `mode` arguments by the caller when it is 0
};

struct Attributes {
  InodeId id;
  uint32_t mode = 0;  ///< type and permission bits as in st_mode
  uint32_t nlink = 0;
  uint32_t uid = 0;
  uint32_t gid = 0;
  uint64_t rdev = 0;
  uint64_t size = 0;
  uint64_t blocks = 0;  ///< of 512 bytes
  TimeNs atime = 0;
  TimeNs mtime = 0;
  TimeNs ctime = 0;
  TimeNs btime = 0;
  uint64_t generation = 0;
};

/// What setattr changes; a field counts when its flag is set.
struct AttributeChange {
  bool set_mode = false, set_uid = false, set_gid = false, set_size = false;
  bool set_atime = false, set_mtime = false, set_ctime = false;
  bool atime_now = false, mtime_now = false;
  bool kill_privileges = false;  ///< clear set-id bits as write(2) and chown(2) by an ordinary user do
  uint32_t mode = 0, uid = 0, gid = 0;
  uint64_t size = 0;
  TimeNs atime = 0, mtime = 0, ctime = 0;
};

/// What a bucket decides for its files.
struct BucketPolicy {
  Geometry geometry;
  ChecksumKind checksum = ChecksumKind::kXxh3;
};

struct BucketInfo {
  BucketId id;
  std::string name;
  InodeId root;
  BucketPolicy policy;
  TimeNs created = 0;
  int64_t bytes = 0;  ///< logical bytes of its files
  int64_t files = 0;  ///< inodes but for its root
};

struct DirectoryEntry {
  InodeId inode;
  uint8_t type = 0;       ///< DT_* of dirent(5)
  uint64_t cookie = 0;    ///< where a listing goes on after this entry
  std::string_view name;  ///< until the visitor returns
};

struct FileSystemStats {
  uint64_t block_bytes = 4096;
  uint64_t blocks = 0, free_blocks = 0, available_blocks = 0;
  uint64_t files = 0, free_files = 0;
  uint32_t name_max = 255;
};

/// For `stavefs info`.
struct FileLayoutExtent {
  uint64_t file_offset = 0;
  uint64_t length = 0;
  GroupId group;
  Row row;
  uint32_t unit_bytes = 0;
  uint32_t offset = 0;
  bool compressed = false;
};
struct FileLayout {
  Attributes attributes;
  BucketInfo bucket;
  uint64_t inline_bytes = 0;
  uint64_t dirty_bytes = 0;  ///< not yet in a stripe
  std::vector<FileLayoutExtent> extents;
};

}  // namespace stavefs
