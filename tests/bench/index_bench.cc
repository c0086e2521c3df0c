// What a change and a look-up cost in the index, on simulated disks (so that only processor time counts).

#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include "disk/sim/sim_disk.h"
#include "index/index.h"
#include "index/keys.h"
#include "index/mirror_set.h"

namespace stavefs {
namespace {

/// An index on two simulated disks.
struct Bed {
  explicit Bed(uint64_t memtable_bytes) : world(1, 2, uint64_t{64} << 30) {
    MirrorOptions mirror;
    mirror.engine = &world.engine();
    mirror.disk = [this](DiskSlot slot) { return &world.disk(slot.value); };
    Index::Options options;
    options.memtable_bytes = memtable_bytes;
    const DiskSlot members[] = {DiskSlot(0), DiskSlot(1)};
    index = std::move(*Index::open_on(std::move(mirror), members, std::move(options)));
  }
  sim::SimWorld world;
  std::unique_ptr<Index> index;
};

/// What creating a file puts: inode, directory entry, extent, and the parent's inode again.
void make_create(IndexBatch& batch, uint64_t inode) {
  const std::string record(96, 'r');
  batch.put(keys::inode(InodeId(inode)), record);
  batch.put(keys::dentry(InodeId(1), inode * 0x9e3779b97f4a7c15, "file-name.txt"), "12345678");
  batch.put(keys::extent(InodeId(inode), 0), "extent-record-of-40-bytes-or-so-012345");
  batch.put(keys::inode(InodeId(1)), record);
}

void apply_four_keys(benchmark::State& state) {
  Bed bed(uint64_t{64} << 20);
  IndexBatch batch;
  uint64_t lsn = 0;
  for (auto _ : state) {
    batch.clear();
    make_create(batch, ++lsn);
    if (!bed.index->apply(batch.encoded(), Lsn(lsn))) state.SkipWithError("apply");
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(apply_four_keys)->UseRealTime();

/// range(0): 1 when the keys are in table files and cached, 0 when in the memtable.
void get_hit(benchmark::State& state) {
  Bed bed(uint64_t{64} << 20);
  constexpr uint64_t kInodes = 100000;
  IndexBatch batch;
  for (uint64_t inode = 1; inode <= kInodes; ++inode) {
    batch.clear();
    make_create(batch, inode);
    if (!bed.index->apply(batch.encoded(), Lsn(inode))) state.SkipWithError("apply");
  }
  if (state.range(0) == 1 && !bed.index->flush()) state.SkipWithError("flush");
  uint64_t at = 0;
  for (auto _ : state) {
    at = (at + 40503) % kInodes;
    const auto value = bed.index->get(keys::inode(InodeId(at + 1)));
    if (!value || !*value) state.SkipWithError("get");
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(get_hit)->Arg(0)->Arg(1)->ArgName("in_tables");

void scan_prefix(benchmark::State& state) {
  Bed bed(uint64_t{64} << 20);
  IndexBatch batch;
  for (uint64_t inode = 1; inode <= 100000; ++inode) {
    batch.clear();
    make_create(batch, inode);
    if (!bed.index->apply(batch.encoded(), Lsn(inode))) state.SkipWithError("apply");
  }
  if (!bed.index->flush()) state.SkipWithError("flush");
  uint64_t keys_seen = 0;
  for (auto _ : state) {
    const std::string from = keys::dentry_prefix(InodeId(1));
    auto scan = std::move(*bed.index->scan(from, keys::prefix_end(from)));
    for (int i = 0; i < 100 && scan->valid(); ++i, scan->next()) benchmark::DoNotOptimize(scan->key());
    keys_seen += 100;
  }
  state.SetItemsProcessed(static_cast<int64_t>(keys_seen));
}
BENCHMARK(scan_prefix);

}  // namespace
}  // namespace stavefs

BENCHMARK_MAIN();
