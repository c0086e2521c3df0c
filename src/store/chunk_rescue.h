// A chunk that does not match its checksum: finding shards that give the right bytes, and the ones that lie.
//
// Theory: the same rows of all k+m shards are read again.  If at most m of them are wrong, leaving exactly
// those out makes the chunk decode to bytes that match.  Three ways to find them, in this order:
//  1. leave out none (the first reading may have been hit on its way), then each one alone, suspects first:
//  what the chunk
//     itself lies on, then shards that are marked missing, then the rest;
//  2. ask the stripe's record (in the index, or in the summary of a sealed group), which tells the checksum
//  of each whole unit;
//  3. when there is no record, leave out larger sets, by size, for at most kMaxRescueTries tries.  That
//  covers every set of
//     geometries up to 8+4 and 16+4.
//
// A shard left out is guilty when its bytes differ from what the accepted shards say they should be, at the
// positions that the checksum has proven.
//
// One use, one thread.

#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "codec/checksum.h"
#include "store/shard_choice.h"
#include "store/stripe_layout.h"

namespace stavefs {

inline constexpr int kMaxRescueTries = 8000;

class ChunkRescue {
 public:
  struct Chunk {
    ExtentAddress address;
    uint32_t begin = 0;  ///< in the stripe's data space
    uint32_t end = 0;
    ChecksumKind checksum = ChecksumKind::kXxh3;
    const uint8_t* expected = nullptr;
  };
  ChunkRescue(StoreContext& context, ShardChoice& choice, Group& group, const Chunk& chunk);

  /// Writes the right bytes over `bytes` (end - begin of them, which were read and found wrong) and tells
  /// disk health who is guilty.  False when no set of shards gives them; `bytes` is undefined then.
  bool run(uint8_t* bytes);

 private:
  void read_all();
  bool by_record();
  std::optional<StripeRecord> find_record();
  void rank();
  bool try_sets(size_t size, size_t from, uint64_t left_out);
  bool decode(uint64_t left_out);
  void accuse(const uint8_t* first_read);
  uint32_t hull_bytes() const { return hull_.end - hull_.begin; }

  StoreContext& context_;
  ShardChoice& choice_;
  Group& group_;
  const Chunk chunk_;
  const UnitRange hull_;
  uint64_t zero_ = 0;  // data units that are not written
  uint64_t chunk_units_ = 0;
  uint64_t present_ = 0;
  uint64_t doubtful_ = 0;
  std::vector<uint32_t> ranked_;
  std::vector<AlignedBuffer> buffers_;  // one per shard that was read
  std::vector<AlignedBuffer> rebuilt_;  // one per unit of the chunk
  std::array<const uint8_t*, kMaxShards> shards_{};
  std::vector<uint8_t> candidate_;  // the chunk's bytes as decoded
  uint64_t accepted_ = 0;           // left out by the decode that matched
  int tries_ = 0;
};

}  // namespace stavefs
