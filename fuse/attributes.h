// Between the filesystem's attributes and struct stat.

#pragma once

#include <sys/stat.h>
#include <time.h>

#include "fs/types.h"

namespace stavefs {

/// Preferred size of an I/O (st_blksize): programs that copy use it for their buffers.
inline constexpr uint32_t kPreferredIoBytes = 128u << 10;

timespec to_timespec(TimeNs time);
/// Saturates outside the years 1677 to 2262.
TimeNs to_time_ns(const timespec& time);

struct stat to_stat(const Attributes& attributes);

/// The change that setattr asks for; `to_set` has FUSE_SET_ATTR_* of fuse_lowlevel.h.
AttributeChange to_change(const struct stat& wanted, int to_set);

}  // namespace stavefs
