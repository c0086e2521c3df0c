// Copying files of a mirrored directory: to a copy that has a bad one, and to a copy that joins.

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "base/log.h"
#include "index/mirror_limits.h"
#include "index/mirror_set.h"

namespace stavefs {

namespace {

/// Reads one page and verifies it; tries twice, since a fault on the way from the disk is no fault of the
/// page.
Status check_page(IoEngine& engine, const MirrorFile& file, DiskFile& on, uint32_t number, uint8_t* memory) {
  Status s;
  for (int attempt = 0; attempt < 2; ++attempt) {
    s = run_one(engine, {&on, IoKind::kRead, uint64_t{number} * kPageBytes, memory, kPageBytes});
    if (s) s = file.verify(std::span<const uint8_t, kPageBytes>(memory, kPageBytes), number);
    if (s) break;
  }
  return s;
}

/// Calls bad(number, error) for each page of `file` that `on` does not have.
template <class Bad>
void check_pages(IoEngine& engine, BufferPool& buffers, const MirrorFile& file, DiskFile& on, Bad bad) {
  AlignedBuffer buffer = buffers.get(kMirrorReadPages * kPageBytes);
  const uint32_t pages = file.pages();
  for (uint32_t first = 0; first < pages; first += kMirrorReadPages) {
    const uint32_t count = std::min(kMirrorReadPages, pages - first);
    IoRequest request{&on, IoKind::kRead, uint64_t{first} * kPageBytes, buffer.data(), page_bytes(count)};
    engine.run({&request, 1});
    for (uint32_t i = 0; i < count; ++i) {
      uint8_t* page = buffer.data() + i * kPageBytes;
      if (request.error == 0 &&
          file.verify(std::span<const uint8_t, kPageBytes>(page, kPageBytes), first + i))
        continue;
      if (Status s = check_page(engine, file, on, first + i, page); !s) bad(first + i, s.error());
    }
  }
}

}  // namespace

Status MirrorSet::write_copy(const FilePtr& file, DiskFile& target, bool& target_failed) {
  AlignedBuffer buffer = buffers_.get(kMirrorReadPages * kPageBytes);
  const uint32_t pages = file->pages();
  for (uint32_t first = 0; first < pages; first += kMirrorReadPages) {
    const uint32_t count = std::min(kMirrorReadPages, pages - first);
    TRY(read_pages(file, first, count, buffer.data(), OnLoss::kReturn));
    target_failed = true;
    TRY(run_one(*options_.engine,
                {&target, IoKind::kWrite, uint64_t{first} * kPageBytes, buffer.data(), page_bytes(count)}));
    target_failed = false;
  }
  target_failed = true;
  TRY(run_one(*options_.engine, {.file = &target, .kind = IoKind::kSync}));
  Status outcome;
  check_pages(*options_.engine, buffers_, *file, target,
              [&](uint32_t, const Error& error) { outcome = Error(error); });
  TRY(outcome);
  target_failed = false;
  return ok();
}

Status MirrorSet::install(const FilePtr& file, const CopyPtr& copy, bool& target_failed) {
  std::string name;
  {
    std::lock_guard lock(file->mutex);
    name = path(file->disk_name);
  }
  const std::string prepared = name + kTemporarySuffix;
  target_failed = true;
  {
    ASSIGN_OR_RETURN(const std::unique_ptr<DiskFile> target,
                     copy->disk->open(prepared, {.create = true, .truncate = true, .direct = true}));
    target_failed = false;
    TRY(write_copy(file, *target, target_failed));
  }
  target_failed = true;
  TRY(copy->disk->rename(prepared, name));
  TRY(copy->disk->sync_names(options_.directory));
  target_failed = false;
  std::shared_ptr<DiskFile> old;
  std::lock_guard lock(file->mutex);
  ++file->replaced;
  if (const auto found = file->handles.find(copy.get()); found != file->handles.end()) {
    old = std::move(found->second);
    file->handles.erase(found);
  }
  return ok();
}

uint64_t MirrorSet::count_bad_pages(const FilePtr& file, const CopyPtr& copy) {
  const Result<std::unique_ptr<DiskFile>> opened = copy->disk->open(path(file->name), {.direct = true});
  if (!opened) return file->pages();
  uint64_t bad = 0;
  check_pages(*options_.engine, buffers_, *file, **opened, [&](uint32_t, const Error&) { ++bad; });
  return bad;
}

void MirrorSet::repair_loop() {
  std::unique_lock lock(mutex_);
  while (true) {
    repairs_.wait(lock, [&] { return stopping_ || !queue_.empty(); });
    if (stopping_) return;
    const Repair job = std::move(queue_.front());
    queue_.pop_front();
    repairing_ = true;
    lock.unlock();
    if (!is_fenced()) repair(job);
    lock.lock();
    repairing_ = false;
    repairs_.notify_all();
  }
}

void MirrorSet::repair(const Repair& job) {
  bool target_failed = false;
  Status outcome;
  {
    std::shared_lock gate(gate_);
    std::lock_guard exclusive(job.file->exclusive);
    {
      std::scoped_lock lock(mutex_, job.file->mutex);
      if (job.copy->state != MirrorCopy::State::kLive || job.file->gone || job.file->writer) return;
    }
    const uint64_t bad = count_bad_pages(job.file, job.copy);
    if (bad == 0) return;
    outcome = install(job.file, job.copy, target_failed);
    if (outcome) repaired_pages_ += bad;
  }
  if (outcome) {
    log_info("index: {} was written anew on slot {}", job.file->name, job.copy->slot.value);
  } else if (target_failed) {
    give_up(job.copy, IoKind::kWrite, outcome.error(), path(job.file->name));
  } else {
    log_error("index: {} cannot be rebuilt: {}", job.file->name, outcome.error().to_text());
  }
}

Status MirrorSet::purge(const CopyPtr& copy) {
  ASSIGN_OR_RETURN(const std::vector<std::string> names, copy->disk->list(options_.directory));
  for (const std::string& name : names) TRY(copy->disk->remove(path(name)));
  return copy->disk->sync_names(options_.directory);
}

Status MirrorSet::add_copy(DiskSlot slot) {
  if (is_fenced()) return fenced_error();
  if (options_.read_only) return Error(ErrorCode::kInvalid, EROFS, "the index is open for reading only");
  std::lock_guard adding(add_mutex_);
  {
    std::lock_guard lock(mutex_);
    if (std::ranges::any_of(copies_, [&](const CopyPtr& copy) { return copy->slot == slot; }))
      return Error(ErrorCode::kExists, EEXIST, fmt::format("slot {} has a copy of the index", slot.value));
  }
  Disk* disk = options_.disk(slot);
  if (!disk) return Error(ErrorCode::kNotFound, ENOENT, fmt::format("no disk in slot {}", slot.value));
  const auto copy = std::make_shared<MirrorCopy>(slot, disk, MirrorCopy::State::kJoining);
  TRY(purge(copy));
  // Most is copied while work goes on; what changed meanwhile is left for the last round, during which
  // changes wait.
  std::map<std::string, uint64_t> has;
  for (int round = 0; round < kMirrorJoinRounds; ++round) {
    ASSIGN_OR_RETURN(const bool copied, copy_settled_files(copy, has));
    if (!copied) break;
  }
  return finish_joining(copy, has);
}

Result<bool> MirrorSet::copy_settled_files(const CopyPtr& copy, std::map<std::string, uint64_t>& has) {
  std::vector<FilePtr> files;
  {
    std::lock_guard lock(mutex_);
    for (const auto& [name, file] : files_) {
      const auto found = has.find(name);
      if (found == has.end() || found->second != file->id) files.push_back(file);
    }
  }
  bool copied = false;
  for (const FilePtr& file : files) {
    if (is_fenced()) return fenced_error();
    std::shared_lock gate(gate_);
    std::lock_guard exclusive(file->exclusive);
    std::string name;
    {
      std::lock_guard lock(file->mutex);
      if (file->gone || file->writer || file->damaged || file->map.pages() == 0) continue;
      name = file->disk_name;
    }
    bool target_failed = false;
    TRY(install(file, copy, target_failed));
    has[name] = file->id;
    copied = true;
  }
  return copied;
}

Status MirrorSet::finish_joining(const CopyPtr& copy, const std::map<std::string, uint64_t>& has) {
  std::unique_lock gate(gate_);
  std::map<std::string, FilePtr, std::less<>> files;
  {
    std::lock_guard lock(mutex_);
    files = files_;
  }
  for (const auto& [name, file] : files) {
    const auto found = has.find(name);
    const bool there = found != has.end() && found->second == file->id;
    MirrorWriter* writer = file->writer;
    if (writer ? !writer->created_ : there || file->damaged || file->pages() == 0) continue;
    bool target_failed = false;
    TRY(install(file, copy, target_failed));
    if (!writer) continue;
    ASSIGN_OR_RETURN(std::shared_ptr<DiskFile> opened, copy->disk->open(path(name), {.direct = true}));
    writer->handles_.emplace_back(copy, std::move(opened));
  }
  ASSIGN_OR_RETURN(const std::vector<std::string> names, copy->disk->list(options_.directory));
  for (const std::string& name : names)
    if (!files.contains(name)) TRY(copy->disk->remove(path(name)));
  TRY(copy->disk->sync_names(options_.directory));
  std::lock_guard lock(mutex_);
  if (is_fenced()) return fenced_error();
  copy->state = MirrorCopy::State::kLive;
  copies_.push_back(copy);
  return ok();
}

}  // namespace stavefs
