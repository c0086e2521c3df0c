// Where frames stand in the ring, and how much of it is free.
//
// Theory: a position counts bytes from the start of the ring's first lap and never goes back; position modulo
// ring size is the offset.  A frame that would cross the end starts at the next lap instead.  What lies
// between the oldest live frame and the head must never be longer than the ring.  The newest frame always
// counts as live, needed or not: the chain goes on from it.
//
// Pure; the owner synchronises.

#pragma once

#include <cstdint>
#include <deque>

#include "base/check.h"
#include "base/ids.h"
#include "codec/checksum.h"

namespace stavefs {

struct LiveFrame {
  uint64_t position = 0;
  uint32_t bytes = 0;
  Lsn last_lsn;
  Hash128 hash;
};

class RingSpace {
 public:
  explicit RingSpace(uint64_t ring_bytes) : ring_bytes_(ring_bytes) {}

  /// Position of a frame of `bytes` that follows `head`.
  uint64_t place(uint64_t head, uint64_t bytes) const {
    const uint64_t left = ring_bytes_ - head % ring_bytes_;
    return bytes <= left ? head : head + left;
  }
  /// True when live frames survive writing up to `end`.
  bool fits(uint64_t end) const { return end - tail() <= ring_bytes_; }

  uint64_t head() const { return head_; }
  uint64_t tail() const { return live_.empty() ? head_ : live_.front().position; }
  uint64_t offset(uint64_t position) const { return position % ring_bytes_; }

  /// The next frame.  REQUIRES: frame.position == place(head(), frame.bytes), and it fits.
  void push(const LiveFrame& frame) {
    CHECK(frame.position == place(head_, frame.bytes) && fits(frame.position + frame.bytes));
    push_recovered(frame);
  }
  /// A frame found by recovery.  REQUIRES: position >= head().
  void push_recovered(const LiveFrame& frame) {
    CHECK(frame.position >= head_);
    live_.push_back(frame);
    head_ = frame.position + frame.bytes;
  }
  /// Sets the hash of the newest frame.
  void set_last_hash(const Hash128& hash) { live_.back().hash = hash; }
  /// Lets go of frames that end at or below `lsn`.
  void trim(Lsn lsn) {
    while (live_.size() > 1 && live_.front().last_lsn <= lsn) live_.pop_front();
  }
  const std::deque<LiveFrame>& live() const { return live_; }

 private:
  const uint64_t ring_bytes_;
  uint64_t head_ = 0;
  std::deque<LiveFrame> live_;
};

}  // namespace stavefs
