#include "store/group_table.h"

#include <atomic>

#include "base/log.h"
#include "index/keys.h"

namespace stavefs {
namespace {

constexpr int kEpochShift = 32;

Error corrupt_index(std::string what) { return Error(ErrorCode::kCorrupt, EIO, "index: " + std::move(what)); }

}  // namespace

Status GroupTable::load() {
  TRY(load_generations());
  TRY(load_groups());
  const std::lock_guard lock(mutex_);
  next_id_ = std::max(next_id_, context_.pool.epoch().epoch.value << kEpochShift);
  return ok();
}

Status GroupTable::load_generations() {
  ASSIGN_OR_RETURN(const auto scan, context_.ledger.scan_prefix("E"));
  for (; scan->valid(); scan->next()) {
    const std::string_view key = scan->key();
    if (key.size() != 7) return corrupt_index("malformed segment key");
    ASSIGN_OR_RETURN(const SegmentRecord record, SegmentRecord::decode(scan->value()));
    const DiskSlot slot(load_be16(key.data() + 1));
    if (slot.value < context_.pool.members().size() && context_.member(slot).removed) continue;
    TRY(context_.segments.set_generation(slot, SegmentNumber(load_be32(key.data() + 3)), record.generation));
  }
  return scan->status();
}

Status GroupTable::load_groups() {
  const uint32_t rows = context_.pool.config().segment_bytes / kRowBytes;
  ASSIGN_OR_RETURN(const auto scan, context_.ledger.scan_prefix("G"));
  for (; scan->valid(); scan->next()) {
    if (scan->key().size() != 9) return corrupt_index("malformed group key");
    const GroupId id(keys::first_number(scan->key()));
    ASSIGN_OR_RETURN(GroupRecord record, GroupRecord::decode(scan->value()));
    for (const ShardPlace& place : record.shards) {
      if (place.disk == kNoDisk) continue;
      if (place.disk.value >= context_.pool.members().size()) {
        return corrupt_index("group " + std::to_string(id.value) + " names a disk that the pool never had");
      }
      if (!context_.member(place.disk).removed) {
        TRY(context_.segments.mark_used(place.disk, place.segment, place.generation));
      }
    }
    if (record.end_row >= rows)
      return corrupt_index("group " + std::to_string(id.value) + " ends behind its end");
    ASSIGN_OR_RETURN(auto codec, context_.codec(record.geometry));
    insert(std::make_shared<Group>(id, std::move(record), std::move(codec), rows));
  }
  return scan->status();
}

GroupPin GroupTable::find(GroupId id) const {
  const std::lock_guard lock(mutex_);
  const auto found = groups_.find(id);
  return found == groups_.end() ? nullptr : found->second;
}

GroupPin GroupTable::find_pinned(GroupId id) const {
  const std::lock_guard lock(mutex_);
  if (const auto found = groups_.find(id); found != groups_.end()) return found->second;
  for (const Dying& dying : dying_) {
    if (dying.group->id() == id) return dying.group;
  }
  return nullptr;
}

std::vector<GroupPin> GroupTable::all() const {
  std::vector<GroupPin> groups;
  const std::lock_guard lock(mutex_);
  groups.reserve(groups_.size());
  for (const auto& [id, group] : groups_) groups.push_back(group);
  return groups;
}

GroupId GroupTable::next_id() {
  const std::lock_guard lock(mutex_);
  return GroupId(next_id_++);
}

void GroupTable::insert(GroupPin group) {
  const std::lock_guard lock(mutex_);
  next_id_ = std::max(next_id_, group->id().value + 1);
  groups_.emplace(group->id(), std::move(group));
}

Result<Lsn> GroupTable::change(Group& group, const std::function<bool(GroupRecord&)>& edit,
                               const std::function<void(Change&)>& more) {
  const std::lock_guard turn(group.record_turn);
  GroupRecord record = group.record();
  if (!edit(record)) return context_.ledger.head();
  Change change;
  change.index().put(keys::group(group.id()), record.encode());
  if (more) more(change);
  ASSIGN_OR_RETURN(const Lsn lsn, context_.ledger.commit(change));
  group.apply(record);
  return lsn;
}

Status GroupTable::mark_missing(Group& group, uint64_t shards) {
  if (shards == 0) return ok();
  group.stop_appending();
  const auto changed = change(group, [&](GroupRecord& record) {
    if ((record.missing & shards) == shards && record.state != GroupState::kOpen) return false;
    record.missing |= shards;
    if (record.state == GroupState::kOpen) {
      record.state = GroupState::kFull;
      record.end_row = group.next_row().value;
    }
    return true;
  });
  if (!changed) return changed.error();
  log_warning("group {}: shards {:#x} are missing now", group.id().value, group.missing());
  return ok();
}

Status GroupTable::close(Group& group) {
  group.stop_appending();
  const auto changed = change(group, [&](GroupRecord& record) {
    if (record.state != GroupState::kOpen) return false;
    record.state = GroupState::kFull;
    record.end_row = group.next_row().value;
    return true;
  });
  return changed ? ok() : Status(changed.error());
}

Status GroupTable::free(const GroupPin& group) {
  const std::lock_guard turn(free_turn_);
  return free_locked(group);
}

Status GroupTable::free_locked(const GroupPin& group) {
  const GroupId id = group->id();
  Change change;
  change.index().erase(keys::group(id));
  change.index().erase(keys::live_bytes(id));
  const std::string stripes = keys::stripe_prefix(id);
  change.index().erase_range(stripes, keys::prefix_end(stripes));
  Lsn freed;
  {
    const std::lock_guard turn(group->record_turn);
    ASSIGN_OR_RETURN(freed, context_.ledger.commit(change));
  }
  context_.ledger.forget_group(id);
  const std::lock_guard lock(mutex_);
  groups_.erase(id);
  dying_.push_back({group, freed});
  return ok();
}

Result<Lsn> GroupTable::free_dead() {
  const std::lock_guard turn(free_turn_);
  for (const GroupPin& group : all()) {
    if (group->state() == GroupState::kOpen || context_.ledger.live_bytes(group->id()) != 0) continue;
    if (!group->enter_idle()) continue;
    // A session may have committed and left since the count was read.
    if (context_.ledger.live_bytes(group->id()) != 0) {
      group->leave();
      continue;
    }
    TRY(free_locked(group));
  }
  Lsn newest;
  const std::lock_guard lock(mutex_);
  for (const Dying& dying : dying_) newest = std::max(newest, dying.freed);
  return newest;
}

void GroupTable::release_durable() {
  const std::lock_guard turn(free_turn_);
  const Lsn durable = context_.ledger.durable();
  std::vector<GroupPin> gone;
  {
    const std::lock_guard lock(mutex_);
    std::erase_if(dying_, [&](Dying& dying) {
      if (dying.freed > durable || dying.group.use_count() != 1) return false;
      gone.push_back(std::move(dying.group));
      return true;
    });
  }
  // use_count() is a relaxed read: see all that the last reader did before it let go.
  std::atomic_thread_fence(std::memory_order_acquire);
  for (const GroupPin& group : gone) {
    group->drop_files();
    for (const ShardPlace& place : group->shards()) {
      if (place.disk == kNoDisk || context_.member(place.disk).removed) continue;
      if (context_.pool.usable(place.disk)) {
        const Status removed = context_.pool.disk(place.disk)->remove(segment_file_name(place.segment));
        if (!removed && removed.error().code() != ErrorCode::kNotFound) {
          context_.pool.report(place.disk, IoKind::kWrite, removed.error().errno_value(),
                               "removal of a segment");
        }
      }
      context_.segments.release(place.disk, place.segment);
    }
  }
}

size_t GroupTable::dying() const {
  const std::lock_guard lock(mutex_);
  return dying_.size();
}

}  // namespace stavefs
