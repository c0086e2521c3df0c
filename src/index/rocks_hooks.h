// What hangs into RocksDB: the LSN that a table file reflects, the order of journal and flush, and its log.
//
// Theory: every batch puts its LSN under kLsnKey, so a table file that a memtable was flushed to holds the
// LSN of its newest batch.  A collector notes it among the file's properties, and the flush's completion,
// which RocksDB announces after the file is in the manifest durably and in the order of memtables, tells how
// far the index on disk has got.

#pragma once

#include <rocksdb/env.h>
#include <rocksdb/listener.h>
#include <rocksdb/table_properties.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string_view>

#include "base/ids.h"
#include "base/result.h"

namespace stavefs {

/// keys::scalar("lsn"); its value is a little-endian u64.
inline constexpr std::string_view kLsnKey = "Mlsn";

struct RocksHooks {
  std::function<Status()> before_flush;              ///< may be empty
  std::function<void(Lsn)> flushed;                  ///< durable up to here
  std::function<void(std::string_view why)> broken;  ///< nothing may be written any more
};

std::shared_ptr<rocksdb::EventListener> make_flush_listener(RocksHooks hooks);
std::shared_ptr<rocksdb::TablePropertiesCollectorFactory> make_lsn_collector();
/// RocksDB's log goes to ours, at the debug level.
std::shared_ptr<rocksdb::Logger> make_rocks_logger();

}  // namespace stavefs
