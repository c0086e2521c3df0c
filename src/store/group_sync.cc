#include "store/group_sync.h"

#include <algorithm>
#include <map>
#include <vector>

namespace stavefs {
namespace {

struct SyncRequest {
  size_t target;
  uint32_t shard;
};

/// One round over all targets whose stamps are not covered yet.
class SyncRound {
 public:
  SyncRound(StoreContext& context, std::span<SyncTarget> targets) : context_(context), targets_(targets) {
    covers_.resize(targets.size());
    lost_.resize(targets.size());
    open_.resize(targets.size());
  }

  void run() {
    for (size_t i = 0; i < targets_.size(); ++i) {
      Group& group = *targets_[i].group;
      open_[i] = group.synced < targets_[i].stamp;
      covers_[i] = group.written();
      if (open_[i]) add(i);
    }
    context_.pool.engine().run(batch_);
    for (size_t i = 0; i < batch_.size(); ++i) {
      if (batch_[i].error == 0) continue;
      const auto [target, shard] = requests_[i];
      context_.pool.report(place(target, shard).disk, IoKind::kSync, batch_[i].error, batch_[i].file->name());
      lost_[target] |= uint64_t{1} << shard;
    }
    sync_names();
  }

  /// Commits missing bits and moves the stamps.
  Status settle(GroupTable& table) {
    for (size_t i = 0; i < targets_.size(); ++i) {
      if (!open_[i]) continue;
      Group& group = *targets_[i].group;
      TRY(table.mark_missing(group, lost_[i] & ~group.missing()));
      group.synced = std::max(group.synced, covers_[i]);
      group.names_durable = true;
    }
    return ok();
  }

 private:
  const ShardPlace& place(size_t target, uint32_t shard) const {
    return targets_[target].group->shards()[shard];
  }

  void add(size_t i) {
    const Group& group = *targets_[i].group;
    const uint64_t missing = group.missing();
    for (uint32_t shard = 0; shard < group.total(); ++shard) {
      if ((missing >> shard & 1) != 0) continue;
      if (!context_.pool.usable(place(i, shard).disk)) {
        lost_[i] |= uint64_t{1} << shard;
        continue;
      }
      batch_.push_back({.file = targets_[i].files[shard].get(), .kind = IoKind::kSync});
      requests_.push_back({i, shard});
    }
  }

  void sync_names() {
    std::map<DiskSlot, std::vector<SyncRequest>> by_disk;
    for (const SyncRequest& request : requests_) {
      if (!targets_[request.target].group->names_durable) {
        by_disk[place(request.target, request.shard).disk].push_back(request);
      }
    }
    for (const auto& [slot, requests] : by_disk) {
      const std::lock_guard turn(context_.names_turns[slot.value]);
      bool good = context_.pool.usable(slot);
      if (good) {
        const Status synced = context_.pool.disk(slot)->sync_names(kSegmentDirectory);
        if (!synced)
          context_.pool.report(slot, IoKind::kSync, synced.error().errno_value(), kSegmentDirectory);
        good = synced.has_value();
      }
      if (good) continue;
      for (const SyncRequest& request : requests) lost_[request.target] |= uint64_t{1} << request.shard;
    }
  }

  StoreContext& context_;
  const std::span<SyncTarget> targets_;
  std::vector<uint64_t> covers_;
  std::vector<uint64_t> lost_;
  std::vector<char> open_;
  std::vector<IoRequest> batch_;
  std::vector<SyncRequest> requests_;
};

Error no_quorum(const Group& group, int quorum) {
  return Error(ErrorCode::kIo, EIO,
               "group " + std::to_string(group.id().value) + " has only " +
                   std::to_string(group.live_shards()) + " shards left, " + std::to_string(quorum) +
                   " are needed");
}

}  // namespace

Status sync_groups(StoreContext& context, GroupTable& table, std::span<SyncTarget> targets,
                   int (*quorum)(const Geometry&)) {
  std::sort(targets.begin(), targets.end(),
            [](const SyncTarget& a, const SyncTarget& b) { return a.group->id() < b.group->id(); });
  std::vector<std::unique_lock<std::mutex>> turns;
  turns.reserve(targets.size());
  for (const SyncTarget& target : targets) turns.emplace_back(target.group->sync_turn);
  SyncRound round(context, targets);
  round.run();
  TRY(round.settle(table));
  for (const SyncTarget& target : targets) {
    const int needed = quorum(target.group->geometry());
    if (target.group->live_shards() < needed) return no_quorum(*target.group, needed);
  }
  return ok();
}

Status settle_writes(GroupTable& table, Group& group, uint64_t lost, int quorum) {
  TRY(table.mark_missing(group, lost & ~group.missing()));
  if (group.live_shards() < quorum) return no_quorum(group, quorum);
  return ok();
}

void report_write_error(StoreContext& context, DiskSlot slot, const IoRequest& failed) {
  context.pool.report(slot, IoKind::kWrite, failed.error, failed.file->name());
  if (failed.error == ENOSPC) context.segments.set_host_limit(slot, 0);
}

}  // namespace stavefs
