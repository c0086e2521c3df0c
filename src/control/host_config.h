// The host's file of a pool, CONFIG/POOL.toml: where its disks are and how it is mounted here.  Policy lives
// in the pool.
//
//   name = "tank"
//   id = "8-4-4-4-12"
//   disks = ["/disks/1", ...]    # absolute
//   mount_point = "/tank"        # optional
//   memory = "2G"                # optional; K, M, G, T are powers of 1024
//
// An unknown key is an error with line, column and the nearest key.

#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/uuid.h"

namespace stavefs {

inline constexpr uint64_t kMinMemoryBytes = uint64_t{256} << 20;

struct HostConfig {
  std::string name;
  Uuid id;
  std::vector<std::string> disks;
  std::string mount_point;
  uint64_t memory_bytes = uint64_t{2} << 30;

  bool operator==(const HostConfig&) const = default;
};

/// Parses the text of such a file; `source` names it in errors.
Result<HostConfig> parse_host_config(std::string_view text, const std::string& source);
std::string format_host_config(const HostConfig& config);

/// kInvalid when the file would not be read back as `config`: a path that is no UTF-8, or is relative.
Status check_host_config(const HostConfig& config);
/// kNotFound names the nearest known pool; kInvalid when the file describes another one.
Result<HostConfig> load_host_config(const std::string& pool);
/// Checked, written beside, synced, renamed.
Status save_host_config(const HostConfig& config);
/// "50M" -> bytes; kInvalid.
Result<uint64_t> parse_bytes(std::string_view text);
/// "1.5 GiB".
std::string format_bytes(uint64_t bytes);

}  // namespace stavefs
