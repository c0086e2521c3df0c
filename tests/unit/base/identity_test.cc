// Uuid, Rng and the clock.  Seeds name failures and UUIDs stand on disks: both must give the same bytes in
// every version.  The expected numbers come from an independent implementation of the published algorithms.

#include <gtest/gtest.h>

#include <array>
#include <ctime>
#include <set>

#include "base/clock.h"
#include "base/rng.h"
#include "base/uuid.h"

namespace stavefs {
namespace {

TEST(Rng, HasGoldenValues) {
  const std::pair<uint64_t, std::array<uint64_t, 4>> golden[] = {
      {0, {0x99ec5f36cb75f2b4, 0xbf6e1f784956452a, 0x1a5f849d4933e6e0, 0x6aa594f1262d2d2c}},
      {1, {0xb3f2af6d0fc710c5, 0x853b559647364cea, 0x92f89756082a4514, 0x642e1c7bc266a3a7}},
      {0x123456789abcdef0, {0xe01d6fafc557f1b9, 0xbd627ebe4406b404, 0x2c23132b578b57db, 0x2e8b319d4d1f276a}},
  };
  for (const auto& [seed, values] : golden) {
    Rng rng(seed);
    for (const uint64_t v : values) EXPECT_EQ(rng.next(), v) << "seed " << seed;
  }
}

TEST(Rng, BelowIsUniformAndInRange) {
  // 10^5 draws into 10 boxes: each box within five standard deviations (95) of its mean.
  Rng rng(5);
  std::array<int, 10> boxes{};
  for (int i = 0; i < 100000; ++i) ++boxes.at(rng.below(boxes.size()));
  for (const int n : boxes) EXPECT_NEAR(n, 10000, 475);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(rng.below(1), 0u);
  bool upper_half = false;
  for (int i = 0; i < 100; ++i) upper_half |= rng.below(~uint64_t{0}) > (~uint64_t{0} >> 1);
  EXPECT_TRUE(upper_half);
  int hits = 0;
  for (int i = 0; i < 100000; ++i) hits += rng.one_in(100);
  EXPECT_NEAR(hits, 1000, 160);
}

TEST(RngDeathTest, BelowZeroIsRefused) {
  Rng rng(1);
  EXPECT_DEATH(rng.below(0), "internal check failed");
}

TEST(Rng, EntropyGivesDifferentGenerators) {
  std::set<uint64_t> seen;
  for (int i = 0; i < 100; ++i) seen.insert(Rng::from_entropy().next());
  EXPECT_EQ(seen.size(), 100u);
}

TEST(Uuid, HasGoldenText) {
  Uuid uuid;
  for (size_t i = 0; i < 16; ++i) uuid.bytes[i] = static_cast<uint8_t>(i * 17);
  EXPECT_EQ(uuid.to_text(), "00112233-4455-6677-8899-aabbccddeeff");
  EXPECT_EQ(Uuid{}.to_text(), "00000000-0000-0000-0000-000000000000");
  EXPECT_TRUE(Uuid{}.is_nil());
  EXPECT_FALSE(uuid.is_nil());
}

TEST(Uuid, RandomIsVersion4AndReadsBack) {
  Rng rng(9);
  std::set<Uuid> seen;
  for (int i = 0; i < 1000; ++i) {
    const Uuid uuid = Uuid::random(rng);
    ASSERT_EQ(uuid.bytes[6] >> 4, 4);
    ASSERT_EQ(uuid.bytes[8] >> 6, 2);
    const auto parsed = Uuid::parse(uuid.to_text());
    ASSERT_TRUE(parsed);
    ASSERT_EQ(*parsed, uuid);
    seen.insert(uuid);
  }
  EXPECT_EQ(seen.size(), 1000u);
}

TEST(Uuid, ParseTakesUpperCaseAndRefusesEverythingElse) {
  const std::string good = "00112233-4455-6677-8899-aabbccddeeff";
  EXPECT_EQ(Uuid::parse("00112233-4455-6677-8899-AABBCCDDEEFF")->to_text(), good);
  for (const std::string& bad : {std::string(), good.substr(1), good + "0", "{" + good + "}",
                                 std::string(36, '-'), std::string(36, '0')}) {
    const auto parsed = Uuid::parse(bad);
    ASSERT_FALSE(parsed) << bad;
    EXPECT_EQ(parsed.error().code(), ErrorCode::kInvalid);
  }
  for (size_t i = 0; i < good.size(); ++i) {
    for (const char c : {'g', ' ', '\0', '\xff', good[i] == '-' ? '0' : '-'}) {
      std::string bad = good;
      bad[i] = c;
      EXPECT_FALSE(Uuid::parse(bad)) << i;
    }
  }
}

TEST(SystemClock, MonotonicNeverGoesBackAndRealtimeIsNow) {
  const SystemClock clock;
  int64_t last = clock.monotonic_ns();
  for (int i = 0; i < 10000; ++i) {
    const int64_t now = clock.monotonic_ns();
    ASSERT_GE(now, last);
    last = now;
  }
  EXPECT_NEAR(static_cast<double>(clock.realtime_ns()) / 1e9, static_cast<double>(std::time(nullptr)), 2.0);
}

}  // namespace
}  // namespace stavefs
