#include "fs/interval_map.h"

#include <gtest/gtest.h>

#include <cstring>
#include <optional>

#include "base/rng.h"

namespace stavefs {
namespace {

constexpr uint64_t kSpace = 400;

/// What lies at a byte of the model: which chunk's which byte, and as of which LSN.
struct Cell {
  const Chunk* chunk = nullptr;
  size_t at = 0;
  Lsn logged;
  bool operator==(const Cell&) const = default;
};
using Model = std::vector<std::optional<Cell>>;

Model cells_of(const IntervalMap& map) {
  Model cells(2 * kSpace);
  uint64_t end = 0;
  uint64_t sum = 0;
  for (const auto& [offset, piece] : map.pieces()) {
    EXPECT_GT(piece.length, 0U);
    EXPECT_GE(offset, end) << "pieces overlap";
    end = offset + piece.length;
    sum += piece.length;
    for (uint64_t i = 0; i < piece.length; ++i)
      cells[offset + i] = Cell{piece.chunk.get(), piece.chunk_offset + i, piece.logged};
  }
  EXPECT_EQ(map.bytes(), sum);
  EXPECT_EQ(map.end(), end);
  return cells;
}

std::shared_ptr<Chunk> make_chunk() {
  auto chunk = std::make_shared<Chunk>(AlignedBuffer(4096));
  chunk->used = 4096;
  return chunk;
}

/// Goal: whatever is put and erased, every byte is the newest one.  Method: random operations against an
/// array with one cell for each byte.
TEST(IntervalMap, RandomOperationsMatchAnArrayOfBytes) {
  for (uint64_t seed = 1; seed <= 60; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Rng rng(seed);
    IntervalMap map;
    Model model(2 * kSpace);
    const std::vector<std::shared_ptr<Chunk>> chunks = {make_chunk(), make_chunk(), make_chunk()};
    for (int i = 0; i < 300; ++i) {
      const uint64_t offset = rng.below(kSpace);
      const uint64_t length = rng.below(rng.one_in(4) ? kSpace : 20);
      switch (rng.below(5)) {
        case 0:
          map.erase(offset, length);
          for (uint64_t k = offset; k < offset + length; ++k) model[k].reset();
          break;
        case 1: {
          const uint64_t to_end = ~uint64_t{0};
          if (!rng.one_in(8)) break;
          map.erase(offset, to_end);
          for (uint64_t k = offset; k < model.size(); ++k) model[k].reset();
          break;
        }
        default: {
          const auto& chunk = chunks[rng.below(chunks.size())];
          const size_t at = rng.one_in(2) ? offset : rng.below(1000);
          const Lsn logged(rng.below(2));
          map.put(offset, Piece{chunk, at, length, logged});
          for (uint64_t k = 0; k < length; ++k) model[offset + k] = Cell{chunk.get(), at + k, logged};
        }
      }
      ASSERT_EQ(cells_of(map), model) << "after operation " << i;
      const uint64_t from = rng.below(kSpace);
      const uint64_t n = rng.below(kSpace);
      Model part(2 * kSpace);
      for (const auto& [at, piece] : map.overlapping(from, n)) {
        ASSERT_GE(at, from);
        ASSERT_LE(at + piece.length, from + n);
        for (uint64_t k = 0; k < piece.length; ++k)
          part[at + k] = Cell{piece.chunk.get(), piece.chunk_offset + k, piece.logged};
      }
      for (uint64_t k = from; k < from + n; ++k) ASSERT_EQ(part[k], model[k]);
    }
  }
}

/// Goal: a stream of small appends stays one piece.  Method: contiguous pieces of one chunk, then one that is
/// not, then one with another LSN.
TEST(IntervalMap, PiecesThatContinueTheirPredecessorAreJoined) {
  IntervalMap map;
  const auto chunk = make_chunk();
  for (uint64_t i = 0; i < 10; ++i) map.put(1000 + i * 10, Piece{chunk, i * 10, 10, Lsn()});
  EXPECT_EQ(map.pieces().size(), 1U);
  map.put(1100, Piece{chunk, 200, 10, Lsn()});
  EXPECT_EQ(map.pieces().size(), 2U);
  map.put(1110, Piece{chunk, 210, 10, Lsn(5)});
  EXPECT_EQ(map.pieces().size(), 3U);
  EXPECT_EQ(map.bytes(), 120U);
}

/// Goal: the count of memory is that of living chunks.  Method: drop the references in different orders.
TEST(IntervalMap, ChunksAreChargedWhileAnybodyRefersToThem) {
  std::atomic<uint64_t> charged{0};
  IntervalMap map;
  map.put(0, Piece{std::make_shared<Chunk>(AlignedBuffer(8192), &charged), 0, 100, Lsn()});
  EXPECT_EQ(charged, 8192U);
  auto reader = map.overlapping(10, 5);
  map.clear();
  EXPECT_EQ(charged, 8192U);
  reader.clear();
  EXPECT_EQ(charged, 0U);
}

}  // namespace
}  // namespace stavefs
