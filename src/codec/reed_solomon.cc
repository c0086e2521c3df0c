#include "codec/reed_solomon.h"

#include <isa-l/erasure_code.h>
#ifdef __x86_64__
#include <immintrin.h>
#endif

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <string>

#include "base/buffer.h"
#include "base/check.h"

namespace stavefs {
namespace {

constexpr size_t kTableBytes = 32;
constexpr size_t kMaxTableBytes =
    size_t{kMaxShards / 2} * (kMaxShards / 2) * kTableBytes;  // k * m is largest at k = m

// ISA-L computes at most 6 rows in one pass over the sources.  From the third pass on it pays to go in blocks
// that stay in the second-level cache meanwhile (16+16 from memory: 2.1 to 2.8 GB/s); for one or two it does
// not.
constexpr size_t kRowsOfTwoPasses = 12;
constexpr size_t kCachedSourceBytes = size_t{128} << 10;
// ISA-L counts bytes in an int.
constexpr size_t kMaxBlockBytes = size_t{1} << 30;

uint64_t mask_of(int bits) { return bits == 64 ? ~uint64_t{0} : (uint64_t{1} << bits) - 1; }

size_t block_bytes(size_t columns, size_t rows) {
  if (rows <= kRowsOfTwoPasses) return kMaxBlockBytes;
  return std::max<size_t>(round_down(kCachedSourceBytes / columns, kPageBytes), kPageBytes);
}

// ISA-L's AVX kernels return with the upper halves of the vector registers in use.  Until they are cleared
// every SSE instruction of this thread merges with them: xxhash was measured at a quarter of its speed after
// an encode.
#ifdef __x86_64__
__attribute__((target("avx"))) void clear_upper_halves() { _mm256_zeroupper(); }
void restore_vector_state() {
  if (__builtin_cpu_supports("avx")) clear_upper_halves();
}
#else
void restore_vector_state() {}
#endif

/// out[r] = sum over c of coefficient(r, c) * in[c], the coefficients given by ISA-L's `tables`; null is
/// zeros.
void combine(const uint8_t* tables, std::span<const uint8_t* const> in, std::span<uint8_t* const> out,
             size_t bytes) {
  std::array<uint8_t*, kMaxShards> from;
  std::array<uint8_t*, kMaxShards> to;
  alignas(64) std::array<uint8_t, kMaxTableBytes>
      packed;  // left uninitialised: filled only when a shard is null
  CHECK(in.size() * out.size() * kTableBytes <= packed.size());
  if (bytes == 0) return;
  size_t used = 0;
  for (const uint8_t* p : in) {
    if (p != nullptr) from[used++] = const_cast<uint8_t*>(p);  // ISA-L's signature lacks the const
  }
  if (used == 0) {
    for (uint8_t* p : out) std::memset(p, 0, bytes);
    return;
  }
  if (used < in.size()) {
    uint8_t* end = packed.data();
    for (size_t i = 0; i < in.size() * out.size(); ++i) {
      if (in[i % in.size()] == nullptr) continue;
      std::memcpy(end, tables + i * kTableBytes, kTableBytes);
      end += kTableBytes;
    }
    tables = packed.data();
  }
  std::copy(out.begin(), out.end(), to.begin());
  const size_t block = block_bytes(used, out.size());
  for (size_t done = 0; done < bytes;) {
    const size_t n = std::min(block, bytes - done);
    ec_encode_data(static_cast<int>(n), static_cast<int>(used), static_cast<int>(out.size()),
                   const_cast<uint8_t*>(tables), from.data(), to.data());
    done += n;
    for (size_t i = 0; i < used; ++i) from[i] += n;
    for (size_t i = 0; i < out.size(); ++i) to[i] += n;
  }
  restore_vector_state();
}

}  // namespace

Result<std::shared_ptr<const ReedSolomon>> ReedSolomon::create(int data_shards, int parity_shards) {
  if (data_shards < 1 || parity_shards < 1 || data_shards > kMaxShards || parity_shards > kMaxShards ||
      data_shards + parity_shards > kMaxShards) {
    return Error(ErrorCode::kInvalid, EINVAL,
                 "no code with " + std::to_string(data_shards) + "+" + std::to_string(parity_shards) +
                     " shards: at least 1+1 and at most " + std::to_string(kMaxShards) + " together");
  }
  return std::shared_ptr<const ReedSolomon>(new ReedSolomon(data_shards, parity_shards));
}

ReedSolomon::ReedSolomon(int k, int m) : k_(k), m_(m) {
  const auto columns = static_cast<size_t>(k);
  matrix_.assign(static_cast<size_t>(k + m) * columns, 0);
  for (size_t i = 0; i < columns; ++i) matrix_[i * columns + i] = 1;
  for (int i = k; i < k + m; ++i) {
    for (int j = 0; j < k; ++j)
      matrix_[static_cast<size_t>(i) * columns + static_cast<size_t>(j)] =
          gf_inv(static_cast<uint8_t>(i ^ j));
  }
  encode_tables_.resize(columns * static_cast<size_t>(m) * kTableBytes);
  ec_init_tables(k, m, &matrix_[columns * columns], encode_tables_.data());
}

void ReedSolomon::encode(std::span<const uint8_t* const> data, std::span<uint8_t* const> parity,
                         size_t bytes) const {
  CHECK(data.size() == static_cast<size_t>(k_) && parity.size() == static_cast<size_t>(m_));
  combine(encode_tables_.data(), data, parity, bytes);
}

uint64_t ReedSolomon::sources_for(uint64_t present) const {
  present &= mask_of(total_shards());
  if (std::popcount(present) < k_) return 0;
  // Data has the lowest indices, so "data first" is: drop the highest until k are left.
  while (std::popcount(present) > k_) present &= ~std::bit_floor(present);
  return present;
}

std::shared_ptr<const DecodePlan> ReedSolomon::plan_for(DecodePattern pattern) const {
  std::shared_ptr<const DecodePlan> plan = plans_.find(pattern);
  if (plan == nullptr) {
    plan = std::make_shared<const DecodePlan>(build_decode_plan(matrix_, k_, pattern));
    plans_.insert(pattern, plan);
  }
  return plan;
}

Status ReedSolomon::reconstruct(uint64_t present, std::span<const uint8_t* const> shards,
                                std::span<const int> wanted, std::span<uint8_t* const> out,
                                size_t bytes) const {
  CHECK(shards.size() == static_cast<size_t>(total_shards()) && wanted.size() == out.size());
  DecodePattern pattern;
  std::array<uint8_t*, kMaxShards> out_of{};
  for (size_t i = 0; i < wanted.size(); ++i) {
    const int shard = wanted[i];
    CHECK(shard >= 0 && shard < total_shards());
    const uint64_t bit = uint64_t{1} << shard;
    CHECK((present & bit) == 0 && (pattern.wanted & bit) == 0);
    pattern.wanted |= bit;
    out_of[static_cast<size_t>(shard)] = out[i];
  }
  pattern.sources = sources_for(present);
  if (pattern.sources == 0) {
    return Error(ErrorCode::kInvalid, EIO,
                 "cannot rebuild shards of " + std::to_string(k_) + "+" + std::to_string(m_) + " from " +
                     std::to_string(std::popcount(present & mask_of(total_shards()))));
  }
  if (wanted.empty()) return ok();

  const std::shared_ptr<const DecodePlan> plan = plan_for(pattern);
  std::array<const uint8_t*, kMaxShards> from;
  std::array<uint8_t*, kMaxShards> to;
  for (size_t i = 0; i < plan->sources.size(); ++i) from[i] = shards[static_cast<size_t>(plan->sources[i])];
  for (size_t i = 0; i < plan->wanted.size(); ++i) to[i] = out_of[static_cast<size_t>(plan->wanted[i])];
  combine(plan->tables.data(), {from.data(), plan->sources.size()}, {to.data(), plan->wanted.size()}, bytes);
  return ok();
}

}  // namespace stavefs
