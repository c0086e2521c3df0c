// Result<T> and Error: how every stavefs function reports failure.
//
// Theory: an operation yields a value or an Error; nothing throws across our own functions.  A library
// that throws is wrapped where it is called.  `Error` carries what a caller may branch on (`ErrorCode`),
// the errno that a user of the filesystem should see, and a sentence for people.
//
// Threads: values; no shared state.

#pragma once

#include <cerrno>
#include <cstdint>
#include <source_location>
#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <utility>

namespace stavefs {

/// What a caller can decide on.  A code stands here only because some caller branches on it.
enum class ErrorCode : uint8_t {
  kIo,            ///< a device or the kernel refused an I/O
  kCorrupt,       ///< bytes were read but their checksum or structure is wrong
  kNotFound,      ///< the named thing does not exist
  kExists,        ///< the named thing is already there
  kInvalid,       ///< the request makes no sense as given (usage)
  kNoSpace,       ///< no room left
  kBusy,          ///< in use by somebody else; may go later
  kNoMemory,      ///< memory or descriptors are exhausted
  kNoPermission,  ///< the caller is not allowed to
  kUnsupported,   ///< this build, format or host filesystem cannot do it
  kForeign,       ///< belongs to another pool
  kDegraded,      ///< too few members are there to go on safely
  kFenced,        ///< this process has stopped writing to protect the pool
  kPosix,         ///< a plain POSIX outcome; only the errno matters
};

/// Name of a code, e.g. "corrupt".
std::string_view to_string(ErrorCode code);

/// One failure.  Cheap to move; built only on failing paths.
class Error {
 public:
  /// `errno_value` > 0 is the errno that a system call would return for this failure.
  Error(ErrorCode code, int errno_value, std::string message,
        std::source_location where = std::source_location::current())
      : code_(code), errno_(errno_value), message_(std::move(message)), where_(where) {}

  ErrorCode code() const { return code_; }
  int errno_value() const { return errno_; }
  const std::string& message() const { return message_; }
  const std::source_location& where() const { return where_; }

  /// The same failure seen from further out: "`context`: message".
  Error with_context(std::string_view context) &&;

  /// "message (Input/output error)" for people.
  std::string to_text() const;

 private:
  ErrorCode code_;
  int errno_;
  std::string message_;
  std::source_location where_;
};

/// An Error from a failed system call: `what` names the call and its object, e.g. "open /dev/sda".
/// The code is derived from `errno_value` (ENOSPC -> kNoSpace, ENOENT -> kNotFound, ..., else kIo).
Error errno_error(int errno_value, std::string what,
                  std::source_location where = std::source_location::current());

/// A bare POSIX outcome such as ENOTEMPTY, without a sentence.
inline Error posix_error(int errno_value, std::source_location where = std::source_location::current()) {
  return Error(ErrorCode::kPosix, errno_value, std::string(), where);
}

/// A value or an Error; must be looked at.
template <class T>
class [[nodiscard]] Result : public tl::expected<T, Error> {
 public:
  using Base = tl::expected<T, Error>;
  using Base::Base;
  Result(Error error) : Base(tl::unexpect, std::move(error)) {}  // NOLINT: implicit by intent
};

/// Success or an Error.
using Status = Result<void>;

inline Status ok() { return {}; }

}  // namespace stavefs

#define STAVEFS_CONCAT_INNER(a, b) a##b
#define STAVEFS_CONCAT(a, b) STAVEFS_CONCAT_INNER(a, b)

/// Returns the Error of `expr` from the enclosing function, if it has one.
#define TRY(expr)                                             \
  do {                                                        \
    if (auto try_result = (expr); !try_result) [[unlikely]]   \
      return ::stavefs::Error(std::move(try_result.error())); \
  } while (false)

/// ASSIGN_OR_RETURN(auto x, f()): x = value of f(), or returns its Error.
#define ASSIGN_OR_RETURN(decl, expr)                                               \
  auto STAVEFS_CONCAT(result_, __LINE__) = (expr);                                 \
  if (!STAVEFS_CONCAT(result_, __LINE__)) [[unlikely]]                             \
    return ::stavefs::Error(std::move(STAVEFS_CONCAT(result_, __LINE__).error())); \
  decl = std::move(*STAVEFS_CONCAT(result_, __LINE__))
