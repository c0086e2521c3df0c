// GF(2^8) with polynomial 0x11d the slow way, and the code built on it, sharing nothing with the
// implementation.

#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <utility>
#include <vector>

namespace stavefs::test {

/// Shift-and-add multiplication.
constexpr uint8_t slow_mul(unsigned a, unsigned b) {
  unsigned product = 0;
  for (; b != 0; b >>= 1) {
    if (b & 1) product ^= a;
    a <<= 1;
    if (a & 0x100) a ^= 0x11d;
  }
  return static_cast<uint8_t>(product);
}

/// The products and inverses of slow_mul, tabulated so that exhaustive tests end this year.
class Gf256Model {
 public:
  Gf256Model() {
    for (unsigned a = 0; a < 256; ++a) {
      for (unsigned b = 0; b < 256; ++b) {
        product_[a][b] = slow_mul(a, b);
        if (product_[a][b] == 1) inverse_[a] = static_cast<uint8_t>(b);
      }
    }
  }
  uint8_t mul(uint8_t a, uint8_t b) const { return product_[a][b]; }
  /// REQUIRES: a != 0.
  uint8_t inv(uint8_t a) const { return inverse_[a]; }

 private:
  std::array<std::array<uint8_t, 256>, 256> product_{};
  std::array<uint8_t, 256> inverse_{};
};

inline const Gf256Model& gf() {
  static const Gf256Model model;
  return model;
}

/// The generator matrix as documented: identity, then 1 / (i xor j) for row i >= k and column j < k.
inline std::vector<uint8_t> model_matrix(int k, int m) {
  std::vector<uint8_t> matrix;
  for (int i = 0; i < k + m; ++i) {
    for (int j = 0; j < k; ++j)
      matrix.push_back(i < k ? static_cast<uint8_t>(i == j) : gf().inv(static_cast<uint8_t>(i ^ j)));
  }
  return matrix;
}

/// Gaussian elimination: whether the chosen rows of a matrix with k columns have full rank.
inline bool rows_invertible(std::span<const uint8_t> matrix, size_t k, std::span<const int> rows) {
  std::vector<uint8_t> a;
  for (const int r : rows)
    a.insert(a.end(), &matrix[static_cast<size_t>(r) * k], &matrix[static_cast<size_t>(r) * k] + k);
  for (size_t c = 0; c < k; ++c) {
    size_t pivot = c;
    while (pivot < k && a[pivot * k + c] == 0) ++pivot;
    if (pivot == k) return false;
    for (size_t j = 0; j < k; ++j) std::swap(a[pivot * k + j], a[c * k + j]);
    const uint8_t scale = gf().inv(a[c * k + c]);
    for (size_t r = c + 1; r < k; ++r) {
      const uint8_t factor = gf().mul(a[r * k + c], scale);
      if (factor == 0) continue;
      for (size_t j = c; j < k; ++j) a[r * k + j] ^= gf().mul(factor, a[c * k + j]);
    }
  }
  return true;
}

/// Calls `visit` with every ascending choice of `size` out of 0..n; stops when it returns false.
inline bool for_each_subset(int n, int size, const std::function<bool(std::span<const int>)>& visit) {
  std::vector<int> chosen(static_cast<size_t>(size));
  for (int i = 0; i < size; ++i) chosen[static_cast<size_t>(i)] = i;
  while (true) {
    if (!visit(chosen)) return false;
    int i = size - 1;
    while (i >= 0 && chosen[static_cast<size_t>(i)] == n - size + i) --i;
    if (i < 0) return true;
    ++chosen[static_cast<size_t>(i)];
    for (int j = i + 1; j < size; ++j)
      chosen[static_cast<size_t>(j)] = chosen[static_cast<size_t>(j - 1)] + 1;
  }
}

/// Whether every choice of k rows is invertible: any k shards determine the data.
inline bool every_choice_invertible(std::span<const uint8_t> matrix, int k, int m) {
  return for_each_subset(k + m, k, [&](std::span<const int> rows) {
    return rows_invertible(matrix, static_cast<size_t>(k), rows);
  });
}

}  // namespace stavefs::test
