#include "pool/placement.h"

#include <algorithm>
#include <map>

#include "base/check.h"

namespace stavefs {
namespace {

/// Compares the free parts of two disks (or sums of disks) without division.
int compare_free(uint64_t free_a, uint64_t total_a, uint64_t free_b, uint64_t total_b) {
  const unsigned __int128 a = static_cast<unsigned __int128>(free_a) * total_b;
  const unsigned __int128 b = static_cast<unsigned __int128>(free_b) * total_a;
  return a < b ? -1 : a > b ? 1 : 0;
}

struct Choice {
  std::vector<Candidate> disks;  // the fullest last
  uint64_t free = 0;
  uint64_t total = 0;
};

void shuffle(std::vector<Candidate>& disks, Rng& rng) {
  for (size_t i = disks.size(); i > 1; --i) std::swap(disks[i - 1], disks[rng.below(i)]);
}

/// The best `wanted` disks of one set.
Choice best_of(std::vector<Candidate> disks, size_t wanted, Rng& rng) {
  shuffle(disks, rng);  // the sort is stable, so that equals keep the random order
  std::stable_sort(disks.begin(), disks.end(), [](const Candidate& a, const Candidate& b) {
    return compare_free(a.free_segments, a.total_segments, b.free_segments, b.total_segments) > 0;
  });
  if (disks.size() > wanted) disks.resize(wanted);
  Choice choice;
  for (const Candidate& disk : disks) {
    choice.free += disk.free_segments;
    choice.total += disk.total_segments;
  }
  choice.disks = std::move(disks);
  return choice;
}

}  // namespace

Result<std::vector<DiskSlot>> place_group(const Geometry& geometry, std::span<const Candidate> candidates,
                                          Rng& rng) {
  CHECK(geometry.valid());
  const size_t wanted = static_cast<size_t>(geometry.total());
  std::map<uint16_t, std::vector<Candidate>> sets;
  for (const Candidate& candidate : candidates) {
    if (candidate.free_segments > 0 && candidate.total_segments > 0) sets[candidate.set].push_back(candidate);
  }
  Choice best;
  uint64_t equals = 0;
  for (auto& [set, disks] : sets) {
    Choice choice = best_of(std::move(disks), wanted, rng);
    const bool same_count = choice.disks.size() == best.disks.size();
    const int order = same_count ? compare_free(choice.free, choice.total, best.free, best.total) : 0;
    const bool tie = same_count && order == 0;
    equals = tie ? equals + 1 : equals;
    if (choice.disks.size() > best.disks.size() || order > 0) {
      best = std::move(choice);
      equals = 1;
    } else if (tie && rng.one_in(equals)) {
      best = std::move(choice);
    }
  }
  if (best.disks.size() < static_cast<size_t>(geometry.write_quorum()))
    return Error(ErrorCode::kNoSpace, ENOSPC,
                 "a group of class " + geometry.to_text() + " needs " +
                     std::to_string(geometry.write_quorum()) + " disks with room, " +
                     std::to_string(best.disks.size()) + " have any");
  // Which disk gets which shard is random, so that parity spreads; what cannot be placed is parity.
  shuffle(best.disks, rng);
  std::vector<DiskSlot> slots;
  slots.reserve(wanted);
  for (const Candidate& disk : best.disks) slots.push_back(disk.slot);
  slots.resize(wanted, kNoDisk);
  return slots;
}

}  // namespace stavefs
