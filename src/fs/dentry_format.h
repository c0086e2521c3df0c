// The value of a directory entry: key 'D' parent(8) hash(8) name.
//
// The type repeats what the inode says, so that a listing need not read the inodes.

#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/endian.h"
#include "base/ids.h"
#include "base/result.h"

namespace stavefs {

struct DentryFormat {
  Le64 inode;    ///< never 0
  uint8_t type;  ///< DT_* of dirent(5): 1, 2, 4, 6, 8, 10 or 12
};
static_assert(sizeof(DentryFormat) == 9);
static_assert(offsetof(DentryFormat, type) == 8);

struct Dentry {
  InodeId inode;
  uint8_t type = 0;

  bool operator==(const Dentry&) const = default;
  bool is_directory() const { return type == 4; }

  std::string encode() const;
  /// kCorrupt unless every field is in range.
  static Result<Dentry> decode(std::string_view value);
  std::string to_text() const;
};

/// DT_* of a mode's type bits.
inline uint8_t dentry_type(uint32_t mode) { return static_cast<uint8_t>((mode >> 12) & 15); }

}  // namespace stavefs
