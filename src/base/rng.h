// The one source of randomness.  It is a constructor argument, so that a test's seed decides everything.
// Generator: xoshiro256** seeded by splitmix64 (Blackman and Vigna, "Scrambled linear pseudorandom number
// generators", 2021).  Not for secrets.
//
// Threads: an Rng belongs to one thread, or is guarded by its owner.

#pragma once

#include <array>
#include <cstdint>

namespace stavefs {

class Rng {
 public:
  explicit Rng(uint64_t seed);
  /// Seeded from the kernel's entropy.
  static Rng from_entropy();

  /// 64 uniform bits.
  uint64_t next();
  /// Uniform in [0, bound).  REQUIRES: bound > 0.
  uint64_t below(uint64_t bound);
  /// True once in `n` on average.
  bool one_in(uint64_t n) { return below(n) == 0; }

 private:
  std::array<uint64_t, 4> state_;
};

}  // namespace stavefs
