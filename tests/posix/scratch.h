// Fixture and helpers of the POSIX suite.
//
// The suite is a program that is pointed at any directory: on a host filesystem it proves the tests, on a
// mount the filesystem. Every test gets a new directory below it, which is the working directory while the
// test runs, and nothing but relative paths are used: users without rights to the path above can still be
// played (as_user).

#pragma once

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include <functional>
#include <map>
#include <random>
#include <string>
#include <string_view>
#include <vector>

namespace posix_suite {

/// The directory under test, absolute; set by main().
const std::string& suite_directory();

/// The seed of this run; printed at the start, taken from POSIX_SUITE_SEED when that is set.
uint64_t suite_seed();

class Scratch : public ::testing::Test {
 protected:
  void SetUp() override;
  void TearDown() override;

 private:
  std::string name_;
};

/// A file descriptor that closes itself.
class Fd {
 public:
  Fd(const std::string& path, int flags, mode_t mode = 0644)
      : fd_(::open(path.c_str(), flags | O_CLOEXEC, mode)) {
    if (fd_ < 0) error_ = errno;
  }
  ~Fd() { close(); }
  Fd(const Fd&) = delete;
  Fd& operator=(const Fd&) = delete;
  operator int() const { return fd_; }  // NOLINT: implicit by intent
  bool ok() const { return fd_ >= 0; }
  int error() const { return error_; }
  void close() {
    if (fd_ >= 0) ::close(fd_);
    fd_ = -1;
  }

 private:
  int fd_;
  int error_ = 0;
};

/// errno of a call that failed, 0 when it succeeded: EXPECT_EQ(error_of(mkdir(...)), EEXIST).
inline int error_of(int64_t returned) { return returned < 0 ? errno : 0; }

struct stat stat_of(const std::string& path);  ///< lstat; fails the test
bool exists(const std::string& path);          ///< lstat
void put_file(const std::string& path, std::string_view content, mode_t mode = 0644);
std::string get_file(const std::string& path);  ///< fails the test
/// Names in a directory but "." and "..", with d_type.
std::map<std::string, unsigned char> list(const std::string& path = ".");
/// `bytes` of noise; the same for the same seed.
std::string noise(size_t bytes, uint64_t seed);

/// Times are compared in order: later(a, b) when b is after a.
inline bool later(const timespec& a, const timespec& b) {
  return a.tv_sec != b.tv_sec ? a.tv_sec < b.tv_sec : a.tv_nsec < b.tv_nsec;
}
inline bool same(const timespec& a, const timespec& b) {
  return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}
/// Sleeps until every clock of a filesystem has moved (jiffies included).
void let_time_pass();

/// Runs `work` in a child process with these identities and no others; its return value (0..255), or 255 when
/// it died.
int as_user(uid_t user, gid_t group, const std::vector<gid_t>& groups, const std::function<int()>& work);
inline int as_user(uid_t user, const std::function<int()>& work) { return as_user(user, user, {}, work); }
/// Runs `work` in a child with the identities of this one.
int in_child(const std::function<int()>& work);

inline constexpr uid_t kUser = 12345;
inline constexpr uid_t kOther = 12346;
inline constexpr gid_t kGroup = 23456;

}  // namespace posix_suite
