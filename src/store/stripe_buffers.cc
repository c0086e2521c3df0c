#include "store/stripe_buffers.h"

#include <cstring>

namespace stavefs {
namespace {

/// Larger buffers are not kept by the pool.
constexpr uint64_t kLargestKept = uint64_t{4} << 20;

bool is_aligned(const uint8_t* p) { return reinterpret_cast<uintptr_t>(p) % kPageBytes == 0; }

/// Copies bytes [0, from.size()) of a run that starts at data byte `at` into the units.
void scatter(const StripeUnits& units, uint32_t at, std::span<const uint8_t> from) {
  for_each_unit(at, at + static_cast<uint32_t>(from.size()), units.unit_bytes,
                [&](const UnitRange& r, uint32_t offset) {
                  std::memcpy(units.data[r.unit] + r.begin, from.data() + offset, r.end - r.begin);
                });
}

void zero(const StripeUnits& units, uint32_t begin, uint32_t end) {
  for_each_unit(begin, end, units.unit_bytes, [&](const UnitRange& r, uint32_t) {
    std::memset(units.data[r.unit] + r.begin, 0, r.end - r.begin);
  });
}

}  // namespace

void StripeBuffers::take(uint32_t count, uint32_t unit_bytes, uint8_t** out) {
  const auto per_buffer = static_cast<uint32_t>(std::max<uint64_t>(1, kLargestKept / unit_bytes));
  while (count > 0) {
    const uint32_t n = std::min(count, per_buffer);
    held_.push_back(pool_.get(uint64_t{n} * unit_bytes));
    bytes_ += held_.back().size();
    for (uint32_t i = 0; i < n; ++i) *out++ = held_.back().data() + uint64_t{i} * unit_bytes;
    count -= n;
  }
}

StripeUnits StripeBuffers::lay_out(const StripePlan& plan, std::span<const Fragment> fragments,
                                   std::span<const DataPiece> pieces, const ReedSolomon& codec) {
  if (fragments.size() == 1) {
    const Fragment& f = fragments.front();
    return lay_out(plan, pieces[f.piece].bytes.subspan(f.piece_offset, f.length), codec);
  }
  StripeUnits units{plan.unit_bytes(), {}};
  take(plan.used_units, units.unit_bytes, units.data.data());
  uint32_t end = 0;
  for (const Fragment& f : fragments) {
    zero(units, end, f.stripe_offset);
    scatter(units, f.stripe_offset, pieces[f.piece].bytes.subspan(f.piece_offset, f.length));
    end = f.stripe_offset + f.length;
  }
  zero(units, end, plan.used_units * units.unit_bytes);
  take(static_cast<uint32_t>(codec.parity_shards()), units.unit_bytes,
       units.data.data() + codec.data_shards());
  return units;
}

StripeUnits StripeBuffers::lay_out(const StripePlan& plan, std::span<const uint8_t> blob,
                                   const ReedSolomon& codec) {
  StripeUnits units{plan.unit_bytes(), {}};
  const auto size = static_cast<uint32_t>(blob.size());
  // Whole units are written from where they are; the source is never written to.
  const uint32_t in_place = is_aligned(blob.data()) ? size / units.unit_bytes : 0;
  for (uint32_t i = 0; i < in_place; ++i) {
    units.data[i] = const_cast<uint8_t*>(blob.data()) + uint64_t{i} * units.unit_bytes;
  }
  if (in_place < plan.used_units) {
    take(plan.used_units - in_place, units.unit_bytes, units.data.data() + in_place);
    const uint32_t at = in_place * units.unit_bytes;
    scatter(units, at, blob.subspan(at));
    zero(units, size, plan.used_units * units.unit_bytes);
  }
  take(static_cast<uint32_t>(codec.parity_shards()), units.unit_bytes,
       units.data.data() + codec.data_shards());
  return units;
}

void StripeBuffers::clear() {
  held_.clear();
  bytes_ = 0;
}

void code_stripe(const ReedSolomon& codec, const StripeUnits& units, std::vector<uint64_t>& sums) {
  const auto k = static_cast<size_t>(codec.data_shards());
  const auto m = static_cast<size_t>(codec.parity_shards());
  codec.encode({units.data.data(), k}, {units.data.data() + k, m}, units.unit_bytes);
  sums.resize(k + m);
  for (size_t i = 0; i < k + m; ++i) {
    sums[i] = units.data[i] == nullptr ? 0 : xxh3_64(units.data[i], units.unit_bytes);
  }
}

}  // namespace stavefs
