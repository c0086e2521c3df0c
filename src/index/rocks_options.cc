#include "index/rocks_options.h"

#include <rocksdb/cache.h>
#include <rocksdb/convenience.h>
#include <rocksdb/filter_policy.h>
#include <rocksdb/table.h>

#include <algorithm>

namespace stavefs {

namespace {

/// The first of `wanted` that this build of the library can do.
rocksdb::CompressionType pick(std::initializer_list<rocksdb::CompressionType> wanted) {
  const std::vector<rocksdb::CompressionType> supported = rocksdb::GetSupportedCompressions();
  for (const rocksdb::CompressionType type : wanted)
    if (std::ranges::find(supported, type) != supported.end()) return type;
  return rocksdb::kNoCompression;
}

std::shared_ptr<rocksdb::TableFactory> make_tables(const RocksBudget& budget) {
  rocksdb::BlockBasedTableOptions table;
  // Index and filter blocks live in the cache too, so that the cache's size bounds the memory.
  table.block_cache =
      rocksdb::NewLRUCache(budget.cache_bytes, /*num_shard_bits=*/4, /*strict_capacity_limit=*/false,
                           /*high_pri_pool_ratio=*/0.25);
  table.cache_index_and_filter_blocks = true;
  table.cache_index_and_filter_blocks_with_high_priority = true;
  table.pin_l0_filter_and_index_blocks_in_cache = true;
  table.filter_policy.reset(rocksdb::NewBloomFilterPolicy(10));
  table.optimize_filters_for_memory = true;
  table.checksum = rocksdb::kXXH3;
  table.block_size = 8192;
  table.format_version = 5;
  return std::shared_ptr<rocksdb::TableFactory>(rocksdb::NewBlockBasedTableFactory(table));
}

}  // namespace

rocksdb::Options make_rocks_options(const RocksBudget& budget) {
  rocksdb::Options options;
  options.create_if_missing = true;
  options.table_factory = make_tables(budget);
  options.compression = pick({rocksdb::kLZ4Compression, rocksdb::kSnappyCompression});
  options.bottommost_compression = pick({rocksdb::kZSTD, rocksdb::kLZ4Compression});

  options.write_buffer_size = budget.memtable_bytes;
  options.max_write_buffer_number = kMemtables;
  options.level_compaction_dynamic_level_bytes = true;
  options.target_file_size_base = uint64_t{64} << 20;
  options.max_background_jobs = 2;
  options.max_open_files = kMaxOpenTables;
  options.compaction_readahead_size = 1 << 20;
  // Files are compacted by size alone: nothing depends on the clock.
  options.ttl = 0;
  options.periodic_compaction_seconds = 0;

  // One writer, no log: what serves many writers only costs.
  options.allow_concurrent_memtable_write = false;
  options.enable_write_thread_adaptive_yield = false;
  options.avoid_flush_during_shutdown = true;
  options.avoid_unnecessary_blocking_io = true;

  // The files below are ours: they verify what they read and place what they write.
  options.allow_fallocate = false;
  options.use_direct_reads = false;
  options.use_direct_io_for_flush_and_compaction = false;
  // Each edit is synced and so takes a page: this many bytes of edits are some 80 MiB to read at open.  It
  // must stay above a manifest that was just written, which takes 200 bytes per table.
  options.max_manifest_file_size = uint64_t{4} << 20;
  options.manifest_preallocation_size = 0;

  // An error is never waited out: the index is fenced.
  options.max_bgerror_resume_count = 0;
  options.stats_dump_period_sec = 0;
  options.stats_persist_period_sec = 0;
  return options;
}

}  // namespace stavefs
