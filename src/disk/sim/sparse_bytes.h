// The bytes of a simulated file: sparse, and cheap to copy.
//
// Theory: fixed chunks hang below nodes of 64 chunks; both are shared between copies until one of them is
// written to (copy on write).  A chunk that was never written is a hole and reads as zeros, so a file of
// 1 GiB costs what was written to it, and a copy costs one pointer per MiB.
//
// Invariant: chunk bytes at or beyond size() are zero, so that growing needs no work.
// Threads: two copies may be used by two threads at once; one object may not.

#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

namespace stavefs::sim {

class SparseBytes {
 public:
  static constexpr uint64_t kChunkBytes = 16384;
  static constexpr uint64_t kChunksPerNode = 64;

  uint64_t size() const { return size_; }
  /// Cuts, or extends with zeros.
  void resize(uint64_t bytes);
  /// Extends when [offset, offset + from.size()) ends beyond size().
  void write(uint64_t offset, std::span<const uint8_t> from);
  /// REQUIRES: [offset, offset + to.size()) lies within size().
  void read(uint64_t offset, std::span<uint8_t> to) const;
  /// Zeros what of [offset, offset + bytes) lies within size().
  void zero(uint64_t offset, uint64_t bytes);
  /// REQUIRES: offset < size(), 0 <= bit < 8.
  void flip(uint64_t offset, int bit);

 private:
  using Chunk = std::array<uint8_t, kChunkBytes>;
  using Node = std::array<std::shared_ptr<Chunk>, kChunksPerNode>;

  const Chunk* find(uint64_t chunk) const;
  Node& own_node(uint64_t node);
  Chunk& own_chunk(uint64_t chunk);
  void drop_chunk(uint64_t chunk);

  uint64_t size_ = 0;
  std::vector<std::shared_ptr<Node>> nodes_;
};

}  // namespace stavefs::sim
