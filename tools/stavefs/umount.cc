// stavefs umount: everything is made durable, the mount goes, and the command ends when the daemon has let go
// of the disks.

#include <dirent.h>
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <thread>

#include "control/control_server.h"
#include "control/paths.h"
#include "tools/stavefs/cli.h"

namespace stavefs::cli {
namespace {

bool inside(const std::string& path, const std::string& directory) {
  return path == directory || path.starts_with(directory + "/");
}

std::string link_target(const std::string& path) {
  std::error_code error;
  return std::filesystem::read_symlink(path, error).string();
}

bool process_uses(const std::string& proc, const std::string& directory) {
  for (const char* name : {"/cwd", "/root", "/exe"}) {
    if (inside(link_target(proc + name), directory)) return true;
  }
  std::error_code error;
  for (auto it = std::filesystem::directory_iterator(proc + "/fd", error);
       !error && it != std::filesystem::directory_iterator(); it.increment(error)) {
    if (inside(link_target(it->path().string()), directory)) return true;
  }
  std::ifstream maps(proc + "/maps");
  for (std::string line; std::getline(maps, line);) {
    const size_t slash = line.find('/');
    if (slash != std::string::npos && inside(line.substr(slash), directory)) return true;
  }
  return false;
}

/// "bash (1234), vim (99)": who keeps a mount busy, as far as we may look.
std::string users_of(const std::string& directory) {
  std::string text;
  std::error_code error;
  for (auto it = std::filesystem::directory_iterator("/proc", error);
       !error && it != std::filesystem::directory_iterator(); it.increment(error)) {
    const std::string pid = it->path().filename().string();
    if (pid.empty() || pid.find_first_not_of("0123456789") != std::string::npos) continue;
    if (!process_uses(it->path().string(), directory)) continue;
    std::string name;
    std::ifstream comm(it->path().string() + "/comm");
    std::getline(comm, name);
    text += (text.empty() ? "" : ", ") + name + " (" + pid + ")";
  }
  return text;
}

/// umount2(2), or fusermount3 for those who may not.  0 or a positive errno.
int unmount_kernel(const std::string& directory) {
  if (::umount2(directory.c_str(), UMOUNT_NOFOLLOW) == 0) return 0;
  if (errno != EPERM) return errno;
  const pid_t child = ::fork();
  if (child == 0) {
    ::execlp("fusermount3", "fusermount3", "-q", "-u", "--", directory.c_str(), nullptr);
    std::_Exit(127);
  }
  int status = 0;
  if (child < 0 || ::waitpid(child, &status, 0) < 0) return errno;
  return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : EBUSY;
}

Status sync_pool(const std::string& pool) {
  TRY(ask(pool, "POST", "/v1/sync"));
  return ok();
}

/// The daemon answers on its socket until it has let go of the disks; then it tells what went wrong.
Status wait_for_end(const std::string& pool) {
  constexpr auto kLongest = std::chrono::minutes(10);
  const auto deadline = std::chrono::steady_clock::now() + kLongest;
  while (std::chrono::steady_clock::now() < deadline) {
    const auto answer = ask(pool, "GET", "/v1/alive");
    if (!answer && no_daemon(answer.error())) {
      // A daemon removes its socket when it ends; one that died leaves it.
      if (::access(socket_path(pool).c_str(), F_OK) != 0) return ok();
      return Error(ErrorCode::kIo, 0,
                   "unmounted, but the daemon died before it had finished: what was not fsynced may be gone; "
                   "mount the pool again");
    }
    if (answer && !answer->value("failure", std::string()).empty()) {
      return Error(ErrorCode::kIo, 0,
                   "unmounted, but the daemon could not finish: " + answer->value("failure", std::string()));
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  return Error(ErrorCode::kBusy, 0, "unmounted, but the daemon has not finished; do not remove disks yet");
}

}  // namespace

int umount(const Globals& globals, const std::string& directory, bool force) {
  const std::string path = mount_point_path(directory);
  std::string pool;
  for (const MountEntry& entry : stavefs_mounts()) {
    if (entry.directory == path) pool = entry.pool;
  }
  if (pool.empty()) {
    return fail(globals,
                Error(ErrorCode::kInvalid, EINVAL, directory + " is not the mount point of a stavefs pool"),
                kFailed);
  }
  // Nobody serves a mount whose daemon was killed; and a pool of the same name may be another user's.
  const bool served = served_mount_point(pool) == path;
  const Status synced = served ? sync_pool(pool) : ok();
  if (!synced && !force) {
    return fail(globals,
                Error(ErrorCode::kIo, 0,
                      "what was written cannot be made durable: " + synced.error().message() +
                          "; still mounted. To give it up: stavefs umount --force " + shell_word(directory)),
                kFailed);
  }
  const int error = unmount_kernel(path);
  if (error == EBUSY) {
    const std::string users = users_of(path);
    return fail(
        globals,
        Error(ErrorCode::kBusy, 0,
              directory + " is in use" + (users.empty() ? "" : " by " + users) + "; end them and try again"),
        kBusy);
  }
  if (error != 0) return fail(globals, errno_error(error, "unmount " + directory), kFailed);
  if (served) {
    if (auto ended = wait_for_end(pool); !ended)
      return fail(globals, ended.error(), exit_code_of(ended.error()));
  }
  if (globals.json) print_json({{"output_version", 1}, {"pool", pool}, {"unmounted", path}});
  return kOk;
}

}  // namespace stavefs::cli
