// Time as a constructor argument.  Order is by LSN, never by time: a clock only labels and paces.

#pragma once

#include <cstdint>

namespace stavefs {

/// Self-synchronised.
class Clock {
 public:
  virtual ~Clock() = default;
  /// Nanoseconds since 1970-01-01 UTC; may jump.
  virtual int64_t realtime_ns() const = 0;
  /// Nanoseconds since some start; never goes back.
  virtual int64_t monotonic_ns() const = 0;
};

/// The kernel's clocks (clock_gettime(2), CLOCK_REALTIME and CLOCK_MONOTONIC).
class SystemClock final : public Clock {
 public:
  int64_t realtime_ns() const override;
  int64_t monotonic_ns() const override;
};

}  // namespace stavefs
