#include "disk/posix_disk.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <mutex>
#include <set>
#include <utility>

#include "disk/names.h"
#include "disk/posix_file.h"

namespace stavefs {

namespace {

constexpr mode_t kFileMode = 0600;
constexpr mode_t kDirectoryMode = 0700;

/// A name resolved to an open directory.  Names are at most one directory deep, so that refusing symbolic
/// links in each step keeps everything below the disk's own directory, whatever a hostile disk holds.
struct Place {
  OwnedFd opened;  // none at the top
  int directory = -1;
  std::string leaf;
};

class PosixDisk final : public Disk {
 public:
  PosixDisk(std::string path, OwnedFd top, const struct stat& identity)
      : path_(std::move(path)), top_(std::move(top)), device_(identity.st_dev), inode_(identity.st_ino) {}

  Result<std::unique_ptr<DiskFile>> open(std::string_view name, const OpenOptions& options) override;
  Status remove(std::string_view name) override;
  Status rename(std::string_view from, std::string_view to) override;
  Result<std::vector<std::string>> list(std::string_view directory) override;
  Status sync_names(std::string_view directory) override;
  Result<DiskSpace> space() override;
  std::string describe() const override { return path_; }
  Status probe() override;

  int top() const { return top_.get(); }

 private:
  Error error(int errno_value, std::string_view what, std::string_view name) const {
    std::string text(what);
    if (!name.empty()) text.append(" ").append(name);
    return errno_error(errno_value, text + " on " + path_);
  }
  Result<Place> resolve(std::string_view name, bool make_directory);
  Result<OwnedFd> open_directory(std::string_view directory, int flags);
  /// openat(2) with O_DIRECT where the host can; `direct` says whether it could.
  int open_leaf(const Place& place, int flags, bool* direct);
  Status sync_top();

  const std::string path_;
  const OwnedFd top_;
  const dev_t device_;
  const ino_t inode_;
  std::atomic<bool> no_direct_{false};  // the host filesystem refused O_DIRECT

  std::mutex mutex_;  // a leaf
  // Guarded by mutex_: directories whose own name is known to be durable.
  std::set<std::string, std::less<>> durable_directories_;
};

Result<OwnedFd> PosixDisk::open_directory(std::string_view directory, int flags) {
  const std::string leaf(directory.empty() ? "." : directory);
  OwnedFd fd(::openat(top(), leaf.c_str(), flags | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (fd.get() < 0) return error(errno, "open directory", directory);
  return fd;
}

Result<Place> PosixDisk::resolve(std::string_view name, bool make_directory) {
  if (!valid_disk_name(name)) return error(EINVAL, "bad name", name);
  Place place;
  place.leaf = leaf_of_name(name);
  place.directory = top();
  const std::string directory(directory_of_name(name));
  if (directory.empty()) return place;
  if (make_directory && ::mkdirat(top(), directory.c_str(), kDirectoryMode) != 0 && errno != EEXIST) {
    return error(errno, "make directory", directory);
  }
  ASSIGN_OR_RETURN(place.opened, open_directory(directory, O_PATH));
  place.directory = place.opened.get();
  return place;
}

int PosixDisk::open_leaf(const Place& place, int flags, bool* direct) {
  const auto attempt = [&](int extra) {
    int fd;
    do {
      fd = ::openat(place.directory, place.leaf.c_str(), flags | extra, kFileMode);
    } while (fd < 0 && errno == EINTR);
    return fd;
  };
  if (*direct && !no_direct_.load(std::memory_order_relaxed)) {
    const int fd = attempt(O_DIRECT);
    if (fd >= 0 || errno != EINVAL) return fd;
    // Kernels before 6.6 may have made the file before they refused the flag.
    flags &= ~O_EXCL;
    no_direct_.store(true, std::memory_order_relaxed);
  }
  *direct = false;
  return attempt(0);
}

Result<std::unique_ptr<DiskFile>> PosixDisk::open(std::string_view name, const OpenOptions& options) {
  ASSIGN_OR_RETURN(const Place place, resolve(name, options.create));
  int flags = O_RDWR | O_CLOEXEC | O_NOFOLLOW;
  if (options.create) flags |= O_CREAT;
  if (options.create && options.exclusive) flags |= O_EXCL;
  PosixFile::Properties properties;
  properties.direct = options.direct;
  OwnedFd fd(open_leaf(place, flags, &properties.direct));
  if (fd.get() < 0 && errno == EROFS && !options.create && !options.truncate) {
    properties.read_only = true;
    properties.direct = options.direct;
    // O_NONBLOCK: what stands there may be a FIFO; the flag is meaningless, and taken back, on a regular
    // file.
    fd = OwnedFd(open_leaf(place, (flags & ~O_ACCMODE) | O_RDONLY | O_NONBLOCK, &properties.direct));
    if (fd.get() >= 0) {
      const int set = ::fcntl(fd.get(), F_GETFL);
      if (set < 0 || ::fcntl(fd.get(), F_SETFL, set & ~O_NONBLOCK) != 0) return error(errno, "fcntl", name);
    }
  }
  if (fd.get() < 0) return error(errno, "open", name);

  struct stat st;
  if (::fstat(fd.get(), &st) != 0) return error(errno, "fstat", name);
  if (!S_ISREG(st.st_mode)) return error(EINVAL, "not a regular file:", name);
  struct statfs fs;
  if (::fstatfs(fd.get(), &fs) != 0) return error(errno, "fstatfs", name);
  properties.in_memory = fs.f_type == TMPFS_MAGIC || fs.f_type == RAMFS_MAGIC;
  auto file = std::make_unique<PosixFile>(*this, std::string(name), std::move(fd), properties);
  if (options.truncate && st.st_size != 0) TRY(file->truncate(0));
  return std::unique_ptr<DiskFile>(std::move(file));
}

Status PosixDisk::remove(std::string_view name) {
  ASSIGN_OR_RETURN(const Place place, resolve(name, false));
  if (::unlinkat(place.directory, place.leaf.c_str(), 0) != 0) return error(errno, "remove", name);
  return ok();
}

Status PosixDisk::rename(std::string_view from, std::string_view to) {
  ASSIGN_OR_RETURN(const Place source, resolve(from, false));
  ASSIGN_OR_RETURN(const Place target, resolve(to, true));
  if (::renameat(source.directory, source.leaf.c_str(), target.directory, target.leaf.c_str()) != 0) {
    return error(errno, "rename", from);
  }
  return ok();
}

Result<std::vector<std::string>> PosixDisk::list(std::string_view directory) {
  if (!valid_disk_directory(directory)) return error(EINVAL, "bad directory", directory);
  std::vector<std::string> names;
  auto fd = open_directory(directory, O_RDONLY);
  if (!fd) {
    if (fd.error().code() == ErrorCode::kNotFound) return names;
    return std::move(fd.error());
  }
  const std::unique_ptr<DIR, int (*)(DIR*)> stream(::fdopendir(fd->get()), ::closedir);
  if (!stream) return error(errno, "list", directory);
  fd->release();
  for (;;) {
    errno = 0;
    const dirent* entry = ::readdir(stream.get());
    if (entry == nullptr) break;
    const std::string_view name = entry->d_name;
    if (name != "." && name != "..") names.emplace_back(name);
  }
  if (errno != 0) return error(errno, "list", directory);
  std::sort(names.begin(), names.end());
  return names;
}

Status PosixDisk::sync_top() {
  if (::fsync(top()) != 0) return error(errno, "fsync directory", "");
  return ok();
}

Status PosixDisk::sync_names(std::string_view directory) {
  if (!valid_disk_directory(directory)) return error(EINVAL, "bad directory", directory);
  if (directory.empty()) return sync_top();
  auto fd = open_directory(directory, O_RDONLY);
  if (!fd) {
    // Nothing was ever made there.
    if (fd.error().code() == ErrorCode::kNotFound) return ok();
    return std::move(fd.error());
  }
  if (::fsync(fd->get()) != 0) return error(errno, "fsync directory", directory);
  {
    std::lock_guard lock(mutex_);
    if (durable_directories_.contains(directory)) return ok();
  }
  // Whoever made it, this process or one that died since: its name may not be durable yet.
  TRY(sync_top());
  std::lock_guard lock(mutex_);
  durable_directories_.emplace(directory);
  return ok();
}

Result<DiskSpace> PosixDisk::space() {
  struct statvfs vfs;
  if (::fstatvfs(top(), &vfs) != 0) return error(errno, "fstatvfs", "");
  const uint64_t unit = vfs.f_frsize;
  return DiskSpace{.total_bytes = vfs.f_blocks * unit, .free_bytes = vfs.f_bavail * unit};
}

Status PosixDisk::probe() {
  struct stat st;
  if (::stat(path_.c_str(), &st) != 0) {
    const int e = errno;
    return Error(e == ENOENT || e == ENOTDIR ? ErrorCode::kNotFound : ErrorCode::kIo, e, "stat " + path_);
  }
  if (st.st_dev != device_ || st.st_ino != inode_) {
    return Error(ErrorCode::kNotFound, ENODEV, "another directory stands at " + path_);
  }
  return ok();
}

}  // namespace

Result<std::unique_ptr<Disk>> open_posix_disk(const std::string& directory) {
  OwnedFd fd(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (fd.get() < 0) {
    if (errno == ENOTDIR) return Error(ErrorCode::kInvalid, ENOTDIR, directory + " is no directory");
    return errno_error(errno, "open " + directory);
  }
  struct stat st;
  if (::fstat(fd.get(), &st) != 0) return errno_error(errno, "fstat " + directory);
  return std::unique_ptr<Disk>(std::make_unique<PosixDisk>(directory, std::move(fd), st));
}

Result<int> lock_posix_disk(Disk& disk, const char* name) {
  auto* posix = dynamic_cast<PosixDisk*>(&disk);
  if (posix == nullptr || !valid_disk_name(name) || !directory_of_name(name).empty()) {
    return Error(ErrorCode::kInvalid, EINVAL, std::string("cannot lock ") + name + " on " + disk.describe());
  }
  OwnedFd fd(::openat(posix->top(), name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, kFileMode));
  if (fd.get() < 0) return errno_error(errno, std::string("open ") + name + " on " + disk.describe());
  int rc;
  do {
    rc = ::flock(fd.get(), LOCK_EX | LOCK_NB);
  } while (rc != 0 && errno == EINTR);
  if (rc != 0) return errno_error(errno, std::string("lock ") + name + " on " + disk.describe());
  return fd.release();
}

}  // namespace stavefs
