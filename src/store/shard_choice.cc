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
  context_.pool.report_corrupt(place.disk, segment_file_name(place.segment) + " row " + std::to_string(row.value) +
                                               " (group " + std::to_string(group.id().value) + ")");
}

}  // namespace stavefs
