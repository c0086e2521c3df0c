// Reed-Solomon coding of k data and m parity shards over GF(2^8), by ISA-L.
//
// Theory: the generator matrix is the identity above a Cauchy matrix, parity row i and data column j being
// 1 / ((k + i) xor j) in GF(2^8) with polynomial 0x11d.  Every square submatrix of a Cauchy matrix is
// invertible, so any k of the k+m shards determine the data (Bloemer et al., "An XOR-based erasure-resilient
// coding scheme", 1995).  ISA-L's gf_gen_rs_matrix (Vandermonde) gives no such guarantee and is not used.
// The matrix is part of the on-disk format.
//
// The code is linear: a shard of zeros adds nothing, so null pointers stand for such shards and cost nothing.
// Decoding is described in decode_plan.h.
//
// Thread-safe after construction: one coder is shared by all threads; it locks only around its plan cache.

#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/result.h"
#include "codec/decode_plan.h"

namespace stavefs {

inline constexpr int kMaxShards = 64;

/// A code with `data_shards` k >= 1 and `parity_shards` m >= 1, k + m <= kMaxShards.
class ReedSolomon {
 public:
  /// kInvalid when the geometry is out of range.
  static Result<std::shared_ptr<const ReedSolomon>> create(int data_shards, int parity_shards);

  int data_shards() const { return k_; }
  int parity_shards() const { return m_; }
  int total_shards() const { return k_ + m_; }

  /// Fills m parity shards of `bytes` bytes from k data shards.  A null data pointer is a shard of zeros.
  /// No alignment is needed; nothing outside [pointer, pointer + bytes) is touched.
  /// REQUIRES: data.size() == k, parity.size() == m; parity overlaps neither data nor itself.
  void encode(std::span<const uint8_t* const> data, std::span<uint8_t* const> parity, size_t bytes) const;

  /// Rebuilds `wanted` shards (indices into 0..k+m, in any order) into `out`, each `bytes` long, from any k
  /// shards in `present` (bit i of the mask: shard i may be read at shards[i]).  shards[i] may be null for a
  /// present shard known to be all zero; pointers of shards that are not present are not looked at.  kInvalid
  /// with EIO when fewer than k are present: `out` is then untouched. Nothing is verified here: a wrong
  /// source gives wrong output, so check sources before or results after. REQUIRES: shards.size() == k+m,
  /// wanted.size() == out.size(); wanted shards are distinct and not in `present`; `out` overlaps neither the
  /// present shards nor itself.
  Status reconstruct(uint64_t present, std::span<const uint8_t* const> shards, std::span<const int> wanted,
                     std::span<uint8_t* const> out, size_t bytes) const;

  /// The k shards of `present` that reconstruct() reads: data first, then parity, lowest index first.  A
  /// reader that fetches shards only to rebuild others needs no more than these.  0 when fewer than k are
  /// present.
  uint64_t sources_for(uint64_t present) const;

  /// Row-major (k+m) x k generator matrix, for tests and documents.
  std::span<const uint8_t> matrix() const { return matrix_; }

 private:
  ReedSolomon(int k, int m);
  std::shared_ptr<const DecodePlan> plan_for(DecodePattern pattern) const;

  const int k_;
  const int m_;
  std::vector<uint8_t> matrix_;
  std::vector<uint8_t> encode_tables_;  // ISA-L's expanded tables, 32 bytes a coefficient
  mutable DecodePlanCache plans_;
};

}  // namespace stavefs
