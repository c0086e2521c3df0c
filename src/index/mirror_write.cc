// The writer of a mirrored file.

#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "index/mirror_change.h"
#include "index/mirror_limits.h"

namespace stavefs {

MirrorWriter::~MirrorWriter() { (void)close(); }

Status MirrorWriter::append(std::string_view bytes) {
  if (set_.is_fenced() || broken_) return set_.fenced_error();
  CHECK(!closed_);
  while (!bytes.empty()) {
    if (buffer_.empty()) buffer_ = set_.buffers_.get(kMirrorWriterPages * kPageBytes);
    if (used_.empty() || used_.back() == kPagePayloadBytes) {
      if (used_.size() == kMirrorWriterPages) TRY(write_out(Durability::kNone));
      used_.push_back(0);
    }
    const size_t part = std::min(bytes.size(), kPagePayloadBytes - used_.back());
    uint8_t* page = buffer_.data() + (used_.size() - 1) * kPageBytes;
    std::memcpy(page + sizeof(PageHeader) + used_.back(), bytes.data(), part);
    used_.back() = static_cast<uint16_t>(used_.back() + part);
    appended_ += part;
    bytes.remove_prefix(part);
  }
  return ok();
}

Status MirrorWriter::sync() { return write_out(Durability::kBytesAndName); }

Status MirrorWriter::close() {
  if (closed_) return ok();
  closed_ = true;
  Status s = used_.empty() ? ok() : write_out(Durability::kNone);
  std::shared_lock gate(set_.gate_);
  std::lock_guard lock(file_->mutex);
  file_->writer = nullptr;
  return s;
}

Status MirrorWriter::write_out(Durability durability) {
  if (set_.is_fenced() || broken_) return set_.fenced_error();
  const bool sync = durability != Durability::kNone;
  if (sync && !created_ && used_.empty()) {
    // An empty file that was synced exists: it becomes a page without bytes.
    if (buffer_.empty()) buffer_ = set_.buffers_.get(kMirrorWriterPages * kPageBytes);
    used_.push_back(0);
  }
  encode_pages();
  // A write that is durable by itself takes one flush, a write and a sync may take two.
  const bool durable_write = sync && bytes_durable_;

  MirrorSet::Change change(set_, sync ? "sync" : "write", set_.path(file_->name));
  if (!created_) open_on(change);
  if (!used_.empty()) write_on(change, durable_write);
  if (sync && !bytes_durable_) sync_on(change);
  if (durability == Durability::kBytesAndName && !name_durable_)
    change.on_each(IoKind::kSync,
                   [&](const auto& copy) { return copy->disk->sync_names(set_.options_.directory); });

  created_ = true;
  bytes_durable_ = sync || (bytes_durable_ && used_.empty());
  name_durable_ |= durability == Durability::kBytesAndName;
  {
    std::lock_guard lock(file_->mutex);
    for (const uint16_t used : used_) file_->map.add(used);
    if (sync) synced_pages_ = file_->map.pages();
  }
  used_.clear();
  Status s = change.finish();
  broken_ = !s;
  return s;
}

void MirrorWriter::encode_pages() {
  PageInfo info;
  {
    std::lock_guard lock(file_->mutex);
    info = {file_->id, file_->map.bytes(), file_->map.pages(), synced_pages_, 0};
  }
  for (size_t i = 0; i < used_.size(); ++i) {
    info.used = used_[i];
    encode_page(std::span<uint8_t, kPageBytes>(buffer_.data() + i * kPageBytes, kPageBytes), info,
                file_->seed);
    info.start += info.used;
    ++info.number;
  }
}

void MirrorWriter::open_on(MirrorSet::Change& change) {
  std::string name;
  {
    std::lock_guard lock(file_->mutex);
    name = set_.path(file_->disk_name);
  }
  change.on_each(IoKind::kWrite, [&](const auto& copy) -> Status {
    ASSIGN_OR_RETURN(std::shared_ptr<DiskFile> opened,
                     copy->disk->open(name, {.create = true, .truncate = true, .direct = true}));
    handles_.emplace_back(copy, std::move(opened));
    return ok();
  });
}

void MirrorWriter::write_on(MirrorSet::Change& change, bool durable) {
  const uint64_t offset = uint64_t{file_->pages()} * kPageBytes;
  const auto bytes = static_cast<uint32_t>(used_.size() * kPageBytes);
  change.run([&](const auto& copy) {
    return IoRequest{handle(copy.get()), IoKind::kWrite, offset, buffer_.data(), bytes, durable};
  });
}

void MirrorWriter::sync_on(MirrorSet::Change& change) {
  change.run([&](const auto& copy) { return IoRequest{.file = handle(copy.get()), .kind = IoKind::kSync}; });
}

DiskFile* MirrorWriter::handle(const MirrorCopy* copy) const {
  const auto found =
      std::ranges::find_if(handles_, [&](const auto& entry) { return entry.first.get() == copy; });
  CHECK(found != handles_.end());
  return found->second.get();
}

}  // namespace stavefs
