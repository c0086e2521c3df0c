#include "disk/sim/sparse_bytes.h"

#include <algorithm>
#include <atomic>
#include <cstring>

#include "base/check.h"

namespace stavefs::sim {

namespace {

/// True when nobody else can see *p.  The fence pairs with the release of the last other owner's decrement.
template <class T>
bool sole_owner(const std::shared_ptr<T>& p) {
  if (p.use_count() != 1) return false;
  std::atomic_thread_fence(std::memory_order_acquire);
  return true;
}

/// Calls step(chunk, offset in chunk, offset in range, length) for every chunk that a range touches.
template <class Step>
void for_each_chunk(uint64_t offset, uint64_t bytes, Step step) {
  for (uint64_t done = 0; done < bytes;) {
    const uint64_t at = offset + done;
    const uint64_t inside = at % SparseBytes::kChunkBytes;
    const uint64_t length = std::min(bytes - done, SparseBytes::kChunkBytes - inside);
    step(at / SparseBytes::kChunkBytes, inside, done, length);
    done += length;
  }
}

}  // namespace

const SparseBytes::Chunk* SparseBytes::find(uint64_t chunk) const {
  const uint64_t node = chunk / kChunksPerNode;
  if (node >= nodes_.size() || !nodes_[node]) return nullptr;
  return (*nodes_[node])[chunk % kChunksPerNode].get();
}

SparseBytes::Node& SparseBytes::own_node(uint64_t node) {
  if (node >= nodes_.size()) nodes_.resize(node + 1);
  auto& slot = nodes_[node];
  if (!slot) {
    slot = std::make_shared<Node>();
  } else if (!sole_owner(slot)) {
    slot = std::make_shared<Node>(*slot);
  }
  return *slot;
}

SparseBytes::Chunk& SparseBytes::own_chunk(uint64_t chunk) {
  auto& slot = own_node(chunk / kChunksPerNode)[chunk % kChunksPerNode];
  if (!slot) {
    slot = std::make_shared<Chunk>();
  } else if (!sole_owner(slot)) {
    slot = std::make_shared<Chunk>(*slot);
  }
  return *slot;
}

void SparseBytes::drop_chunk(uint64_t chunk) {
  if (find(chunk) != nullptr) own_node(chunk / kChunksPerNode)[chunk % kChunksPerNode].reset();
}

void SparseBytes::resize(uint64_t bytes) {
  if (bytes < size_) zero(bytes, size_ - bytes);
  size_ = bytes;
  const uint64_t chunks = (bytes + kChunkBytes - 1) / kChunkBytes;
  const uint64_t nodes = (chunks + kChunksPerNode - 1) / kChunksPerNode;
  if (nodes < nodes_.size()) nodes_.resize(nodes);
}

void SparseBytes::write(uint64_t offset, std::span<const uint8_t> from) {
  size_ = std::max(size_, offset + from.size());
  for_each_chunk(offset, from.size(), [&](uint64_t chunk, uint64_t inside, uint64_t done, uint64_t length) {
    std::memcpy(own_chunk(chunk).data() + inside, from.data() + done, length);
  });
}

void SparseBytes::read(uint64_t offset, std::span<uint8_t> to) const {
  CHECK(offset <= size_ && to.size() <= size_ - offset);
  for_each_chunk(offset, to.size(), [&](uint64_t chunk, uint64_t inside, uint64_t done, uint64_t length) {
    const Chunk* bytes = find(chunk);
    if (bytes != nullptr) {
      std::memcpy(to.data() + done, bytes->data() + inside, length);
    } else {
      std::memset(to.data() + done, 0, length);
    }
  });
}

void SparseBytes::zero(uint64_t offset, uint64_t bytes) {
  if (offset >= size_) return;
  bytes = std::min(bytes, size_ - offset);
  for_each_chunk(offset, bytes, [&](uint64_t chunk, uint64_t inside, uint64_t, uint64_t length) {
    if (length == kChunkBytes) {
      drop_chunk(chunk);
    } else if (find(chunk) != nullptr) {
      std::memset(own_chunk(chunk).data() + inside, 0, length);
    }
  });
}

void SparseBytes::flip(uint64_t offset, int bit) {
  CHECK(offset < size_ && bit >= 0 && bit < 8);
  own_chunk(offset / kChunkBytes)[offset % kChunkBytes] ^= static_cast<uint8_t>(1u << bit);
}

}  // namespace stavefs::sim
