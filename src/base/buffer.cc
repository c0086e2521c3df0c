#include "base/buffer.h"

#include <bit>
#include <cstdlib>
#include <utility>

#include "base/check.h"

namespace stavefs {
namespace {

constexpr size_t kLargestClass = size_t{4} << 20;

uint8_t* allocate(size_t bytes) {
  void* p = nullptr;
  CHECK(posix_memalign(&p, kPageBytes, bytes) == 0);
  return static_cast<uint8_t*>(p);
}

int class_of(size_t bytes) { return std::countr_zero(bytes) - std::countr_zero(kPageBytes); }

}  // namespace

AlignedBuffer::AlignedBuffer(size_t bytes) : size_(round_up(bytes, kPageBytes)) {
  if (size_ != 0) data_ = allocate(size_);
}

AlignedBuffer::~AlignedBuffer() {
  if (data_ == nullptr) return;
  if (pool_ != nullptr) {
    pool_->put(data_, size_);
  } else {
    std::free(data_);
  }
}

BufferPool::BufferPool(size_t keep_bytes) : keep_bytes_(keep_bytes) {}

BufferPool::~BufferPool() {
  CHECK(outstanding_bytes_.load() == 0);
  for (auto& list : free_) {
    for (uint8_t* p : list) std::free(p);
  }
}

AlignedBuffer BufferPool::get(size_t bytes) {
  AlignedBuffer buffer;
  buffer.pool_ = this;
  if (bytes > kLargestClass) {
    buffer.size_ = round_up(bytes, kPageBytes);
  } else {
    buffer.size_ = std::max(std::bit_ceil(bytes), kPageBytes);
    const std::lock_guard lock(mutex_);
    auto& list = free_[class_of(buffer.size_)];
    if (!list.empty()) {
      buffer.data_ = list.back();
      list.pop_back();
      idle_bytes_ -= buffer.size_;
    }
  }
  outstanding_bytes_ += buffer.size_;
  if (buffer.data_ == nullptr) buffer.data_ = allocate(buffer.size_);
  return buffer;
}

void BufferPool::put(uint8_t* data, size_t bytes) {
  outstanding_bytes_ -= bytes;
  if (bytes <= kLargestClass) {
    const std::lock_guard lock(mutex_);
    if (idle_bytes_ + bytes <= keep_bytes_) {
      free_[class_of(bytes)].push_back(data);
      idle_bytes_ += bytes;
      return;
    }
  }
  std::free(data);
}

}  // namespace stavefs
