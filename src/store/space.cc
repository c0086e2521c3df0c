#include "store/space.h"

#include <algorithm>
#include <numeric>
#include <vector>

#include "store/stripe_layout.h"

namespace stavefs {
namespace {

constexpr uint64_t kHeldPercent = 10;
constexpr uint64_t kFewGroups = 4;

uint64_t groups_in_set(uint32_t shards, std::span<const uint32_t> free) {
  const auto fits = [&](uint64_t g) {
    uint64_t sum = 0;
    for (const uint32_t f : free) sum += std::min<uint64_t>(f, g);
    return sum >= g * shards;
  };
  uint64_t low = 0;
  uint64_t high = std::accumulate(free.begin(), free.end(), uint64_t{0}) / shards;
  while (low < high) {
    const uint64_t middle = (low + high + 1) / 2;
    if (fits(middle)) {
      low = middle;
    } else {
      high = middle - 1;
    }
  }
  return low;
}

}  // namespace

uint32_t placeable_shards(const Geometry& geometry, uint32_t usable) {
  const auto shards = std::min<uint32_t>(static_cast<uint32_t>(geometry.total()), usable);
  return shards < static_cast<uint32_t>(geometry.write_quorum()) ? 0 : shards;
}

uint64_t groups_possible(const Geometry& geometry, std::span<const DiskRoom> disks) {
  std::vector<DiskRoom> sorted(disks.begin(), disks.end());
  std::stable_sort(sorted.begin(), sorted.end(),
                   [](const DiskRoom& a, const DiskRoom& b) { return a.set < b.set; });
  uint64_t groups = 0;
  std::vector<uint32_t> free;
  for (size_t i = 0; i < sorted.size();) {
    free.clear();
    const uint16_t set = sorted[i].set;
    for (; i < sorted.size() && sorted[i].set == set; ++i) free.push_back(sorted[i].free_segments);
    const uint32_t shards = placeable_shards(geometry, static_cast<uint32_t>(free.size()));
    if (shards != 0) groups += groups_in_set(shards, free);
  }
  return groups;
}

uint64_t groups_held_back(uint64_t total) {
  return total < kFewGroups ? 0 : std::max<uint64_t>(1, (total * kHeldPercent + 99) / 100);
}

uint64_t group_data_bytes(const Geometry& geometry, uint32_t segment_bytes) {
  const uint32_t rows = segment_rows(segment_bytes) - 2;
  // A stripe of full units takes this much of the summary: its record with one owner.
  const uint64_t entry = summary_entry_bytes(8 + 8 * static_cast<uint64_t>(geometry.total()) + 24);
  const uint64_t summary = kSummaryHeadBytes + (rows / kMaxUnitRows + 2) * entry;
  return uint64_t{rows - summary_rows(summary, geometry.data)} * kRowBytes * geometry.data;
}

}  // namespace stavefs
