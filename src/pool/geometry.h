// The shape of redundancy: k data and m parity shards.

#pragma once

#include <compare>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace stavefs {

/// REQUIRES of a valid one: data >= 1, parity >= 1, data + parity <= 64.
struct Geometry {
  uint8_t data = 0;    ///< k
  uint8_t parity = 0;  ///< m

  auto operator<=>(const Geometry&) const = default;
  int total() const { return data + parity; }
  /// Shards that must be durable before a stripe counts: k, and one more when k = m.
  int write_quorum() const { return data == parity ? data + 1 : data; }
  bool valid() const { return data >= 1 && parity >= 1 && total() <= 64; }
  /// "4+2".
  std::string to_text() const { return std::to_string(data) + "+" + std::to_string(parity); }
  /// Parses "4+2"; kInvalid says what is wrong with it.
  static Result<Geometry> parse(std::string_view text);
};

}  // namespace stavefs
