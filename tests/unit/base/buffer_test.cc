// Buffers must be aligned for O_DIRECT, must come back to their pool exactly once, and the pool must keep no
// more than it was told to.

#include "base/buffer.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cstring>
#include <set>
#include <thread>

#include "base/rng.h"

namespace stavefs {
namespace {

constexpr size_t kLargestKept = size_t{4} << 20;

bool aligned(const uint8_t* p) { return reinterpret_cast<uintptr_t>(p) % kPageBytes == 0; }

TEST(AlignedBuffer, IsAlignedAndRoundedUp) {
  for (const size_t bytes : {size_t{1}, size_t{4095}, size_t{4096}, size_t{4097}, size_t{1} << 20}) {
    AlignedBuffer buffer(bytes);
    EXPECT_TRUE(aligned(buffer.data()));
    EXPECT_EQ(buffer.size(), round_up(bytes, kPageBytes));
    std::memset(buffer.data(), 0xab, buffer.size());
  }
  EXPECT_TRUE(AlignedBuffer(0).empty());
  EXPECT_EQ(AlignedBuffer().data(), nullptr);
}

TEST(AlignedBuffer, MovedFromBufferOwnsNothing) {
  BufferPool pool(1 << 20);
  AlignedBuffer a = pool.get(8192);
  uint8_t* const p = a.data();
  AlignedBuffer b = std::move(a);
  EXPECT_EQ(b.data(), p);
  EXPECT_EQ(a.data(), nullptr);  // NOLINT: the state after a move is what is tested
  AlignedBuffer c = pool.get(4096);
  c = std::move(b);
  EXPECT_EQ(c.data(), p);
  EXPECT_EQ(pool.outstanding_bytes(), 8192u) << "the buffer that was assigned over must have gone home";
  EXPECT_EQ(pool.idle_bytes(), 4096u);
}

TEST(BufferPool, GivesPowersOfTwoUpToFourMiB) {
  BufferPool pool(0);
  for (size_t bytes = 1; bytes <= kLargestKept; bytes = bytes * 3 / 2 + 1) {
    AlignedBuffer buffer = pool.get(bytes);
    EXPECT_TRUE(aligned(buffer.data()));
    EXPECT_GE(buffer.size(), bytes);
    EXPECT_EQ(buffer.size(), std::max(std::bit_ceil(bytes), kPageBytes));
    EXPECT_EQ(pool.outstanding_bytes(), buffer.size());
  }
  EXPECT_EQ(pool.get(0).size(), kPageBytes);
  EXPECT_EQ(pool.get(kLargestKept + 1).size(), kLargestKept + kPageBytes);
  EXPECT_EQ(pool.outstanding_bytes(), 0u);
}

TEST(BufferPool, HandsTheSameMemoryOutAgain) {
  BufferPool pool(size_t{16} << 20);
  std::set<const uint8_t*> first;
  {
    AlignedBuffer a = pool.get(65536), b = pool.get(65536), c = pool.get(4096);
    first = {a.data(), b.data()};
    EXPECT_EQ(first.size(), 2u);
  }
  EXPECT_EQ(pool.idle_bytes(), 2 * 65536u + 4096u);
  AlignedBuffer a = pool.get(40000), b = pool.get(65536);
  EXPECT_EQ((std::set<const uint8_t*>{a.data(), b.data()}), first);
  EXPECT_EQ(pool.idle_bytes(), 4096u);
}

TEST(BufferPool, KeepsNoMoreThanItsCap) {
  constexpr size_t kKeep = size_t{1} << 20;
  BufferPool pool(kKeep);
  std::vector<AlignedBuffer> buffers;
  for (int i = 0; i < 64; ++i) buffers.push_back(pool.get(65536));
  EXPECT_EQ(pool.outstanding_bytes(), 64 * 65536u);
  buffers.clear();
  EXPECT_EQ(pool.outstanding_bytes(), 0u);
  EXPECT_EQ(pool.idle_bytes(), kKeep);
}

TEST(BufferPool, NeverKeepsBuffersAboveFourMiB) {
  BufferPool pool(size_t{64} << 20);
  { const AlignedBuffer buffer = pool.get(kLargestKept + 1); }
  EXPECT_EQ(pool.idle_bytes(), 0u);
  { const AlignedBuffer buffer = pool.get(kLargestKept); }
  EXPECT_EQ(pool.idle_bytes(), kLargestKept);
}

TEST(BufferPool, ThreadsNeverShareABuffer) {
  // Each thread fills its buffers with its own byte and looks again later: a buffer given out twice shows.
  constexpr size_t kKeep = size_t{2} << 20;
  BufferPool pool(kKeep);
  std::atomic<int> damaged{0};
  std::vector<std::thread> threads;
  for (int t = 1; t <= 4; ++t) {
    threads.emplace_back([&pool, &damaged, t] {
      Rng rng(static_cast<uint64_t>(t));
      std::vector<AlignedBuffer> held(8);
      for (int i = 0; i < 3000; ++i) {
        AlignedBuffer& slot = held[rng.below(held.size())];
        for (size_t at = 0; at < slot.size(); at += 512) damaged += slot.data()[at] != t;
        slot = pool.get(1 + rng.below(65536));
        std::memset(slot.data(), t, slot.size());
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(damaged, 0);
  EXPECT_EQ(pool.outstanding_bytes(), 0u);
  EXPECT_LE(pool.idle_bytes(), kKeep);
}

TEST(BufferPoolDeathTest, RefusesToDieBeforeItsBuffers) {
  EXPECT_DEATH(
      {
        AlignedBuffer buffer;
        BufferPool pool(0);
        buffer = pool.get(4096);
      },
      "internal check failed");
}

TEST(Rounding, WorksAtTheEdges) {
  EXPECT_EQ(round_up(0, 4096), 0u);
  EXPECT_EQ(round_up(1, 4096), 4096u);
  EXPECT_EQ(round_up(4096, 4096), 4096u);
  EXPECT_EQ(round_down(4095, 4096), 0u);
  EXPECT_EQ(round_down(8191, 4096), 4096u);
}

}  // namespace
}  // namespace stavefs
