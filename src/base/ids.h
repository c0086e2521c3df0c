// Strong identifiers and counts, so that a row cannot be passed where a group is wanted.

#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <functional>

namespace stavefs {

/// An integer that only converts to and from its representation explicitly.
template <class Tag, class Rep>
struct StrongId {
  using rep = Rep;
  Rep value{};

  constexpr StrongId() = default;
  constexpr explicit StrongId(Rep v) : value(v) {}
  constexpr auto operator<=>(const StrongId&) const = default;
  constexpr StrongId next() const { return StrongId(static_cast<Rep>(value + 1)); }
};

/// Index of a disk in its pool's member table; never reused for another disk.
using DiskSlot = StrongId<struct DiskSlotTag, uint16_t>;
/// Number of a segment on one disk, counted from 0.
using SegmentNumber = StrongId<struct SegmentNumberTag, uint32_t>;
/// How often a segment has been taken into use; raised on every reuse.
using Generation = StrongId<struct GenerationTag, uint32_t>;
/// A group of k+m segments; never reused.
using GroupId = StrongId<struct GroupIdTag, uint64_t>;
/// A 4 KiB row of a group: byte `row * 4096` of each of its segments.
using Row = StrongId<struct RowTag, uint32_t>;
/// An inode, also the FUSE node id; never reused.
using InodeId = StrongId<struct InodeIdTag, uint64_t>;
/// Position in the pool's history of changes, counted from 1; 0 means "none".
using Lsn = StrongId<struct LsnTag, uint64_t>;
/// Membership epoch of the metadata copies; raised at every mount and every change of members.
using Epoch = StrongId<struct EpochTag, uint64_t>;
/// A version of a file; LSNs and version ids share one order.
using VersionId = StrongId<struct VersionIdTag, uint64_t>;
/// A bucket; never reused.
using BucketId = StrongId<struct BucketIdTag, uint32_t>;
/// A storage class of a pool.
using ClassId = StrongId<struct ClassIdTag, uint16_t>;

/// "No disk": a shard that was never placed.
inline constexpr DiskSlot kNoDisk{0xffff};
inline constexpr InodeId kRootInode{1};

}  // namespace stavefs

template <class Tag, class Rep>
struct std::hash<stavefs::StrongId<Tag, Rep>> {
  size_t operator()(stavefs::StrongId<Tag, Rep> id) const noexcept { return std::hash<Rep>{}(id.value); }
};
