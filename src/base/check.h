// CHECK guards the integrity of our own memory and stays on in release builds.
// What a disk or a user says is never checked with it: that is an Error.

#pragma once

namespace stavefs {

/// Prints the failed condition and aborts.
[[noreturn]] void check_failed(const char* condition, const char* file, int line);

}  // namespace stavefs

#define CHECK(condition)                                       \
  do {                                                         \
    if (!(condition)) [[unlikely]]                             \
      ::stavefs::check_failed(#condition, __FILE__, __LINE__); \
  } while (false)
