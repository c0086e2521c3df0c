#include "fuse/attributes.h"

#include "fuse/low_level.h"

namespace stavefs {
namespace {

constexpr int64_t kNsPerSecond = 1'000'000'000;

}  // namespace

timespec to_timespec(TimeNs time) {
  int64_t seconds = time / kNsPerSecond;
  int64_t rest = time % kNsPerSecond;
  if (rest < 0) {
    rest += kNsPerSecond;
    --seconds;
  }
  return {.tv_sec = seconds, .tv_nsec = rest};
}

TimeNs to_time_ns(const timespec& time) {
  TimeNs result;
  if (__builtin_mul_overflow(int64_t{time.tv_sec}, kNsPerSecond, &result) ||
      __builtin_add_overflow(result, int64_t{time.tv_nsec}, &result)) {
    return time.tv_sec < 0 ? INT64_MIN : INT64_MAX;
  }
  return result;
}

struct stat to_stat(const Attributes& attributes) {
  struct stat st = {};
  st.st_ino = attributes.id.value;
  st.st_mode = attributes.mode;
  st.st_nlink = attributes.nlink;
  st.st_uid = attributes.uid;
  st.st_gid = attributes.gid;
  st.st_rdev = attributes.rdev;
  st.st_size = static_cast<off_t>(attributes.size);
  st.st_blocks = static_cast<blkcnt_t>(attributes.blocks);
  st.st_blksize = kPreferredIoBytes;
  st.st_atim = to_timespec(attributes.atime);
  st.st_mtim = to_timespec(attributes.mtime);
  st.st_ctim = to_timespec(attributes.ctime);
  return st;
}

AttributeChange to_change(const struct stat& wanted, int to_set) {
  AttributeChange change;
  change.set_mode = (to_set & FUSE_SET_ATTR_MODE) != 0;
  change.set_uid = (to_set & FUSE_SET_ATTR_UID) != 0;
  change.set_gid = (to_set & FUSE_SET_ATTR_GID) != 0;
  change.set_size = (to_set & FUSE_SET_ATTR_SIZE) != 0;
  change.atime_now = (to_set & FUSE_SET_ATTR_ATIME_NOW) != 0;
  change.mtime_now = (to_set & FUSE_SET_ATTR_MTIME_NOW) != 0;
  change.set_atime = (to_set & FUSE_SET_ATTR_ATIME) != 0 || change.atime_now;
  change.set_mtime = (to_set & FUSE_SET_ATTR_MTIME) != 0 || change.mtime_now;
  change.set_ctime = (to_set & FUSE_SET_ATTR_CTIME) != 0;
  // libfuse calls the kernel's FATTR_KILL_SUIDGID, which stands for both bits, KILL_SUID.
  change.kill_privileges = (to_set & FUSE_SET_ATTR_KILL_SUID) != 0;
  change.mode = wanted.st_mode;
  change.uid = wanted.st_uid;
  change.gid = wanted.st_gid;
  change.size = static_cast<uint64_t>(wanted.st_size);
  change.atime = to_time_ns(wanted.st_atim);
  change.mtime = to_time_ns(wanted.st_mtim);
  change.ctime = to_time_ns(wanted.st_ctim);
  return change;
}

}  // namespace stavefs
