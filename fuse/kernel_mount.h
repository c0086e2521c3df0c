// The kernel's side of a mount: checks before it, mount(2), the mount table, read-ahead, and taking it away
// again.
//
// As root the connection is made here with mount(2); otherwise libfuse asks the set-uid helper fusermount3.
//
// Threads: functions without shared state.

#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/result.h"

namespace stavefs {

/// One line of /proc/self/mountinfo.
struct MountEntry {
  std::string device;  ///< "major:minor"
  std::string path;
  std::string type;  ///< e.g. "fuse.stavefs"
  std::string source;
};

/// Parses a line of proc_pid_mountinfo(5), octal escapes resolved; nothing when it has another form.
std::optional<MountEntry> parse_mountinfo_line(const std::string& line);
/// The topmost mount whose mount point is exactly `path` (absolute, without symlinks).
std::optional<MountEntry> find_mount(const std::string& path);

/// Options of a mount in the forms that mount(2) and fusermount3 take them.
struct KernelOptions {
  unsigned long flags = 0;         ///< MS_*
  std::vector<std::string> words;  ///< the same for fusermount3: "ro", "nosuid", ...
  bool allow_other = false;
  bool debug = false;  ///< libfuse prints every request
};

/// Reads options as written after -o (each element may hold several, separated by commas); those that only
/// fstab's readers care for are skipped.  kInvalid names one that is unknown.
Result<KernelOptions> parse_options(const std::vector<std::string>& options);

/// Turns `path` into an absolute one without symlinks.  kNotFound when it is missing, kInvalid when it is no
/// directory, kBusy when something is mounted there.  A dead connection of this program (its daemon was
/// killed) is detached first, when `subtype` is its type.
Result<std::string> prepare_mount_point(const std::string& path, const std::string& subtype);

/// Opens /dev/fuse; the error says what to do.
Result<int> open_fuse_device();

/// mount(2) of the connection `fd`.
Status mount_connection(int fd, const std::string& path, const std::string& source,
                        const std::string& subtype, const KernelOptions& options);

/// kUnsupported when fusermount3 is not installed.
Status check_fusermount();

/// Ways to take a mount away.
enum class UnmountMode {
  kPlain,  ///< kBusy when it is in use
  kLazy,   ///< leaves the tree; goes when its last user has gone
  kAbort,  ///< as kLazy, and every request that waits for an answer fails (as root)
};
Status unmount(const std::string& path, UnmountMode mode);

/// Sets how far the kernel reads ahead on the mount at `path`; needs root.
Status set_read_ahead(const std::string& path, unsigned kib);

}  // namespace stavefs
