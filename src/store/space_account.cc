#include "store/space_account.h"

#include <bit>

#include "base/check.h"
#include "base/log.h"
#include "store/stripe_layout.h"

namespace stavefs {

uint64_t SpaceAccount::groups_at_most(const Geometry& geometry) const {
  std::vector<DiskRoom> disks;
  for (const Member& member : context_.pool.members()) {
    const uint32_t total = context_.segments.total(member.slot);
    if (!member.removed && total > 0) disks.push_back({member.set, total});
  }
  return groups_possible(geometry, disks);
}

uint64_t SpaceAccount::groups_now(const Geometry& geometry) const {
  Capacity& capacity = capacity_[geometry];
  const uint64_t segments = context_.segments.version();
  const uint64_t pool = context_.pool.state_version();
  if (capacity.segments_version != segments || capacity.pool_version != pool) {
    const uint64_t now = groups_possible(geometry, open_.rooms());
    const uint64_t held = groups_held_back(groups_at_most(geometry));
    capacity = {now > held ? now - held : 0, segments, pool};
  }
  return capacity.groups;
}

uint64_t SpaceAccount::writable_bytes(const Geometry& geometry) const {
  return groups_now(geometry) * group_data_bytes(geometry, context_.pool.config().segment_bytes) +
         open_.room_bytes(geometry);
}

uint64_t SpaceAccount::promised(const Geometry& geometry) const {
  uint64_t bytes = 0;
  for (const auto& [other, reserved] : reserved_) {
    // reserved * (n' / k') / (n / k), rounded up.
    const uint64_t numerator = static_cast<uint64_t>(other.total()) * geometry.data;
    const uint64_t denominator = static_cast<uint64_t>(geometry.total()) * other.data;
    const auto share = static_cast<unsigned __int128>(reserved) * numerator + denominator - 1;
    bytes += static_cast<uint64_t>(share / denominator);
  }
  return with_packing(bytes);
}

bool SpaceAccount::reserve(const Geometry& geometry, uint64_t bytes) {
  const std::lock_guard lock(mutex_);
  uint64_t& reserved = reserved_[geometry];
  reserved += bytes;
  if (promised(geometry) <= writable_bytes(geometry)) [[likely]]
    return true;
  reserved -= bytes;
  return false;
}

void SpaceAccount::release(const Geometry& geometry, uint64_t bytes) {
  const std::lock_guard lock(mutex_);
  uint64_t& reserved = reserved_[geometry];
  CHECK(reserved >= bytes);
  reserved -= bytes;
}

void SpaceAccount::count_groups(SpaceReport& report) const {
  for (const GroupPin& group : table_.all()) {
    const auto live = static_cast<uint64_t>(std::max<int64_t>(0, context_.ledger.live_bytes(group->id())));
    int readable = 0;
    for (uint32_t shard = 0; shard < group->total(); ++shard) {
      const bool missing = (group->missing() >> shard & 1) != 0;
      if (!missing && context_.pool.usable(group->shards()[shard].disk)) ++readable;
    }
    ++report.groups;
    report.live_bytes += live;
    if (readable == static_cast<int>(group->total())) continue;
    ++report.degraded_groups;
    report.degraded_bytes += live;
    if (readable < group->geometry().data && live > 0) ++report.lost_groups;
  }
}

SpaceReport SpaceAccount::report() const {
  SpaceReport report;
  const Geometry& geometry = context_.pool.config().geometry;
  const uint64_t segment = context_.pool.config().segment_bytes;
  const uint64_t group_bytes = group_data_bytes(geometry, context_.pool.config().segment_bytes);
  const uint64_t most = groups_at_most(geometry);
  report.total_bytes = (most - groups_held_back(most)) * group_bytes;
  for (const Member& member : context_.pool.members()) {
    report.raw_total_bytes += context_.segments.total(member.slot) * segment;
    if (context_.pool.usable(member.slot))
      report.raw_free_bytes += context_.segments.free(member.slot) * segment;
  }
  {
    const std::lock_guard lock(mutex_);
    const uint64_t writable = writable_bytes(geometry);
    const uint64_t promises = promised(geometry);
    report.free_bytes = std::min(writable > promises ? writable - promises : 0, report.total_bytes);
  }
  count_groups(report);
  return report;
}

}  // namespace stavefs
