// The filesystem's pool-wide scalars (key 'M' name): eight little-endian bytes each.

#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "base/result.h"
#include "store/change.h"
#include "store/ledger.h"

namespace stavefs {

inline constexpr std::string_view kRootScalar =
    "root";  ///< inode of the root; there = the filesystem was made
inline constexpr std::string_view kDirSeedScalar = "dir_seed";      ///< seed of hash_name
inline constexpr std::string_view kNextInodeScalar = "next_inode";  ///< see numbers.h
inline constexpr std::string_view kNextBucketScalar = "next_bucket";

void put_scalar(Change& change, std::string_view name, uint64_t value);
/// Nothing when it was never put; kCorrupt when it is not eight bytes.
Result<std::optional<uint64_t>> get_scalar(const Ledger& ledger, std::string_view name);

}  // namespace stavefs
