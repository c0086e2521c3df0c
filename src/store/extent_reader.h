// Reading extents: the fewest I/Os that give verified bytes, and what to do when they do not.
//
// Theory: a range of an extent is widened to whole 32 KiB chunks, since those have checksums, and cut into
// parts that are read straight into the caller's memory or into a buffer.  Each part is planned
// (read_plan.h); all go in one batch; a part with a failed I/O is planned again without that shard.
//
// Nothing is returned unverified.  A chunk that does not match is rescued (chunk_rescue.h).
//
// Memory: the buffers of one call stay below kReadBufferBytes and one extent; longer lists of ranges are read
// in turns.
//
// Threads: self-synchronised.

#pragma once

#include <span>

#include "store/read_plan.h"
#include "store/segment_files.h"
#include "store/shard_choice.h"
#include "store/store_context.h"

namespace stavefs {

inline constexpr uint64_t kReadBufferBytes = uint64_t{8} << 20;

class ExtentReader {
 public:
  ExtentReader(StoreContext& context, SegmentFiles& files)
      : context_(context), choice_(context, files), planner_(context.buffers, choice_) {}

  /// `groups[i]` is the group of reads[i].  See Store::read.
  Status read(std::span<const ExtentRead> reads, std::span<Group* const> groups);

 private:
  Status add_read(ReadJob& job, const ExtentRead& read, Group& group);
  void add_part(ReadJob& job, const ExtentRead& read, Group& group, uint32_t first_chunk, uint32_t chunks,
                uint8_t* memory);
  Status run(ReadJob& job);
  Status rebuild(ReadPart& part);
  Status verify(ReadPart& part);
  Status deliver(ReadPart& part);

  StoreContext& context_;
  ShardChoice choice_;
  ReadPlanner planner_;
};

}  // namespace stavefs
