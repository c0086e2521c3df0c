#include "store/segment_table.h"

#include <algorithm>
#include <string>
#include <utility>

#include "base/check.h"

namespace stavefs {

SegmentTable::SegmentTable(std::span<const Member> members) {
  for (const Member& member : members) {
    if (disks_.size() <= member.slot.value) disks_.resize(size_t{member.slot.value} + 1);
    Disk& disk = disks_[member.slot.value];
    if (member.removed) continue;
    disk.used.assign(member.segments, false);
    disk.generations.assign(member.segments, 0);
    disk.free = member.segments;
  }
}

const SegmentTable::Disk* SegmentTable::find(DiskSlot slot) const {
  return slot.value < disks_.size() ? &disks_[slot.value] : nullptr;
}

Status SegmentTable::mark_used(DiskSlot slot, SegmentNumber segment, Generation generation) {
  TRY(set_generation(slot, segment, generation));
  const std::lock_guard lock(mutex_);
  Disk& disk = *find(slot);
  if (disk.used[segment.value]) {
    return Error(ErrorCode::kCorrupt, EIO,
                 "index: two groups use segment " + std::to_string(segment.value) + " of disk slot " +
                     std::to_string(slot.value));
  }
  disk.used[segment.value] = true;
  --disk.free;
  return ok();
}

Status SegmentTable::set_generation(DiskSlot slot, SegmentNumber segment, Generation generation) {
  const std::lock_guard lock(mutex_);
  Disk* disk = find(slot);
  if (disk == nullptr || segment.value >= disk->used.size()) {
    return Error(ErrorCode::kCorrupt, EIO,
                 "index: there is no segment " + std::to_string(segment.value) + " on disk slot " +
                     std::to_string(slot.value));
  }
  disk->generations[segment.value] = std::max(disk->generations[segment.value], generation.value);
  return ok();
}

std::optional<SegmentTable::Taken> SegmentTable::take(DiskSlot slot) {
  const std::lock_guard lock(mutex_);
  Disk* disk = find(slot);
  if (disk == nullptr || std::min(disk->free, disk->host_limit) == 0) return std::nullopt;
  const auto size = static_cast<uint32_t>(disk->used.size());
  uint32_t at = disk->hint;
  while (disk->used[at % size]) ++at;
  at %= size;
  disk->used[at] = true;
  disk->hint = (at + 1) % size;
  --disk->free;
  if (disk->host_limit != UINT32_MAX) --disk->host_limit;
  version_.fetch_add(1, std::memory_order_release);
  return Taken{SegmentNumber(at), Generation(++disk->generations[at])};
}

void SegmentTable::give_back(Disk& disk, SegmentNumber segment) {
  CHECK(segment.value < disk.used.size() && disk.used[segment.value]);
  disk.used[segment.value] = false;
  ++disk.free;
  if (disk.host_limit != UINT32_MAX) ++disk.host_limit;
  version_.fetch_add(1, std::memory_order_release);
}

void SegmentTable::untake(DiskSlot slot, const Taken& taken) {
  const std::lock_guard lock(mutex_);
  Disk& disk = *find(slot);
  give_back(disk, taken.segment);
  --disk.generations[taken.segment.value];
}

void SegmentTable::release(DiskSlot slot, SegmentNumber segment) {
  const std::lock_guard lock(mutex_);
  give_back(*find(slot), segment);
}

bool SegmentTable::in_use(DiskSlot slot, SegmentNumber segment) const {
  const std::lock_guard lock(mutex_);
  const Disk* disk = find(slot);
  return disk != nullptr && segment.value < disk->used.size() && disk->used[segment.value];
}

uint32_t SegmentTable::total(DiskSlot slot) const {
  const std::lock_guard lock(mutex_);
  const Disk* disk = find(slot);
  return disk == nullptr ? 0 : static_cast<uint32_t>(disk->used.size());
}

uint32_t SegmentTable::free(DiskSlot slot) const {
  const std::lock_guard lock(mutex_);
  const Disk* disk = find(slot);
  return disk == nullptr ? 0 : std::min(disk->free, disk->host_limit);
}

void SegmentTable::set_host_limit(DiskSlot slot, uint32_t segments) {
  const std::lock_guard lock(mutex_);
  Disk* disk = find(slot);
  if (disk == nullptr || disk->host_limit == segments) return;
  disk->host_limit = segments;
  version_.fetch_add(1, std::memory_order_release);
}

}  // namespace stavefs
