// How pieces become stripes: cutting what is large, packing what is small.
//
// Theory: a piece that still has a full stripe to give is cut; what is left, and small pieces, are packed one
// after the other, each 64-byte aligned, until the next does not fit.  A fragment of at most 32 KiB never
// crosses a unit, so that reading it is one I/O; a larger one may.  The unit of a packed stripe is the
// smallest that holds its fragments. Fragments come out in order of (piece, offset).
//
// Pure computation; one thread.

#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "store/store.h"
#include "store/stripe_layout.h"

namespace stavefs {

/// A part of a piece at its place in a stripe.
struct Fragment {
  size_t piece = 0;
  uint64_t piece_offset = 0;
  uint32_t length = 0;
  uint32_t stripe_offset = 0;
  bool operator==(const Fragment&) const = default;
};

struct StripePlan {
  uint32_t unit_rows = 0;
  uint32_t used_units = 0;
  uint32_t data_bytes = 0;  ///< end of the last fragment
  uint32_t unit_bytes() const { return unit_rows * kRowBytes; }
};

class StripePlanner {
 public:
  /// REQUIRES: `pieces` stays.
  StripePlanner(uint32_t data_units, std::span<const DataPiece> pieces);

  /// True when everything was accepted.
  bool done() const { return piece_ == pieces_.size(); }
  /// Bytes not yet accepted of the piece that comes next.
  uint64_t next_bytes() const { return done() ? 0 : pieces_[piece_].bytes.size() - offset_; }
  /// Plans the next stripe with units of at most `max_rows` rows.  `fragments` is overwritten.
  /// REQUIRES: !done(), max_rows >= 1; below kMinPlanRows a fragment of up to 32 KiB may need more: then
  /// unit_rows is 0.
  StripePlan plan(uint32_t max_rows, std::vector<Fragment>& fragments) const;
  /// The planned stripe was written: goes on behind it.
  void accept(std::span<const Fragment> fragments);

 private:
  void skip_empty();
  const uint32_t k_;
  const std::span<const DataPiece> pieces_;
  size_t piece_ = 0;
  uint64_t offset_ = 0;  // in the piece
};

/// With at least this many rows everything can be planned.
inline constexpr uint32_t kMinPlanRows = kChecksumChunk / kRowBytes;

}  // namespace stavefs
