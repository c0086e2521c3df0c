// Where a host keeps what belongs to its pools: configuration, witness, control socket.
//
// Root: /etc/stavefs, /var/lib/stavefs, /run/stavefs.  Others: the XDG base directories.  STAVEFS_CONFIG_DIR,
// STAVEFS_STATE_DIR and STAVEFS_RUN_DIR override each.

#pragma once

#include <string>
#include <vector>

#include "base/result.h"

namespace stavefs {

std::string config_directory();
std::string state_directory();
std::string run_directory();
/// Keeps the three where they are now, whatever becomes of the working directory.  Not while other threads
/// run.
void pin_directories();

std::string config_path(const std::string& pool);   ///< CONFIG/POOL.toml
std::string witness_path(const std::string& pool);  ///< STATE/POOL.witness
std::string socket_path(const std::string& pool);   ///< RUN/POOL.sock

/// Makes a directory and its parents (0755).
Status make_directories(const std::string& path);
/// Pools that this host has a file for, sorted.
std::vector<std::string> known_pools();
/// The candidate nearest to `word` by edit distance, or "" when none is near (more than a third of it
/// differs).
std::string nearest(const std::string& word, const std::vector<std::string>& candidates);

}  // namespace stavefs
