#include "store/open_groups.h"

#include <algorithm>

#include "index/keys.h"
#include "store/stripe_layout.h"

namespace stavefs {
namespace {

/// Room that the store leaves to the index on the host filesystem: 1 %, at most 1 GiB.
constexpr uint64_t kHostReservePercent = 1;
constexpr uint64_t kMaxHostReserve = uint64_t{1} << 30;

}  // namespace

Status OpenGroups::resume() {
  std::vector<GroupPin> groups = table_.all();
  std::sort(groups.begin(), groups.end(),
            [](const GroupPin& a, const GroupPin& b) { return a->id() < b->id(); });
  for (const GroupPin& group : groups) {
    if (group->state() == GroupState::kOpen) TRY(resume_group(group));
  }
  return ok();
}

Status OpenGroups::load_appending(Group& group, bool* any) {
  // Where the next stripe goes: behind the last one committed.  What lies there was never referred to.
  Row next(kFirstRow);
  size_t summary = kSummaryHeadBytes;
  ASSIGN_OR_RETURN(const auto scan, context_.ledger.scan_prefix(keys::stripe_prefix(group.id())));
  for (; scan->valid(); scan->next()) {
    ASSIGN_OR_RETURN(const StripeRecord stripe, StripeRecord::decode(scan->value(), group.geometry()));
    if (scan->key().size() != 13) return Error(ErrorCode::kCorrupt, EIO, "index: malformed stripe key");
    next = Row(load_be32(scan->key().data() + 9) + stripe.unit_rows);
    summary += summary_entry_bytes(scan->value().size());
    *any = true;
  }
  TRY(scan->status());
  if (next.value > footer_row(group.rows()))
    return Error(ErrorCode::kCorrupt, EIO, "index: a stripe ends behind its group");
  group.start_appending(next, summary);
  return ok();
}

Status OpenGroups::resume_group(const GroupPin& group) {
  bool any = false;
  TRY(load_appending(*group, &any));
  if (!any && context_.ledger.live_bytes(group->id()) == 0) {
    group->stop_appending();
    return table_.free(group);
  }
  if (!whole(*group)) return table_.close(*group);
  const std::vector<DiskReport> reports = context_.pool.reports();
  for (uint32_t shard = 0; shard < group->total(); ++shard) {
    const ShardPlace& place = group->shards()[shard];
    if ((group->missing() >> shard & 1) != 0) continue;
    if (reports[place.disk.value].stale || !files_.get(*group, shard)) return table_.close(*group);
  }
  const Family family{group->geometry(), group->temperature()};
  GroupPin loser;
  {
    const std::lock_guard lock(mutex_);
    Slot& slot = families_[family];
    loser = slot.group;
    slot = {group, 0};
  }
  return loser == nullptr ? ok() : table_.close(*loser);
}

bool OpenGroups::whole(const Group& group) const {
  uint32_t placed = 0;
  for (uint32_t shard = 0; shard < group.total(); ++shard) {
    if ((group.missing() >> shard & 1) != 0) continue;
    if (!context_.pool.usable(group.shards()[shard].disk)) return false;
    ++placed;
  }
  if (placed == group.total()) return true;
  const auto first = std::find_if(group.shards().begin(), group.shards().end(),
                                  [](const ShardPlace& place) { return place.disk != kNoDisk; });
  const uint16_t set = context_.member(first->disk).set;
  uint32_t usable = 0;
  for (const Member& member : context_.pool.members()) {
    if (member.removed || member.set != set || !context_.pool.usable(member.slot)) continue;
    if (context_.segments.total(member.slot) > 0) ++usable;
  }
  return placeable_shards(group.geometry(), usable) <= placed;
}

GroupPin OpenGroups::current(const Family& family, uint64_t pool_version) const {
  const std::lock_guard lock(mutex_);
  const auto found = families_.find(family);
  if (found == families_.end()) return nullptr;
  const Slot& slot = found->second;
  return slot.group->appending() && slot.pool_version == pool_version ? slot.group : nullptr;
}

GroupPin OpenGroups::any_other(const Family& family) const {
  const std::lock_guard lock(mutex_);
  for (const auto& [other, slot] : families_) {
    if (other.geometry == family.geometry && slot.group->appending()) return slot.group;
  }
  return nullptr;
}

Result<GroupPin> OpenGroups::get(const Geometry& geometry, Temperature temperature) {
  const Family family{geometry, temperature};
  const uint64_t version = context_.pool.state_version();
  if (GroupPin group = current(family, version)) [[likely]]
    return group;
  const std::lock_guard turn(open_turn_);
  GroupPin group;
  {
    const std::lock_guard lock(mutex_);
    const auto found = families_.find(family);
    if (found != families_.end()) group = found->second.group;
  }
  if (group != nullptr) {
    const bool good = group->appending() && whole(*group);
    if (!good) TRY(table_.close(*group));
    const std::lock_guard lock(mutex_);
    if (good) {
      families_[family].pool_version = version;
      return group;
    }
    families_.erase(family);
  }
  auto opened = opener_.open(geometry, temperature);
  if (!opened && opened.error().code() == ErrorCode::kNoSpace) {
    TRY(reclaim());
    opened = opener_.open(geometry, temperature);
  }
  if (!opened && opened.error().code() == ErrorCode::kNoSpace) {
    if (GroupPin other = any_other(family)) opened = std::move(other);
  }
  if (!opened) return std::move(opened.error());
  const std::lock_guard lock(mutex_);
  families_[family] = {*opened, version};
  return *opened;
}

std::vector<DiskRoom> OpenGroups::rooms() const {
  std::vector<DiskRoom> rooms;
  for (const Member& member : context_.pool.members()) {
    if (member.removed || !context_.pool.usable(member.slot) || context_.segments.total(member.slot) == 0)
      continue;
    rooms.push_back({member.set, context_.segments.free(member.slot)});
  }
  return rooms;
}

Status OpenGroups::check_all() {
  const uint64_t version = context_.pool.state_version();
  std::vector<GroupPin> closing;
  {
    const std::lock_guard turn(open_turn_);
    const std::lock_guard lock(mutex_);
    for (auto it = families_.begin(); it != families_.end();) {
      if (it->second.group->appending() && whole(*it->second.group)) {
        it->second.pool_version = version;
        ++it;
      } else {
        closing.push_back(it->second.group);
        it = families_.erase(it);
      }
    }
  }
  for (const GroupPin& group : closing) TRY(table_.close(*group));
  return ok();
}

Status OpenGroups::close_dead() {
  std::vector<GroupPin> closing;
  {
    const std::lock_guard lock(mutex_);
    std::erase_if(families_, [&](const auto& entry) {
      const Group& group = *entry.second.group;
      const bool used = group.next_row().value > kFirstRow;
      if (!used || !group.appending() || group.sessions() != 0 || context_.ledger.live_bytes(group.id()) != 0)
        return false;
      closing.push_back(entry.second.group);
      return true;
    });
  }
  for (const GroupPin& group : closing) TRY(table_.close(*group));
  return ok();
}

uint64_t OpenGroups::room_bytes(const Geometry& geometry) const {
  uint64_t bytes = 0;
  const std::lock_guard lock(mutex_);
  for (const auto& [family, slot] : families_) {
    // A group may stand in for another temperature as well.
    const bool own = slot.group->temperature() == family.temperature;
    if (own && family.geometry == geometry) bytes += uint64_t{slot.group->room()} * kRowBytes * geometry.data;
  }
  return bytes;
}

Status OpenGroups::reclaim() {
  TRY(close_dead());
  ASSIGN_OR_RETURN(const Lsn freed, table_.free_dead());
  if (freed.value != 0) TRY(context_.ledger.sync(freed));
  table_.release_durable();
  refresh_host_limits();
  return ok();
}

void OpenGroups::refresh_host_limits() {
  const uint64_t segment = context_.pool.config().segment_bytes;
  for (const Member& member : context_.pool.members()) {
    if (member.removed || !context_.pool.usable(member.slot)) continue;
    const auto space = context_.pool.disk(member.slot)->space();
    if (!space) continue;  // the prober and the next write will say what is wrong
    const uint64_t reserve = std::min(space->total_bytes * kHostReservePercent / 100, kMaxHostReserve);
    const uint64_t room = space->free_bytes > reserve ? (space->free_bytes - reserve) / segment : 0;
    context_.segments.set_host_limit(member.slot,
                                     static_cast<uint32_t>(std::min<uint64_t>(room, UINT32_MAX)));
  }
}

}  // namespace stavefs
