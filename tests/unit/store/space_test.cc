// Goal: what is promised can be placed, and all that can be placed is promised.
// Method: the formula against taking segments one group at a time, fullest-of-free disks first; the segment
// table against a map.

#include "store/space.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>

#include "base/rng.h"
#include "store/segment_table.h"
#include "store/stripe_layout.h"

namespace stavefs::test {
namespace {

uint64_t by_taking(const Geometry& geometry, const std::vector<DiskRoom>& disks) {
  std::map<uint16_t, std::vector<uint32_t>> sets;
  for (const DiskRoom& disk : disks) sets[disk.set].push_back(disk.free_segments);
  uint64_t groups = 0;
  for (auto& [set, free] : sets) {
    const size_t shards = std::min<size_t>(free.size(), static_cast<size_t>(geometry.total()));
    if (shards < static_cast<size_t>(geometry.write_quorum())) continue;
    while (true) {
      std::sort(free.rbegin(), free.rend());
      if (free[shards - 1] == 0) break;
      for (size_t i = 0; i < shards; ++i) --free[i];
      ++groups;
    }
  }
  return groups;
}

TEST(Space, AsManyGroupsAsCanReallyBeTaken) {
  for (uint64_t seed = 1; seed <= 3000; ++seed) {
    Rng rng(seed);
    const Geometry geometry{static_cast<uint8_t>(1 + rng.below(6)), static_cast<uint8_t>(1 + rng.below(4))};
    std::vector<DiskRoom> disks(rng.below(14));
    for (DiskRoom& disk : disks) {
      disk.set = static_cast<uint16_t>(rng.below(2));
      disk.free_segments = static_cast<uint32_t>(rng.one_in(3) ? rng.below(4) : rng.below(40));
    }
    ASSERT_EQ(groups_possible(geometry, disks), by_taking(geometry, disks))
        << "seed " << seed << " " << geometry.to_text();
  }
}

TEST(Space, AFullDiskDoesNotMakeGroupsDegraded) {
  std::vector<DiskRoom> disks(6, DiskRoom{0, 10});
  EXPECT_EQ(groups_possible({4, 2}, disks), 10u);
  disks[0].free_segments = 0;
  EXPECT_EQ(groups_possible({4, 2}, disks), 0u);
  disks.erase(disks.begin());  // gone, not full
  EXPECT_EQ(groups_possible({4, 2}, disks), 10u);
  disks.resize(3);
  EXPECT_EQ(groups_possible({4, 2}, disks), 0u) << "below the write quorum";
}

TEST(Space, SomethingIsHeldBackButNotAll) {
  EXPECT_EQ(groups_held_back(0), 0u);
  EXPECT_EQ(groups_held_back(3), 0u);
  EXPECT_EQ(groups_held_back(4), 1u);
  EXPECT_EQ(groups_held_back(20), 2u);
  EXPECT_EQ(groups_held_back(21), 3u);
  for (uint64_t n = 1; n < 5000; ++n) EXPECT_LT(groups_held_back(n), n);
}

TEST(Space, GroupBytesLeaveRoomForBothPagesAndTheSummary) {
  for (const uint32_t segment : {4u << 20, 16u << 20, 256u << 20}) {
    for (const Geometry g : {Geometry{1, 1}, Geometry{4, 2}, Geometry{16, 4}, Geometry{32, 32}}) {
      const uint64_t all = uint64_t{segment} * g.data;
      EXPECT_LT(group_data_bytes(g, segment), all);
      EXPECT_GT(group_data_bytes(g, segment), all - all / 100);
    }
  }
}

TEST(SegmentTable, AgreesWithANaiveModel) {
  for (uint64_t seed = 1; seed <= 50; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Rng rng(seed);
    std::vector<Member> members(2);
    members[1].slot = DiskSlot(1);
    members[0].segments = 7;
    members[1].segments = 3;
    SegmentTable table(members);
    std::map<std::pair<int, uint32_t>, uint32_t> used;
    std::map<std::pair<int, uint32_t>, uint32_t> generations;
    for (int i = 0; i < 500; ++i) {
      const int disk = static_cast<int>(rng.below(2));
      const DiskSlot slot(static_cast<uint16_t>(disk));
      const auto count = static_cast<uint32_t>(
          std::count_if(used.begin(), used.end(), [&](const auto& u) { return u.first.first == disk; }));
      ASSERT_EQ(table.free(slot), members[static_cast<size_t>(disk)].segments - count);
      if (rng.one_in(2)) {
        const auto taken = table.take(slot);
        ASSERT_EQ(taken.has_value(), count < members[static_cast<size_t>(disk)].segments);
        if (!taken) continue;
        const auto key = std::make_pair(disk, taken->segment.value);
        ASSERT_FALSE(used.contains(key)) << "given out twice";
        ASSERT_EQ(taken->generation.value, generations[key] + 1) << "a reuse must raise the generation";
        if (rng.one_in(4)) {
          table.untake(slot, *taken);
        } else {
          used[key] = taken->generation.value;
          generations[key] = taken->generation.value;
        }
      } else if (!used.empty()) {
        auto it = used.begin();
        std::advance(it, static_cast<long>(rng.below(used.size())));
        table.release(DiskSlot(static_cast<uint16_t>(it->first.first)), SegmentNumber(it->first.second));
        used.erase(it);
      }
    }
  }
}

TEST(SegmentTable, RefusesWhatContradicts) {
  std::vector<Member> members(1);
  members[0].segments = 4;
  SegmentTable table(members);
  EXPECT_TRUE(table.mark_used(DiskSlot(0), SegmentNumber(1), Generation(5)));
  EXPECT_FALSE(table.mark_used(DiskSlot(0), SegmentNumber(1), Generation(6))) << "two groups on one segment";
  EXPECT_FALSE(table.mark_used(DiskSlot(0), SegmentNumber(4), Generation(1)));
  EXPECT_FALSE(table.mark_used(DiskSlot(1), SegmentNumber(0), Generation(1)));
  EXPECT_EQ(table.free(DiskSlot(0)), 3u);
  table.set_host_limit(DiskSlot(0), 2);
  EXPECT_EQ(table.free(DiskSlot(0)), 2u);
  EXPECT_TRUE(table.take(DiskSlot(0)));
  EXPECT_EQ(table.free(DiskSlot(0)), 1u) << "what is taken counts against the host's room";
}

}  // namespace
}  // namespace stavefs::test
