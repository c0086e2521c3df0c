// Arithmetic of stripes and groups: every offset of the store is computed here.
//
// A segment of R rows holds the header in row 0, the footer in row R-1 and stripes in between.  A stripe of
// unit u = unit_rows * 4096 bytes at row r occupies bytes [r * 4096, r * 4096 + u) of each of the k+m
// segments.  Data byte d of the stripe lies in data unit d / u at byte d % u.
//
// Pure; no state.

#pragma once

#include <algorithm>
#include <cstdint>

#include "base/buffer.h"
#include "base/ids.h"
#include "store/extent.h"
#include "store/group_format.h"

namespace stavefs {

inline constexpr uint32_t kHeaderRow = 0;
inline constexpr uint32_t kFirstRow = 1;
inline constexpr uint32_t segment_rows(uint32_t segment_bytes) { return segment_bytes / kRowBytes; }
inline constexpr uint32_t footer_row(uint32_t rows) { return rows - 1; }

inline constexpr uint64_t row_offset(Row row) { return uint64_t{row.value} * kRowBytes; }

/// Rows of a unit when `bytes` are spread over k units: clamp(ceil(bytes / k / 4096), 1, 64).
inline constexpr uint32_t unit_rows_for(uint64_t bytes, uint32_t k) {
  const uint64_t rows = (bytes + uint64_t{k} * kRowBytes - 1) / (uint64_t{k} * kRowBytes);
  return static_cast<uint32_t>(std::clamp<uint64_t>(rows, 1, kMaxUnitRows));
}

/// Data units that `bytes` of stripe data reach into.
inline constexpr uint32_t used_units_for(uint64_t bytes, uint32_t unit_bytes) {
  return static_cast<uint32_t>((bytes + unit_bytes - 1) / unit_bytes);
}

/// Rows that a summary of `bytes` takes, and its stripes.
inline constexpr uint32_t summary_parts(uint64_t bytes, uint32_t k) {
  return static_cast<uint32_t>((bytes + uint64_t{k} * kMaxUnitBytes - 1) / (uint64_t{k} * kMaxUnitBytes));
}
inline constexpr uint32_t summary_rows(uint64_t bytes, uint32_t k) {
  const uint64_t part = uint64_t{k} * kMaxUnitBytes;
  const uint64_t rest = bytes % part;
  return static_cast<uint32_t>(bytes / part * kMaxUnitRows) + (rest == 0 ? 0 : unit_rows_for(rest, k));
}

/// A range of one unit.
struct UnitRange {
  uint32_t unit = 0;
  uint32_t begin = 0;  ///< bytes in the unit
  uint32_t end = 0;
  bool operator==(const UnitRange&) const = default;
};

/// Calls f(UnitRange, offset of its first byte from `begin`) for each unit that [begin, end) of the data
/// space touches.
template <class F>
void for_each_unit(uint32_t begin, uint32_t end, uint32_t unit_bytes, F f) {
  for (uint32_t at = begin; at < end;) {
    const uint32_t unit = at / unit_bytes;
    const uint32_t in_unit = at % unit_bytes;
    const uint32_t n = std::min(end - at, unit_bytes - in_unit);
    f(UnitRange{unit, in_unit, in_unit + n}, at - begin);
    at += n;
  }
}

/// The rows, as bytes in their units, that hold all of [begin, end): one range that fits every unit touched.
inline UnitRange unit_hull(uint32_t begin, uint32_t end, uint32_t unit_bytes) {
  UnitRange hull{begin / unit_bytes, unit_bytes, 0};
  for_each_unit(begin, end, unit_bytes, [&](const UnitRange& r, uint32_t) {
    hull.begin = std::min(hull.begin, r.begin);
    hull.end = std::max(hull.end, r.end);
  });
  hull.begin = static_cast<uint32_t>(round_down(hull.begin, kRowBytes));
  hull.end = static_cast<uint32_t>(round_up(hull.end, kRowBytes));
  return hull;
}

/// Bytes [begin, end) of an extent's stored bytes that chunks [first, first + count) cover.
struct ChunkRange {
  uint32_t begin = 0;
  uint32_t end = 0;
};
inline constexpr ChunkRange chunk_bytes(uint32_t first, uint32_t count, uint32_t length) {
  return {first * kChecksumChunk,
          static_cast<uint32_t>(std::min<uint64_t>(uint64_t{first + count} * kChecksumChunk, length))};
}

}  // namespace stavefs
