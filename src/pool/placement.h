// Where the shards of a new group go.
//
// Theory: groups are declustered: each group takes the k+m writable disks of one set with the most free
// segments in proportion to their size, ties broken by the random source, so that disks of any size fill
// evenly and the work of rebuilding one disk is spread over all others.  When fewer than k+m disks are
// writable, the group is opened with the missing shards unplaced, down to the write quorum.
//
// Pure; the caller synchronises.

#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "base/rng.h"
#include "pool/geometry.h"

namespace stavefs {

struct Candidate {
  DiskSlot slot;
  uint16_t set = 0;
  uint32_t total_segments = 0;
  uint32_t free_segments = 0;  ///< only disks with at least one are candidates
};

/// k+m slots, kNoDisk where no disk was left.  kNoSpace when fewer than the write quorum can be placed.
Result<std::vector<DiskSlot>> place_group(const Geometry& geometry, std::span<const Candidate> candidates,
                                          Rng& rng);

}  // namespace stavefs
