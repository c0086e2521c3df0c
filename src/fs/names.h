// Names of directory entries: what is allowed, and where a name stands in a listing.
//
// A name's hash is its place in its directory and, at the same time, the cookie of readdir: positive, 63
// bits, never one of the small numbers kept for "." and "..".  It depends on a seed that the pool drew when
// it was made, so that nobody outside can make names that collide.

#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/result.h"

namespace stavefs {

inline constexpr size_t kMaxNameBytes = 255;

inline constexpr uint64_t kDotCookie = 1;
inline constexpr uint64_t kDotDotCookie = 2;
/// The least hash of a name.
inline constexpr uint64_t kFirstNameHash = 16;

/// ENAMETOOLONG above 255 bytes; EINVAL for "", ".", ".." and names with '/' or NUL.  Any other byte is fine.
Status check_name(std::string_view name);

/// In [kFirstNameHash, 2^63).
uint64_t hash_name(std::string_view name, uint64_t seed);
using NameHash = uint64_t (*)(std::string_view name, uint64_t seed);

}  // namespace stavefs
