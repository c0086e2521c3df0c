#include "index/mirror_set.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/check.h"
#include "base/log.h"
#include "index/mirror_change.h"
#include "index/mirror_limits.h"

namespace stavefs {

MirrorSet::MirrorSet(MirrorOptions options)
    : options_(std::move(options)), buffers_(kMirrorIdleBytes), rng_(options_.seed) {}

Result<std::unique_ptr<MirrorSet>> MirrorSet::open(MirrorOptions options, std::span<const DiskSlot> members) {
  std::unique_ptr<MirrorSet> set(new MirrorSet(std::move(options)));
  TRY(set->recover(members));
  if (!set->options_.read_only) set->repair_thread_ = std::thread([s = set.get()] { s->repair_loop(); });
  return set;
}

MirrorSet::~MirrorSet() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  repairs_.notify_all();
  if (repair_thread_.joinable()) repair_thread_.join();
}

Error MirrorSet::fenced_error() const { return Error(ErrorCode::kFenced, EIO, "the index has been fenced"); }

std::vector<MirrorSet::CopyPtr> MirrorSet::live_copies() const {
  std::lock_guard lock(mutex_);
  std::vector<CopyPtr> live;
  for (const CopyPtr& copy : copies_)
    if (copy->state == MirrorCopy::State::kLive) live.push_back(copy);
  return live;
}

std::vector<DiskSlot> MirrorSet::copies() const {
  std::vector<DiskSlot> slots;
  for (const CopyPtr& copy : live_copies()) slots.push_back(copy->slot);
  return slots;
}

void MirrorSet::fence(std::string_view reason) {
  {
    std::lock_guard lock(mutex_);
    if (fenced_.exchange(true, std::memory_order_acq_rel)) return;
  }
  log_error("index: fenced: {}", reason);
  settled_.notify_all();
  if (options_.fenced) options_.fenced();
}

void MirrorSet::give_up(const CopyPtr& copy, IoKind kind, const Error& error, std::string_view what) {
  bool last = true;
  {
    std::lock_guard lock(mutex_);
    if (is_fenced() || copy->state != MirrorCopy::State::kLive)
      return;  // somebody else's to finish: settle() waits for it
    for (const CopyPtr& other : copies_) last &= other == copy || other->state != MirrorCopy::State::kLive;
    if (!last) copy->state = MirrorCopy::State::kFailing;
  }
  log_error("index: the copy on slot {} is given up: {}: {}", copy->slot.value, what, error.to_text());
  if (options_.report) options_.report(copy->slot, kind, error.errno_value(), what);
  if (last) {
    fence("the last copy failed");
    return;
  }
  const Status moved = options_.copy_failed ? options_.copy_failed(copy->slot) : ok();
  if (!moved)
    fence(fmt::format("slot {} could not be given up: {}", copy->slot.value, moved.error().to_text()));
  {
    std::lock_guard lock(mutex_);
    copy->state = MirrorCopy::State::kGone;
    std::erase(copies_, copy);
  }
  ++failed_copies_;
  settled_.notify_all();
}

Status MirrorSet::settle() {
  std::unique_lock lock(mutex_);
  settled_.wait(lock, [&] {
    return is_fenced() || std::ranges::none_of(copies_, [](const CopyPtr& copy) {
             return copy->state == MirrorCopy::State::kFailing;
           });
  });
  if (is_fenced()) return fenced_error();
  return ok();
}

void MirrorSet::drop_copy(DiskSlot slot) {
  bool last = false;
  {
    std::lock_guard lock(mutex_);
    const auto live = [](const CopyPtr& copy) { return copy->state == MirrorCopy::State::kLive; };
    const auto found =
        std::ranges::find_if(copies_, [&](const CopyPtr& c) { return c->slot == slot && live(c); });
    if (found == copies_.end()) return;
    (*found)->state = MirrorCopy::State::kGone;
    copies_.erase(found);
    last = std::ranges::none_of(copies_, live);
  }
  if (last) fence("the last copy was dropped");
}

uint64_t MirrorSet::new_file_id() {
  std::lock_guard lock(mutex_);
  return make_file_id(next_creation_++, rng_.next());
}

MirrorSet::FilePtr MirrorSet::find(std::string_view name) const {
  std::lock_guard lock(mutex_);
  const auto found = files_.find(name);
  return found == files_.end() ? nullptr : found->second;
}

Result<std::unique_ptr<MirrorWriter>> MirrorSet::create(std::string_view name) {
  if (is_fenced()) return fenced_error();
  if (options_.read_only) return Error(ErrorCode::kInvalid, EROFS, "the index is open for reading only");
  auto file = std::make_shared<MirrorFile>(std::string(name), new_file_id());
  std::unique_ptr<MirrorWriter> writer(new MirrorWriter(*this, file));
  file->writer = writer.get();
  std::shared_lock gate(gate_);
  FilePtr old;
  {
    std::lock_guard lock(mutex_);
    old = std::exchange(files_[file->name], file);
  }
  if (old) {
    std::scoped_lock lock(old->exclusive, old->mutex);
    old->gone = true;
  }
  return writer;
}

Status MirrorSet::remove(std::string_view name) {
  if (is_fenced()) return fenced_error();
  if (options_.read_only) return Error(ErrorCode::kInvalid, EROFS, "the index is open for reading only");
  const FilePtr file = find(name);
  if (!file) return errno_error(ENOENT, std::string(name));
  Change change(*this, "remove", path(name));
  {
    std::lock_guard exclusive(file->exclusive);
    {
      std::scoped_lock lock(mutex_, file->mutex);
      if (file->gone) return errno_error(ENOENT, std::string(name));
      file->gone = true;
      files_.erase(file->disk_name);
    }
    change.on_each(IoKind::kWrite, [&](const CopyPtr& copy) { return remove_name(*copy, name); });
  }
  names_dirty_ = true;
  return change.finish();
}

Status MirrorSet::rename(std::string_view from, std::string_view to) {
  ASSIGN_OR_RETURN(const std::unique_ptr<MirrorReader> reader, open_file(from));
  // The pages are seeded with the name, so the file is written anew; beside `to`, whose old content stays
  // until the end.
  auto file = std::make_shared<MirrorFile>(std::string(to), new_file_id());
  file->disk_name = std::string(to) + kTemporarySuffix;
  MirrorWriter writer(*this, file);
  {
    std::shared_lock gate(gate_);
    std::lock_guard lock(mutex_);
    file->writer = &writer;
    files_[file->disk_name] = file;
  }
  std::string bytes(kMirrorCopyBytes, '\0');
  for (uint64_t at = 0; at < reader->size();) {
    ASSIGN_OR_RETURN(const size_t got, reader->read(at, bytes.size(), bytes.data()));
    TRY(writer.append(std::string_view(bytes).substr(0, got)));
    at += got;
  }
  TRY(writer.write_out(MirrorWriter::Durability::kBytes));
  TRY(writer.close());

  Change change(*this, "rename", path(to));
  rename_on(change, reader->file_, file);
  return change.finish();
}

void MirrorSet::rename_on(Change& change, const FilePtr& from, const FilePtr& to) {
  const FilePtr replaced = find(to->name);
  std::lock_guard exclusive_to(to->exclusive);
  std::lock_guard exclusive_from(from->exclusive);
  std::unique_lock<std::mutex> exclusive_replaced;
  if (replaced && replaced != from) exclusive_replaced = std::unique_lock(replaced->exclusive);

  const std::string prepared = to->disk_name;
  change.on_each(IoKind::kWrite,
                 [&](const CopyPtr& copy) { return copy->disk->rename(path(prepared), path(to->name)); });
  change.on_each(IoKind::kSync,
                 [&](const CopyPtr& copy) { return copy->disk->sync_names(options_.directory); });
  if (from->name != to->name) {
    change.on_each(IoKind::kWrite, [&](const CopyPtr& copy) { return remove_name(*copy, from->name); });
    names_dirty_ = true;
  }
  std::lock_guard lock(mutex_);
  files_.erase(prepared);
  if (const auto found = files_.find(from->name); found != files_.end() && found->second == from)
    files_.erase(found);
  files_[to->name] = to;
  for (const FilePtr& lost : {from, replaced}) {
    if (!lost) continue;
    std::lock_guard file_lock(lost->mutex);
    lost->gone = true;
  }
  std::lock_guard file_lock(to->mutex);
  to->disk_name = to->name;
}

Status MirrorSet::remove_name(const MirrorCopy& copy, std::string_view name) {
  Status s = copy.disk->remove(path(name));
  return !s && s.error().code() == ErrorCode::kNotFound ? ok() : s;
}

Status MirrorSet::sync_names() {
  if (is_fenced()) return fenced_error();
  if (!names_dirty_.exchange(false)) return ok();
  Change change(*this, "sync", options_.directory);
  change.on_each(IoKind::kSync,
                 [&](const CopyPtr& copy) { return copy->disk->sync_names(options_.directory); });
  return change.finish();
}

bool MirrorSet::exists(std::string_view name) const { return find(name) != nullptr; }

Result<uint64_t> MirrorSet::size(std::string_view name) const {
  const FilePtr file = find(name);
  if (!file) return errno_error(ENOENT, std::string(name));
  return file->bytes();
}

std::vector<std::string> MirrorSet::list() const {
  std::lock_guard lock(mutex_);
  std::vector<std::string> names;
  for (const auto& [name, file] : files_)
    if (!name.ends_with(kTemporarySuffix)) names.push_back(name);
  return names;
}

void MirrorSet::wait_for_repairs() {
  std::unique_lock lock(mutex_);
  repairs_.wait(lock, [&] { return (queue_.empty() && !repairing_) || stopping_ || is_fenced(); });
}

MirrorSet::Stats MirrorSet::stats() const {
  Stats stats;
  stats.repaired_pages = repaired_pages_;
  stats.failed_copies = failed_copies_;
  std::lock_guard lock(mutex_);
  stats.files = files_.size();
  for (const auto& [name, file] : files_) stats.file_bytes += uint64_t{file->pages()} * kPageBytes;
  return stats;
}

}  // namespace stavefs
