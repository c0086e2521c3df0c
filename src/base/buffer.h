// Memory for I/O: aligned, reused, bounded.
//
// First touch of fresh anonymous pages costs more than coding them, so buffers come from a pool and go back
// to it.  A buffer is a multiple of 4 KiB and aligned to 4 KiB, which satisfies O_DIRECT on every host
// filesystem.
//
// Threads: BufferPool is self-synchronised; an AlignedBuffer has one owner.

#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

namespace stavefs {

inline constexpr size_t kPageBytes = 4096;

constexpr uint64_t round_up(uint64_t v, uint64_t unit) { return (v + unit - 1) / unit * unit; }
constexpr uint64_t round_down(uint64_t v, uint64_t unit) { return v / unit * unit; }

class BufferPool;

/// A run of bytes aligned to 4 KiB; move-only.  Returns to its pool, or is freed, when destroyed.
class AlignedBuffer {
 public:
  AlignedBuffer() = default;
  /// A buffer outside any pool, contents undefined; `bytes` is rounded up to 4 KiB.
  explicit AlignedBuffer(size_t bytes);
  AlignedBuffer(AlignedBuffer&& other) noexcept { swap(other); }
  AlignedBuffer& operator=(AlignedBuffer&& other) noexcept {
    AlignedBuffer(std::move(other)).swap(*this);
    return *this;
  }
  AlignedBuffer(const AlignedBuffer&) = delete;
  AlignedBuffer& operator=(const AlignedBuffer&) = delete;
  ~AlignedBuffer();

  uint8_t* data() { return data_; }
  const uint8_t* data() const { return data_; }
  size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  std::span<uint8_t> span() { return {data_, size_}; }
  std::span<const uint8_t> span() const { return {data_, size_}; }
  void swap(AlignedBuffer& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    std::swap(pool_, other.pool_);
  }

 private:
  friend class BufferPool;
  uint8_t* data_ = nullptr;
  size_t size_ = 0;
  BufferPool* pool_ = nullptr;
};

/// Hands out buffers in power-of-two sizes from 4 KiB to 4 MiB and keeps what comes back, up to a cap.
/// REQUIRES: outlives its buffers.
class BufferPool {
 public:
  /// Keeps at most `keep_bytes` of idle memory; what is handed out is the caller's to bound.
  explicit BufferPool(size_t keep_bytes);
  ~BufferPool();
  BufferPool(const BufferPool&) = delete;
  BufferPool& operator=(const BufferPool&) = delete;

  /// A buffer of at least `bytes`, rounded up to a power of two (above 4 MiB: to 4 KiB, never kept).
  /// Contents are undefined.
  AlignedBuffer get(size_t bytes);

  size_t idle_bytes() const { return idle_bytes_.load(std::memory_order_relaxed); }
  size_t outstanding_bytes() const { return outstanding_bytes_.load(std::memory_order_relaxed); }

 private:
  friend class AlignedBuffer;
  static constexpr int kClasses = 11;
  void put(uint8_t* data, size_t bytes);

  const size_t keep_bytes_;
  std::atomic<size_t> idle_bytes_{0};
  std::atomic<size_t> outstanding_bytes_{0};
  std::mutex mutex_;  // a leaf: nothing else is locked under it
  std::vector<uint8_t*> free_[kClasses];
};

}  // namespace stavefs
