// Inode numbers: handed out once, whatever happens.
//
// Theory: scalar "next_inode" is the first number that no run has been allowed to use.  A range is reserved
// by raising it, and used only after that is durable; so a number that was ever seen by anybody, in a file
// that a crash took back too, is not handed out again. The next range is reserved while half of the current
// one is left.  Ranges grow while they are used up faster than the journal is synced.
//
// Threads: self-synchronised.  May sync the journal: REQUIRES no inode lock.

#pragma once

#include <cstdint>
#include <mutex>

#include "base/ids.h"
#include "base/result.h"
#include "store/ledger.h"

namespace stavefs {

inline constexpr uint64_t kNumberRange = 1024;
inline constexpr uint64_t kMaxNumberRange = 65536;

class NumberAllocator {
 public:
  explicit NumberAllocator(Ledger& ledger) : ledger_(ledger) {}
  /// `next` is the scalar's durable value.  Called once, before take().
  void start(uint64_t next);
  Result<InodeId> take();

 private:
  Status reserve();

  Ledger& ledger_;
  std::mutex mutex_;  // held across the ledger's commit and sync
  // Guarded by mutex_.
  uint64_t next_ = 0;
  uint64_t usable_ = 0;    // numbers below it are durably reserved
  uint64_t reserved_ = 0;  // numbers below it are reserved as of reserved_lsn_
  uint64_t range_ = kNumberRange;
  Lsn reserved_lsn_;
};

}  // namespace stavefs
