// The command line: one function per command, each returning an exit code.
//
// Exit codes: 0 ok, 1 failed, 2 usage, 3 data that cannot be repaired, 4 degraded, 5 busy, 10 no such pool,
// 11 in use by another daemon.

#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/result.h"
#include "control/host_config.h"

namespace stavefs::cli {

enum ExitCode : int {
  kOk = 0,
  kFailed = 1,
  kUsage = 2,
  kDamaged = 3,
  kDegraded = 4,
  kBusy = 5,
  kNoSuchPool = 10,
  kInUse = 11,
};

/// What every command may be told.
struct Globals {
  bool json = false;
};

struct CreateArguments {
  std::string pool;
  std::vector<std::string> directories;
  std::string geometry;  ///< empty: from the storage file, else by the number of disks
  std::string checksum;  ///< likewise
  std::string storage_file;
  bool dry_run = false;
  bool demo = false;
};
int create(const Globals& globals, const CreateArguments& arguments);

struct MountArguments {
  std::string pool;
  std::string directory;  ///< empty: the mount point in the pool's file
  bool foreground = false;
  bool force_degraded = false;
  std::vector<std::string> options;  ///< of -o, split at commas
};
int mount(const Globals& globals, const MountArguments& arguments);
/// Called as mount.stavefs by mount(8): SOURCE DIR [-sfnv] [-o OPTIONS].
int mount_helper(int argc, char** argv);
int umount(const Globals& globals, const std::string& directory, bool force);

int enable(const Globals& globals, const std::string& pool, const std::string& directory);
int disable(const Globals& globals, const std::string& pool);

/// Without directories: looks at every mounted filesystem of this host.
int import_pools(const Globals& globals, const std::vector<std::string>& directories);
int status(const Globals& globals, const std::string& pool);
int disk_list(const Globals& globals, const std::string& pool);
int bucket_create(const Globals& globals, const std::string& pool, const std::string& bucket,
                  const std::vector<std::string>& properties);
int bucket_list(const Globals& globals, const std::string& pool);
int bucket_delete(const Globals& globals, const std::string& pool, const std::string& bucket);
int info(const Globals& globals, const std::string& path);

// Shared by the commands.

/// Prints a failure for people (or, with --json, as {"error": ...}) and returns `code`.
int fail(const Globals& globals, const Error& error, int code);
nlohmann::json error_json(const Error& error, int code);
/// The exit code that fits an error of the library.
int exit_code_of(const Error& error);
void print_json(const nlohmann::json& document);

/// Asks a mounted pool's daemon.  An error for which no_daemon() is true when there is none, kNoPermission
/// when there is one of another user; the daemon's own error otherwise.
Result<nlohmann::json> ask(const std::string& pool, const std::string& method, const std::string& path,
                           const nlohmann::json& body = nullptr);
bool no_daemon(const Error& error);
/// Where the pool's daemon has mounted it; "" when there is no daemon.
std::string served_mount_point(const std::string& pool);
/// ask(), with the error explained for people: no such pool (is_unknown_pool), not mounted.
Result<nlohmann::json> ask_mounted(const std::string& pool, const std::string& method,
                                   const std::string& path, const nlohmann::json& body = nullptr);

bool is_unknown_pool(const Error& error);

/// A mount, from /proc/self/mountinfo.
struct MountEntry {
  std::string pool;  ///< the mount's source
  std::string directory;
  std::string type;
};
std::vector<MountEntry> all_mounts();
std::vector<MountEntry> stavefs_mounts();
/// kInvalid when a mount at `directory` (absolute, real) would lie in a disk of a known pool, or hide one.
Status check_mount_point(const std::string& directory);
/// The mount that `path` (which must exist) lies in, and the rest of the path.
struct MountedPath {
  MountEntry mount;
  std::string relative;
};
Result<MountedPath> find_mount(const std::string& path);
/// Absolute, and real as far as it can be reached: a mount whose daemon was killed cannot be looked at.
std::string mount_point_path(const std::string& directory);
/// realpath(3) as a Result.
Result<std::string> real_path(const std::string& path);

}  // namespace stavefs::cli
