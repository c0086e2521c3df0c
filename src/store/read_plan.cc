#include "store/read_plan.h"

#include <bit>

namespace stavefs {
namespace {

uint64_t bit_of(uint32_t shard) { return uint64_t{1} << shard; }
uint32_t count(uint64_t mask) { return static_cast<uint32_t>(std::popcount(mask)); }

}  // namespace

Error unreadable(const Group& group, Row row, const char* why) {
  return Error(
      ErrorCode::kCorrupt, EIO,
      "group " + std::to_string(group.id().value) + " row " + std::to_string(row.value) + ": " + why);
}

void ReadJob::clear_batch() {
  batch.clear();
  origins.clear();
  files.clear();
}

void ReadJob::add(size_t part, uint32_t shard, SegmentFile file, uint64_t offset, uint8_t* memory,
                  uint32_t bytes) {
  batch.push_back(
      {.file = file.get(), .kind = IoKind::kRead, .offset = offset, .data = memory, .bytes = bytes});
  origins.push_back({part, shard});
  files.push_back(std::move(file));
}

Status ReadPlanner::plan(ReadJob& job, size_t index) {
  while (true) {
    ASSIGN_OR_RETURN(const bool planned, try_plan(job, index));
    if (planned) return ok();
  }
}

uint64_t ReadPlanner::usable_shards(const ReadPart& part, const ShardSet& set, uint64_t needed,
                                    uint64_t zero) {
  const uint32_t k = part.group->geometry().data;
  uint64_t usable = 0;
  for (const uint64_t tier : {set.trusted, set.fenced, set.doubtful}) {
    usable |= tier & ~part.avoid;
    if ((needed & ~usable) == 0 || count(usable | zero) >= k) return usable;
  }
  return 0;
}

uint64_t ReadPlanner::choose_sources(ReadPart& part, const ShardSet& set, uint64_t usable, uint64_t zero) {
  const uint32_t k = part.group->geometry().data;
  part.hull = {0, part.address().unit_bytes(), 0};
  part.for_each_range([&](const UnitRange& range, uint8_t*) {
    if ((part.rebuild & bit_of(range.unit)) == 0) return;
    part.hull.begin = std::min(part.hull.begin, range.begin);
    part.hull.end = std::max(part.hull.end, range.end);
  });
  part.sources = 0;
  part.source.fill(nullptr);
  uint64_t extra = 0;
  const auto add = [&](uint64_t candidates) {
    uint64_t added = 0;
    for (uint32_t shard = 0; shard < part.group->total() && count(part.sources) < k; ++shard) {
      if ((candidates & ~part.sources & bit_of(shard)) == 0) continue;
      part.sources |= bit_of(shard);
      added |= bit_of(shard);
    }
    return added;
  };
  add(zero);
  part.for_each_range([&](const UnitRange& range, uint8_t* memory) {
    if (range.begin > part.hull.begin || range.end < part.hull.end) return;
    if (add(usable & bit_of(range.unit)) != 0)
      part.source[range.unit] = memory + (part.hull.begin - range.begin);
  });
  extra |= add(usable & set.trusted);
  extra |= add(usable);
  return extra;
}

bool ReadPlanner::open_all(ReadPart& part, const ShardSet& set, uint64_t shards,
                           std::vector<SegmentFile>& files) {
  bool all = true;
  for (uint32_t shard = 0; shard < part.group->total(); ++shard) {
    if ((shards & bit_of(shard)) == 0) continue;
    files[shard] = choice_.open(*part.group, shard);
    if (files[shard] != nullptr) continue;
    all = false;
    // One whose header was just found to be wrong may come back as a doubtful one.
    const bool may_come_back =
        (set.doubtful & bit_of(shard)) == 0 && (part.group->bad() & bit_of(shard)) != 0;
    if (!may_come_back) part.avoid |= bit_of(shard);
  }
  return all;
}

Result<bool> ReadPlanner::try_plan(ReadJob& job, size_t index) {
  ReadPart& part = job.parts[index];
  Group& group = *part.group;
  uint64_t needed = 0;
  part.for_each_range([&](const UnitRange& range, uint8_t*) { needed |= bit_of(range.unit); });
  uint64_t zero = 0;
  for (uint32_t unit = part.address().used_units; unit < group.geometry().data; ++unit) zero |= bit_of(unit);

  const ShardSet set = choice_.look(group);
  const uint64_t usable = usable_shards(part, set, needed, zero);
  if (usable == 0) return unreadable(group, part.address().row, "fewer shards can be read than are needed");
  part.rebuild = needed & ~usable;
  const uint64_t extra = part.rebuild == 0 ? 0 : choose_sources(part, set, usable, zero);
  std::vector<SegmentFile> files(group.total());
  if (!open_all(part, set, (needed & usable) | extra, files)) return false;

  const uint64_t at = row_offset(part.address().row);
  part.for_each_range([&](const UnitRange& range, uint8_t* memory) {
    if ((usable & bit_of(range.unit)) == 0) return;
    job.add(index, range.unit, files[range.unit], at + range.begin, memory, range.end - range.begin);
  });
  part.extra.clear();
  for (uint32_t shard = 0; shard < group.total(); ++shard) {
    if ((extra & bit_of(shard)) == 0) continue;
    part.extra.push_back(buffers_.get(part.hull_bytes()));
    part.source[shard] = part.extra.back().data();
    job.add(index, shard, files[shard], at + part.hull.begin, part.extra.back().data(), part.hull_bytes());
  }
  part.planned = true;
  return true;
}

}  // namespace stavefs
