#include "control/host_config.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <toml++/toml.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cstdio>
#include <fstream>
#include <sstream>

#include "control/paths.h"

namespace stavefs {
namespace {

const std::vector<std::string> kKeys = {"name", "id", "disks", "mount_point", "memory"};

Error at(const std::string& source, const toml::source_region& region, const std::string& message) {
  return Error(ErrorCode::kInvalid, EINVAL,
               source + ":" + std::to_string(region.begin.line) + ":" + std::to_string(region.begin.column) +
                   ": " + message);
}

Result<HostConfig> from_table(const toml::table& table, const std::string& source) {
  HostConfig config;
  for (const auto& [key, node] : table) {
    const std::string name(key.str());
    if (std::find(kKeys.begin(), kKeys.end(), name) == kKeys.end()) {
      const std::string near = nearest(name, kKeys);
      return at(source, key.source(),
                "unknown key \"" + name + "\"" + (near.empty() ? "" : "; did you mean \"" + near + "\"?"));
    }
    if (name == "disks") {
      const toml::array* disks = node.as_array();
      if (disks == nullptr || disks->empty())
        return at(source, node.source(), "disks must be a list of directories");
      for (const auto& disk : *disks) {
        const auto path = disk.value<std::string>();
        if (!path || !disk.is_string())
          return at(source, disk.source(), "a disk must be the path of a directory");
        if (!path->starts_with("/"))
          return at(source, disk.source(), "the path of a disk must start with \"/\"");
        config.disks.push_back(*path);
      }
      continue;
    }
    const auto* text = node.as_string();
    if (text == nullptr) return at(source, node.source(), name + " must be a string");
    const std::string& value = text->get();
    if (name == "name") config.name = value;
    if (name == "mount_point") {
      if (!value.starts_with("/")) return at(source, node.source(), "mount_point must start with \"/\"");
      config.mount_point = value;
    }
    if (name == "id") {
      auto id = Uuid::parse(value);
      if (!id) return at(source, node.source(), id.error().message());
      config.id = *id;
    }
    if (name == "memory") {
      auto bytes = parse_bytes(value);
      if (!bytes) return at(source, node.source(), bytes.error().message());
      if (*bytes < kMinMemoryBytes)
        return at(source, node.source(), "memory must be at least " + format_bytes(kMinMemoryBytes));
      config.memory_bytes = *bytes;
    }
  }
  if (config.name.empty() || config.disks.empty()) {
    return Error(ErrorCode::kInvalid, EINVAL, source + ": name and disks are required");
  }
  return config;
}

/// As parse_bytes reads it, in the largest unit without a fraction.
std::string exact_bytes(uint64_t bytes) {
  const std::string_view units = "KMGT";
  size_t unit = 0;
  while (unit < units.size() && bytes != 0 && bytes % 1024 == 0) {
    bytes /= 1024;
    ++unit;
  }
  return std::to_string(bytes) + (unit == 0 ? "" : std::string(1, units[unit - 1]));
}

std::string quoted(const std::string& text) {
  std::ostringstream out;
  out << toml::value<std::string>(text);
  return out.str();
}

}  // namespace

Result<uint64_t> parse_bytes(std::string_view text) {
  uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  std::string_view unit(end, static_cast<size_t>(text.data() + text.size() - end));
  int shift = 0;
  bool good = error == std::errc() && number > 0;
  if (good && !unit.empty()) {
    const std::string_view units = "KMGT";
    const size_t at = units.find(static_cast<char>(std::toupper(static_cast<unsigned char>(unit[0]))));
    unit.remove_prefix(1);
    good = at != std::string_view::npos && (unit.empty() || unit == "iB" || unit == "B");
    shift = static_cast<int>(at + 1) * 10;
  }
  if (!good || number > (uint64_t{1} << 62 >> shift)) {
    return Error(ErrorCode::kInvalid, EINVAL,
                 "\"" + std::string(text) + "\" is not a size: write 512M or 2G");
  }
  return number << shift;
}

std::string format_bytes(uint64_t bytes) {
  static constexpr const char* kUnits[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
  double value = static_cast<double>(bytes);
  size_t unit = 0;
  while (value >= 1024 && unit + 1 < std::size(kUnits)) {
    value /= 1024;
    ++unit;
  }
  char text[32];
  std::snprintf(text, sizeof text, unit == 0 || value >= 100 ? "%.0f %s" : "%.1f %s", value, kUnits[unit]);
  return text;
}

Result<HostConfig> parse_host_config(std::string_view text, const std::string& source) {
  try {
    return from_table(toml::parse(text, source), source);
  } catch (const toml::parse_error& error) {
    return at(source, error.source(), std::string(error.description()));
  }
}

std::string format_host_config(const HostConfig& config) {
  std::string text = "# Where the disks of pool " + config.name +
                     " are on this host; what the pool itself decides is stored in it.\n";
  text += "name = " + quoted(config.name) + "\n";
  text += "id = " + quoted(config.id.to_text()) + "\n";
  text += "disks = [\n";
  for (const std::string& disk : config.disks) text += "  " + quoted(disk) + ",\n";
  text += "]\n";
  if (!config.mount_point.empty()) text += "mount_point = " + quoted(config.mount_point) + "\n";
  text += "memory = \"" + exact_bytes(config.memory_bytes) + "\"\n";
  return text;
}

Result<HostConfig> load_host_config(const std::string& pool) {
  const std::string path = config_path(pool);
  std::ifstream in(path);
  if (!in) {
    const std::string near = nearest(pool, known_pools());
    return Error(ErrorCode::kNotFound, ENOENT,
                 "no pool \"" + pool + "\" on this host (" + path + " is not there)" +
                     (near.empty() ? "; to make one: stavefs create " + pool + " DIR..."
                                   : "; did you mean \"" + near + "\"?"));
  }
  std::ostringstream text;
  text << in.rdbuf();
  ASSIGN_OR_RETURN(HostConfig config, parse_host_config(text.str(), path));
  if (config.name != pool) {
    return Error(ErrorCode::kInvalid, EINVAL,
                 path + ": is named for pool \"" + pool + "\" but describes pool \"" + config.name + "\"");
  }
  return config;
}

Status check_host_config(const HostConfig& config) {
  const auto read_back = parse_host_config(format_host_config(config), "this pool's file");
  if (read_back && *read_back == config) return ok();
  return Error(ErrorCode::kInvalid, EINVAL,
               "a path cannot be written to a configuration file (is it UTF-8?)" +
                   (read_back ? std::string() : ": " + read_back.error().message()));
}

Status save_host_config(const HostConfig& config) {
  TRY(check_host_config(config));
  TRY(make_directories(config_directory()));
  const std::string path = config_path(config.name);
  const std::string temporary = path + ".new";
  const std::string text = format_host_config(config);
  const int fd = ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (fd < 0) return errno_error(errno, "write " + temporary);
  const ssize_t n = ::write(fd, text.data(), text.size());
  const bool written = n == static_cast<ssize_t>(text.size()) && ::fsync(fd) == 0;
  const int error = errno;
  ::close(fd);
  if (!written) {
    ::unlink(temporary.c_str());
    return errno_error(n >= 0 && n < static_cast<ssize_t>(text.size()) ? ENOSPC : error,
                       "write " + temporary);
  }
  if (::rename(temporary.c_str(), path.c_str()) != 0) return errno_error(errno, "rename " + temporary);
  const int directory = ::open(config_directory().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (directory >= 0) {
    (void)::fsync(directory);
    ::close(directory);
  }
  return ok();
}

}  // namespace stavefs
