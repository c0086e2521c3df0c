#include "base/result.h"

#include <cstring>

namespace stavefs {

std::string_view to_string(ErrorCode code) {
  switch (code) {
    case ErrorCode::kIo: return "io";
    case ErrorCode::kCorrupt: return "corrupt";
    case ErrorCode::kNotFound: return "not-found";
    case ErrorCode::kExists: return "exists";
    case ErrorCode::kInvalid: return "invalid";
    case ErrorCode::kNoSpace: return "no-space";
    case ErrorCode::kBusy: return "busy";
    case ErrorCode::kNoMemory: return "no-memory";
    case ErrorCode::kNoPermission: return "no-permission";
    case ErrorCode::kUnsupported: return "unsupported";
    case ErrorCode::kForeign: return "foreign";
    case ErrorCode::kDegraded: return "degraded";
    case ErrorCode::kFenced: return "fenced";
    case ErrorCode::kPosix: return "posix";
  }
  return "unknown";
}

Error Error::with_context(std::string_view context) && {
  message_ = message_.empty() ? std::string(context) : std::string(context) + ": " + message_;
  return std::move(*this);
}

std::string Error::to_text() const {
  std::string text = message_;
  if (text.empty()) text = std::string(to_string(code_));
  if (errno_ > 0) {
    char buffer[128];
    text += " (";
    text += strerror_r(errno_, buffer, sizeof buffer);
    text += ")";
  }
  return text;
}

Error errno_error(int errno_value, std::string what, std::source_location where) {
  ErrorCode code = ErrorCode::kIo;
  switch (errno_value) {
    case ENOENT: code = ErrorCode::kNotFound; break;
    case EEXIST: code = ErrorCode::kExists; break;
    case ENOSPC:
    case EDQUOT: code = ErrorCode::kNoSpace; break;
    case EBUSY:
    case EAGAIN: code = ErrorCode::kBusy; break;
    case ENOMEM:
    case EMFILE:
    case ENFILE: code = ErrorCode::kNoMemory; break;
    case EACCES:
    case EPERM:
    case EROFS: code = ErrorCode::kNoPermission; break;
    case EOPNOTSUPP:
    case ENOSYS: code = ErrorCode::kUnsupported; break;
    case EINVAL: code = ErrorCode::kInvalid; break;
    default: break;
  }
  return Error(code, errno_value, std::move(what), where);
}

}  // namespace stavefs
