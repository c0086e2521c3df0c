// Goal: every byte of a stripe has exactly one place, and planning never loses, doubles, reorders or
// misplaces one. Method: exhaustive for small units; random pieces against the rules that a plan must obey.

#include <gtest/gtest.h>

#include "base/rng.h"
#include "store/space.h"
#include "store/stripe_layout.h"
#include "store/stripe_planner.h"

namespace stavefs::test {
namespace {

TEST(StripeLayout, UnitRowsAreTheLeastThatHoldTheBytes) {
  for (uint32_t k = 1; k <= 20; ++k) {
    for (uint64_t bytes = 0; bytes <= uint64_t{k} * kMaxUnitBytes; bytes += 997) {
      const uint32_t rows = unit_rows_for(bytes, k);
      ASSERT_GE(rows, 1u);
      ASSERT_LE(rows, 64u);
      ASSERT_GE(uint64_t{rows} * kRowBytes * k, bytes);
      ASSERT_TRUE(rows == 1 || uint64_t{rows - 1} * kRowBytes * k < bytes);
    }
  }
  EXPECT_EQ(unit_rows_for(uint64_t{1} << 40, 4), 64u);
}

TEST(StripeLayout, UnitsOfARangeCoverItOnce) {
  constexpr uint32_t kUnit = 8;
  for (uint32_t begin = 0; begin < 40; ++begin) {
    for (uint32_t end = begin; end <= 40; ++end) {
      std::vector<uint32_t> seen;
      for_each_unit(begin, end, kUnit, [&](const UnitRange& r, uint32_t offset) {
        ASSERT_EQ(offset, seen.size());
        ASSERT_LT(r.begin, r.end);
        ASSERT_LE(r.end, kUnit);
        for (uint32_t i = r.begin; i < r.end; ++i) seen.push_back(r.unit * kUnit + i);
      });
      ASSERT_EQ(seen.size(), end - begin);
      for (uint32_t i = 0; i < seen.size(); ++i) ASSERT_EQ(seen[i], begin + i);
    }
  }
}

TEST(StripeLayout, HullHoldsEveryUnitsPartInWholeRows) {
  constexpr uint32_t kUnit = 4 * kRowBytes;
  for (uint32_t begin = 0; begin < 2 * kUnit; begin += 512) {
    for (uint32_t end = begin + 1; end <= 3 * kUnit; end += 1023) {
      const UnitRange hull = unit_hull(begin, end, kUnit);
      ASSERT_EQ(hull.begin % kRowBytes, 0u);
      ASSERT_EQ(hull.end % kRowBytes, 0u);
      ASSERT_LE(hull.end, kUnit);
      for_each_unit(begin, end, kUnit, [&](const UnitRange& r, uint32_t) {
        ASSERT_LE(hull.begin, r.begin);
        ASSERT_GE(hull.end, r.end);
      });
    }
  }
}

TEST(StripeLayout, SummaryRowsHoldTheSummary) {
  for (uint32_t k : {1u, 2u, 4u, 16u}) {
    for (uint64_t bytes = 1; bytes < uint64_t{k} * kMaxUnitBytes * 3; bytes += 7919) {
      const uint64_t part = uint64_t{k} * kMaxUnitBytes;
      uint32_t rows = 0;
      uint32_t parts = 0;
      for (uint64_t left = bytes; left > 0; left -= std::min(left, part), ++parts) {
        rows += unit_rows_for(std::min(left, part), k);
      }
      ASSERT_EQ(summary_rows(bytes, k), rows);
      ASSERT_EQ(summary_parts(bytes, k), parts);
    }
  }
}

/// Everything that a plan promises.
void expect_valid(const StripePlan& plan, const std::vector<Fragment>& fragments, uint32_t k,
                  uint32_t max_rows) {
  ASSERT_GE(plan.unit_rows, 1u);
  ASSERT_LE(plan.unit_rows, std::min(max_rows, kMaxUnitRows));
  ASSERT_FALSE(fragments.empty());
  uint64_t end = 0;
  for (const Fragment& f : fragments) {
    ASSERT_EQ(f.stripe_offset % kExtentAlignment, 0u);
    ASSERT_GE(f.stripe_offset, end) << "overlap";
    ASSERT_GT(f.length, 0u);
    end = uint64_t{f.stripe_offset} + f.length;
    if (f.length <= kChecksumChunk) {
      ASSERT_EQ(f.stripe_offset / plan.unit_bytes(), (end - 1) / plan.unit_bytes())
          << "short extent across a unit";
    }
  }
  ASSERT_EQ(plan.data_bytes, end);
  ASSERT_LE(end, uint64_t{k} * plan.unit_bytes());
  ASSERT_EQ(plan.used_units, (end + plan.unit_bytes() - 1) / plan.unit_bytes());
}

TEST(StripePlanner, EveryByteOfEveryPieceIsPlacedOnceInOrder) {
  static constexpr size_t kSizes[] = {0,     1,     64,     100,     1500,    4096,    8192,   20000,
                                      32768, 32769, 100000, 1 << 20, 3 << 20, 4 << 20, 5000000};
  std::vector<uint8_t> memory(5000001);
  for (uint64_t seed = 1; seed <= 400; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Rng rng(seed);
    static constexpr uint32_t kUnits[] = {1, 2, 4, 8, 16};
    const uint32_t k = kUnits[rng.below(5)];
    std::vector<DataPiece> pieces(rng.below(60));
    for (DataPiece& piece : pieces) {
      size_t size = kSizes[rng.below(rng.one_in(4) ? std::size(kSizes) : 10)];
      if (rng.one_in(2)) size = rng.below(size + 1);
      piece.bytes = {memory.data(), size};
    }
    StripePlanner planner(k, pieces);
    size_t piece = 0;
    uint64_t offset = 0;
    std::vector<Fragment> fragments;
    while (!planner.done()) {
      const uint32_t max_rows = rng.one_in(2) ? 64 : 8 + static_cast<uint32_t>(rng.below(60));
      const StripePlan plan = planner.plan(max_rows, fragments);
      ASSERT_NO_FATAL_FAILURE(expect_valid(plan, fragments, k, max_rows));
      if (rng.one_in(5)) continue;  // not accepted: the same must come again
      for (const Fragment& f : fragments) {
        while (offset == pieces[piece].bytes.size()) {
          ++piece;
          offset = 0;
        }
        ASSERT_EQ(f.piece, piece);
        ASSERT_EQ(f.piece_offset, offset);
        offset += f.length;
        ASSERT_LE(offset, pieces[piece].bytes.size());
      }
      planner.accept(fragments);
    }
    for (; piece < pieces.size(); ++piece, offset = 0) ASSERT_EQ(offset, pieces[piece].bytes.size());
  }
}

TEST(StripePlanner, AFewRowsAreUsedOnlyWhenNothingCrosses) {
  // Goal: near a group's end, where fewer than eight rows are left, a plan is valid or says that it needs
  // more.
  std::vector<uint8_t> memory(2 << 20);
  for (const uint32_t k : {1u, 2u, 4u}) {
    for (uint32_t rows = 1; rows < kMinPlanRows; ++rows) {
      for (size_t size = 1; size < 200000; size += 1237) {
        const DataPiece piece{InodeId(1), 0, {memory.data(), size}};
        StripePlanner planner(k, {&piece, 1});
        std::vector<Fragment> fragments;
        const StripePlan plan = planner.plan(rows, fragments);
        if (plan.unit_rows == 0) {
          // Only a piece that would have to be cut into short parts, or that does not fit a unit.
          ASSERT_TRUE(size > rows * kRowBytes) << size;
        } else {
          ASSERT_NO_FATAL_FAILURE(expect_valid(plan, fragments, k, rows));
        }
      }
    }
  }
}

TEST(StripePlanner, WastesLittle) {
  // Goal: what is reserved for packing waste (an eighth) is enough when a whole batch of small files is
  // written.
  std::vector<uint8_t> memory(1 << 20);
  for (uint64_t seed = 1; seed <= 100; ++seed) {
    Rng rng(seed);
    std::vector<DataPiece> pieces(4000);
    const size_t around = 1100 + rng.below(33000);
    uint64_t total = 0;
    for (DataPiece& piece : pieces) {
      piece.bytes = {memory.data(), around / 2 + rng.below(around)};
      total += piece.bytes.size();
    }
    for (const uint32_t k : {1u, 2u, 4u, 8u}) {
      StripePlanner planner(k, pieces);
      std::vector<Fragment> fragments;
      uint64_t taken = 0;
      while (!planner.done()) {
        const StripePlan plan = planner.plan(64, fragments);
        taken += uint64_t{plan.unit_bytes()} * k;
        planner.accept(fragments);
      }
      EXPECT_LE(taken, with_packing(total)) << "seed " << seed << " k " << k << " around " << around;
    }
  }
}

}  // namespace
}  // namespace stavefs::test
