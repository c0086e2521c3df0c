// The code itself: its matrix (part of the disk format), its bytes, and the proof by enumeration that any k
// shards determine the data.  The model in gf256_model.h shares nothing with the implementation.

#include "codec/reed_solomon.h"

#include <gtest/gtest.h>
#include <isa-l/erasure_code.h>
#ifdef __x86_64__
#include <cpuid.h>
#include <immintrin.h>
#endif

#include <algorithm>
#include <cstring>

#include "base/rng.h"
#include "tests/unit/base/guarded_bytes.h"
#include "tests/unit/codec/gf256_model.h"

namespace stavefs {
namespace {

using test::every_choice_invertible;
using test::gf;
using test::GuardedBytes;
using test::model_matrix;

std::shared_ptr<const ReedSolomon> make(int k, int m) { return ReedSolomon::create(k, m).value(); }

TEST(ReedSolomon, AcceptsEveryGeometryUpTo64AndNoOther) {
  for (int k = -1; k <= 66; ++k) {
    for (int m = -1; m <= 66; ++m) {
      const auto coder = ReedSolomon::create(k, m);
      const bool valid = k >= 1 && m >= 1 && k + m <= 64;
      ASSERT_EQ(coder.has_value(), valid) << k << "+" << m;
      if (valid) {
        EXPECT_EQ((*coder)->data_shards(), k);
        EXPECT_EQ((*coder)->parity_shards(), m);
        EXPECT_EQ((*coder)->total_shards(), k + m);
      } else {
        EXPECT_EQ(coder.error().code(), ErrorCode::kInvalid);
      }
    }
  }
  EXPECT_FALSE(ReedSolomon::create(INT32_MAX, INT32_MAX));
}

TEST(ReedSolomon, MatrixIsTheDocumentedOneForEveryGeometry) {
  for (int k = 1; k < 64; ++k) {
    for (int m = 1; k + m <= 64; ++m) {
      const auto coder = make(k, m);
      const std::vector<uint8_t> matrix(coder->matrix().begin(), coder->matrix().end());
      ASSERT_EQ(matrix, model_matrix(k, m)) << k << "+" << m;
      std::vector<uint8_t> isal(matrix.size());
      gf_gen_cauchy1_matrix(isal.data(), k + m, k);
      ASSERT_EQ(matrix, isal) << k << "+" << m;
    }
  }
}

TEST(ReedSolomon, MatrixAndParityOfFourPlusTwoHaveGoldenBytes) {
  const std::vector<uint8_t> golden_matrix = {
      1,    0,    0,    0,    0,    1,    0,    0,    0, 0, 1, 0, 0, 0, 0, 1,  // identity
      0x47, 0xa7, 0x7a, 0xba, 0xa7, 0x47, 0xba, 0x7a,
  };
  const std::vector<uint8_t> golden_parity[2] = {
      {0xe7, 0xda, 0x9d, 0xa0, 0x40, 0x33, 0x4e, 0x49, 0xb4, 0x09, 0x74, 0x73, 0x93, 0xae, 0x9d, 0xa0},
      {0x0f, 0x32, 0x75, 0x48, 0xa8, 0xdb, 0xa6, 0xa1, 0x5c, 0x2c, 0x51, 0x56, 0xb6, 0x8b, 0xb8, 0x85},
  };
  const auto coder = make(4, 2);
  EXPECT_EQ(std::vector<uint8_t>(coder->matrix().begin(), coder->matrix().end()), golden_matrix);
  uint8_t data[4][16];
  for (size_t i = 0; i < 4; ++i) {
    for (size_t b = 0; b < 16; ++b) data[i][b] = static_cast<uint8_t>(i * 64 + b * 7 + 3);
  }
  std::vector<uint8_t> parity[2] = {std::vector<uint8_t>(16), std::vector<uint8_t>(16)};
  const uint8_t* const from[4] = {data[0], data[1], data[2], data[3]};
  uint8_t* const to[2] = {parity[0].data(), parity[1].data()};
  coder->encode(from, to, 16);
  EXPECT_EQ(parity[0], golden_parity[0]);
  EXPECT_EQ(parity[1], golden_parity[1]);
}

TEST(ReedSolomon, AnyKShardsDetermineTheDataInEverySmallGeometry) {
  for (int k = 1; k < 12; ++k) {
    for (int m = 1; k + m <= 12; ++m) {
      EXPECT_TRUE(every_choice_invertible(make(k, m)->matrix(), k, m)) << k << "+" << m;
    }
  }
}

TEST(ReedSolomon, AnyKShardsDetermineTheDataInNamedGeometries) {
  const std::pair<int, int> geometries[] = {{4, 2}, {8, 4},  {16, 4}, {8, 8}, {1, 1},
                                            {2, 1}, {62, 2}, {1, 63}, {63, 1}};
  for (const auto& [k, m] : geometries) {
    EXPECT_TRUE(every_choice_invertible(make(k, m)->matrix(), k, m)) << k << "+" << m;
  }
}

TEST(ReedSolomon, InvertibilityCheckCatchesTheVandermondeMatrix) {
  // The test of the test: ISA-L's own Vandermonde matrix has singular choices of rows.
  std::vector<uint8_t> vandermonde(16 * 8);
  gf_gen_rs_matrix(vandermonde.data(), 16, 8);
  EXPECT_FALSE(every_choice_invertible(vandermonde, 8, 8));
}

TEST(ReedSolomon, RandomChoicesOfLargeGeometriesAreInvertible) {
  for (uint64_t seed = 1; seed <= 400; ++seed) {
    SCOPED_TRACE(seed);
    Rng rng(seed);
    const int k = 1 + static_cast<int>(rng.below(63));
    const int m = 1 + static_cast<int>(rng.below(static_cast<uint64_t>(64 - k)));
    std::vector<int> rows(static_cast<size_t>(k + m));
    for (size_t i = 0; i < rows.size(); ++i) rows[i] = static_cast<int>(i);
    for (size_t i = 0; i < rows.size(); ++i) std::swap(rows[i], rows[i + rng.below(rows.size() - i)]);
    rows.resize(static_cast<size_t>(k));
    ASSERT_TRUE(test::rows_invertible(make(k, m)->matrix(), static_cast<size_t>(k), rows)) << k << "+" << m;
  }
}

/// Encodes random shards that end at inaccessible pages and compares with the model, byte by byte.
void check_encode(int k, int m, size_t bytes, Rng& rng) {
  SCOPED_TRACE(std::to_string(k) + "+" + std::to_string(m) + ", " + std::to_string(bytes) + " bytes");
  const auto coder = make(k, m);
  std::vector<GuardedBytes> data, parity;
  std::vector<const uint8_t*> from;
  std::vector<uint8_t*> to;
  for (int i = 0; i < k; ++i) {
    data.emplace_back(bytes);
    const bool zeros = rng.one_in(4);
    for (uint8_t& b : data.back().span()) b = zeros ? 0 : static_cast<uint8_t>(rng.next());
    from.push_back(zeros ? nullptr : data.back().data());
  }
  for (int i = 0; i < m; ++i) {
    parity.emplace_back(bytes);
    std::memset(parity.back().data(), 0xee, bytes);
    to.push_back(parity.back().data());
  }
  coder->encode(from, to, bytes);
  const std::vector<uint8_t> matrix = model_matrix(k, m);
  for (int i = 0; i < m; ++i) {
    for (size_t b = 0; b < bytes; ++b) {
      uint8_t expected = 0;
      for (int j = 0; j < k; ++j)
        expected ^=
            gf().mul(matrix[static_cast<size_t>((k + i) * k + j)], data[static_cast<size_t>(j)].data()[b]);
      ASSERT_EQ(parity[static_cast<size_t>(i)].data()[b], expected) << "parity " << i << ", byte " << b;
    }
  }
}

TEST(ReedSolomon, ParityEqualsTheModelAtEveryLengthAndTouchesNothingBeyond) {
  Rng rng(21);
  for (const auto& [k, m] : {std::pair{4, 2}, {1, 1}, {2, 1}, {8, 8}}) {
    for (size_t bytes = 0; bytes <= 200; ++bytes) check_encode(k, m, bytes, rng);
  }
  for (const auto& [k, m] : {std::pair{4, 2}, {16, 4}, {8, 8}, {32, 32}, {63, 1}, {1, 63}}) {
    for (const size_t bytes : {size_t{4095}, size_t{4096}, size_t{4097}}) check_encode(k, m, bytes, rng);
  }
  // Several blocks of a geometry that needs several passes, with a ragged end.
  check_encode(13, 13, (size_t{64} << 10) + 13, rng);
  check_encode(40, 20, (size_t{16} << 10) + 13, rng);
}

TEST(ReedSolomon, RandomLargeGeometriesEqualTheModel) {
  for (uint64_t seed = 1; seed <= 120; ++seed) {
    SCOPED_TRACE(seed);
    Rng rng(seed);
    const int k = 1 + static_cast<int>(rng.below(63));
    const int m = 1 + static_cast<int>(rng.below(static_cast<uint64_t>(64 - k)));
    check_encode(k, m, rng.below(1500), rng);
  }
}

TEST(ReedSolomon, NullShardsEqualZerosInEveryCombination) {
  constexpr size_t kBytes = 131;
  Rng rng(8);
  const auto coder = make(6, 3);
  for (unsigned nulls = 0; nulls < 64; ++nulls) {
    std::vector<std::vector<uint8_t>> data(6, std::vector<uint8_t>(kBytes, 0));
    std::vector<const uint8_t*> with_null, with_zeros;
    for (unsigned i = 0; i < 6; ++i) {
      const bool null = (nulls >> i & 1) != 0;
      if (!null) {
        for (uint8_t& b : data[i]) b = static_cast<uint8_t>(rng.next());
      }
      with_null.push_back(null ? nullptr : data[i].data());
      with_zeros.push_back(data[i].data());
    }
    std::vector<std::vector<uint8_t>> a(3, std::vector<uint8_t>(kBytes, 1)),
        b(3, std::vector<uint8_t>(kBytes, 2));
    uint8_t* const to_a[3] = {a[0].data(), a[1].data(), a[2].data()};
    uint8_t* const to_b[3] = {b[0].data(), b[1].data(), b[2].data()};
    coder->encode(with_null, to_a, kBytes);
    coder->encode(with_zeros, to_b, kBytes);
    ASSERT_EQ(a, b) << "mask " << nulls;
  }
}

#ifdef __x86_64__
__attribute__((target("xsave"))) bool upper_halves_in_use() { return (_xgetbv(1) & 0x44) != 0; }  // YMM, ZMM
__attribute__((target("avx"))) void clear_upper_halves() { _mm256_zeroupper(); }

TEST(ReedSolomon, LeavesVectorRegistersFitForFastSse) {
  // The processor tells which register halves are in use.  ISA-L leaves the upper ones dirty, which slows all
  // later SSE code of the thread (xxhash to a quarter); the coder must not.
  unsigned a = 0, b = 0, c = 0, d = 0;
  if (__get_cpuid_count(0xd, 1, &a, &b, &c, &d) == 0 || (a & 4) == 0 || !__builtin_cpu_supports("avx2")) {
    GTEST_SKIP() << "this processor does not tell";
  }
  constexpr int kBytes = 4096;
  std::vector<std::vector<uint8_t>> shards(6, std::vector<uint8_t>(kBytes, 7));
  std::vector<uint8_t*> p;
  for (auto& shard : shards) p.push_back(shard.data());
  const uint8_t* const from[6] = {p[0], p[1], p[2], p[3], p[4], p[5]};
  std::vector<uint8_t> matrix = model_matrix(4, 2), tables(size_t{4} * 2 * 32);
  ec_init_tables(4, 2, &matrix[16], tables.data());
  ec_encode_data(kBytes, 4, 2, tables.data(), p.data(), p.data() + 4);
  if (!upper_halves_in_use()) GTEST_SKIP() << "this ISA-L clears them itself";

  const auto coder = make(4, 2);
  coder->encode({from, 4}, {p.data() + 4, 2}, kBytes);
  const bool after_encode = upper_halves_in_use();
  ec_encode_data(kBytes, 4, 2, tables.data(), p.data(), p.data() + 4);
  const int wanted[1] = {0};
  const Status status = coder->reconstruct(0b111110, from, wanted, {p.data(), 1}, kBytes);
  const bool after_reconstruct = upper_halves_in_use();
  clear_upper_halves();
  EXPECT_FALSE(after_encode);
  EXPECT_TRUE(status);
  EXPECT_FALSE(after_reconstruct);
}
#endif

TEST(ReedSolomonDeathTest, RefusesTheWrongNumberOfShards) {
  const auto coder = make(2, 1);
  uint8_t bytes[3] = {};
  const uint8_t* const one[1] = {bytes};
  uint8_t* const parity[1] = {bytes + 2};
  EXPECT_DEATH(coder->encode(one, parity, 1), "internal check failed");
}

}  // namespace
}  // namespace stavefs
