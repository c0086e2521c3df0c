// The memory of stripes in flight, and the coding of one stripe.
//
// Theory: what can be written straight from the caller's memory is; the rest (packed pieces, the padded end
// of a run, parity) lies in pool buffers that are kept until the batch is done.  A stripe is summed and coded
// as soon as it is laid out, while it is warm in the cache: first the extents' checksums (the first touch of
// the source), then copying, then parity, then the checksum of every unit.
//
// One thread.

#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/buffer.h"
#include "codec/reed_solomon.h"
#include "store/stripe_planner.h"

namespace stavefs {

/// The units of a stripe in memory; null where a data unit is all zero padding.
struct StripeUnits {
  uint32_t unit_bytes = 0;
  std::array<uint8_t*, kMaxShards> data{};  ///< k, then m
};

class StripeBuffers {
 public:
  explicit StripeBuffers(BufferPool& pool) : pool_(pool) {}

  /// Lays the fragments out (zero padding included).  Contents of the parity units are undefined then.
  StripeUnits lay_out(const StripePlan& plan, std::span<const Fragment> fragments,
                      std::span<const DataPiece> pieces, const ReedSolomon& codec);
  /// For one blob that starts at the stripe's beginning.
  StripeUnits lay_out(const StripePlan& plan, std::span<const uint8_t> blob, const ReedSolomon& codec);

  /// Bytes held now.
  uint64_t bytes() const { return bytes_; }
  /// Everything goes back to the pool.  REQUIRES: nothing is in flight.
  void clear();

 private:
  /// `count` units with pointers in `out`; in as few buffers as the pool can keep.
  void take(uint32_t count, uint32_t unit_bytes, uint8_t** out);

  BufferPool& pool_;
  std::vector<AlignedBuffer> held_;
  uint64_t bytes_ = 0;
};

/// Fills the parity units and returns the checksum of every written unit (0 for others) through `sums`.
void code_stripe(const ReedSolomon& codec, const StripeUnits& units, std::vector<uint64_t>& sums);

}  // namespace stavefs
