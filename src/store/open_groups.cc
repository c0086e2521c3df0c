#include "store/open_groups.h"

#include <algorithm>

#include "base/check.h"
#include "base/log.h"
#include "index/keys.h"
#include "store/group_sync.h"
#include "store/stripe_layout.h"

namespace stavefs {
namespace {

/// Each failed try fences or fills a disk, so that more tries than this mean something else is wrong.
constexpr int kMaxOpenTries = 64;
/// Room that the store leaves to the index on the host filesystem: 1 %, at most 1 GiB.
constexpr uint64_t kHostReservePercent = 1;
constexpr uint64_t kMaxHostReserve = uint64_t{1} << 30;

}  // namespace

Status OpenGroups::resume() {
  std::vector<GroupPin> groups = table_.all();
  std::sort(groups.begin(), groups.end(), [](const GroupPin& a, const GroupPin& b) { return a->id() < b->id(); });
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
  if (next.value > footer_row(group.rows())) return Error(ErrorCode::kCorrupt, EIO, "index: a stripe ends behind its group");
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
  auto opened = open(family);
  if (!opened && opened.error().code() == ErrorCode::kNoSpace) {
    TRY(reclaim());
    opened = open(family);
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
    if (member.removed || !context_.pool.usable(member.slot) || context_.segments.total(member.slot) == 0) continue;
    rooms.push_back({member.set, context_.segments.free(member.slot)});
  }
  return rooms;
}

Result<std::vector<DiskSlot>> OpenGroups::choose_disks(const Geometry& geometry) {
  const auto full = Error(ErrorCode::kNoSpace, ENOSPC, "no room for another group of class " + geometry.to_text());
  // By set: its usable disks, and those of them with room.
  std::map<uint16_t, std::pair<uint32_t, std::vector<Candidate>>> sets;
  for (const Member& member : context_.pool.members()) {
    const uint32_t total = context_.segments.total(member.slot);
    if (member.removed || !context_.pool.usable(member.slot) || total == 0) continue;
    auto& [usable, candidates] = sets[member.set];
    ++usable;
    const uint32_t free = context_.segments.free(member.slot);
    if (free > 0) candidates.push_back({member.slot, member.set, total, free});
  }
  uint32_t best = 0;
  for (const auto& [set, disks] : sets) {
    const uint32_t shards = placeable_shards(geometry, disks.first);
    if (disks.second.size() >= shards) best = std::max(best, shards);
  }
  if (best == 0) return full;
  std::vector<Candidate> all;
  for (const auto& [set, disks] : sets) {
    if (placeable_shards(geometry, disks.first) == best && disks.second.size() >= best) {
      all.insert(all.end(), disks.second.begin(), disks.second.end());
    }
  }
  ASSIGN_OR_RETURN(std::vector<DiskSlot> slots, place_group(geometry, all, context_.rng));
  // Taking disks in proportion to their size can strand room when little is left; taking those with the most free segments
  // never does, and space accounting counts on it.
  std::vector<DiskRoom> before;
  std::vector<DiskRoom> after;
  const uint16_t set = context_.member(slots.front()).set;
  std::vector<Candidate> in_set;
  for (const Candidate& c : all) {
    if (c.set != set) continue;
    const bool taken = std::find(slots.begin(), slots.end(), c.slot) != slots.end();
    before.push_back({0, c.free_segments});
    after.push_back({0, c.free_segments - (taken ? 1 : 0)});
    in_set.push_back(c);
  }
  if (groups_possible(geometry, after) + 1 < groups_possible(geometry, before)) {
    std::stable_sort(in_set.begin(), in_set.end(), [](const Candidate& a, const Candidate& b) {
      return a.free_segments > b.free_segments;
    });
    for (uint32_t i = 0; i < best; ++i) slots[i] = in_set[i].slot;
  }
  return slots;
}

Result<GroupPin> OpenGroups::open(const Family& family) {
  for (int i = 0; i < kMaxOpenTries; ++i) {
    ASSIGN_OR_RETURN(const std::vector<DiskSlot> slots, choose_disks(family.geometry));
    GroupPin group;
    ASSIGN_OR_RETURN(const Attempt attempt, try_open(family, slots, group));
    if (attempt == Attempt::kDone) return group;
  }
  return Error(ErrorCode::kIo, EIO, "no group could be opened: disks keep failing");
}

bool OpenGroups::make_segment(NewShard& shard) {
  Disk* disk = context_.pool.disk(shard.slot);
  const std::string name = segment_file_name(shard.taken.segment);
  OpenOptions options;
  options.create = true;
  options.truncate = true;
  options.direct = context_.options.direct;
  auto opened = disk->open(name, options);
  Status made = opened ? ok() : Status(opened.error());
  if (made) {
    shard.file = std::move(*opened);
    made = shard.file->allocate(context_.pool.config().segment_bytes);
  }
  if (made) return true;
  context_.pool.report(shard.slot, IoKind::kWrite, made.error().errno_value(), name);
  shard.no_space = made.error().code() == ErrorCode::kNoSpace;
  return false;
}

void OpenGroups::undo(std::vector<NewShard>& shards) {
  for (NewShard& shard : shards) {
    const bool made = shard.file != nullptr;
    shard.file.reset();
    if (made && context_.pool.usable(shard.slot)) {
      // What cannot be removed is emptied at its next use, or removed at the next mount.
      (void)context_.pool.disk(shard.slot)->remove(segment_file_name(shard.taken.segment));
    }
    context_.segments.untake(shard.slot, shard.taken);
    if (shard.no_space) context_.segments.set_host_limit(shard.slot, 0);
  }
}

bool OpenGroups::write_headers(const Group& group, std::vector<NewShard>& shards) {
  std::vector<AlignedBuffer> pages;
  std::vector<IoRequest> batch;
  size_t next = 0;
  for (uint32_t shard = 0; shard < group.total(); ++shard) {
    if (group.shards()[shard].disk == kNoDisk) continue;
    pages.push_back(context_.buffers.get(kRowBytes));
    encode_header(context_.identity(group, shard), pages.back().span().first(kRowBytes));
    batch.push_back({.file = shards[next++].file.get(), .kind = IoKind::kWrite, .offset = 0,
                     .data = pages.back().data(), .bytes = kRowBytes});
  }
  context_.pool.engine().run(batch);
  bool good = true;
  for (size_t i = 0; i < batch.size(); ++i) {
    if (batch[i].error == 0) continue;
    good = false;
    report_write_error(context_, shards[i].slot, batch[i]);
  }
  return good;
}

Result<OpenGroups::Attempt> OpenGroups::try_open(const Family& family, const std::vector<DiskSlot>& slots,
                                                 GroupPin& out) {
  GroupRecord record;
  record.temperature = family.temperature;
  record.geometry = family.geometry;
  record.created_ns = context_.clock.realtime_ns();
  record.shards.resize(slots.size());
  std::vector<NewShard> shards;
  for (size_t i = 0; i < slots.size(); ++i) {
    if (slots[i] == kNoDisk) {
      record.missing |= uint64_t{1} << i;
      continue;
    }
    const auto taken = context_.segments.take(slots[i]);
    if (!taken) {
      undo(shards);
      return Attempt::kAgain;
    }
    record.shards[i] = {slots[i], taken->segment, taken->generation};
    shards.push_back({slots[i], *taken, nullptr, false});
    if (!make_segment(shards.back())) {
      undo(shards);
      return Attempt::kAgain;
    }
  }
  ASSIGN_OR_RETURN(auto codec, context_.codec(family.geometry));
  auto group = std::make_shared<Group>(table_.next_id(), record, std::move(codec),
                                       segment_rows(context_.pool.config().segment_bytes));
  if (!write_headers(*group, shards)) {
    undo(shards);
    return Attempt::kAgain;
  }
  Change change;
  change.index().put(keys::group(group->id()), record.encode());
  for (const NewShard& shard : shards) {
    change.index().put(keys::segment(shard.slot, shard.taken.segment), SegmentRecord{shard.taken.generation}.encode());
  }
  if (const auto committed = context_.ledger.commit(change); !committed) return committed.error();
  size_t next = 0;
  for (uint32_t i = 0; i < group->total(); ++i) {
    if (slots[i] != kNoDisk) files_.adopt(*group, i, shards[next++].file);
  }
  group->note_written();
  group->start_appending(Row(kFirstRow), kSummaryHeadBytes);
  table_.insert(group);
  out = std::move(group);
  return Attempt::kDone;
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
      if (!used || !group.appending() || group.sessions() != 0 || context_.ledger.live_bytes(group.id()) != 0) return false;
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
    context_.segments.set_host_limit(member.slot, static_cast<uint32_t>(std::min<uint64_t>(room, UINT32_MAX)));
  }
}

}  // namespace stavefs
