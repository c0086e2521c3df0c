// Placement must fill disks of any size evenly, never use a disk twice, prefer complete groups and refuse
// below the write quorum.  Method: simulate filling a pool and compare the disks' fill; enumerate small
// cases.

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "pool/placement.h"
#include "pool/pool.h"

namespace stavefs {
namespace {

std::vector<Candidate> disks_of(const std::vector<uint32_t>& sizes, uint16_t set = 0,
                                uint16_t first_slot = 0) {
  std::vector<Candidate> disks;
  for (size_t i = 0; i < sizes.size(); ++i)
    disks.push_back({DiskSlot(static_cast<uint16_t>(first_slot + i)), set, sizes[i], sizes[i]});
  return disks;
}

TEST(Geometry, ParsesOnlyWhatItPrints) {
  for (const char* text : {"1+1", "2+1", "4+2", "8+4", "16+4", "8+8", "60+4", "1+63"}) {
    const Result<Geometry> geometry = Geometry::parse(text);
    ASSERT_TRUE(geometry) << text;
    EXPECT_TRUE(geometry->valid());
    EXPECT_EQ(geometry->to_text(), text);
  }
  for (const char* text : {"", "+", "4", "4+", "+2", "0+1", "4+0", "61+4", "4+2+1", "-4+2", "4 +2", "4+2 ",
                           "a+b", "999999999999+1", "256+1"}) {
    const Result<Geometry> geometry = Geometry::parse(text);
    ASSERT_FALSE(geometry) << text;
    EXPECT_EQ(geometry.error().code(), ErrorCode::kInvalid);
  }
}

TEST(Geometry, WriteQuorumIsOneMoreWhenParityEqualsData) {
  EXPECT_EQ((Geometry{4, 2}).write_quorum(), 4);
  EXPECT_EQ((Geometry{8, 8}).write_quorum(), 9);
  EXPECT_EQ((Geometry{1, 1}).write_quorum(), 2);
}

TEST(SegmentSize, FollowsTheMedianDiskWithinItsLimits) {
  const auto choose = [](std::vector<uint64_t> sizes) { return choose_segment_bytes(sizes); };
  constexpr uint64_t kGiB = uint64_t{1} << 30;
  EXPECT_EQ(choose({kGiB, kGiB}), 4u << 20);
  EXPECT_EQ(choose({64 * kGiB, 64 * kGiB, 64 * kGiB}), 16u << 20);
  EXPECT_EQ(choose({100 * kGiB}), 16u << 20);  // 25 MiB, rounded down
  EXPECT_EQ(choose({kGiB, 64 * kGiB, 9000 * kGiB}), 16u << 20);
  EXPECT_EQ(choose({20000 * kGiB}), 256u << 20);
  EXPECT_EQ(choose({}), 4u << 20);
}

TEST(Placement, MixedSizesFillInProportion) {
  // Disks of 200 to 1000 segments, 4+2: at every moment the fills may differ by a few segments only, as long
  // as no disk is larger than what the width allows it to take.
  Rng rng(7);
  std::vector<Candidate> disks = disks_of({1000, 1000, 500, 500, 750, 900, 200, 1000, 640});
  const Geometry geometry{4, 2};
  for (int group = 0; group < 900; ++group) {
    const auto slots = place_group(geometry, disks, rng);
    ASSERT_TRUE(slots) << "group " << group;
    std::set<DiskSlot> different;
    for (const DiskSlot slot : *slots) {
      ASSERT_NE(slot, kNoDisk);
      different.insert(slot);
      --disks[slot.value].free_segments;
    }
    ASSERT_EQ(different.size(), 6u);
    double least = 1;
    double most = 0;
    for (const Candidate& disk : disks) {
      const double free = static_cast<double>(disk.free_segments) / disk.total_segments;
      least = std::min(least, free);
      most = std::max(most, free);
    }
    ASSERT_LT(most - least, 0.02) << "group " << group;
  }
}

TEST(Placement, EqualDisksShareGroupsWithEachOtherEvenly) {
  // After one disk fails, the work of rebuilding must be spread: each pair of disks shares about as many
  // groups.
  Rng rng(11);
  std::vector<Candidate> disks = disks_of(std::vector<uint32_t>(12, 4000));
  int together[12][12] = {};
  std::vector<int> parity_count(12);
  for (int group = 0; group < 6000; ++group) {
    const auto slots = place_group({4, 2}, disks, rng);
    ASSERT_TRUE(slots);
    for (const DiskSlot a : *slots) {
      --disks[a.value].free_segments;
      for (const DiskSlot b : *slots) ++together[a.value][b.value];
    }
    for (int shard = 4; shard < 6; ++shard) ++parity_count[(*slots)[static_cast<size_t>(shard)].value];
  }
  for (int a = 0; a < 12; ++a) {
    EXPECT_NEAR(parity_count[static_cast<size_t>(a)], 1000, 150) << "disk " << a;
    for (int b = 0; b < 12; ++b) {
      if (a != b) {
        EXPECT_NEAR(together[a][b], 6000 * 30 / 132, 250) << a << " and " << b;
      }
    }
  }
}

TEST(Placement, DegradedGroupLeavesParityUnplaced) {
  for (uint64_t seed = 1; seed <= 50; ++seed) {
    Rng rng(seed);
    const auto slots = place_group({4, 2}, disks_of({10, 10, 10, 10, 10}), rng);
    ASSERT_TRUE(slots);
    ASSERT_EQ(slots->size(), 6u);
    EXPECT_EQ((*slots)[5], kNoDisk);
    std::set<DiskSlot> different(slots->begin(), slots->begin() + 5);
    EXPECT_EQ(different.size(), 5u);
    EXPECT_FALSE(different.contains(kNoDisk));
  }
}

TEST(Placement, RefusesBelowTheWriteQuorum) {
  Rng rng(3);
  const auto code = [&](Geometry geometry, std::vector<Candidate> disks) {
    const auto slots = place_group(geometry, disks, rng);
    return slots ? std::string("placed") : std::string(to_string(slots.error().code()));
  };
  EXPECT_EQ(code({4, 2}, disks_of({9, 9, 9, 9})), "placed");
  EXPECT_EQ(code({4, 2}, disks_of({9, 9, 9})), to_string(ErrorCode::kNoSpace));
  EXPECT_EQ(code({2, 2}, disks_of({9, 9, 9})), "placed");
  EXPECT_EQ(code({2, 2}, disks_of({9, 9})), to_string(ErrorCode::kNoSpace));
  EXPECT_EQ(code({1, 1}, {}), to_string(ErrorCode::kNoSpace));
  std::vector<Candidate> full = disks_of({9, 9, 9, 9, 9, 9});
  for (size_t i = 0; i < 3; ++i) full[i].free_segments = 0;
  EXPECT_EQ(code({4, 2}, full), to_string(ErrorCode::kNoSpace));
}

TEST(Placement, StaysInOneSetAndPrefersTheCompleteAndEmptierOne) {
  Rng rng(5);
  std::vector<Candidate> disks = disks_of({100, 100, 100, 100, 100, 100}, 0, 0);
  std::vector<Candidate> second = disks_of({100, 100, 100, 100, 100, 100}, 1, 6);
  disks.insert(disks.end(), second.begin(), second.end());
  int in_set[2] = {};
  for (int group = 0; group < 100; ++group) {
    const auto slots = place_group({4, 2}, disks, rng);
    ASSERT_TRUE(slots);
    const int set = (*slots)[0].value / 6;
    ++in_set[set];
    for (const DiskSlot slot : *slots) {
      ASSERT_EQ(slot.value / 6, set);
      --disks[slot.value].free_segments;
    }
  }
  EXPECT_EQ(in_set[0], 50);
  EXPECT_EQ(in_set[1], 50);
  // One disk of set 0 is gone: complete groups in set 1 come first, though it is fuller.
  disks.erase(disks.begin());
  for (Candidate& disk : disks)
    if (disk.set == 1) disk.free_segments = 1;
  const auto slots = place_group({4, 2}, disks, rng);
  ASSERT_TRUE(slots);
  for (const DiskSlot slot : *slots) EXPECT_GE(slot.value, 6);
}

}  // namespace
}  // namespace stavefs
