// A bound on memory in use: callers wait for their share.
//
// Threads: self-synchronised.  A caller holds one share at a time, and waits for nothing else of the store
// that might hold one, so it cannot deadlock.

#pragma once

#include <algorithm>
#include <condition_variable>
#include <cstdint>
#include <mutex>

namespace stavefs {

class ByteBudget {
 public:
  explicit ByteBudget(uint64_t bytes) : total_(bytes) {}

  /// A share; given back when destroyed.
  class Share {
   public:
    Share(ByteBudget& budget, uint64_t bytes) : budget_(budget), bytes_(bytes) {}
    Share(const Share&) = delete;
    Share& operator=(const Share&) = delete;
    ~Share() {
      {
        const std::lock_guard lock(budget_.mutex_);
        budget_.used_ -= bytes_;
      }
      budget_.freed_.notify_all();
    }
    uint64_t bytes() const { return bytes_; }

   private:
    ByteBudget& budget_;
    const uint64_t bytes_;
  };

  /// Waits until `bytes` are free, or nobody else holds anything (so that a large share is served too).
  Share take(uint64_t bytes) {
    std::unique_lock lock(mutex_);
    freed_.wait(lock, [&] { return used_ == 0 || used_ + bytes <= total_; });
    used_ += bytes;
    return Share(*this, bytes);
  }
  uint64_t total() const { return total_; }

 private:
  const uint64_t total_;
  std::mutex mutex_;  // a leaf
  std::condition_variable freed_;
  uint64_t used_ = 0;
};

}  // namespace stavefs
