// The one table from our errors to the errno that a program on the mount sees.
//
// Theory: an Error from the filesystem's own rules (kPosix) already carries its errno.  The other codes come
// from floors below, whose errno may be that of a disk's system call and means nothing to a program that
// reads a file (ENODEV, EBADF, ...): each code has one errno, and a short list of others that may pass
// because they say the same more exactly.

#pragma once

#include <array>
#include <cerrno>

#include "base/result.h"

namespace stavefs {

struct ErrnoRule {
  ErrorCode code;
  int fallback;               ///< what the caller gets ...
  std::array<int, 5> passed;  ///< ... unless the error's own errno stands here
};

inline constexpr std::array kErrnoRules = {
    ErrnoRule{ErrorCode::kIo, EIO, {}},
    ErrnoRule{ErrorCode::kCorrupt, EIO, {}},
    ErrnoRule{ErrorCode::kNotFound, ENOENT, {ENODATA, ESTALE}},
    ErrnoRule{ErrorCode::kExists, EEXIST, {ENOTEMPTY}},
    ErrnoRule{ErrorCode::kInvalid, EINVAL, {ENAMETOOLONG, EFBIG, ERANGE, E2BIG, EOVERFLOW}},
    ErrnoRule{ErrorCode::kNoSpace, ENOSPC, {EDQUOT}},
    ErrnoRule{ErrorCode::kBusy, EBUSY, {EAGAIN, ETXTBSY}},
    ErrnoRule{ErrorCode::kNoMemory, ENOMEM, {ENFILE}},
    ErrnoRule{ErrorCode::kNoPermission, EPERM, {EACCES, EROFS}},
    ErrnoRule{ErrorCode::kUnsupported, EOPNOTSUPP, {ENOSYS, ENOTTY}},
    ErrnoRule{ErrorCode::kForeign, EIO, {}},
    ErrnoRule{ErrorCode::kDegraded, EIO, {}},
    ErrnoRule{ErrorCode::kFenced, EIO, {EROFS}},
};

/// Always positive.
constexpr int errno_for(ErrorCode code, int errno_value) {
  constexpr int kLargestErrno = 4095;  // of the kernel's ERR_PTR range
  if (code == ErrorCode::kPosix) return errno_value > 0 && errno_value <= kLargestErrno ? errno_value : EIO;
  for (const ErrnoRule& rule : kErrnoRules) {
    if (rule.code != code) continue;
    for (const int passed : rule.passed) {
      if (passed != 0 && passed == errno_value) return passed;
    }
    return rule.fallback;
  }
  return EIO;
}

inline int errno_for(const Error& error) { return errno_for(error.code(), error.errno_value()); }

}  // namespace stavefs
