// Reading a mirrored file: one copy is asked, the others stand by.

#include <fmt/format.h>

#include <algorithm>
#include <bitset>
#include <cstring>

#include "base/check.h"
#include "base/log.h"
#include "index/mirror_limits.h"
#include "index/mirror_set.h"

namespace stavefs {

/// One read of at most kMirrorReadPages pages, which may need several copies.
class MirrorSet::PageRead {
 public:
  PageRead(MirrorSet& set, const FilePtr& file, uint32_t first, uint32_t count, uint8_t* to)
      : set_(set), file_(file), first_(first), count_(count), to_(to) {}

  bool complete() const { return good_.count() == count_; }

  /// Fills in what `copy` has of the missing pages: a request per run of pages, or, since one bad sector
  /// fails a request, per page.
  Status from(const CopyPtr& copy, bool page_by_page) {
    ASSIGN_OR_RETURN(const std::shared_ptr<DiskFile> handle, set_.handle(file_, copy));
    std::vector<IoRequest> batch;
    for (uint32_t i = 0; i < count_; ++i) {
      if (good_[i]) continue;
      IoRequest* last = batch.empty() ? nullptr : &batch.back();
      if (last && !page_by_page && last->data + last->bytes == to_ + i * kPageBytes) {
        last->bytes += kPageBytes;
      } else {
        batch.push_back({handle.get(), IoKind::kRead, (uint64_t{first_} + i) * kPageBytes,
                         to_ + i * kPageBytes, kPageBytes});
      }
    }
    set_.options_.engine->run(batch);
    Status outcome;
    for (const IoRequest& request : batch) {
      if (request.error != 0)
        outcome = errno_error(request.error, fmt::format("read {}", file_->name));
      else if (Status s = verify(request); !s)
        outcome = std::move(s);
    }
    return outcome;
  }

 private:
  Status verify(const IoRequest& request) {
    Status outcome;
    const auto index = static_cast<uint32_t>((request.data - to_) / kPageBytes);
    for (uint32_t i = index; i < index + request.bytes / kPageBytes; ++i) {
      const std::span<const uint8_t, kPageBytes> page(to_ + i * kPageBytes, kPageBytes);
      if (Status s = file_->verify(page, first_ + i); s)
        good_.set(i);
      else
        outcome = std::move(s);
    }
    return outcome;
  }

  MirrorSet& set_;
  const FilePtr& file_;
  const uint32_t first_;
  const uint32_t count_;
  uint8_t* const to_;
  std::bitset<kMirrorReadPages> good_;
};

Status MirrorSet::read_pages(const FilePtr& file, uint32_t first, uint32_t count, uint8_t* to,
                             OnLoss on_loss) {
  CHECK(count <= kMirrorReadPages);
  const std::vector<CopyPtr> copies = live_copies();
  PageRead read(*this, file, first, count, to);
  Status last;
  for (const bool page_by_page : {false, true}) {
    for (size_t i = 0; i < copies.size(); ++i) {
      // A file is read from one copy, so that sequential reads stay sequential; files are spread over the
      // copies.
      const CopyPtr& copy = copies[(creation_of(file->id) + i) % copies.size()];
      last = read.from(copy, page_by_page);
      if (!last && !page_by_page) note_bad(file, copy, last.error());
      if (last && copy->read_failed.exchange(false) && options_.report)
        options_.report(copy->slot, IoKind::kRead, 0, path(file->name));
      if (read.complete()) return ok();
    }
  }
  if (is_fenced()) return fenced_error();
  const std::string what =
      fmt::format("{}: pages {} to {} are bad on every copy", file->name, first, first + count - 1);
  if (on_loss == OnLoss::kFence) fence(what);
  return Error(ErrorCode::kCorrupt, EIO, what);
}

Result<std::shared_ptr<DiskFile>> MirrorSet::handle(const FilePtr& file, const CopyPtr& copy) {
  std::string name;
  uint64_t replaced = 0;
  {
    std::lock_guard lock(file->mutex);
    if (const auto found = file->handles.find(copy.get()); found != file->handles.end()) return found->second;
    name = path(file->disk_name);
    replaced = file->replaced;
  }
  ASSIGN_OR_RETURN(std::shared_ptr<DiskFile> opened, copy->disk->open(name, {.direct = true}));
  std::lock_guard lock(file->mutex);
  if (file->replaced == replaced && file->readers > 0) file->handles[copy.get()] = opened;
  return opened;
}

void MirrorSet::note_bad(const FilePtr& file, const CopyPtr& copy, const Error& error) {
  log_warning("index: {} on slot {}: {}", file->name, copy->slot.value, error.to_text());
  const bool bytes_are_wrong = error.code() == ErrorCode::kCorrupt || error.code() == ErrorCode::kUnsupported;
  if (bytes_are_wrong && options_.report_corrupt) options_.report_corrupt(copy->slot, path(file->name));
  if (!bytes_are_wrong) copy->read_failed = true;
  if (!bytes_are_wrong && options_.report)
    options_.report(copy->slot, IoKind::kRead, error.errno_value(), path(file->name));
  if (options_.read_only) return;
  std::lock_guard lock(mutex_);
  const auto same = [&](const Repair& r) { return r.copy == copy && r.file == file; };
  if (queue_.size() >= kMirrorMaxRepairs || std::ranges::any_of(queue_, same)) return;
  queue_.push_back({copy, file});
  repairs_.notify_all();
}

Status MirrorFile::verify(std::span<const uint8_t, kPageBytes> bytes, uint32_t number) const {
  ASSIGN_OR_RETURN(PageInfo found, decode_page(bytes, number, seed));
  found.synced = 0;
  const PageInfo expected = page(number);
  if (found == expected) return ok();
  return Error(ErrorCode::kCorrupt, EIO,
               fmt::format("expected {}, found {}", expected.to_text(), found.to_text()));
}

Result<std::unique_ptr<MirrorReader>> MirrorSet::open_file(std::string_view name) {
  const FilePtr file = find(name);
  if (!file) return errno_error(ENOENT, std::string(name));
  return std::unique_ptr<MirrorReader>(new MirrorReader(*this, file));
}

MirrorReader::MirrorReader(MirrorSet& set, std::shared_ptr<MirrorFile> file)
    : set_(set), file_(std::move(file)) {
  std::lock_guard lock(file_->mutex);
  ++file_->readers;
}

MirrorReader::~MirrorReader() {
  std::map<const MirrorCopy*, std::shared_ptr<DiskFile>> closed;
  std::lock_guard lock(file_->mutex);
  if (--file_->readers == 0) closed.swap(file_->handles);
}

Result<size_t> MirrorReader::read(uint64_t offset, size_t bytes, char* to) {
  if (set_.is_fenced()) return set_.fenced_error();
  if (file_->is_damaged()) {
    set_.fence(fmt::format("{} is incomplete on every copy", file_->name));
    return set_.fenced_error();
  }
  const uint64_t size = file_->bytes();
  if (offset >= size) return size_t{0};
  bytes = std::min<uint64_t>(bytes, size - offset);
  AlignedBuffer buffer;
  for (size_t done = 0; done < bytes;) {
    const uint32_t first = file_->page_at(offset + done);
    const uint32_t last = file_->page_at(offset + bytes - 1);
    const uint32_t count = std::min(last - first + 1, kMirrorReadPages);
    if (buffer.size() < count * kPageBytes) buffer = set_.buffers_.get(count * kPageBytes);
    TRY(set_.read_pages(file_, first, count, buffer.data(), MirrorSet::OnLoss::kFence));
    for (uint32_t i = 0; i < count && done < bytes; ++i) {
      const PageInfo page = file_->page(first + i);
      const uint64_t skip = offset + done - page.start;
      const size_t part = std::min<uint64_t>(page.used - skip, bytes - done);
      std::memcpy(to + done, buffer.data() + i * kPageBytes + sizeof(PageHeader) + skip, part);
      done += part;
    }
  }
  return bytes;
}

}  // namespace stavefs
