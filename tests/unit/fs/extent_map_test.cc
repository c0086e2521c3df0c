#include "fs/extent_map.h"

#include <gtest/gtest.h>

#include <map>

#include "base/rng.h"

namespace stavefs {
namespace {

constexpr uint64_t kSpace = 300;

Extent make_extent(uint64_t group, uint32_t stored_at, uint32_t length) {
  Extent e;
  e.address = {GroupId(group), Row(1), 1, 1, stored_at, length};
  e.length = length;
  e.expanded_length = length;
  e.checksums = std::string(8, static_cast<char>(group));
  return e;
}

/// Where a byte of the file is stored.
struct Place {
  GroupId group;
  uint64_t at = 0;
  bool operator==(const Place&) const = default;
};
using Model = std::vector<std::optional<Place>>;
using Records = std::map<uint64_t, Extent>;

Model places_of(const Records& records) {
  Model places(2 * kSpace);
  uint64_t end = 0;
  for (const auto& [offset, extent] : records) {
    EXPECT_GT(extent.length, 0U);
    EXPECT_GE(offset, end) << "records overlap";
    EXPECT_LE(extent.skip + extent.length, extent.expanded_length);
    end = offset + extent.length;
    for (uint64_t i = 0; i < extent.length; ++i) {
      places[offset + i] = Place{extent.address.group, extent.address.offset + extent.skip + i};
    }
  }
  return places;
}

std::map<GroupId, int64_t> live_of(const Model& places) {
  std::map<GroupId, int64_t> live;
  for (const auto& place : places) {
    if (place) ++live[place->group];
  }
  return live;
}

void apply(const ExtentEdit& edit, Records& records) {
  for (const uint64_t offset : edit.erased)
    ASSERT_EQ(records.erase(offset), 1U) << "erased what is not there: " << offset;
  for (const ExtentEntry& entry : edit.put) records[entry.offset] = entry.extent;
}

/// Goal: overwrites and cuts keep every byte's place and the groups' live bytes exact.  Method: random sets
/// of ranges are carved out of records and replaced by new extents or by nothing, against an array with the
/// place of each byte.
TEST(ExtentMap, RandomOverwritesAndCutsKeepPlacesAndLiveBytesExact) {
  for (uint64_t seed = 1; seed <= 200; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Rng rng(seed);
    Records records;
    Model model(2 * kSpace);
    std::map<GroupId, int64_t> live;
    for (int step = 0; step < 60; ++step) {
      std::vector<FileRange> ranges;
      for (uint64_t at = rng.below(kSpace); at < kSpace && ranges.size() < 4;) {
        const uint64_t to = at + 1 + rng.below(rng.one_in(4) ? 100 : 12);
        ranges.push_back({at, to});
        at = to + rng.below(30);
      }
      const bool cut = rng.one_in(6);
      if (cut) ranges = {{ranges.empty() ? 0 : ranges[0].from, ~uint64_t{0}}};
      std::vector<ExtentEntry> entries;
      for (const auto& [offset, extent] : records) entries.push_back({offset, extent});
      const ExtentEdit edit = carve(entries, ranges);
      apply(edit, records);
      uint64_t removed = 0;
      for (const FileRange& r : ranges) {
        for (uint64_t k = r.from; k < std::min<uint64_t>(r.to, model.size()); ++k) {
          removed += model[k].has_value();
          model[k].reset();
        }
      }
      ASSERT_EQ(edit.removed_bytes, removed);
      for (const auto& [group, bytes] : edit.live) live[group] += bytes;
      if (!cut) {
        for (const FileRange& r : ranges) {
          const auto group = 1 + rng.below(5);
          const auto at = static_cast<uint32_t>(64 * rng.below(1000));
          const auto n = static_cast<uint32_t>(r.to - r.from);
          records[r.from] = make_extent(group, at, n);
          live[GroupId(group)] += n;
          for (uint64_t k = 0; k < n; ++k) model[r.from + k] = Place{GroupId(group), at + k};
        }
      }
      ASSERT_EQ(places_of(records), model) << "step " << step;
      std::erase_if(live, [](const auto& entry) { return entry.second == 0; });
      ASSERT_EQ(live, live_of(model)) << "step " << step;
    }
  }
}

/// Goal: a record that no range touches is not written again.
TEST(ExtentMap, UntouchedRecordsAreLeftAlone) {
  const std::vector<ExtentEntry> entries = {
      {0, make_extent(1, 0, 10)}, {10, make_extent(2, 0, 10)}, {30, make_extent(3, 0, 10)}};
  const std::vector<FileRange> ranges = {{20, 30}, {40, 50}};
  const ExtentEdit edit = carve(entries, ranges);
  EXPECT_TRUE(edit.erased.empty());
  EXPECT_TRUE(edit.put.empty());
  EXPECT_TRUE(edit.live.empty());
  EXPECT_EQ(edit.removed_bytes, 0U);
}

/// Goal: an overwrite in the middle splits in two, both pointing into the same stored extent.
TEST(ExtentMap, AnOverwriteInTheMiddleSplitsTheRecord) {
  const std::vector<ExtentEntry> entries = {{100, make_extent(1, 640, 50)}};
  const std::vector<FileRange> ranges = {{110, 120}};
  const ExtentEdit edit = carve(entries, ranges);
  EXPECT_TRUE(edit.erased.empty());
  ASSERT_EQ(edit.put.size(), 2U);
  EXPECT_EQ(edit.put[0].offset, 100U);
  EXPECT_EQ(edit.put[0].extent.skip, 0U);
  EXPECT_EQ(edit.put[0].extent.length, 10U);
  EXPECT_EQ(edit.put[1].offset, 120U);
  EXPECT_EQ(edit.put[1].extent.skip, 20U);
  EXPECT_EQ(edit.put[1].extent.length, 30U);
  EXPECT_EQ(edit.put[1].extent.checksums, entries[0].extent.checksums);
  EXPECT_EQ(edit.live.at(GroupId(1)), -10);
}

}  // namespace
}  // namespace stavefs
