#include "fuse/kernel_mount.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <spawn.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <sstream>
#include <string_view>

#include "base/log.h"

extern char** environ;

namespace stavefs {
namespace {

std::string unescape(std::string_view text) {
  std::string plain;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 3 < text.size() && text[i + 1] >= '0' && text[i + 1] <= '3') {
      plain.push_back(
          static_cast<char>((text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 + (text[i + 3] - '0')));
      i += 3;
    } else {
      plain.push_back(text[i]);
    }
  }
  return plain;
}

struct FlagWord {
  std::string_view word;
  unsigned long set;
  unsigned long clear;
};
constexpr std::array kFlagWords = {
    FlagWord{"ro", MS_RDONLY, 0},
    FlagWord{"rw", 0, MS_RDONLY},
    FlagWord{"nosuid", MS_NOSUID, 0},
    FlagWord{"suid", 0, MS_NOSUID},
    FlagWord{"nodev", MS_NODEV, 0},
    FlagWord{"dev", 0, MS_NODEV},
    FlagWord{"noexec", MS_NOEXEC, 0},
    FlagWord{"exec", 0, MS_NOEXEC},
    FlagWord{"noatime", MS_NOATIME, 0},
    FlagWord{"atime", 0, MS_NOATIME},
    FlagWord{"nodiratime", MS_NODIRATIME, 0},
    FlagWord{"relatime", MS_RELATIME, 0},
    FlagWord{"sync", MS_SYNCHRONOUS, 0},
    FlagWord{"async", 0, MS_SYNCHRONOUS},
    FlagWord{"dirsync", MS_DIRSYNC, 0},
};

bool is_for_fstab_readers(std::string_view word) {
  constexpr std::array<std::string_view, 9> kWords = {
      "defaults", "auto", "noauto", "nofail", "_netdev", "user", "users", "nouser", "default_permissions"};
  return std::find(kWords.begin(), kWords.end(), word) != kWords.end() || word.starts_with("x-") ||
         word.starts_with("comment=");
}

Status apply_option(std::string_view word, KernelOptions& options) {
  for (const FlagWord& flag : kFlagWords) {
    if (flag.word != word) continue;
    options.flags = (options.flags & ~flag.clear) | flag.set;
    options.words.emplace_back(word);
    return ok();
  }
  if (word == "allow_other") {
    options.allow_other = true;
  } else if (word == "debug") {
    options.debug = true;
  } else if (!word.empty() && !is_for_fstab_readers(word)) {
    return Error(ErrorCode::kInvalid, EINVAL, fmt::format("unknown mount option '{}'", word));
  }
  return ok();
}

std::string find_program(const std::string& name) {
  std::istringstream path(std::getenv("PATH") != nullptr ? std::getenv("PATH") : "");
  std::vector<std::string> directories = {"/usr/bin", "/bin", "/usr/local/bin"};
  for (std::string directory; std::getline(path, directory, ':');) directories.push_back(directory);
  for (const std::string& directory : directories) {
    std::string candidate = directory + "/" + name;
    if (access(candidate.c_str(), X_OK) == 0) return candidate;
  }
  return {};
}

/// Runs fusermount3 and returns its exit status.
Result<int> run_fusermount(const std::vector<std::string>& arguments) {
  const std::string program = find_program("fusermount3");
  if (program.empty()) return check_fusermount().error();
  std::vector<char*> argv = {const_cast<char*>(program.c_str())};
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  pid_t child = 0;
  if (const int failure = posix_spawn(&child, program.c_str(), nullptr, nullptr, argv.data(), environ);
      failure != 0) {
    return errno_error(failure, "start " + program);
  }
  int status = 0;
  while (waitpid(child, &status, 0) < 0) {
    if (errno != EINTR) return errno_error(errno, "wait for " + program);
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

}  // namespace

std::optional<MountEntry> parse_mountinfo_line(const std::string& line) {
  // 36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue
  std::istringstream in(line);
  std::string id, parent, root, options, word;
  MountEntry entry;
  if (!(in >> id >> parent >> entry.device >> root >> entry.path >> options)) return std::nullopt;
  while (in >> word && word != "-") {
  }
  if (!(in >> entry.type >> entry.source)) return std::nullopt;
  entry.path = unescape(entry.path);
  entry.source = unescape(entry.source);
  return entry;
}

std::optional<MountEntry> find_mount(const std::string& path) {
  std::ifstream table("/proc/self/mountinfo");
  std::optional<MountEntry> found;
  for (std::string line; std::getline(table, line);) {
    std::optional<MountEntry> entry = parse_mountinfo_line(line);
    if (entry && entry->path == path) found = std::move(entry);  // later lines lie on top
  }
  return found;
}

Result<KernelOptions> parse_options(const std::vector<std::string>& options) {
  KernelOptions parsed;
  for (const std::string& element : options) {
    std::istringstream words(element);
    for (std::string word; std::getline(words, word, ',');) TRY(apply_option(word, parsed));
  }
  return parsed;
}

namespace {

/// True when the program behind a FUSE mount has died.  A plain stat(2) may be answered from what the kernel
/// has kept.
bool is_dead(const std::string& path) {
  struct statx root = {};
  return statx(AT_FDCWD, path.c_str(), AT_STATX_FORCE_SYNC, STATX_BASIC_STATS, &root) != 0 &&
         errno == ENOTCONN;
}

/// Absolute; without symlinks as far as the parent, because a dead root itself cannot be looked at.
std::string absolute_path(const std::string& path) {
  std::error_code failure;
  std::filesystem::path absolute = std::filesystem::absolute(path, failure).lexically_normal();
  if (!absolute.has_filename()) absolute = absolute.parent_path();
  const std::filesystem::path parent = std::filesystem::canonical(absolute.parent_path(), failure);
  return failure ? absolute.string() : (parent / absolute.filename()).string();
}

}  // namespace

Result<std::string> prepare_mount_point(const std::string& path, const std::string& subtype) {
  std::string absolute = absolute_path(path);
  if (const std::optional<MountEntry> there = find_mount(absolute);
      there && there->type.starts_with("fuse")) {
    if (is_dead(absolute) && there->type == "fuse." + subtype) {
      log_warning("the mount at {} was left behind by a daemon that died: detached", absolute);
      TRY(unmount(absolute, UnmountMode::kLazy));
    } else if (is_dead(absolute)) {
      return Error(
          ErrorCode::kBusy, EBUSY,
          fmt::format(
              "mount point {} is busy: it holds a FUSE mount ({}) whose program has died; run: umount {}",
              absolute, there->type, absolute));
    }
  }
  struct stat st = {};
  if (stat(path.c_str(), &st) != 0) {
    if (errno != ENOENT) return errno_error(errno, "mount point " + path);
    return Error(ErrorCode::kNotFound, ENOENT,
                 fmt::format("mount point {} does not exist; make it with: mkdir -p {}", path, path));
  }
  if (!S_ISDIR(st.st_mode)) {
    return Error(ErrorCode::kInvalid, ENOTDIR, fmt::format("mount point {} is not a directory", path));
  }
  const std::unique_ptr<char, decltype(&free)> real(realpath(path.c_str(), nullptr), &free);
  if (!real) return errno_error(errno, "mount point " + path);
  absolute = real.get();
  if (const std::optional<MountEntry> there = find_mount(absolute)) {
    return Error(ErrorCode::kBusy, EBUSY,
                 fmt::format("mount point {} is busy: {} ({}) is mounted there", absolute, there->source,
                             there->type));
  }
  return absolute;
}

Result<int> open_fuse_device() {
  const int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);
  if (fd >= 0) return fd;
  if (errno == ENOENT || errno == ENODEV || errno == ENXIO) {
    return Error(ErrorCode::kUnsupported, ENODEV,
                 "/dev/fuse is not there: the kernel has no FUSE; load it with: modprobe fuse");
  }
  if (errno == EACCES || errno == EPERM) {
    return Error(ErrorCode::kNoPermission, errno,
                 "/dev/fuse may not be opened: it should have mode 0666, and a container needs --device "
                 "/dev/fuse --cap-add SYS_ADMIN");
  }
  return errno_error(errno, "open /dev/fuse");
}

Status mount_connection(int fd, const std::string& path, const std::string& source,
                        const std::string& subtype, const KernelOptions& options) {
  const std::string data = fmt::format("fd={},rootmode=40000,user_id={},group_id={},default_permissions{}",
                                       fd, getuid(), getgid(), options.allow_other ? ",allow_other" : "");
  const std::string type = "fuse." + subtype;
  if (::mount(source.c_str(), path.c_str(), type.c_str(), options.flags, data.c_str()) == 0) return ok();
  if (errno == EPERM || errno == EACCES) {
    return Error(
        ErrorCode::kNoPermission, errno,
        fmt::format("the kernel does not allow to mount at {}; mounting needs root (CAP_SYS_ADMIN)", path));
  }
  return errno_error(errno, fmt::format("mount {} at {}", source, path));
}

Status check_fusermount() {
  if (!find_program("fusermount3").empty()) return ok();
  return Error(ErrorCode::kUnsupported, ENOENT,
               "fusermount3, which mounts for users without root, is not installed; run: apt install fuse3");
}

Status unmount(const std::string& path, UnmountMode mode) {
  const bool lazy = mode != UnmountMode::kPlain;
  const int flags = UMOUNT_NOFOLLOW | (lazy ? MNT_DETACH : 0) | (mode == UnmountMode::kAbort ? MNT_FORCE : 0);
  if (umount2(path.c_str(), flags) == 0) return ok();
  if (errno == EPERM) {
    std::vector<std::string> arguments = {"-u", "-q"};
    if (lazy) arguments.push_back("-z");
    arguments.push_back(path);
    ASSIGN_OR_RETURN(const int status, run_fusermount(arguments));
    if (status == 0) return ok();
    return Error(ErrorCode::kBusy, EBUSY, fmt::format("fusermount3 could not unmount {}", path));
  }
  return errno_error(errno, "unmount " + path);
}

Status set_read_ahead(const std::string& path, unsigned kib) {
  const std::optional<MountEntry> entry = find_mount(path);
  if (!entry) return Error(ErrorCode::kNotFound, ENOENT, fmt::format("{} is not in the mount table", path));
  const std::string file = fmt::format("/sys/class/bdi/{}/read_ahead_kb", entry->device);
  const int fd = open(file.c_str(), O_WRONLY | O_CLOEXEC);
  if (fd < 0) return errno_error(errno, "open " + file);
  const std::string value = std::to_string(kib);
  const ssize_t written = write(fd, value.data(), value.size());
  const int failure = written < 0 ? errno : 0;
  close(fd);
  if (failure != 0) return errno_error(failure, "write " + file);
  return ok();
}

}  // namespace stavefs
