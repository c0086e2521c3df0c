// IndexScan over an iterator of RocksDB, which is a consistent view by itself.

#pragma once

#include <rocksdb/db.h>

#include <memory>
#include <string_view>

#include "index/index.h"

namespace stavefs {

/// Positioned at the first key.  May throw.
Result<std::unique_ptr<IndexScan>> make_index_scan(rocksdb::DB& db, std::string_view from,
                                                   std::string_view to);

}  // namespace stavefs
