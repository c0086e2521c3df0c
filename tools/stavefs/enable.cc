// stavefs enable and disable: a pool is mounted at boot by systemd's stavefs@POOL.service.

#include <spawn.h>
#include <sys/wait.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include <cstdio>

#include "control/control_server.h"
#include "control/report_json.h"
#include "tools/stavefs/cli.h"

extern char** environ;

namespace stavefs::cli {
namespace {

std::string unit_of(const std::string& pool) { return "stavefs@" + pool + ".service"; }

/// `fallback` is what to do on a host without systemd.
Status check_systemd(const std::string& fallback) {
  if (sd_booted() <= 0) {
    return Error(ErrorCode::kUnsupported, 0, "this host does not run systemd; " + fallback);
  }
  if (geteuid() != 0) return Error(ErrorCode::kNoPermission, 0, "services of the host need root");
  return ok();
}

Status systemctl(std::vector<std::string> words) {
  words.insert(words.begin(), "systemctl");
  std::string line;
  std::vector<char*> argv;
  for (std::string& word : words) {
    line += (line.empty() ? "" : " ") + word;
    argv.push_back(word.data());
  }
  argv.push_back(nullptr);
  pid_t child = 0;
  if (const int error = ::posix_spawnp(&child, "systemctl", nullptr, nullptr, argv.data(), environ);
      error != 0) {
    return errno_error(error, line);
  }
  int status = 0;
  while (::waitpid(child, &status, 0) < 0) {
    if (errno != EINTR) return errno_error(errno, line);
  }
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return ok();
  return Error(ErrorCode::kIo, 0, "\"" + line + "\" failed");
}

}  // namespace

int enable(const Globals& globals, const std::string& pool, const std::string& directory) {
  auto config = load_host_config(pool);
  if (!config) return fail(globals, config.error(), is_unknown_pool(config.error()) ? kNoSuchPool : kUsage);
  if (auto possible = check_systemd("mount at boot by a line of /etc/fstab instead: " + pool + " " +
                                    shell_word(directory) + " stavefs nofail 0 0");
      !possible) {
    return fail(globals, possible.error(), kFailed);
  }
  auto real = real_path(directory);
  if (!real) {
    return fail(
        globals,
        Error(ErrorCode::kNotFound, real.error().errno_value(),
              "the mount point " + directory + " cannot be used; make it: mkdir " + shell_word(directory)),
        kFailed);
  }
  if (auto fits = check_mount_point(*real); !fits) return fail(globals, fits.error(), kUsage);
  const std::string there = served_mount_point(pool);
  const bool mounted = !there.empty();
  if (mounted && there != *real) {
    return fail(
        globals,
        Error(ErrorCode::kBusy, 0, "pool \"" + pool + "\" is mounted on " + there + "; unmount it first"),
        kInUse);
  }
  const HostConfig before = *config;
  config->mount_point = *real;
  if (auto saved = save_host_config(*config); !saved) return fail(globals, saved.error(), kFailed);
  std::vector<std::string> words = {"enable", unit_of(pool)};
  if (!mounted) words.insert(words.begin() + 1, "--now");
  if (auto done = systemctl(words); !done) {
    if (auto restored = save_host_config(before); !restored) fail(Globals{}, restored.error(), kFailed);
    return fail(globals, done.error(), kFailed);
  }
  if (globals.json) {
    print_json(
        {{"output_version", kOutputVersion}, {"pool", pool}, {"mount_point", *real}, {"enabled", true}});
  } else {
    std::printf("pool %s is mounted on %s, now and at every boot\n", pool.c_str(), real->c_str());
  }
  return kOk;
}

int disable(const Globals& globals, const std::string& pool) {
  auto config = load_host_config(pool);
  if (!config) return fail(globals, config.error(), is_unknown_pool(config.error()) ? kNoSuchPool : kUsage);
  if (auto possible = check_systemd("remove the pool's line from /etc/fstab, if there is one"); !possible)
    return fail(globals, possible.error(), kFailed);
  if (auto done = systemctl({"disable", "--now", unit_of(pool)}); !done)
    return fail(globals, done.error(), kFailed);
  if (globals.json) {
    print_json({{"output_version", kOutputVersion}, {"pool", pool}, {"enabled", false}});
  } else {
    std::printf("pool %s is not mounted at boot any more\n", pool.c_str());
  }
  return kOk;
}

}  // namespace stavefs::cli
