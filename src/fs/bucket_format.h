// The value of a bucket: key 'B' name.  The bucket is a directory entry of the root as well.

#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/endian.h"
#include "base/ids.h"
#include "base/result.h"
#include "fs/types.h"

namespace stavefs {

struct BucketFormat {
  Le32 id;                ///< never 0, never reused
  uint8_t data_shards;    ///< k of new writes
  uint8_t parity_shards;  ///< m
  uint8_t checksum;       ///< ChecksumKind
  uint8_t reserved0;      ///< zero
  Le64 root;              ///< inode of its top directory
  Le64 created;           ///< ns since 1970, signed
  uint8_t reserved[40];   ///< zero; room for policies
};
static_assert(sizeof(BucketFormat) == 64);
static_assert(offsetof(BucketFormat, root) == 8);
static_assert(offsetof(BucketFormat, created) == 16);
static_assert(offsetof(BucketFormat, reserved) == 24);

struct BucketRecord {
  BucketId id;
  InodeId root;
  BucketPolicy policy;
  TimeNs created = 0;

  std::string encode() const;
  /// kCorrupt unless every field is in range and what is reserved is zero.
  static Result<BucketRecord> decode(std::string_view value);
  std::string to_text() const;
};

}  // namespace stavefs
