// Checksums of data, chosen per storage class, and the fixed one of metadata (XXH3).
//
// Sources: XXH3 (xxHash specification, 0.8); SHA-256 (FIPS 180-4); MD5 (RFC 1321), offered only for
// compatibility with object stores' entity tags.  Functions of their arguments; any thread; a thread keeps
// its OpenSSL contexts until it ends.

#pragma once

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "base/result.h"

namespace stavefs {

/// Values are on disk: never renumbered.
enum class ChecksumKind : uint8_t { kXxh3 = 1, kSha256 = 2, kMd5 = 3 };

inline constexpr size_t kMaxChecksumBytes = 32;

/// 8, 32 or 16.
size_t checksum_bytes(ChecksumKind kind);
std::string_view to_string(ChecksumKind kind);
/// "xxh3", "sha256" or "md5"; kInvalid names the choices.  kUnsupported when this host's OpenSSL lacks the
/// digest (MD5 under a FIPS policy).
Result<ChecksumKind> parse_checksum_kind(std::string_view name);
/// kCorrupt for a value that no version of the format has; kUnsupported as above.
Result<ChecksumKind> decode_checksum_kind(uint8_t value);

/// Writes checksum_bytes(kind) bytes to `out`.  XXH3-64 (seed 0) is stored little-endian.
/// REQUIRES: `kind` came from one of the functions above, or is kXxh3.
void compute_checksum(ChecksumKind kind, std::span<const uint8_t> data, uint8_t* out);

/// 64 bits of XXH3.
uint64_t xxh3_64(const void* data, size_t bytes, uint64_t seed = 0);

/// 128 bits of XXH3 (seed 0), low word first on disk.
struct Hash128 {
  uint64_t low = 0;
  uint64_t high = 0;
  auto operator<=>(const Hash128&) const = default;
};
Hash128 xxh3_128(const void* data, size_t bytes);

}  // namespace stavefs
