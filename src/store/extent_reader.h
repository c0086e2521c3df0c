// Reading extents: the fewest I/Os that give verified bytes, and what to do when they do not.
//
// Theory: a range of an extent is widened to whole 32 KiB chunks, since those have checksums, and cut into parts that
// are read straight into the caller's memory or into a buffer.  Each part reads the row-aligned ranges of the units it touches;
// ranges on shards that cannot be used are rebuilt from the same rows of k others, of which those that the part reads
// anyway cost nothing.  All parts of a call go in one batch; a part with a failed I/O is planned again without that shard.
//
// Which shards are used: first those that are complete, on a usable disk, with the right header; then complete ones on
// a fenced disk; last those that are marked missing or whose header is wrong (they may hold older stripes all the same).
//
// Nothing is returned unverified.  A chunk that does not match is rescued (chunk_rescue.h).
//
// Memory: the buffers of one call stay below kReadBufferBytes and one extent; longer lists of ranges are read in turns.
//
// Threads: self-synchronised.

#pragma once

#include <atomic>
#include <memory>
#include <span>
#include <vector>

#include "store/segment_files.h"
#include "store/shard_choice.h"
#include "store/store_context.h"

namespace stavefs {

inline constexpr uint64_t kReadBufferBytes = uint64_t{8} << 20;

class ExtentReader {
 public:
  ExtentReader(StoreContext& context, SegmentFiles& files) : context_(context), choice_(context, files) {}

  /// `groups[i]` is the group of reads[i].  See Store::read.
  Status read(std::span<const ExtentRead> reads, std::span<Group* const> groups);

 private:
  struct Part;
  struct Span;
  struct Source;
  struct Job;

  Status add_read(Job& job, const ExtentRead& read, Group& group);
  void add_part(Job& job, const ExtentRead& read, Group& group, uint32_t first_chunk, uint32_t chunks, uint8_t* memory);
  Status run(Job& job);
  Status plan(Job& job, Part& part);
  Status plan_rebuild(Job& job, Part& part, uint64_t rebuild, const ShardSet& usable);
  void collect(Job& job);
  Status rebuild(Part& part);
  Status verify(Part& part);
  Status deliver(Part& part);

  StoreContext& context_;
  ShardChoice choice_;
};

}  // namespace stavefs
