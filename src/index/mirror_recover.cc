// Opening a mirrored directory: what the copies hold is compared, and what lags is repaired.

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <set>

#include "base/log.h"
#include "index/mirror_limits.h"
#include "index/mirror_set.h"

namespace stavefs {

namespace {

/// One copy of a file that is being compared.
struct Candidate {
  std::unique_ptr<DiskFile> file;  ///< null: missing, or cannot be opened
  uint64_t bytes = 0;
  std::vector<std::optional<PageInfo>> pages;  ///< those that are valid

  /// Pages, perhaps torn ones, that the file has.
  uint32_t page_count() const {
    return static_cast<uint32_t>(std::min<uint64_t>(bytes / kPageBytes, UINT32_MAX));
  }
  bool has(uint32_t page, uint64_t id, uint64_t start) const {
    return page < pages.size() && pages[page] && pages[page]->file_id == id && pages[page]->start == start;
  }
};

class Scanner {
 public:
  Scanner(IoEngine& engine, BufferPool& buffers, std::string_view name)
      : engine_(engine), buffer_(buffers.get(kMirrorReadPages * kPageBytes)), seed_(name_seed(name)) {}

  std::optional<PageInfo> page(const Candidate& candidate, uint32_t number) {
    const Status s = run_one(engine_, {candidate.file.get(), IoKind::kRead, uint64_t{number} * kPageBytes,
                                       buffer_.data(), kPageBytes});
    return s ? decode(0, number) : std::nullopt;
  }

  /// Appends what pages [first, first + count) are to candidate.pages; true when any of them is valid.
  bool scan(Candidate& candidate, uint32_t first, uint32_t count) {
    bool any = false;
    IoRequest request{candidate.file.get(), IoKind::kRead, uint64_t{first} * kPageBytes, buffer_.data(),
                      page_bytes(count)};
    engine_.run({&request, 1});
    for (uint32_t i = 0; i < count; ++i) {
      candidate.pages.push_back(request.error == 0 ? decode(i, first + i) : page(candidate, first + i));
      any |= candidate.pages.back().has_value();
    }
    return any;
  }

 private:
  std::optional<PageInfo> decode(uint32_t index, uint32_t number) const {
    const std::span<const uint8_t, kPageBytes> bytes(buffer_.data() + index * kPageBytes, kPageBytes);
    const Result<PageInfo> info = decode_page(bytes, number, seed_);
    return info ? std::optional(*info) : std::nullopt;
  }

  IoEngine& engine_;
  AlignedBuffer buffer_;
  const uint64_t seed_;
};

/// The common case of a long file: all copies have the same length, and by its ends it is one whole file of
/// full pages.
std::optional<PageInfo> last_page_if_alike(Scanner& scanner, const std::vector<Candidate>& candidates) {
  std::optional<PageInfo> agreed;
  for (const Candidate& c : candidates) {
    if (!c.file || c.bytes < kMirrorScanBytes || c.bytes % kPageBytes != 0) return std::nullopt;
    if (c.bytes != candidates.front().bytes) return std::nullopt;
    const uint32_t last = c.page_count() - 1;
    const std::optional<PageInfo> begin = scanner.page(c, 0);
    if (!begin) return std::nullopt;
    const std::optional<PageInfo> end = scanner.page(c, last);
    if (!end || begin->file_id != end->file_id || end->start != uint64_t{last} * kPagePayloadBytes)
      return std::nullopt;
    if (agreed && *agreed != *end) return std::nullopt;
    agreed = end;
  }
  return agreed;
}

/// Reads the pages of all candidates, until far behind the last valid one.
void scan_pages(Scanner& scanner, std::vector<Candidate>& candidates) {
  uint32_t longest = 0;
  for (const Candidate& c : candidates) longest = std::max(longest, c.page_count());
  uint32_t barren = 0;
  for (uint32_t first = 0; first < longest && barren < kMirrorScanBeyondPages; first += kMirrorReadPages) {
    bool any = false;
    for (Candidate& c : candidates)
      if (c.file && first < c.page_count())
        any |= scanner.scan(c, first, std::min(kMirrorReadPages, c.page_count() - first));
    barren = any ? 0 : barren + kMirrorReadPages;
    if (longest - first <= kMirrorReadPages) break;
  }
}

}  // namespace

/// What the copies of a file amount to.
struct MirrorSet::Scan {
  uint64_t id = 0;
  PageMap map;
  bool damaged = false;           ///< bytes that were stable once are missing on all copies
  bool empty = false;             ///< no copy has a byte
  std::vector<uint64_t> lacking;  ///< for each copy, how many pages it does not have as it should
};

void MirrorSet::lose(const CopyPtr& copy, IoKind kind, const Error& error, std::string_view what) {
  if (!options_.read_only) return give_up(copy, kind, error, what);
  log_warning("index: slot {} is left out: {}", copy->slot.value, error.to_text());
  std::lock_guard lock(mutex_);
  copy->state = MirrorCopy::State::kGone;
  std::erase(copies_, copy);
}

Status MirrorSet::list_copies(std::vector<std::string>& names) {
  std::set<std::string> all;
  for (const CopyPtr& copy : live_copies()) {
    Result<std::vector<std::string>> listed = copy->disk->list(options_.directory);
    if (!listed) {
      lose(copy, IoKind::kRead, listed.error(), options_.directory);
      continue;
    }
    for (std::string& name : *listed) {
      if (!name.ends_with(kTemporarySuffix)) {
        all.insert(std::move(name));
      } else if (!options_.read_only) {
        if (Status s = remove_name(*copy, name); !s) lose(copy, IoKind::kWrite, s.error(), path(name));
      }
    }
  }
  names.assign(all.begin(), all.end());
  return ok();
}

Status MirrorSet::recover(std::span<const DiskSlot> members) {
  for (const DiskSlot slot : members)
    if (Disk* disk = options_.disk(slot))
      copies_.push_back(std::make_shared<MirrorCopy>(slot, disk, MirrorCopy::State::kLive));
  std::vector<std::string> names;
  TRY(list_copies(names));
  for (const std::string& name : names) TRY(recover_file(name));
  if (!options_.read_only) {
    // Names that a killed process left in the host's memory only are about to be relied on.
    for (const CopyPtr& copy : live_copies())
      if (Status s = copy->disk->sync_names(options_.directory); !s)
        lose(copy, IoKind::kSync, s.error(), options_.directory);
  }
  if (is_fenced()) return fenced_error();
  if (live_copies().empty()) return Error(ErrorCode::kIo, EIO, "no copy of the index can be read");
  return ok();
}

MirrorSet::Scan MirrorSet::scan_file(const std::string& name, const std::vector<CopyPtr>& copies) {
  std::vector<Candidate> candidates(copies.size());
  Scan scan;
  scan.lacking.resize(copies.size());
  scan.empty = true;
  for (size_t i = 0; i < copies.size(); ++i) {
    Result<std::unique_ptr<DiskFile>> opened = copies[i]->disk->open(path(name), {.direct = true});
    const Result<uint64_t> bytes = opened ? (*opened)->size() : Result<uint64_t>(opened.error());
    if (!bytes) {
      scan.empty &= bytes.error().code() == ErrorCode::kNotFound;
      scan.lacking[i] = 1;
      continue;
    }
    candidates[i].file = std::move(*opened);
    candidates[i].bytes = *bytes;
    scan.empty &= *bytes == 0;
  }

  Scanner scanner(*options_.engine, buffers_, name);
  if (const std::optional<PageInfo> last = last_page_if_alike(scanner, candidates)) {
    scan.id = last->file_id;
    scan.map = PageMap::regular(last->number + 1, last->used);
    return scan;
  }
  scan_pages(scanner, candidates);
  for (const Candidate& c : candidates)
    for (const std::optional<PageInfo>& page : c.pages)
      if (page) scan.id = std::max(scan.id, page->file_id);
  uint32_t stable = 0;
  for (const Candidate& c : candidates)
    for (const std::optional<PageInfo>& page : c.pages)
      if (page && page->file_id == scan.id) stable = std::max(stable, page->synced);
  while (true) {
    const uint32_t next = scan.map.pages();
    const auto having = std::ranges::find_if(
        candidates, [&](const Candidate& c) { return c.has(next, scan.id, scan.map.bytes()); });
    if (having == candidates.end()) break;
    scan.map.add(having->pages[next]->used);
  }
  scan.damaged = scan.map.pages() < stable || (scan.map.pages() == 0 && !scan.empty);
  for (size_t i = 0; i < candidates.size(); ++i) {
    for (uint32_t page = 0; page < scan.map.pages(); ++page)
      scan.lacking[i] += candidates[i].has(page, scan.id, scan.map.start(page)) ? 0 : 1;
    if (candidates[i].bytes > uint64_t{scan.map.pages()} * kPageBytes) ++scan.lacking[i];
  }
  return scan;
}

Status MirrorSet::recover_file(const std::string& name) {
  const std::vector<CopyPtr> copies = live_copies();
  const Scan scan = scan_file(name, copies);
  if (scan.empty) {
    // Made and never written to, or never synced: it was never there.
    if (!options_.read_only)
      for (const CopyPtr& copy : copies)
        if (Status s = remove_name(*copy, name); !s) lose(copy, IoKind::kWrite, s.error(), path(name));
    return ok();
  }
  const auto file = std::make_shared<MirrorFile>(name, scan.id);
  file->map = scan.map;
  file->damaged = scan.damaged;
  if (scan.damaged) log_error("index: {} is incomplete on every copy", name);
  {
    std::lock_guard lock(mutex_);
    next_creation_ = std::max(next_creation_, creation_of(scan.id) + 1);
    files_[name] = file;
  }
  if (options_.read_only || scan.damaged) return ok();
  for (size_t i = 0; i < copies.size(); ++i) {
    if (scan.lacking[i] == 0) continue;
    bool target_failed = false;
    std::lock_guard exclusive(file->exclusive);
    const Status installed = install(file, copies[i], target_failed);
    if (installed)
      repaired_pages_ += scan.lacking[i];
    else if (target_failed)
      lose(copies[i], IoKind::kWrite, installed.error(), path(name));
    else
      log_error("index: {} cannot be rebuilt: {}", name, installed.error().to_text());
  }
  return ok();
}

}  // namespace stavefs
