// Reports as JSON: bytes are integers, times RFC 3339, every document carries output_version.

#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "engine/engine.h"

namespace stavefs {

inline constexpr int kOutputVersion = 1;

nlohmann::json to_json(const StatusReport& report);
nlohmann::json to_json(const DiskReport& disk, uint64_t groups_behind);
nlohmann::json to_json(const BucketInfo& bucket);
/// Layout of one file: extents, the groups they are in and their shards.
nlohmann::json to_json(const FileLayout& layout, const Store& store, const Pool& pool);
/// "2026-01-31T12:00:00Z", with fractions of a second when there are any.
std::string rfc3339(TimeNs time);

}  // namespace stavefs
