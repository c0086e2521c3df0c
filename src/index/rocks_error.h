// RocksDB's outcomes as ours.

#pragma once

#include <rocksdb/status.h>

#include <string>
#include <string_view>

#include "base/result.h"

namespace stavefs {

/// REQUIRES: !status.ok().
inline Error to_error(const rocksdb::Status& status, std::string_view what) {
  const std::string text = std::string(what).append(": ").append(status.ToString());
  if (status.IsCorruption()) return Error(ErrorCode::kCorrupt, EIO, text);
  if (status.IsMemoryLimit()) return Error(ErrorCode::kNoMemory, ENOMEM, text);
  if (status.IsInvalidArgument()) return Error(ErrorCode::kInvalid, EINVAL, text);
  return Error(ErrorCode::kIo, EIO, text);
}

}  // namespace stavefs
