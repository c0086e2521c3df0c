// The cache of decode plans: a hit gives the very same plan, the one unused for longest goes first, and two
// threads that built the same plan agree on one.  That plans are right is shown by erasure_test.cc.

#include "codec/decode_plan.h"

#include <gtest/gtest.h>

#include "tests/unit/codec/gf256_model.h"

namespace stavefs {
namespace {

DecodePattern pattern(uint64_t i) { return {.sources = i + 1, .wanted = ~(i + 1)}; }

std::shared_ptr<const DecodePlan> plan() { return std::make_shared<const DecodePlan>(); }

TEST(DecodePlanCache, FindsWhatWasInsertedAndNothingElse) {
  DecodePlanCache cache;
  EXPECT_EQ(cache.find(pattern(1)), nullptr);
  EXPECT_EQ(cache.find({}), nullptr) << "a free entry must not match the empty pattern";
  const auto a = plan(), b = plan();
  cache.insert(pattern(1), a);
  cache.insert(pattern(2), b);
  EXPECT_EQ(cache.find(pattern(1)), a);
  EXPECT_EQ(cache.find(pattern(2)), b);
  EXPECT_EQ(cache.find({.sources = pattern(1).sources, .wanted = 0}), nullptr);
  EXPECT_EQ(cache.find({.sources = 0, .wanted = pattern(1).wanted}), nullptr);
}

TEST(DecodePlanCache, DropsThePlanUnusedForLongest) {
  DecodePlanCache cache;
  for (uint64_t i = 0; i < DecodePlanCache::kPlans; ++i) cache.insert(pattern(i), plan());
  EXPECT_NE(cache.find(pattern(0)), nullptr);  // now 1 is the oldest
  cache.insert(pattern(1000), plan());
  EXPECT_EQ(cache.find(pattern(1)), nullptr);
  for (uint64_t i = 0; i < DecodePlanCache::kPlans; ++i)
    EXPECT_EQ(cache.find(pattern(i)) != nullptr, i != 1) << i;
  EXPECT_NE(cache.find(pattern(1000)), nullptr);
}

TEST(DecodePlanCache, FirstPlanOfAPatternStays) {
  DecodePlanCache cache;
  const auto first = plan();
  cache.insert(pattern(3), first);
  cache.insert(pattern(3), plan());
  EXPECT_EQ(cache.find(pattern(3)), first);
}

TEST(DecodePlan, NamesSourcesAndWantedInAscendingOrder) {
  const std::vector<uint8_t> matrix = test::model_matrix(4, 2);
  const DecodePlan built = build_decode_plan(matrix, 4, {.sources = 0b111010, .wanted = 0b000101});
  EXPECT_EQ(built.sources, (std::vector<int>{1, 3, 4, 5}));
  EXPECT_EQ(built.wanted, (std::vector<int>{0, 2}));
  EXPECT_EQ(built.tables.size(), 2u * 4 * 32);
}

TEST(DecodePlanDeathTest, RefusesImpossiblePatterns) {
  const std::vector<uint8_t> matrix = test::model_matrix(4, 2);
  EXPECT_DEATH(build_decode_plan(matrix, 4, {.sources = 0b000111, .wanted = 0b001000}),
               "internal check failed");
  EXPECT_DEATH(build_decode_plan(matrix, 4, {.sources = 0b001111, .wanted = 0b001000}),
               "internal check failed");
}

}  // namespace
}  // namespace stavefs
