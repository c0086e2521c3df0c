// How much can still be written: pure arithmetic over disks of any size.
//
// Theory: with f_i free segments on the disks of a set, g groups of n segments on n different disks each can
// be placed exactly when sum of min(f_i, g) >= n * g (each disk carries a group at most once; the bound is
// reached by always taking the fullest-of-free disks first).  The left side minus the right is concave in g,
// so the largest g is found by bisection.
//
// A set with fewer usable disks than n, but not fewer than the write quorum, takes groups of all its usable
// disks, the other shards staying unplaced.  A disk that is merely out of segments never makes a group
// degraded: then the set is full.
//
// Of all groups that a pool can hold, a share is kept from users: 2 % for deletes and metadata and 8 % for
// the cleaner, but at least one group; a pool of fewer than four groups keeps none, or nothing could be
// written.

#pragma once

#include <cstdint>
#include <span>

#include "pool/geometry.h"

namespace stavefs {

struct DiskRoom {
  uint16_t set = 0;
  uint32_t free_segments = 0;
};

/// Shards that a new group gets with `usable` usable disks in its set; 0 when that is below the write quorum.
uint32_t placeable_shards(const Geometry& geometry, uint32_t usable);

/// Groups that can be placed; `disks` are the usable ones, those without a free segment included.
uint64_t groups_possible(const Geometry& geometry, std::span<const DiskRoom> disks);

/// Groups of `total` that users do not get.
uint64_t groups_held_back(uint64_t total);

/// Bytes of data that a group holds when it is filled with whole stripes.
uint64_t group_data_bytes(const Geometry& geometry, uint32_t segment_bytes);

/// What `bytes` of data may take in stripes: packing wastes up to an eighth.
constexpr uint64_t with_packing(uint64_t bytes) { return bytes + bytes / 8; }

}  // namespace stavefs
