#include "store/shard_choice.h"

namespace stavefs {

ShardChoice::ShardChoice(StoreContext& context, SegmentFiles& files)
    : context_(context), files_(files), failing_(context.pool.members().size()) {}

ShardSet ShardChoice::look(const Group& group) const {
  ShardSet set;
  const uint64_t wrong = group.missing() | group.bad();
  for (uint32_t shard = 0; shard < group.total(); ++shard) {
    const DiskSlot slot = group.shards()[shard].disk;
    if (slot == kNoDisk || context_.pool.disk(slot) == nullptr) continue;
    const uint64_t bit = uint64_t{1} << shard;
    if ((wrong & bit) != 0) {
      set.doubtful |= bit;
    } else if (context_.pool.usable(slot)) {
      set.trusted |= bit;
    } else {
      set.fenced |= bit;
    }
  }
  return set;
}

SegmentFile ShardChoice::open(Group& group, uint32_t shard) {
  const bool doubtful = ((group.missing() | group.bad()) >> shard & 1) != 0;
  auto file = files_.get(group, shard, !doubtful);
  return file ? std::move(*file) : nullptr;
}

void ShardChoice::note_read(const Group& group, uint32_t shard, const IoRequest& request) {
  const DiskSlot slot = group.shards()[shard].disk;
  std::atomic<bool>& failing = failing_[slot.value];
  if (request.error != 0) {
    failing.store(true, std::memory_order_relaxed);
    context_.pool.report(slot, IoKind::kRead, request.error, request.file->name());
  } else if (failing.load(std::memory_order_relaxed)) [[unlikely]] {
    failing.store(false, std::memory_order_relaxed);
    context_.pool.report(slot, IoKind::kRead, 0, request.file->name());
  }
}

void ShardChoice::note_corrupt(const Group& group, uint32_t shard, Row row) {
  const ShardPlace& place = group.shards()[shard];
  context_.pool.report_corrupt(place.disk, segment_file_name(place.segment) + " row " +
                                               std::to_string(row.value) + " (group " +
                                               std::to_string(group.id().value) + ")");
}

uint64_t ShardChoice::read(Group& group, uint64_t shards, uint64_t offset, uint32_t bytes,
                           std::vector<AlignedBuffer>& out) {
  out.clear();
  out.resize(group.total());
  std::vector<SegmentFile> files;
  std::vector<IoRequest> batch;
  std::vector<uint32_t> shard_of;
  for (uint32_t shard = 0; shard < group.total(); ++shard) {
    if ((shards >> shard & 1) == 0) continue;
    SegmentFile file = open(group, shard);
    if (file == nullptr) continue;
    out[shard] = context_.buffers.get(bytes);
    batch.push_back({.file = file.get(),
                     .kind = IoKind::kRead,
                     .offset = offset,
                     .data = out[shard].data(),
                     .bytes = bytes});
    files.push_back(std::move(file));
    shard_of.push_back(shard);
  }
  context_.pool.engine().run(batch);
  uint64_t good = 0;
  for (size_t i = 0; i < batch.size(); ++i) {
    note_read(group, shard_of[i], batch[i]);
    if (batch[i].error == 0) good |= uint64_t{1} << shard_of[i];
  }
  return good;
}

}  // namespace stavefs
