// The one registry of key layouts: every key of the index is made and parsed here.
//
// Keys are big-endian, so that memcmp order is numeric order.  The first byte says what the key is:
//
//   'A' inode(8) name            extended attribute
//   'B' name                     bucket, by name
//   'D' parent(8) hash(8) name   directory entry; hash: see fs (readdir cookies)
//   'E' disk(2) segment(4)       generation of a segment
//   'F' lsn(8)                   change feed
//   'G' group(8)                 group
//   'I' inode(8)                 inode
//   'K' group(8)                 live bytes of a group
//   'L' due(8) kind(1) id(8)     due-time queue
//   'M' name                     pool-wide scalars ("lsn", "next_inode", ...)
//   'N' parent(8) name NUL birth(8)   name history
//   'O' inode(8)                 orphan: unlinked, still to be reaped
//   'R' group(8) row(4) offset(4) inode(8)  back-reference of a shared extent
//   'S' group(8) row(4)          stripe of an open group: checksums and owners
//   'T' job(4)                   job cursor
//   'U' bucket(4)                usage of a bucket
//   'V' inode(8) birth(8)        frozen attributes of a version
//   'X' inode(8) offset(8)       extent of the live file
//   'Y' inode(8) offset(8) death(8)   superseded extent

#pragma once

#include <string>
#include <string_view>

#include "base/endian.h"
#include "base/ids.h"

namespace stavefs::keys {

inline std::string one(char kind, uint64_t a) {
  std::string key(1, kind);
  append_be64(key, a);
  return key;
}

inline std::string inode(InodeId id) { return one('I', id.value); }
inline std::string orphan(InodeId id) { return one('O', id.value); }
inline std::string group(GroupId id) { return one('G', id.value); }
inline std::string live_bytes(GroupId id) { return one('K', id.value); }
inline std::string usage(BucketId id) {
  std::string key(1, 'U');
  append_be32(key, id.value);
  return key;
}
inline std::string bucket(std::string_view name) { return std::string(1, 'B').append(name); }
inline std::string scalar(std::string_view name) { return std::string(1, 'M').append(name); }

inline std::string dentry_prefix(InodeId parent) { return one('D', parent.value); }
inline std::string dentry(InodeId parent, uint64_t hash, std::string_view name) {
  std::string key = dentry_prefix(parent);
  append_be64(key, hash);
  key.append(name);
  return key;
}
inline std::string xattr_prefix(InodeId id) { return one('A', id.value); }
inline std::string xattr(InodeId id, std::string_view name) { return xattr_prefix(id).append(name); }

inline std::string extent_prefix(InodeId id) { return one('X', id.value); }
inline std::string extent(InodeId id, uint64_t offset) {
  std::string key = extent_prefix(id);
  append_be64(key, offset);
  return key;
}
inline std::string stripe_prefix(GroupId id) { return one('S', id.value); }
inline std::string stripe(GroupId id, Row row) {
  std::string key = stripe_prefix(id);
  append_be32(key, row.value);
  return key;
}
inline std::string segment(DiskSlot disk, SegmentNumber number) {
  std::string key(1, 'E');
  append_be16(key, disk.value);
  append_be32(key, number.value);
  return key;
}

/// The 8-byte number behind the kind byte.  REQUIRES: key.size() >= 9.
inline uint64_t first_number(std::string_view key) { return load_be64(key.data() + 1); }
/// The 8-byte number at bytes 9..16 (an extent's offset, a dentry's hash).  REQUIRES: key.size() >= 17.
inline uint64_t second_number(std::string_view key) { return load_be64(key.data() + 9); }

/// The smallest key greater than every key that starts with `prefix`.  REQUIRES: prefix is not all 0xff.
std::string prefix_end(std::string_view prefix);

}  // namespace stavefs::keys
