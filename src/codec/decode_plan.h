// How to rebuild some shards from k others: the algebra of decoding, and a small cache of its results.
//
// Theory: let E be the data shards that are not among the k sources.  Then exactly |E| of the sources are
// parity shards P, and with C the Cauchy part of the generator,
//     parity_P = C[P, E] data_E + C[P, rest] data_rest,   so   data_E = C[P, E]^-1 (parity_P + C[P, rest]
//     data_rest)
// (plus is minus in GF(2^8)).  Only the |E| x |E| matrix C[P, E] is inverted, which a Cauchy matrix always
// allows; a missing parity shard is its generator row with data_E put in.  Each wanted shard so becomes one
// row of k coefficients over the sources.
//
// Threads: a DecodePlan never changes after it was built; DecodePlanCache is self-synchronised.

#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

namespace stavefs {

/// What is rebuilt from what; bit i stands for shard i.
struct DecodePattern {
  uint64_t sources = 0;  ///< exactly k shards
  uint64_t wanted = 0;   ///< disjoint from `sources`
  bool operator==(const DecodePattern&) const = default;
};

/// The coefficients of one pattern as ISA-L's expanded tables.
struct DecodePlan {
  std::vector<int> sources;     ///< the k sources, ascending
  std::vector<int> wanted;      ///< ascending
  std::vector<uint8_t> tables;  ///< wanted x sources, 32 bytes a coefficient
};

/// Solves a pattern for the (k+m) x k generator `matrix` of `data_shards` k.
/// REQUIRES: a pattern as described above; `matrix` is systematic with a Cauchy lower part.
DecodePlan build_decode_plan(std::span<const uint8_t> matrix, int data_shards, DecodePattern pattern);

/// Keeps the most recently used plans: with a disk away, the same few patterns come again and again.
class DecodePlanCache {
 public:
  static constexpr size_t kPlans = 32;

  /// Null when it is not here.
  std::shared_ptr<const DecodePlan> find(DecodePattern pattern);
  /// Drops the plan that was unused for longest when full.  A pattern already here keeps its plan.
  void insert(DecodePattern pattern, std::shared_ptr<const DecodePlan> plan);

 private:
  struct Entry {
    DecodePattern pattern;
    std::shared_ptr<const DecodePlan> plan;  // null: the entry is free
    uint64_t last_use = 0;
  };
  std::mutex mutex_;  // a leaf: nothing else is locked under it
  std::array<Entry, kPlans> entries_;
  uint64_t uses_ = 0;
};

}  // namespace stavefs
