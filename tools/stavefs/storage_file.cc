#include "tools/stavefs/storage_file.h"

#include <toml++/toml.h>

#include <algorithm>
#include <fstream>
#include <sstream>
#include <vector>

#include "control/paths.h"

namespace stavefs::cli {
namespace {

const std::vector<std::string> kKeys = {
    "erasure_set_size",      "data_drives",           "parity_drives",
    "read_quorum",           "write_quorum",          "parallel_reads",
    "compression",           "compression_level",     "healing_enabled",
    "automatic_healing",     "healing_interval",      "bitrot_protection",
    "bitrot_check_interval", "checksum_algorithm",    "read_buffer_size",
    "write_buffer_size",     "concurrent_operations", "small_object_threshold",
    "large_object_threshold"};

class Reader {
 public:
  Reader(const toml::table& table, std::string source) : table_(table), source_(std::move(source)) {}

  Error at(const toml::source_region& region, const std::string& message) const {
    return Error(ErrorCode::kInvalid, EINVAL,
                 source_ + ":" + std::to_string(region.begin.line) + ":" +
                     std::to_string(region.begin.column) + ": " + message);
  }
  Error at_key(const char* key, const std::string& message) const {
    const toml::node* node = table_.get(key);
    return at(node == nullptr ? table_.source() : node->source(), message);
  }
  Result<std::optional<int64_t>> number(const char* key, int64_t low, int64_t high) const {
    const toml::node* node = table_.get(key);
    if (node == nullptr) return std::optional<int64_t>();
    const auto* value = node->as_integer();
    if (value == nullptr || value->get() < low || value->get() > high) {
      return at_key(key, std::string(key) + " must be a whole number from " + std::to_string(low) + " to " +
                             std::to_string(high));
    }
    return std::optional<int64_t>(value->get());
  }
  /// Refuses a switch that asks for what cannot be had; `only` is the value that describes what stavefs does.
  Status expect_boolean(const char* key, bool only, const char* why) const {
    const toml::node* node = table_.get(key);
    if (node == nullptr) return ok();
    const auto* value = node->as_boolean();
    if (value == nullptr) return at_key(key, std::string(key) + " must be true or false");
    if (value->get() == only) return ok();
    return unsupported(key, why);
  }
  Error unsupported(const char* key, const char* why) const {
    const Error located = at_key(key, std::string(key) + ": " + why);
    return Error(ErrorCode::kUnsupported, EOPNOTSUPP, located.message());
  }
  const toml::table& table() const { return table_; }

 private:
  const toml::table& table_;
  const std::string source_;
};

Result<StorageSettings> read_shape(const Reader& reader) {
  ASSIGN_OR_RETURN(auto data, reader.number("data_drives", 1, 63));
  ASSIGN_OR_RETURN(auto parity, reader.number("parity_drives", 1, 63));
  ASSIGN_OR_RETURN(auto set_size, reader.number("erasure_set_size", 2, 64));
  ASSIGN_OR_RETURN(auto read_quorum, reader.number("read_quorum", 1, 64));
  ASSIGN_OR_RETURN(auto write_quorum, reader.number("write_quorum", 1, 64));
  StorageSettings settings;
  if (set_size && data && !parity) parity = *set_size - *data;
  if (set_size && parity && !data) data = *set_size - *parity;
  if (!data && !parity) {
    if (set_size || read_quorum || write_quorum) {
      return reader.at(reader.table().source(),
                       "data_drives and parity_drives are needed beside erasure_set_size and the quorums");
    }
    return settings;
  }
  if (!data || !parity || *data < 1 || *parity < 1) {
    return reader.at(reader.table().source(), "data_drives and parity_drives go together, each at least 1");
  }
  if (*data + *parity > 64)
    return reader.at_key("data_drives", "data_drives and parity_drives are at most 64 together");
  if (set_size && *set_size != *data + *parity) {
    return reader.at_key("erasure_set_size", "erasure_set_size " + std::to_string(*set_size) +
                                                 " is not data_drives " + std::to_string(*data) +
                                                 " + parity_drives " + std::to_string(*parity));
  }
  const Geometry geometry{static_cast<uint8_t>(*data), static_cast<uint8_t>(*parity)};
  if (read_quorum && *read_quorum != *data) {
    return reader.at_key("read_quorum", std::to_string(*data) +
                                            " data drives cannot be read from a quorum of " +
                                            std::to_string(*read_quorum) + ": exactly " +
                                            std::to_string(*data) + " are needed");
  }
  if (write_quorum && *write_quorum != geometry.write_quorum()) {
    return reader.at_key("write_quorum", "a write quorum of " + std::to_string(*write_quorum) +
                                             " is not offered for " + geometry.to_text() + ": it is always " +
                                             std::to_string(geometry.write_quorum()));
  }
  settings.geometry = geometry;
  return settings;
}

Status check_fixed(const Reader& reader) {
  TRY(reader.expect_boolean("bitrot_protection", true, "checksums are always on"));
  TRY(reader.expect_boolean("healing_enabled", false, "this version has no healer"));
  TRY(reader.expect_boolean("automatic_healing", false, "this version has no healer"));
  for (const char* key : {"healing_interval", "bitrot_check_interval", "compression_level", "parallel_reads",
                          "read_buffer_size", "write_buffer_size", "concurrent_operations",
                          "small_object_threshold", "large_object_threshold"}) {
    if (reader.table().get(key) != nullptr) return reader.unsupported(key, "this version cannot be told");
  }
  if (const toml::node* node = reader.table().get("compression"); node != nullptr) {
    if (node->value_or(std::string()) != "none")
      return reader.unsupported("compression", "this version stores data uncompressed");
  }
  return ok();
}

Result<StorageSettings> from_table(const toml::table& root, const std::string& source) {
  for (const auto& [key, node] : root) {
    if (key.str() != "storage" || !node.is_table()) {
      return Reader(root, source)
          .at(key.source(), "unknown key \"" + std::string(key.str()) + "\": everything stands in [storage]");
    }
  }
  const toml::table* table = root["storage"].as_table();
  if (table == nullptr) return Error(ErrorCode::kInvalid, EINVAL, source + ": there is no [storage] table");
  const Reader reader(*table, source);
  for (const auto& [key, node] : *table) {
    const std::string name(key.str());
    if (std::find(kKeys.begin(), kKeys.end(), name) != kKeys.end()) continue;
    const std::string near = nearest(name, kKeys);
    return reader.at(key.source(), "unknown key \"" + name + "\"" +
                                       (near.empty() ? "" : "; did you mean \"" + near + "\"?"));
  }
  TRY(check_fixed(reader));
  ASSIGN_OR_RETURN(StorageSettings settings, read_shape(reader));
  if (const toml::node* node = table->get("checksum_algorithm"); node != nullptr) {
    auto kind = parse_checksum_kind(node->value_or(std::string()));
    if (!kind) return reader.at(node->source(), kind.error().message());
    settings.checksum = *kind;
  }
  return settings;
}

}  // namespace

Result<StorageSettings> parse_storage(std::string_view text, const std::string& source) {
  try {
    const toml::table root = toml::parse(text, source);
    return from_table(root, source);
  } catch (const toml::parse_error& error) {
    return Error(ErrorCode::kInvalid, EINVAL,
                 source + ":" + std::to_string(error.source().begin.line) + ":" +
                     std::to_string(error.source().begin.column) + ": " + std::string(error.description()));
  }
}

Result<StorageSettings> load_storage(const std::string& path) {
  std::ifstream in(path);
  if (!in) return errno_error(errno, "read " + path);
  std::ostringstream text;
  text << in.rdbuf();
  return parse_storage(text.str(), path);
}

}  // namespace stavefs::cli
