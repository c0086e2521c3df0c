// RocksDB's view of a mirrored directory.
//
// All names that RocksDB uses lie in one directory, kRocksPath; only their last component is looked at.
// RocksDB's own files are append-only, so appending, syncing and reading is all there is; its lock file is no
// file (the pool has a lock of its own).  Exceptions end here.

#pragma once

#include <rocksdb/file_system.h>

#include <memory>

#include "index/mirror_set.h"

namespace stavefs {

inline constexpr const char* kRocksPath = "/index";

/// REQUIRES: `set` outlives it and everything opened through it.
std::shared_ptr<rocksdb::FileSystem> make_mirror_file_system(MirrorSet& set);

}  // namespace stavefs
