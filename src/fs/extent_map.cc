#include "fs/extent_map.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <string>

#include "index/keys.h"

namespace stavefs {
namespace {

/// The part [from, to) of an entry.
ExtentEntry fragment(const ExtentEntry& entry, uint64_t from, uint64_t to) {
  ExtentEntry part = entry;
  part.offset = from;
  part.extent.skip += from - entry.offset;
  part.extent.length = to - from;
  return part;
}

Result<ExtentEntry> parse(InodeId inode, const IndexScan& scan) {
  ExtentEntry entry;
  if (scan.key().size() != 17) {
    return Error(ErrorCode::kCorrupt, EIO, fmt::format("inode {}: malformed extent key", inode.value));
  }
  entry.offset = keys::second_number(scan.key());
  auto extent = Extent::decode(scan.value());
  if (!extent) {
    return std::move(extent.error())
        .with_context(fmt::format("inode {}, extent at {}", inode.value, entry.offset));
  }
  entry.extent = std::move(*extent);
  if (entry.extent.length == 0 || entry.extent.length > kToEnd - entry.offset) {
    return Error(ErrorCode::kCorrupt, EIO,
                 fmt::format("inode {}, extent at {}: impossible length {}", inode.value, entry.offset,
                             entry.extent.length));
  }
  return entry;
}

Status check_order(InodeId inode, std::optional<uint64_t>& previous_end, const ExtentEntry& entry) {
  if (previous_end && entry.offset < *previous_end) {
    return Error(
        ErrorCode::kCorrupt, EIO,
        fmt::format("inode {}: the extent at {} overlaps the one before it", inode.value, entry.offset));
  }
  previous_end = entry.end();
  return ok();
}

/// Moves to the record that covers `offset`, or else the first one after it.
void seek_covering(IndexScan& scan, InodeId inode, uint64_t offset) {
  const std::string key = keys::extent(inode, offset);
  scan.seek_for_prev(key);
  if (!scan.valid()) scan.seek(key);
}

}  // namespace

ExtentEdit carve(std::span<const ExtentEntry> entries, std::span<const FileRange> ranges) {
  ExtentEdit edit;
  size_t first = 0;
  for (const ExtentEntry& entry : entries) {
    const uint64_t end = entry.end();
    while (first < ranges.size() && ranges[first].to <= entry.offset) ++first;
    if (first == ranges.size() || ranges[first].from >= end) continue;
    uint64_t at = entry.offset;
    uint64_t kept = 0;
    const auto keep = [&](uint64_t from, uint64_t to) {
      if (from >= to) return;
      edit.put.push_back(fragment(entry, from, to));
      kept += to - from;
    };
    const bool head_stays = ranges[first].from > entry.offset;
    for (size_t i = first; i < ranges.size() && ranges[i].from < end; ++i) {
      keep(at, std::max(at, ranges[i].from));
      at = std::min(end, ranges[i].to);
    }
    keep(at, end);
    if (!head_stays) edit.erased.push_back(entry.offset);
    edit.removed_bytes += entry.extent.length - kept;
    edit.live[entry.extent.address.group] -= static_cast<int64_t>(entry.extent.length - kept);
  }
  return edit;
}

Result<std::vector<ExtentEntry>> load_extents(const Ledger& ledger, InodeId inode,
                                              std::span<const FileRange> ranges) {
  std::vector<ExtentEntry> entries;
  if (ranges.empty()) return entries;
  ASSIGN_OR_RETURN(const std::unique_ptr<IndexScan> scan,
                   ledger.scan(keys::extent_prefix(inode), keys::extent(inode, ranges.back().to)));
  std::optional<uint64_t> previous_end;
  for (const FileRange& range : ranges) {
    for (seek_covering(*scan, inode, range.from); scan->valid(); scan->next()) {
      const uint64_t offset = keys::second_number(scan->key());
      if (offset >= range.to) break;
      if (!entries.empty() && offset <= entries.back().offset) continue;
      ASSIGN_OR_RETURN(ExtentEntry entry, parse(inode, *scan));
      if (entry.end() <= range.from) continue;
      TRY(check_order(inode, previous_end, entry));
      entries.push_back(std::move(entry));
    }
    TRY(scan->status());
  }
  return entries;
}

Result<ExtentEdit> cut_extents(const Ledger& ledger, InodeId inode, uint64_t from) {
  ExtentEdit edit;
  ASSIGN_OR_RETURN(const std::unique_ptr<IndexScan> scan,
                   ledger.scan(keys::extent_prefix(inode), keys::extent_prefix(inode.next())));
  const FileRange range{from, kToEnd};
  std::optional<uint64_t> previous_end;
  for (seek_covering(*scan, inode, from); scan->valid(); scan->next()) {
    ASSIGN_OR_RETURN(const ExtentEntry entry, parse(inode, *scan));
    TRY(check_order(inode, previous_end, entry));
    const ExtentEdit one = carve({&entry, 1}, {&range, 1});
    edit.put.insert(edit.put.end(), one.put.begin(), one.put.end());
    edit.removed_bytes += one.removed_bytes;
    for (const auto& [group, bytes] : one.live) edit.live[group] += bytes;
    if (edit.erase_to_end) continue;
    edit.erased.insert(edit.erased.end(), one.erased.begin(), one.erased.end());
    if (edit.erased.size() > kMaxSingleErasures) {
      edit.erase_to_end = true;
      edit.end_from = from;
      edit.erased.clear();
    }
  }
  TRY(scan->status());
  return edit;
}

void add_edit(Change& change, InodeId inode, const ExtentEdit& edit) {
  if (edit.erase_to_end) {
    change.index().erase_range(keys::extent(inode, edit.end_from), keys::extent_prefix(inode.next()));
  }
  for (const uint64_t offset : edit.erased) change.index().erase(keys::extent(inode, offset));
  for (const ExtentEntry& entry : edit.put) {
    change.index().put(keys::extent(inode, entry.offset), entry.extent.encode());
  }
  for (const auto& [group, bytes] : edit.live) change.add_live(group, bytes);
}

}  // namespace stavefs
