// Pieces of a file's bytes in memory: a map of disjoint ranges to reference-counted chunks of memory.
//
// Bytes of a chunk that a piece refers to never change, so a piece may be read without any lock once it was
// copied under one.
//
// Threads: guarded by the owner.

#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "base/buffer.h"
#include "base/ids.h"

namespace stavefs {

/// Memory that pieces share.  Bytes below `used` never change; an appending writer may fill the rest.
struct Chunk {
  /// `charged`, when given, counts the buffer's bytes while the chunk lives, and must outlive it.
  explicit Chunk(AlignedBuffer memory, std::atomic<uint64_t>* charged = nullptr);
  ~Chunk();
  Chunk(const Chunk&) = delete;
  Chunk& operator=(const Chunk&) = delete;

  AlignedBuffer buffer;
  size_t used = 0;

 private:
  std::atomic<uint64_t>* charged_;
};

struct Piece {
  std::shared_ptr<Chunk> chunk;
  size_t chunk_offset = 0;
  uint64_t length = 0;
  Lsn logged;  ///< the journal has these bytes as of this LSN; 0 = it has not

  std::span<const uint8_t> bytes() const { return {chunk->buffer.data() + chunk_offset, length}; }
};

class IntervalMap {
 public:
  /// Lays a piece over what is there.  A piece that continues its predecessor, in the file and in the chunk,
  /// is joined to it.
  void put(uint64_t offset, Piece piece);
  /// Removes [offset, offset + length), cutting pieces at the edges; a length beyond 2^64 means "to the end".
  void erase(uint64_t offset, uint64_t length);
  void clear();
  bool empty() const { return pieces_.empty(); }
  uint64_t bytes() const { return bytes_; }
  /// Pieces (clipped copies) that intersect [offset, offset + length), in order.
  std::vector<std::pair<uint64_t, Piece>> overlapping(uint64_t offset, uint64_t length) const;
  const std::map<uint64_t, Piece>& pieces() const { return pieces_; }
  /// For marking pieces; offsets and lengths must stay.
  std::map<uint64_t, Piece>& pieces() { return pieces_; }
  /// Start of the first piece, kToEnd-like maximum when empty.
  uint64_t begin() const;
  /// End of the last piece, 0 when empty.
  uint64_t end() const;
  void swap(IntervalMap& other) noexcept;

 private:
  std::map<uint64_t, Piece> pieces_;
  uint64_t bytes_ = 0;
};

}  // namespace stavefs
