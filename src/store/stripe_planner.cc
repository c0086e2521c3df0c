#include "store/stripe_planner.h"

#include "base/check.h"

namespace stavefs {
namespace {

/// Where a fragment of `length` bytes goes when everything before `cursor` is taken.
uint64_t place(uint64_t cursor, uint64_t length, uint64_t unit_bytes) {
  const uint64_t start = round_up(cursor, kExtentAlignment);
  const uint64_t left = unit_bytes - start % unit_bytes;
  return length <= kChecksumChunk && length > left ? start + left : start;
}

/// Places all fragments with this unit; the end of the last one.
uint64_t place_all(std::span<Fragment> fragments, uint64_t unit_bytes) {
  uint64_t cursor = 0;
  for (Fragment& f : fragments) {
    const uint64_t start = place(cursor, f.length, unit_bytes);
    f.stripe_offset = static_cast<uint32_t>(start);
    cursor = start + f.length;
  }
  return cursor;
}

bool crosses(const Fragment& f, uint64_t unit_bytes) {
  return f.length <= kChecksumChunk && f.stripe_offset % unit_bytes + f.length > unit_bytes;
}

}  // namespace

StripePlanner::StripePlanner(uint32_t data_units, std::span<const DataPiece> pieces)
    : k_(data_units), pieces_(pieces) {
  skip_empty();
}

void StripePlanner::skip_empty() {
  while (piece_ < pieces_.size() && offset_ == pieces_[piece_].bytes.size()) {
    ++piece_;
    offset_ = 0;
  }
}

StripePlan StripePlanner::plan(uint32_t max_rows, std::vector<Fragment>& fragments) const {
  CHECK(!done() && max_rows >= 1);
  fragments.clear();
  max_rows = std::min(max_rows, kMaxUnitRows);
  // Cut pieces keep to whole checksum chunks where there is room for some.
  if (max_rows > kMinPlanRows) max_rows = static_cast<uint32_t>(round_down(max_rows, kMinPlanRows));
  const uint64_t unit = uint64_t{max_rows} * kRowBytes;
  const uint64_t space = k_ * unit;
  const uint64_t left = pieces_[piece_].bytes.size() - offset_;
  if (left >= space) {
    const bool short_and_split = space <= kChecksumChunk && k_ > 1;
    if (short_and_split) return {};
    fragments.push_back({piece_, offset_, static_cast<uint32_t>(space), 0});
    return {max_rows, k_, static_cast<uint32_t>(space)};
  }
  uint64_t cursor = 0;
  uint64_t sum = 0;
  uint64_t offset = offset_;
  for (size_t i = piece_; i < pieces_.size(); ++i, offset = 0) {
    const uint64_t length = pieces_[i].bytes.size() - offset;
    if (length == 0) continue;
    const uint64_t start = place(cursor, length, unit);
    if (start + length > space || (length <= kChecksumChunk && length > unit)) break;
    fragments.push_back({i, offset, static_cast<uint32_t>(length), static_cast<uint32_t>(start)});
    cursor = start + length;
    sum += length;
  }
  if (fragments.empty()) return {};
  for (uint32_t rows = unit_rows_for(sum, k_); rows <= max_rows; ++rows) {
    const uint64_t unit_bytes = uint64_t{rows} * kRowBytes;
    const uint64_t end = place_all(fragments, unit_bytes);
    if (end > k_ * unit_bytes) continue;
    if (std::any_of(fragments.begin(), fragments.end(),
                    [&](const Fragment& f) { return crosses(f, unit_bytes); })) {
      continue;
    }
    return {rows, used_units_for(end, static_cast<uint32_t>(unit_bytes)), static_cast<uint32_t>(end)};
  }
  CHECK(false);  // max_rows was found to fit above
  return {};
}

void StripePlanner::accept(std::span<const Fragment> fragments) {
  CHECK(!fragments.empty());
  const Fragment& last = fragments.back();
  piece_ = last.piece;
  offset_ = last.piece_offset + last.length;
  skip_empty();
}

}  // namespace stavefs
