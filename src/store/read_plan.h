// What is read, from where, to give a part of an extent: the plan of one read.
//
// Theory: a part touches ranges of data units.  A unit whose shard can be used is read where its bytes
// belong; the others are rebuilt, over the rows that they need (the hull), from k sources: zero units cost
// nothing, units that the part reads over the whole hull anyway cost nothing more, the rest are read on top,
// trusted shards first.
//
// Shards less than trusted (shard_choice.h) are used only when there are not enough of the better ones.
//
// One thread; the caller's.

#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "base/buffer.h"
#include "store/group.h"
#include "store/shard_choice.h"
#include "store/store.h"
#include "store/stripe_layout.h"

namespace stavefs {

/// A run of whole chunks of one extent.
struct ReadPart {
  const ExtentRead* read = nullptr;
  Group* group = nullptr;
  uint32_t first_chunk = 0;
  uint32_t chunks = 0;
  uint32_t begin = 0;  ///< in the stripe's data space
  uint32_t end = 0;
  AlignedBuffer buffer;       ///< empty when the caller's memory is used
  uint8_t* memory = nullptr;  ///< of row_begin()
  uint64_t avoid = 0;         ///< shards that failed in this call

  bool planned = false;
  uint64_t rebuild = 0;  ///< units to be rebuilt from `sources`, in rows `hull`
  UnitRange hull;
  uint64_t sources = 0;
  std::array<const uint8_t*, kMaxShards> source{};  ///< of hull.begin; null for zero units
  std::vector<AlignedBuffer> extra;                 ///< memory of sources that are read on top

  const ExtentAddress& address() const { return read->extent->address; }
  uint32_t row_begin() const { return static_cast<uint32_t>(round_down(begin, kRowBytes)); }
  uint32_t row_end() const { return static_cast<uint32_t>(round_up(end, kRowBytes)); }
  uint32_t hull_bytes() const { return hull.end - hull.begin; }
  uint8_t* bytes() const { return memory + (begin - row_begin()); }
  /// f(UnitRange, memory of its begin) for each unit touched, in whole rows.
  template <class F>
  void for_each_range(F f) const {
    for_each_unit(row_begin(), row_end(), address().unit_bytes(),
                  [&](const UnitRange& range, uint32_t at) { f(range, memory + at); });
  }
};

/// Parts and the batch that reads them.
struct ReadJob {
  struct Origin {
    size_t part;
    uint32_t shard;
  };
  std::vector<ReadPart> parts;
  std::vector<IoRequest> batch;
  std::vector<Origin> origins;     ///< of the batch
  std::vector<SegmentFile> files;  ///< that the batch uses
  uint64_t buffer_bytes = 0;

  void clear_batch();
  void add(size_t part, uint32_t shard, SegmentFile file, uint64_t offset, uint8_t* memory, uint32_t bytes);
};

class ReadPlanner {
 public:
  ReadPlanner(BufferPool& buffers, ShardChoice& choice) : buffers_(buffers), choice_(choice) {}

  /// Plans job.parts[index] and adds its reads to the batch.  kCorrupt when too few shards are left.
  Status plan(ReadJob& job, size_t index);

 private:
  /// One try: false when a file could not be opened, which changes what can be used.
  Result<bool> try_plan(ReadJob& job, size_t index);
  static uint64_t usable_shards(const ReadPart& part, const ShardSet& set, uint64_t needed, uint64_t zero);
  static uint64_t choose_sources(ReadPart& part, const ShardSet& set, uint64_t usable, uint64_t zero);
  bool open_all(ReadPart& part, const ShardSet& set, uint64_t shards, std::vector<SegmentFile>& files);

  BufferPool& buffers_;
  ShardChoice& choice_;
};

/// kCorrupt, EIO: bytes of a group that cannot be had.
Error unreadable(const Group& group, Row row, const char* why);

}  // namespace stavefs
