// Helpers for tests of formats: hexadecimal, and hostile variations of a valid value.

#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <string_view>

#include "base/rng.h"

namespace stavefs::test {

inline std::string hex(std::string_view bytes) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  for (const char c : bytes) {
    text += kDigits[static_cast<uint8_t>(c) >> 4];
    text += kDigits[static_cast<uint8_t>(c) & 15];
  }
  return text;
}

/// Every proper prefix of `value`, and `value` with a byte more, must be refused; with flipped bits it may be
/// accepted only if that is what `reencode` gives back (nothing is silently ignored), or a shorter form of
/// the same numbers: a varint may have been flipped into a longer way to write one. `reencode` decodes and,
/// when that succeeds, encodes again; empty means refused.
inline void expect_strict(const std::string& value,
                          const std::function<std::string(std::string_view)>& reencode) {
  ASSERT_EQ(hex(reencode(value)), hex(value));
  for (size_t n = 0; n < value.size(); ++n) {
    // Copied to memory of its own, so that a sanitizer sees a read beyond the end.
    const std::string prefix = value.substr(0, n);
    EXPECT_EQ(reencode(prefix), "") << "prefix of " << n << " bytes accepted";
  }
  EXPECT_EQ(reencode(value + '\0'), "") << "trailing byte accepted";
  for (size_t bit = 0; bit < value.size() * 8; ++bit) {
    std::string flipped = value;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << bit % 8));
    const std::string again = reencode(flipped);
    EXPECT_TRUE(again.empty() || again == flipped || again.size() < flipped.size())
        << "bit " << bit << " is ignored";
  }
}

/// Garbage of all lengths up to `most` must neither crash nor be read beyond its end.
inline void expect_survives_garbage(uint64_t seed, size_t most,
                                    const std::function<void(std::string_view)>& decode) {
  Rng rng(seed);
  for (int i = 0; i < 20000; ++i) {
    std::string garbage(rng.below(most + 1), '\0');
    for (char& c : garbage) c = static_cast<char>(rng.one_in(2) ? rng.below(5) : rng.next());
    if (!garbage.empty()) garbage[0] = 1;  // past the version
    decode(garbage);
  }
}

}  // namespace stavefs::test
