#include "store/group_opener.h"

#include <algorithm>
#include <map>

#include "index/keys.h"
#include "store/group_sync.h"
#include "store/stripe_layout.h"

namespace stavefs {
namespace {

/// Each failed try fences or fills a disk, so that more tries than this mean something else is wrong.
constexpr int kMaxOpenTries = 64;

}  // namespace

Result<std::vector<DiskSlot>> GroupOpener::choose_disks(const Geometry& geometry) {
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
  bool quorum = false;
  for (const auto& [set, disks] : sets) {
    const uint32_t shards = placeable_shards(geometry, disks.first);
    quorum |= shards != 0;
    if (disks.second.size() >= shards) best = std::max(best, shards);
  }
  if (!quorum) {
    return Error(ErrorCode::kIo, EIO,
                 "too few disks are left to write a group of class " + geometry.to_text());
  }
  if (best == 0) {
    return Error(ErrorCode::kNoSpace, ENOSPC, "no room for another group of class " + geometry.to_text());
  }
  std::vector<Candidate> all;
  for (const auto& [set, disks] : sets) {
    if (placeable_shards(geometry, disks.first) == best && disks.second.size() >= best) {
      all.insert(all.end(), disks.second.begin(), disks.second.end());
    }
  }
  ASSIGN_OR_RETURN(std::vector<DiskSlot> slots, place_group(geometry, all, context_.rng));
  keep_room(geometry, all, best, slots);
  return slots;
}

void GroupOpener::keep_room(const Geometry& geometry, const std::vector<Candidate>& candidates,
                            uint32_t shards, std::vector<DiskSlot>& slots) {
  // Taking disks in proportion to their size can strand room when little is left; taking those with the most
  // free segments never does, and space accounting counts on it.
  std::vector<DiskRoom> before;
  std::vector<DiskRoom> after;
  const uint16_t set = context_.member(slots.front()).set;
  std::vector<Candidate> in_set;
  for (const Candidate& c : candidates) {
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
    for (uint32_t i = 0; i < shards; ++i) slots[i] = in_set[i].slot;
  }
}

Result<GroupPin> GroupOpener::open(const Geometry& geometry, Temperature temperature) {
  for (int i = 0; i < kMaxOpenTries; ++i) {
    ASSIGN_OR_RETURN(const std::vector<DiskSlot> slots, choose_disks(geometry));
    GroupRecord record;
    record.temperature = temperature;
    record.geometry = geometry;
    record.created_ns = context_.clock.realtime_ns();
    record.shards.resize(slots.size());
    for (size_t shard = 0; shard < slots.size(); ++shard) {
      record.shards[shard].disk = slots[shard];
      if (slots[shard] == kNoDisk) record.missing |= uint64_t{1} << shard;
    }
    ASSIGN_OR_RETURN(GroupPin group, try_open(std::move(record)));
    if (group != nullptr) return group;
  }
  return Error(ErrorCode::kIo, EIO, "no group could be opened: disks keep failing");
}

bool GroupOpener::take_segments(GroupRecord& record, std::vector<NewShard>& shards) {
  for (ShardPlace& place : record.shards) {
    if (place.disk == kNoDisk) continue;
    const auto taken = context_.segments.take(place.disk);
    if (!taken) return false;
    place.segment = taken->segment;
    place.generation = taken->generation;
    shards.push_back({place.disk, *taken, nullptr, false});
    if (!make_segment(shards.back())) return false;
  }
  return true;
}

bool GroupOpener::make_segment(NewShard& shard) {
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

void GroupOpener::undo(std::vector<NewShard>& shards) {
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

bool GroupOpener::write_headers(const Group& group, std::vector<NewShard>& shards) {
  std::vector<AlignedBuffer> pages;
  std::vector<IoRequest> batch;
  size_t next = 0;
  for (uint32_t shard = 0; shard < group.total(); ++shard) {
    if (group.shards()[shard].disk == kNoDisk) continue;
    pages.push_back(context_.buffers.get(kRowBytes));
    encode_header(context_.identity(group, shard), pages.back().span().first(kRowBytes));
    batch.push_back({.file = shards[next++].file.get(),
                     .kind = IoKind::kWrite,
                     .offset = 0,
                     .data = pages.back().data(),
                     .bytes = kRowBytes});
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

Result<GroupPin> GroupOpener::try_open(GroupRecord record) {
  std::vector<NewShard> shards;
  if (!take_segments(record, shards)) {
    undo(shards);
    return GroupPin();
  }
  ASSIGN_OR_RETURN(auto codec, context_.codec(record.geometry));
  auto group = std::make_shared<Group>(table_.next_id(), record, std::move(codec),
                                       segment_rows(context_.pool.config().segment_bytes));
  if (!write_headers(*group, shards)) {
    undo(shards);
    return GroupPin();
  }
  Change change;
  change.index().put(keys::group(group->id()), record.encode());
  for (const NewShard& shard : shards) {
    change.index().put(keys::segment(shard.slot, shard.taken.segment),
                       SegmentRecord{shard.taken.generation}.encode());
  }
  // Whether the record reached the journal is unknown when this fails: the segments stay taken until the next
  // mount.
  if (const auto committed = context_.ledger.commit(change); !committed) return committed.error();
  size_t next = 0;
  for (uint32_t i = 0; i < group->total(); ++i) {
    if (record.shards[i].disk != kNoDisk) files_.adopt(*group, i, shards[next++].file);
  }
  group->note_written();
  group->start_appending(Row(kFirstRow), kSummaryHeadBytes);
  table_.insert(group);
  return group;
}

}  // namespace stavefs
