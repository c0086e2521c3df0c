// Rebuilding: every erasure pattern of every small geometry and of the named ones, random patterns of large
// ones. For each pattern all erased shards, data and parity, are wanted at once, in random order, and one of
// them alone.  Pointers of erased shards lead to garbage, outputs stand between guard bytes.

#include <fmt/core.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <thread>

#include "base/rng.h"
#include "codec/reed_solomon.h"
#include "tests/unit/base/guarded_bytes.h"
#include "tests/unit/codec/gf256_model.h"

namespace stavefs {
namespace {

/// All shards of one encoded stripe.
class Stripe {
 public:
  Stripe(int k, int m, size_t bytes, Rng& rng)
      : coder_(ReedSolomon::create(k, m).value()),
        bytes_(bytes),
        shards_(static_cast<size_t>(k + m), std::vector<uint8_t>(bytes, 0)),
        null_(static_cast<size_t>(k + m), false),
        garbage_(bytes, 0x5a) {
    std::vector<const uint8_t*> data;
    std::vector<uint8_t*> parity;
    for (size_t i = 0; i < shards_.size(); ++i) {
      if (i >= static_cast<size_t>(k)) {
        parity.push_back(shards_[i].data());
        continue;
      }
      null_[i] = rng.one_in(5);
      if (!null_[i]) {
        for (uint8_t& b : shards_[i]) b = static_cast<uint8_t>(rng.next());
      }
      data.push_back(null_[i] ? nullptr : shards_[i].data());
    }
    coder_->encode(data, parity, bytes);
  }

  const ReedSolomon& coder() const { return *coder_; }
  size_t bytes() const { return bytes_; }
  std::vector<uint8_t>& shard(int i) { return shards_[static_cast<size_t>(i)]; }

  std::vector<const uint8_t*> pointers(uint64_t present) const {
    std::vector<const uint8_t*> p;
    for (size_t i = 0; i < shards_.size(); ++i) {
      if ((present >> i & 1) == 0) {
        p.push_back(garbage_.data());
      } else {
        p.push_back(null_[i] ? nullptr : shards_[i].data());
      }
    }
    return p;
  }

  /// Whether `wanted` come out of `present` as they were, with nothing around the outputs touched.
  bool rebuilds(uint64_t present, std::span<const int> wanted) const {
    constexpr size_t kGuard = 64;
    std::vector<std::vector<uint8_t>> out(wanted.size(), std::vector<uint8_t>(bytes_ + 2 * kGuard, 0xee));
    std::vector<uint8_t*> to;
    for (auto& o : out) to.push_back(o.data() + kGuard);
    if (!coder_->reconstruct(present, pointers(present), wanted, to, bytes_)) return false;
    for (size_t i = 0; i < wanted.size(); ++i) {
      const auto& shard = shards_[static_cast<size_t>(wanted[i])];
      std::vector<uint8_t> expected(bytes_ + 2 * kGuard, 0xee);
      std::copy(shard.begin(), shard.end(), expected.begin() + kGuard);
      if (out[i] != expected) return false;
    }
    return true;
  }

 private:
  std::shared_ptr<const ReedSolomon> coder_;
  size_t bytes_;
  std::vector<std::vector<uint8_t>> shards_;
  std::vector<bool> null_;
  std::vector<uint8_t> garbage_;
};

uint64_t all_of(int n) { return n == 64 ? ~uint64_t{0} : (uint64_t{1} << n) - 1; }

std::string describe(std::span<const int> erased) {
  std::string text = "erased";
  for (const int i : erased) text.append(fmt::format(" {}", i));
  return text;
}

void shuffle(std::vector<int>& v, Rng& rng) {
  for (size_t i = 0; i < v.size(); ++i) std::swap(v[i], v[i + rng.below(v.size() - i)]);
}

/// Every pattern of at most m erasures, by enumeration.
void check_every_pattern(int k, int m, size_t bytes, uint64_t seed) {
  SCOPED_TRACE(fmt::format("{}+{}, seed {}", k, m, seed));
  Rng rng(seed);
  const Stripe stripe(k, m, bytes, rng);
  for (int erasures = 0; erasures <= m; ++erasures) {
    test::for_each_subset(k + m, erasures, [&](std::span<const int> erased) {
      uint64_t present = all_of(k + m);
      for (const int i : erased) present &= ~(uint64_t{1} << i);
      std::vector<int> wanted(erased.begin(), erased.end());
      shuffle(wanted, rng);
      EXPECT_TRUE(stripe.rebuilds(present, wanted)) << describe(wanted);
      if (!wanted.empty()) {
        EXPECT_TRUE(stripe.rebuilds(present, {wanted.data(), 1})) << describe(wanted) << ", the first wanted";
      }
      return !testing::Test::HasFailure();
    });
  }
}

TEST(Erasure, EveryPatternOfEveryGeometryUpToTenShards) {
  for (int k = 1; k < 10; ++k) {
    for (int m = 1; k + m <= 10; ++m) check_every_pattern(k, m, 67, static_cast<uint64_t>(100 * k + m));
  }
}

TEST(Erasure, EveryPatternOfOnePlusOne) { check_every_pattern(1, 1, 4096, 1); }
TEST(Erasure, EveryPatternOfTwoPlusOne) { check_every_pattern(2, 1, 4096, 2); }
TEST(Erasure, EveryPatternOfFourPlusTwo) { check_every_pattern(4, 2, 4096, 3); }
TEST(Erasure, EveryPatternOfEightPlusFour) { check_every_pattern(8, 4, 1031, 4); }
TEST(Erasure, EveryPatternOfSixteenPlusFour) { check_every_pattern(16, 4, 131, 5); }
TEST(Erasure, EveryPatternOfEightPlusEight) { check_every_pattern(8, 8, 71, 6); }

TEST(Erasure, RandomPatternsOfLargeGeometries) {
  for (uint64_t seed = 1; seed <= 400; ++seed) {
    SCOPED_TRACE(seed);
    Rng rng(seed);
    const int k = 1 + static_cast<int>(rng.below(63));
    const int m = 1 + static_cast<int>(rng.below(static_cast<uint64_t>(64 - k)));
    const Stripe stripe(k, m, rng.below(2000), rng);
    for (int i = 0; i < 8; ++i) {
      std::vector<int> order(static_cast<size_t>(k + m));
      for (size_t s = 0; s < order.size(); ++s) order[s] = static_cast<int>(s);
      shuffle(order, rng);
      order.resize(i == 0 ? static_cast<size_t>(m) : rng.below(static_cast<uint64_t>(m) + 1));
      uint64_t present = all_of(k + m);
      for (const int s : order) present &= ~(uint64_t{1} << s);
      order.resize(rng.below(order.size() + 1));  // only some of the erased are wanted
      ASSERT_TRUE(stripe.rebuilds(present, order)) << k << "+" << m << " " << describe(order);
    }
  }
}

TEST(Erasure, LongShardsInSeveralBlocks) {
  Rng rng(31);
  for (const auto& [k, m] : {std::pair{4, 2}, {8, 8}, {16, 16}}) {
    const Stripe stripe(k, m, (size_t{256} << 10) + 77, rng);
    std::vector<int> erased;
    for (int i = 0; i < m; ++i) erased.push_back(i % 2 == 0 ? i : k + i);
    uint64_t present = all_of(k + m);
    for (const int i : erased) present &= ~(uint64_t{1} << i);
    EXPECT_TRUE(stripe.rebuilds(present, erased)) << k << "+" << m;
  }
}

TEST(Erasure, ReadsNoByteBeyondItsSources) {
  // Sources and outputs end at inaccessible pages.
  const auto coder = ReedSolomon::create(4, 2).value();
  Rng rng(12);
  for (const size_t bytes : {1, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 129, 4095, 4096, 4097}) {
    std::vector<test::GuardedBytes> shards;
    for (int i = 0; i < 6; ++i) shards.emplace_back(bytes);
    for (size_t i = 0; i < 4; ++i) {
      for (uint8_t& b : shards[i].span()) b = static_cast<uint8_t>(rng.next());
    }
    const uint8_t* const from[6] = {shards[0].data(), shards[1].data(), shards[2].data(),
                                    shards[3].data(), shards[4].data(), shards[5].data()};
    uint8_t* const parity[2] = {shards[4].data(), shards[5].data()};
    coder->encode({from, 4}, parity, bytes);
    test::GuardedBytes a(bytes), b(bytes);
    uint8_t* const out[2] = {a.data(), b.data()};
    const int wanted[2] = {0, 3};
    ASSERT_TRUE(coder->reconstruct(0b110110, from, wanted, out, bytes));
    EXPECT_EQ(a.text(), shards[0].text());
    EXPECT_EQ(b.text(), shards[3].text());
  }
}

TEST(Erasure, TooFewShardsIsAnErrorAndLeavesTheOutputAlone) {
  Rng rng(13);
  const Stripe stripe(4, 2, 256, rng);
  for (uint64_t present = 0; present < 64; ++present) {
    if (std::popcount(present) >= 4) continue;
    std::vector<int> wanted;
    for (int i = 0; i < 6; ++i) {
      if ((present >> i & 1) == 0) wanted.push_back(i);
    }
    std::vector<std::vector<uint8_t>> out(wanted.size(), std::vector<uint8_t>(256, 0xee));
    std::vector<uint8_t*> to;
    for (auto& o : out) to.push_back(o.data());
    const Status status = stripe.coder().reconstruct(present, stripe.pointers(present), wanted, to, 256);
    ASSERT_FALSE(status) << present;
    EXPECT_EQ(status.error().code(), ErrorCode::kInvalid);
    EXPECT_EQ(status.error().errno_value(), EIO);
    for (const auto& o : out) EXPECT_EQ(o, std::vector<uint8_t>(256, 0xee));
    EXPECT_EQ(stripe.coder().sources_for(present), 0u);
  }
}

TEST(Erasure, BitsBeyondTheLastShardAreNotCounted) {
  Rng rng(14);
  const Stripe stripe(4, 2, 64, rng);
  const int wanted[1] = {0};
  std::vector<uint8_t> out(64);
  uint8_t* const to[1] = {out.data()};
  const uint64_t present = 0b111000 | ~all_of(6);
  EXPECT_FALSE(stripe.coder().reconstruct(present, stripe.pointers(present), wanted, to, 64));
  EXPECT_EQ(stripe.coder().sources_for(~uint64_t{0}), 0b1111u);
}

TEST(Erasure, SourcesAreDataFirstThenTheLowestParity) {
  const auto coder = ReedSolomon::create(4, 3).value();
  EXPECT_EQ(coder->sources_for(0b1111111), 0b0001111u);
  EXPECT_EQ(coder->sources_for(0b1111110), 0b0011110u);
  EXPECT_EQ(coder->sources_for(0b1101010), 0b1101010u);
  const auto widest = ReedSolomon::create(63, 1).value();
  EXPECT_EQ(widest->sources_for(~uint64_t{0}), ~uint64_t{0} >> 1);
  EXPECT_EQ(widest->sources_for(~uint64_t{1}), ~uint64_t{1});
}

TEST(Erasure, EverySourceCountsInEveryRebuiltShard) {
  // In a code of this kind no coefficient is zero.  So one wrong byte in any source changes that byte of each
  // rebuilt shard: it also shows that the comparisons above can fail.
  Rng rng(15);
  Stripe stripe(4, 2, 32, rng);
  for (uint64_t present = 0; present < 64; ++present) {
    if (std::popcount(present) != 4) continue;
    std::vector<int> wanted;
    for (int i = 0; i < 6; ++i) {
      if ((present >> i & 1) == 0) wanted.push_back(i);
    }
    for (int bad = 0; bad < 6; ++bad) {
      if ((present >> bad & 1) == 0) continue;
      std::vector<const uint8_t*> from = stripe.pointers(present);
      std::vector<uint8_t> flipped = stripe.shard(bad);
      flipped[9] ^= 0x10;
      from[static_cast<size_t>(bad)] = flipped.data();
      std::vector<uint8_t> a(32), b(32);
      uint8_t* const to[2] = {a.data(), b.data()};
      ASSERT_TRUE(stripe.coder().reconstruct(present, from, wanted, to, 32));
      for (const auto& [out, shard] : {std::pair{&a, wanted[0]}, {&b, wanted[1]}}) {
        std::vector<uint8_t> expected = stripe.shard(shard);
        EXPECT_NE((*out)[9], expected[9]);
        (*out)[9] = expected[9];
        EXPECT_EQ(*out, expected);
      }
    }
  }
}

TEST(Erasure, NothingWantedAndNoBytesAreFine) {
  Rng rng(16);
  const Stripe stripe(4, 2, 0, rng);
  EXPECT_TRUE(stripe.rebuilds(0b111111, {}));
  const int wanted[2] = {1, 5};
  EXPECT_TRUE(stripe.rebuilds(0b011101, wanted));
}

TEST(Erasure, ThreadsShareOneCoderAndMorePatternsThanItCaches) {
  Rng rng(17);
  const Stripe stripe(8, 4, 97, rng);
  std::vector<std::vector<int>> patterns;
  test::for_each_subset(12, 4, [&](std::span<const int> erased) {
    patterns.emplace_back(erased.begin(), erased.end());
    return true;
  });
  ASSERT_GT(patterns.size(), DecodePlanCache::kPlans);
  std::vector<std::thread> threads;
  for (uint64_t t = 0; t < 4; ++t) {
    threads.emplace_back([&stripe, &patterns, t] {
      Rng order(1000 + t);
      for (int i = 0; i < 3000; ++i) {
        // Half of the time one of few patterns, so that hits and evictions mix.
        const auto& erased = patterns[order.below(order.one_in(2) ? 20 : patterns.size())];
        uint64_t present = all_of(12);
        for (const int s : erased) present &= ~(uint64_t{1} << s);
        ASSERT_TRUE(stripe.rebuilds(present, erased)) << describe(erased);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

TEST(ErasureDeathTest, RefusesWantedShardsThatAreNoErasures) {
  Rng rng(18);
  const Stripe stripe(4, 2, 16, rng);
  for (const auto& wanted : {std::vector<int>{1}, {0, 0}, {6}, {-1}}) {
    EXPECT_DEATH(stripe.rebuilds(0b111110, wanted), "internal check failed") << describe(wanted);
  }
}

}  // namespace
}  // namespace stavefs
