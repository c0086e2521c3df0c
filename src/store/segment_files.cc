#include "store/segment_files.h"

namespace stavefs {

Status SegmentFiles::check_header(const Group& group, uint32_t shard, DiskFile& file) {
  AlignedBuffer page = context_.buffers.get(kRowBytes);
  TRY(run_one(context_.pool.engine(),
              {.file = &file, .kind = IoKind::kRead, .offset = 0, .data = page.data(), .bytes = kRowBytes}));
  ASSIGN_OR_RETURN(const SegmentIdentity found, decode_header(page.span().first(kRowBytes)));
  if (found != context_.identity(group, shard)) {
    return Error(ErrorCode::kCorrupt, EIO,
                 file.name() + " is the segment of something else: " + found.to_text());
  }
  return ok();
}

Result<SegmentFile> SegmentFiles::get(Group& group, uint32_t shard, bool check) {
  group.last_use.store(tick_.load(std::memory_order_relaxed), std::memory_order_relaxed);
  if (SegmentFile file = group.file(shard)) [[likely]]
    return file;
  const ShardPlace& place = group.shards()[shard];
  Disk* disk = place.disk == kNoDisk ? nullptr : context_.pool.disk(place.disk);
  if (disk == nullptr)
    return Error(ErrorCode::kNotFound, EIO, "shard " + std::to_string(shard) + " has no disk");
  OpenOptions options;
  options.direct = context_.options.direct;
  auto opened = disk->open(segment_file_name(place.segment), options);
  if (!opened) {
    if (opened.error().code() == ErrorCode::kNotFound) {
      group.mark_bad(shard);
      context_.pool.report_corrupt(place.disk, segment_file_name(place.segment) + " is not there");
    } else {
      context_.pool.report(place.disk, IoKind::kRead, opened.error().errno_value(),
                           segment_file_name(place.segment));
    }
    return std::move(opened.error());
  }
  SegmentFile file = std::move(*opened);
  if (check && !group.identity_known(shard)) {
    if (Status checked = check_header(group, shard, *file); !checked) {
      if (checked.error().code() == ErrorCode::kCorrupt) {
        group.mark_bad(shard);
        context_.pool.report_corrupt(place.disk, checked.error().message());
      } else {
        context_.pool.report(place.disk, IoKind::kRead, checked.error().errno_value(), file->name());
      }
      return std::move(checked.error());
    }
  }
  adopt(group, shard, file);
  return file;
}

void SegmentFiles::adopt(Group& group, uint32_t shard, SegmentFile file) {
  group.note_identity(shard);
  group.last_use.store(tick_.load(std::memory_order_relaxed), std::memory_order_relaxed);
  group.set_file(shard, std::move(file));
  open_.fetch_add(1, std::memory_order_relaxed);
}

void SegmentFiles::evict(std::span<const GroupPin> groups) {
  const uint64_t now = tick_.fetch_add(1, std::memory_order_relaxed) + 1;
  uint64_t kept = 0;
  for (const GroupPin& group : groups) {
    if (group->state() == GroupState::kSealed && group->last_use.load(std::memory_order_relaxed) + 1 < now) {
      group->drop_files();
    } else {
      kept += group->total();
    }
  }
  open_.store(kept, std::memory_order_relaxed);
}

}  // namespace stavefs
