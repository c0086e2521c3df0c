// How RocksDB is set up, and why.

#pragma once

#include <rocksdb/options.h>

#include <cstdint>

namespace stavefs {

struct RocksBudget {
  uint64_t cache_bytes = 0;
  uint64_t memtable_bytes = 0;  ///< of one memtable
};

/// Memtables alive at most: the one that is written to and those waiting to be flushed.
inline constexpr int kMemtables = 4;
/// Table files open at once.
inline constexpr int kMaxOpenTables = 512;

/// Everything but environment, listeners, collectors and log.
rocksdb::Options make_rocks_options(const RocksBudget& budget);

}  // namespace stavefs
