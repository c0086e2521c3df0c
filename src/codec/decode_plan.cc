#include "codec/decode_plan.h"

#include <isa-l/erasure_code.h>

#include <algorithm>
#include <bit>

#include "base/check.h"

namespace stavefs {
namespace {

constexpr size_t kTableBytes = 32;

std::vector<int> indices_of(uint64_t mask) {
  std::vector<int> indices;
  for (; mask != 0; mask &= mask - 1) indices.push_back(std::countr_zero(mask));
  return indices;
}

/// row += factor * other, element by element.
void add_scaled(std::span<uint8_t> row, uint8_t factor, std::span<const uint8_t> other) {
  for (size_t c = 0; c < row.size(); ++c) row[c] ^= gf_mul(factor, other[c]);
}

/// C[P, E]^-1, row-major.
std::vector<uint8_t> invert_cauchy(std::span<const uint8_t> matrix, size_t k, std::span<const int> parities,
                                   std::span<const int> erased) {
  const size_t n = erased.size();
  std::vector<uint8_t> square;
  square.reserve(n * n);
  for (const int p : parities) {
    for (const int e : erased) square.push_back(matrix[static_cast<size_t>(p) * k + static_cast<size_t>(e)]);
  }
  std::vector<uint8_t> inverse(n * n);
  if (n != 0) CHECK(gf_invert_matrix(square.data(), inverse.data(), static_cast<int>(n)) == 0);
  return inverse;
}

}  // namespace

DecodePlan build_decode_plan(std::span<const uint8_t> matrix, int data_shards, DecodePattern pattern) {
  const auto k = static_cast<size_t>(data_shards);
  const uint64_t data_mask = (uint64_t{1} << k) - 1;
  CHECK(static_cast<size_t>(std::popcount(pattern.sources)) == k && (pattern.sources & pattern.wanted) == 0);
  DecodePlan plan{indices_of(pattern.sources), indices_of(pattern.wanted), {}};
  const std::vector<int> erased = indices_of(data_mask & ~pattern.sources);
  const std::vector<int> parities = indices_of(pattern.sources & ~data_mask);
  const size_t present =
      k - erased.size();  // sources are ascending: data in columns [0, present), then parity

  // One row over the sources for each erased data shard, then one for each wanted shard.
  const std::vector<uint8_t> inverse = invert_cauchy(matrix, k, parities, erased);
  const auto data_part = [&](int shard) {
    std::vector<uint8_t> row(k, 0);
    for (size_t c = 0; c < present; ++c)
      row[c] = matrix[static_cast<size_t>(shard) * k + static_cast<size_t>(plan.sources[c])];
    return row;
  };
  std::vector<std::vector<uint8_t>> erased_rows(erased.size(), std::vector<uint8_t>(k, 0));
  for (size_t p = 0; p < parities.size(); ++p) {
    std::vector<uint8_t> sum = data_part(parities[p]);
    sum[present + p] = 1;
    for (size_t e = 0; e < erased.size(); ++e)
      add_scaled(erased_rows[e], inverse[e * erased.size() + p], sum);
  }
  std::vector<uint8_t> rows;
  rows.reserve(plan.wanted.size() * k);
  for (const int shard : plan.wanted) {
    std::vector<uint8_t> row = data_part(shard);  // an erased data shard has nothing of its own here
    for (size_t e = 0; e < erased.size(); ++e) {
      add_scaled(row, matrix[static_cast<size_t>(shard) * k + static_cast<size_t>(erased[e])],
                 erased_rows[e]);
    }
    rows.insert(rows.end(), row.begin(), row.end());
  }
  plan.tables.resize(rows.size() * kTableBytes);
  ec_init_tables(data_shards, static_cast<int>(plan.wanted.size()), rows.data(), plan.tables.data());
  return plan;
}

std::shared_ptr<const DecodePlan> DecodePlanCache::find(DecodePattern pattern) {
  const std::lock_guard lock(mutex_);
  for (Entry& entry : entries_) {
    if (entry.plan != nullptr && entry.pattern == pattern) {
      entry.last_use = ++uses_;
      return entry.plan;
    }
  }
  return nullptr;
}

void DecodePlanCache::insert(DecodePattern pattern, std::shared_ptr<const DecodePlan> plan) {
  const std::lock_guard lock(mutex_);
  // Two threads may have missed together and built the same plan.
  for (const Entry& entry : entries_) {
    if (entry.plan != nullptr && entry.pattern == pattern) return;
  }
  Entry& oldest = *std::min_element(entries_.begin(), entries_.end(), [](const Entry& a, const Entry& b) {
    return a.last_use < b.last_use;  // free entries have 0
  });
  oldest = {pattern, std::move(plan), ++uses_};
}

}  // namespace stavefs
