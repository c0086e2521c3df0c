#include "control/paths.h"

#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <numeric>
#include <utility>

namespace stavefs {
namespace {

namespace fs = std::filesystem;

/// As seen from any directory.
std::string absolute(const std::string& path) {
  std::error_code error;
  const fs::path full = fs::absolute(path, error);
  return error ? path : full.lexically_normal().string();
}

std::string from_environment(const char* variable) {
  const char* value = std::getenv(variable);
  return value == nullptr ? std::string() : std::string(value);
}

/// `override_variable`, else `system` for root, else XDG's variable or its default below HOME.
std::string choose(const char* override_variable, const char* system, const char* xdg_variable,
                   const std::string& xdg_default) {
  if (const std::string path = from_environment(override_variable); !path.empty()) return absolute(path);
  if (geteuid() == 0) return system;
  // The XDG base directory specification: a relative path is to be ignored.
  if (const std::string path = from_environment(xdg_variable); path.starts_with("/"))
    return path + "/stavefs";
  return xdg_default;
}

/// Insertions, deletions, substitutions and swaps of neighbours (optimal string alignment).
size_t edit_distance(const std::string& a, const std::string& b) {
  std::vector<size_t> before;  // two rows up
  std::vector<size_t> above(b.size() + 1);
  std::iota(above.begin(), above.end(), size_t{0});
  for (size_t i = 1; i <= a.size(); ++i) {
    std::vector<size_t> row(b.size() + 1, i);
    for (size_t j = 1; j <= b.size(); ++j) {
      row[j] = std::min({above[j] + 1, row[j - 1] + 1, above[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1)});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
        row[j] = std::min(row[j], before[j - 2] + 1);
    }
    before = std::exchange(above, std::move(row));
  }
  return above[b.size()];
}

}  // namespace

std::string config_directory() {
  return choose("STAVEFS_CONFIG_DIR", "/etc/stavefs", "XDG_CONFIG_HOME",
                from_environment("HOME") + "/.config/stavefs");
}
std::string state_directory() {
  return choose("STAVEFS_STATE_DIR", "/var/lib/stavefs", "XDG_STATE_HOME",
                from_environment("HOME") + "/.local/state/stavefs");
}
std::string run_directory() {
  return choose("STAVEFS_RUN_DIR", "/run/stavefs", "XDG_RUNTIME_DIR",
                from_environment("HOME") + "/.local/state/stavefs/run");
}

void pin_directories() {
  ::setenv("STAVEFS_CONFIG_DIR", config_directory().c_str(), 1);
  ::setenv("STAVEFS_STATE_DIR", state_directory().c_str(), 1);
  ::setenv("STAVEFS_RUN_DIR", run_directory().c_str(), 1);
}

std::string config_path(const std::string& pool) { return config_directory() + "/" + pool + ".toml"; }
std::string witness_path(const std::string& pool) { return state_directory() + "/" + pool + ".witness"; }
std::string socket_path(const std::string& pool) { return run_directory() + "/" + pool + ".sock"; }

Status make_directories(const std::string& path) {
  std::error_code error;
  fs::create_directories(path, error);
  if (error) return errno_error(error.value(), "make directory " + path);
  return ok();
}

std::vector<std::string> known_pools() {
  std::vector<std::string> pools;
  std::error_code error;
  for (auto it = fs::directory_iterator(config_directory(), error); !error && it != fs::directory_iterator();
       it.increment(error)) {
    if (it->path().extension() == ".toml") pools.push_back(it->path().stem().string());
  }
  std::sort(pools.begin(), pools.end());
  return pools;
}

std::string nearest(const std::string& word, const std::vector<std::string>& candidates) {
  std::string best;
  size_t best_distance = std::max<size_t>(word.size() / 3, 1) + 1;
  for (const std::string& candidate : candidates) {
    const size_t distance = edit_distance(word, candidate);
    if (distance < best_distance) {
      best_distance = distance;
      best = candidate;
    }
  }
  return best;
}

}  // namespace stavefs
