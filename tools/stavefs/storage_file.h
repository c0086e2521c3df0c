// The --storage file of `create`: a [storage] table that says how a new pool keeps its data.

#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "codec/checksum.h"
#include "pool/geometry.h"

namespace stavefs::cli {

struct StorageSettings {
  std::optional<Geometry> geometry;
  std::optional<ChecksumKind> checksum;
};

/// Reads the table.  kInvalid, with line and column, for an unknown key (and the nearest known one), a value
/// out of range or an impossible combination; kUnsupported for a known key that asks for something this
/// version does not have.
Result<StorageSettings> parse_storage(std::string_view text, const std::string& source);
Result<StorageSettings> load_storage(const std::string& path);

}  // namespace stavefs::cli
