// The store: groups of segments, stripes written into them and extents read from them.
//
// Theory: data is always written to a new place.  A family of open groups exists per geometry; a writer packs
// pieces of files into stripes of an open group, codes them and writes all shards in one batch.  Written
// stripes become part of the pool in three steps that keep invariant 1 (nothing enters the journal before
// what it references is on stable media): write(), flush() of every disk touched, then add_to() puts stripe
// records into the change that also carries the extents.  Until that change is committed the rows are garbage
// that nobody refers to.
//
// Losing a disk while writing: live shards land; the stripe counts when the geometry's write quorum is
// durable.  The group's missing mask gets the lost shard's bit (committed with the extents), the group is
// closed for appending and the next write opens a group without that disk.  With less than the quorum the
// write fails and the caller keeps its data.
//
// A group that is full is sealed once all its writers have committed: the summary (stripe checksums and
// owners) is written as its last stripe, footers point to it, and the 'S' records go.  A sealed group without
// live bytes is freed; its segments are used again only after the FREE is durable and no reader holds it.  A
// reused segment gets a higher generation.
//
// Reading verifies every byte against the extent's checksums.  A shard that is missing, unreadable or does
// not match is an erasure; any k shards give the data; otherwise kCorrupt (EIO), never wrong bytes.
//
// Threads: self-synchronised.  A WriteSession belongs to one thread.

#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/buffer.h"
#include "base/clock.h"
#include "base/rng.h"
#include "store/extent.h"
#include "store/group_format.h"
#include "store/ledger.h"

namespace stavefs {

class Group;

/// Keeps a group's segments from being reused while it lives.
using GroupPin = std::shared_ptr<Group>;

/// Bytes of one file to be stored.
struct DataPiece {
  InodeId inode;
  uint64_t file_offset = 0;
  std::span<const uint8_t> bytes;  ///< must stay until WriteSession::write returns
};

/// Where (a part of) a piece went.
struct PlacedExtent {
  size_t piece = 0;  ///< index into the pieces
  uint64_t piece_offset = 0;
  ExtentAddress address;
  std::string checksums;  ///< per 32 KiB, of the session's kind
};

/// One batch of writes on its way to becoming durable.
class WriteSession {
 public:
  virtual ~WriteSession() = default;  ///< without a commit the rows are abandoned
  /// Codes and writes the pieces, appending to `out` in order of (piece, piece_offset).  May be called
  /// repeatedly. kNoSpace, or kIo when no quorum of disks takes the data (nothing of this call counts then).
  virtual Status write(std::span<const DataPiece> pieces, std::vector<PlacedExtent>& out) = 0;
  /// Makes everything written durable on at least a quorum of shards per stripe.
  virtual Status flush() = 0;
  /// Adds stripe records, missing masks and live bytes to the change that carries the extents.
  /// REQUIRES: flush() succeeded.
  virtual void add_to(Change& change) = 0;
  /// The change is committed: groups may be sealed now.  Call once, after Ledger::commit.
  virtual void committed() = 0;
};

/// One range to be read from one extent.
struct ExtentRead {
  const Extent* extent = nullptr;
  uint64_t offset = 0;  ///< in the expanded extent (Extent::skip already added)
  std::span<uint8_t> out;
  bool zero_copy = false;  ///< set by the caller when out.data() is 4 KiB aligned and may be written up to
                           ///< the next page end
};

struct SpaceReport {
  uint64_t total_bytes = 0;  ///< of data at the default geometry, reserves taken off
  uint64_t free_bytes = 0;   ///< likewise, what can still be written
  uint64_t raw_total_bytes = 0;
  uint64_t raw_free_bytes = 0;
  uint64_t live_bytes = 0;  ///< data referenced
  uint64_t groups = 0;
  uint64_t degraded_groups = 0;  ///< with a shard missing or on a disk that is not active
  uint64_t degraded_bytes = 0;   ///< live bytes in them
  uint64_t lost_groups = 0;      ///< fewer than k shards can be read now
};

struct ShardReport {
  DiskSlot disk;
  SegmentNumber segment;
  Generation generation;
  bool missing = false;
};
struct GroupReport {
  GroupId id;
  Geometry geometry;
  std::string state;  ///< "open", "full", "sealed"
  int64_t live_bytes = 0;
  std::vector<ShardReport> shards;
};

class Store {
 public:
  struct Options {
    uint64_t stripe_buffer_bytes = uint64_t{96} << 20;
    bool direct = true;  ///< O_DIRECT on segments
    bool read_only = false;
  };
  /// Loads groups and segments from the ledger; groups that cannot be continued are closed.
  static Result<std::unique_ptr<Store>> open(Pool& pool, Ledger& ledger, BufferPool& buffers, Clock& clock,
                                             Rng& rng, const Options& options);
  virtual ~Store() = default;

  /// REQUIRES: the session is destroyed before the store.
  virtual std::unique_ptr<WriteSession> begin_write(const Geometry& geometry, ChecksumKind checksum,
                                                    Temperature temperature) = 0;

  /// Keeps the group's segments from being reused.  Null when the group is unknown (freed meanwhile).
  virtual GroupPin pin(GroupId group) = 0;
  /// Reads all ranges, in as few batches as possible; every byte verified.  kCorrupt or kIo names the group.
  /// REQUIRES: the groups are pinned by the caller.
  virtual Status read(std::span<const ExtentRead> reads) = 0;

  /// Sets `bytes` of future data aside; kNoSpace when that would exceed what can be written.  release()
  /// returns them when the data has been written or thrown away.
  virtual Status reserve(const Geometry& geometry, uint64_t bytes) = 0;
  virtual void release(const Geometry& geometry, uint64_t bytes) = 0;

  virtual SpaceReport space() const = 0;
  virtual std::optional<GroupReport> group(GroupId id) const = 0;
  /// The stripes of a group, ascending by row, from the index or from the group's own summary.  kNotFound.
  /// kUnsupported by a store without stripes.
  virtual Result<std::vector<StripeEntry>> stripes(GroupId id);
  /// Groups with a missing shard per disk slot: (slot, groups), kNoDisk for shards never placed.
  virtual std::vector<std::pair<DiskSlot, uint64_t>> missing_by_disk() const = 0;

  /// One round of upkeep: seals what is full, frees what is dead, makes freed segments usable.  Also called
  /// when space runs short.
  virtual Status maintain() = 0;
};

}  // namespace stavefs
