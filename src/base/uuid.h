// Identities of pools and disks: random UUIDs (RFC 9562, version 4).

#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/rng.h"

namespace stavefs {

/// 16 bytes as they stand on disk.
struct Uuid {
  std::array<uint8_t, 16> bytes{};

  auto operator<=>(const Uuid&) const = default;
  bool is_nil() const { return *this == Uuid{}; }
  /// "8-4-4-4-12" in lower-case hexadecimal.
  std::string to_text() const;
  /// Parses what to_text writes; kInvalid otherwise.
  static Result<Uuid> parse(std::string_view text);
  /// A version-4 UUID from `rng`.
  static Uuid random(Rng& rng);
};
static_assert(sizeof(Uuid) == 16 && alignof(Uuid) == 1);

}  // namespace stavefs
