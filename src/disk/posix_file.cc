#include "disk/posix_file.h"

#include <fcntl.h>
#include <linux/falloc.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "disk/ring_files.h"

namespace stavefs {

namespace {

/// Repeats a system call that a signal interrupted.
template <class Call>
int uninterrupted(Call call) {
  int rc;
  do {
    rc = call();
  } while (rc < 0 && errno == EINTR);
  return rc;
}

}  // namespace

OwnedFd& OwnedFd::operator=(OwnedFd&& other) noexcept {
  if (this != &other) {
    if (fd_ >= 0) ::close(fd_);
    fd_ = other.release();
  }
  return *this;
}

OwnedFd::~OwnedFd() {
  if (fd_ >= 0) ::close(fd_);
}

int OwnedFd::release() { return std::exchange(fd_, -1); }

PosixFile::PosixFile(Disk& disk, std::string name, OwnedFd fd, const Properties& properties)
    : DiskFile(disk), name_(std::move(name)), fd_(std::move(fd)), properties_(properties) {}

PosixFile::~PosixFile() {
  // A registered file would stay open, and its space stay taken after removal, as long as the ring lives.
  if (const auto tables = slots_.owner.lock()) tables->release(slots_);
}

Error PosixFile::error(int errno_value, const char* what) const {
  return errno_error(errno_value, std::string(what) + " of " + name_ + " on " + disk().describe());
}

Result<uint64_t> PosixFile::size() {
  struct stat st;
  if (::fstat(fd(), &st) != 0) return error(errno, "fstat");
  return static_cast<uint64_t>(st.st_size);
}

Status PosixFile::allocate(uint64_t bytes) {
  if (bytes == 0) return ok();
  const auto length = static_cast<off_t>(bytes);
  if (uninterrupted([&] { return ::fallocate(fd(), 0, 0, length); }) == 0) return ok();
  if (errno == EOPNOTSUPP) return allocate_sparse(bytes);
  return error(errno, "allocate");
}

Status PosixFile::allocate_sparse(uint64_t bytes) {
  struct stat st;
  if (::fstat(fd(), &st) != 0) return error(errno, "fstat");
  struct statvfs vfs;
  if (::fstatvfs(fd(), &vfs) != 0) return error(errno, "fstatvfs");
  const uint64_t held = static_cast<uint64_t>(st.st_blocks) * 512;
  if (bytes > held && bytes - held > static_cast<uint64_t>(vfs.f_bavail) * vfs.f_frsize) {
    return error(ENOSPC, "allocate");
  }
  return static_cast<uint64_t>(st.st_size) < bytes ? truncate(bytes) : ok();
}

Status PosixFile::truncate(uint64_t bytes) {
  const auto length = static_cast<off_t>(bytes);
  if (uninterrupted([&] { return ::ftruncate(fd(), length); }) != 0) return error(errno, "truncate");
  return ok();
}

Status PosixFile::punch(uint64_t offset, uint64_t bytes) {
  if (bytes == 0) return ok();
  constexpr int kMode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
  const int rc = uninterrupted(
      [&] { return ::fallocate(fd(), kMode, static_cast<off_t>(offset), static_cast<off_t>(bytes)); });
  if (rc == 0 || errno == EOPNOTSUPP) return ok();
  return error(errno, "punch");
}

}  // namespace stavefs
