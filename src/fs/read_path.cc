// Reading: pieces in memory laid over what inline data or extents hold.
//
// Under the inode's shared lock everything is found and kept alive: pieces by their chunks, extents by pins
// of their groups. The store is read after the lock is gone; chunks do not change and pinned segments are not
// reused, so what is read is the file as of the lock.

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "fs/file_data_impl.h"

namespace stavefs {
namespace {

/// How often a read starts over because a group vanished between the look at its extent and the pin.
constexpr int kReadTries = 4;

struct ReadPlan {
  std::vector<std::pair<uint64_t, Piece>> pieces;  ///< disjoint
  std::vector<FileRange> gaps;                     ///< without pieces, in order
  std::vector<ExtentEntry> extents;                ///< that cover bytes of the gaps
  std::vector<GroupPin> pins;
  size_t bytes = 0;  ///< before the end of the file
};

/// The parts of [from, to) that no piece of `sorted` covers.
std::vector<FileRange> uncovered(std::span<const std::pair<uint64_t, Piece>> sorted, uint64_t from,
                                 uint64_t to) {
  std::vector<FileRange> gaps;
  for (const auto& [offset, piece] : sorted) {
    if (offset > from) gaps.push_back({from, offset});
    from = offset + piece.length;
  }
  if (from < to) gaps.push_back({from, to});
  return gaps;
}

/// `dirty` over `flushing` in [from, to), and what neither has.
void plan_overlay(const FileData& data, uint64_t from, uint64_t to, ReadPlan& plan) {
  plan.pieces = data.dirty.overlapping(from, to - from);
  plan.gaps = uncovered(plan.pieces, from, to);
  if (data.flushing.empty()) return;
  std::vector<FileRange> left;
  for (const FileRange& gap : plan.gaps) {
    auto below = data.flushing.overlapping(gap.from, gap.to - gap.from);
    const auto bare = uncovered(below, gap.from, gap.to);
    left.insert(left.end(), bare.begin(), bare.end());
    std::move(below.begin(), below.end(), std::back_inserter(plan.pieces));
  }
  plan.gaps = std::move(left);
}

void copy_inline(const std::string& content, uint64_t offset, std::span<const FileRange> gaps,
                 std::span<uint8_t> out) {
  for (const FileRange& gap : gaps) {
    if (gap.from >= content.size()) break;
    const size_t n = std::min<uint64_t>(gap.to, content.size()) - gap.from;
    std::memcpy(out.data() + (gap.from - offset), content.data() + gap.from, n);
  }
}

/// Pins every group of the plan's extents; false when one is gone.
bool pin_groups(Store& store, ReadPlan& plan) {
  GroupId last;
  for (const ExtentEntry& entry : plan.extents) {
    const GroupId group = entry.extent.address.group;
    if (!plan.pins.empty() && group == last) continue;
    GroupPin pin = store.pin(group);
    if (pin == nullptr) return false;
    plan.pins.push_back(std::move(pin));
    last = group;
  }
  return true;
}

/// What to read, and which bytes of the gaps are holes.
void plan_reads(const ReadPlan& plan, uint64_t offset, std::span<uint8_t> out, std::vector<ExtentRead>& reads,
                std::vector<FileRange>& holes) {
  auto entry = plan.extents.begin();
  for (const FileRange& gap : plan.gaps) {
    uint64_t at = gap.from;
    while (entry != plan.extents.end() && entry->end() <= at) ++entry;
    for (auto it = entry; it != plan.extents.end() && it->offset < gap.to; ++it) {
      const uint64_t from = std::max(at, it->offset);
      const uint64_t to = std::min(gap.to, it->end());
      if (from > at) holes.push_back({at, from});
      reads.push_back(
          {&it->extent, it->extent.skip + (from - it->offset), out.subspan(from - offset, to - from)});
      at = to;
    }
    if (at < gap.to) holes.push_back({at, gap.to});
  }
}

/// Reading in place may spill over up to the next page end.  That is harmless where holes and pieces follow,
/// which are laid later, but not where another extent's bytes are read, nor behind the buffer.
void allow_zero_copy(std::span<uint8_t> out, std::vector<ExtentRead>& reads) {
  for (size_t i = 0; i < reads.size(); ++i) {
    const uint64_t begin = reads[i].out.data() - out.data();
    const uint64_t spill = round_up(begin + reads[i].out.size(), kPageBytes);
    const uint64_t next = i + 1 < reads.size() ? reads[i + 1].out.data() - out.data() : spill;
    reads[i].zero_copy = begin % kPageBytes == 0 && spill <= out.size() && spill <= next;
  }
}

}  // namespace

Result<size_t> FileDataManager::Impl::read(const InodeRef& ref, uint64_t offset, std::span<uint8_t> out,
                                           bool aligned) {
  const Inode& inode = *ref;
  ReadPlan plan;
  for (int tries = 1;; ++tries) {
    plan = ReadPlan();
    const std::shared_lock lock(inode.mutex);
    const InodeRecord& record = inode.record;
    if (offset >= record.size || out.empty()) return size_t{0};
    plan.bytes = std::min<uint64_t>(out.size(), record.size - offset);
    const uint64_t end = offset + plan.bytes;
    if (inode.data != nullptr) {
      plan_overlay(*inode.data, offset, end, plan);
    } else {
      plan.gaps.push_back({offset, end});
    }
    if (record.has_inline) {
      for (const FileRange& gap : plan.gaps)
        std::memset(out.data() + (gap.from - offset), 0, gap.to - gap.from);
      copy_inline(record.inline_data, offset, plan.gaps, out);
      plan.gaps.clear();
    } else if (record.stored_bytes > 0 && !plan.gaps.empty()) {
      ASSIGN_OR_RETURN(plan.extents, load_extents(ledger, inode.id, plan.gaps));
      if (!pin_groups(store, plan)) {
        if (tries < kReadTries) continue;
        return Error(ErrorCode::kCorrupt, EIO,
                     fmt::format("inode {} has an extent in an unknown group", inode.id.value));
      }
    }
    break;
  }
  std::vector<ExtentRead> reads;
  std::vector<FileRange> holes;
  plan_reads(plan, offset, out, reads, holes);
  if (!reads.empty()) {
    if (aligned) allow_zero_copy(out, reads);
    TRY(store.read(reads));
  }
  for (const FileRange& hole : holes) std::memset(out.data() + (hole.from - offset), 0, hole.to - hole.from);
  for (const auto& [at, piece] : plan.pieces) {
    std::memcpy(out.data() + (at - offset), piece.bytes().data(), piece.length);
  }
  return plan.bytes;
}

}  // namespace stavefs
