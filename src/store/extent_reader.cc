#include "store/extent_reader.h"

#include <bit>
#include <cstring>

#include "base/check.h"
#include "codec/compress.h"
#include "store/chunk_rescue.h"
#include "store/stripe_layout.h"

namespace stavefs {
namespace {

uint64_t bit_of(uint32_t shard) { return uint64_t{1} << shard; }

Error unreadable(const Group& group, Row row, const char* why) {
  return Error(ErrorCode::kCorrupt, EIO,
               "group " + std::to_string(group.id().value) + " row " + std::to_string(row.value) + ": " + why);
}

}  // namespace

/// A range of one unit as it is read from its shard.
struct ExtentReader::Span {
  uint32_t shard = 0;
  UnitRange range;            // whole rows
  uint8_t* memory = nullptr;  // of range.begin
};

/// A run of whole chunks of one extent.
struct ExtentReader::Part {
  const ExtentRead* read = nullptr;
  Group* group = nullptr;
  uint32_t first_chunk = 0;
  uint32_t chunks = 0;
  uint32_t begin = 0;         // in the stripe's data space
  uint32_t end = 0;
  AlignedBuffer buffer;       // empty when the caller's memory is used
  uint8_t* memory = nullptr;  // of row_begin()
  uint64_t avoid = 0;         // shards that failed in this call
  bool planned = false;

  std::vector<Span> spans;
  uint64_t rebuild = 0;       // units to be rebuilt from `sources`, in rows `hull`
  UnitRange hull;
  uint64_t sources = 0;
  std::array<const uint8_t*, kMaxShards> source{};
  std::vector<AlignedBuffer> extra;

  const ExtentAddress& address() const { return read->extent->address; }
  uint32_t row_begin() const { return static_cast<uint32_t>(round_down(begin, kRowBytes)); }
  uint32_t row_end() const { return static_cast<uint32_t>(round_up(end, kRowBytes)); }
  uint8_t* bytes() const { return memory + (begin - row_begin()); }
};

struct ExtentReader::Job {
  struct Origin {
    size_t part;
    uint32_t shard;
  };
  std::vector<Part> parts;
  std::vector<IoRequest> batch;
  std::vector<Origin> origins;      // of the batch
  std::vector<SegmentFile> files;   // that the batch uses
  uint64_t buffer_bytes = 0;

  void add(size_t part, uint32_t shard, SegmentFile file, uint64_t offset, uint8_t* memory, uint32_t bytes) {
    batch.push_back({.file = file.get(), .kind = IoKind::kRead, .offset = offset, .data = memory, .bytes = bytes});
    origins.push_back({part, shard});
    files.push_back(std::move(file));
  }
};

Status ExtentReader::read(std::span<const ExtentRead> reads, std::span<Group* const> groups) {
  Job job;
  job.parts.reserve(reads.size() + 2);
  for (size_t i = 0; i < reads.size(); ++i) {
    TRY(add_read(job, reads[i], *groups[i]));
    if (job.buffer_bytes >= kReadBufferBytes) {
      TRY(run(job));
      job = Job();
    }
  }
  return run(job);
}

Status ExtentReader::add_read(Job& job, const ExtentRead& read, Group& group) {
  const Extent& extent = *read.extent;
  const ExtentAddress& a = extent.address;
  const uint64_t size = read.out.size();
  if (size == 0) return ok();
  if (a.used_units > group.geometry().data || a.row.value < kFirstRow ||
      uint64_t{a.row.value} + a.unit_rows > footer_row(group.rows()) ||
      extent.checksums.size() != checksum_chunks(a.length) * checksum_bytes(extent.checksum)) {
    return unreadable(group, a.row, "the extent does not fit its group");
  }
  const uint64_t whole = extent.compression != 0 ? extent.expanded_length : a.length;
  if (read.offset > whole || size > whole - read.offset) {
    return Error(ErrorCode::kInvalid, EIO, "read beyond the end of an extent");
  }
  const uint32_t all_chunks = checksum_chunks(a.length);
  if (extent.compression != 0) {
    add_part(job, read, group, 0, all_chunks, nullptr);
    return ok();
  }
  const auto first = static_cast<uint32_t>(read.offset / kChecksumChunk);
  const auto last = static_cast<uint32_t>((read.offset + size - 1) / kChecksumChunk);
  // Chunks that are wanted whole may be read where they are wanted.
  const auto inner_first = static_cast<uint32_t>((read.offset + kChecksumChunk - 1) / kChecksumChunk);
  const uint64_t wanted_end = read.offset + size;
  const auto inner_end = wanted_end == a.length ? all_chunks : static_cast<uint32_t>(wanted_end / kChecksumChunk);
  const uint64_t inner_at = uint64_t{inner_first} * kChecksumChunk - read.offset;
  const bool direct = read.zero_copy && inner_first < inner_end && a.offset % kRowBytes == 0 &&
                      reinterpret_cast<uintptr_t>(read.out.data() + inner_at) % kPageBytes == 0;
  if (!direct) {
    add_part(job, read, group, first, last + 1 - first, nullptr);
    return ok();
  }
  if (first < inner_first) add_part(job, read, group, first, inner_first - first, nullptr);
  add_part(job, read, group, inner_first, inner_end - inner_first, read.out.data() + inner_at);
  if (inner_end <= last) add_part(job, read, group, inner_end, last + 1 - inner_end, nullptr);
  return ok();
}

void ExtentReader::add_part(Job& job, const ExtentRead& read, Group& group, uint32_t first_chunk, uint32_t chunks,
                            uint8_t* memory) {
  Part& part = job.parts.emplace_back();
  part.read = &read;
  part.group = &group;
  part.first_chunk = first_chunk;
  part.chunks = chunks;
  const ExtentAddress& a = read.extent->address;
  const ChunkRange range = chunk_bytes(first_chunk, chunks, a.length);
  part.begin = a.offset + range.begin;
  part.end = a.offset + range.end;
  part.memory = memory;
  if (memory == nullptr) {
    part.buffer = context_.buffers.get(part.row_end() - part.row_begin());
    part.memory = part.buffer.data();
    job.buffer_bytes += part.buffer.size();
  }
}

Status ExtentReader::run(Job& job) {
  // Each round without success leaves out at least one more shard of some part.
  for (bool again = true; again;) {
    job.batch.clear();
    job.origins.clear();
    job.files.clear();
    for (Part& part : job.parts) {
      if (!part.planned) TRY(plan(job, part));
    }
    context_.pool.engine().run(job.batch);
    again = false;
    for (size_t i = 0; i < job.batch.size(); ++i) {
      Part& part = job.parts[job.origins[i].part];
      choice_.note_read(*part.group, job.origins[i].shard, job.batch[i]);
      if (job.batch[i].error == 0) continue;
      part.avoid |= bit_of(job.origins[i].shard);
      part.planned = false;
      again = true;
    }
  }
  for (Part& part : job.parts) {
    TRY(rebuild(part));
    TRY(verify(part));
  }
  // Only now: a range read in place may have spilled to the end of its last page, where another one's bytes belong.
  for (Part& part : job.parts) TRY(deliver(part));
  return ok();
}

Status ExtentReader::plan(Job& job, Part& part) {
  Group& group = *part.group;
  const ExtentAddress& a = part.address();
  const uint32_t k = group.geometry().data;
  uint64_t needed = 0;
  for_each_unit(part.row_begin(), part.row_end(), a.unit_bytes(),
                [&](const UnitRange& r, uint32_t) { needed |= bit_of(r.unit); });
  uint64_t zero = 0;
  for (uint32_t unit = a.used_units; unit < k; ++unit) zero |= bit_of(unit);
  while (true) {
    const ShardSet set = choice_.look(group);
    uint64_t usable = set.trusted & ~part.avoid;
    const auto enough = [&] {
      return (needed & ~usable) == 0 || static_cast<uint32_t>(std::popcount(usable | zero)) >= k;
    };
    if (!enough()) usable |= set.fenced & ~part.avoid;
    if (!enough()) usable |= set.doubtful & ~part.avoid;
    if (!enough()) return unreadable(group, a.row, "fewer shards can be read than are needed");

    std::vector<Span> spans;
    for_each_unit(part.row_begin(), part.row_end(), a.unit_bytes(), [&](const UnitRange& r, uint32_t at) {
      if ((usable >> r.unit & 1) != 0) spans.push_back({r.unit, r, part.memory + at});
    });
    part.rebuild = needed & ~usable;
    // The sources: zero units are free, then what is read anyway, then others.
    part.sources = 0;
    uint64_t extra = 0;
    if (part.rebuild != 0) {
      part.hull = {0, a.unit_bytes(), 0};
      for_each_unit(part.row_begin(), part.row_end(), a.unit_bytes(), [&](const UnitRange& r, uint32_t) {
        if ((part.rebuild >> r.unit & 1) == 0) return;
        part.hull.begin = std::min(part.hull.begin, r.begin);
        part.hull.end = std::max(part.hull.end, r.end);
      });
      const auto add = [&](uint64_t candidates, uint64_t* into) {
        for (uint32_t shard = 0; shard < group.total(); ++shard) {
          if (static_cast<uint32_t>(std::popcount(part.sources)) == k) return;
          if ((candidates & ~part.sources & bit_of(shard)) == 0) continue;
          part.sources |= bit_of(shard);
          if (into != nullptr) *into |= bit_of(shard);
        }
      };
      part.source.fill(nullptr);
      add(zero, nullptr);
      for (const Span& span : spans) {
        if (span.range.begin > part.hull.begin || span.range.end < part.hull.end) continue;
        add(bit_of(span.shard), nullptr);
        part.source[span.shard] = span.memory + (part.hull.begin - span.range.begin);
      }
      add(usable & set.trusted, &extra);
      add(usable, &extra);
    }
    // Files are opened before anything is added to the batch: one that cannot be opened changes the plan.
    std::vector<SegmentFile> files(group.total());
    bool all_open = true;
    uint64_t reading = extra;
    for (const Span& span : spans) reading |= bit_of(span.shard);
    for (uint32_t shard = 0; shard < group.total(); ++shard) {
      if ((reading & bit_of(shard)) == 0) continue;
      files[shard] = choice_.open(group, shard);
      if (files[shard] != nullptr) continue;
      // Once its header is found wrong it may come back as a doubtful one.
      const bool was_doubtful = (set.doubtful & bit_of(shard)) != 0;
      if (was_doubtful || (group.bad() & bit_of(shard)) == 0) part.avoid |= bit_of(shard);
      all_open = false;
    }
    if (!all_open) continue;
    const auto index = static_cast<size_t>(&part - job.parts.data());
    const uint64_t at = row_offset(a.row);
    for (const Span& span : spans) {
      job.add(index, span.shard, files[span.shard], at + span.range.begin, span.memory,
              span.range.end - span.range.begin);
    }
    part.extra.clear();
    const uint32_t hull_bytes = part.hull.end - part.hull.begin;
    for (uint32_t shard = 0; shard < group.total(); ++shard) {
      if ((extra & bit_of(shard)) == 0) continue;
      part.extra.push_back(context_.buffers.get(hull_bytes));
      part.source[shard] = part.extra.back().data();
      job.add(index, shard, files[shard], at + part.hull.begin, part.extra.back().data(), hull_bytes);
    }
    part.planned = true;
    return ok();
  }
}

Status ExtentReader::rebuild(Part& part) {
  if (part.rebuild == 0) return ok();
  const Group& group = *part.group;
  const uint32_t unit_bytes = part.address().unit_bytes();
  const uint32_t hull_bytes = part.hull.end - part.hull.begin;
  std::vector<int> wanted;
  std::vector<uint8_t*> out;
  struct Copy {
    AlignedBuffer from;
    uint8_t* to;
    UnitRange range;
  };
  std::vector<Copy> copies;
  for_each_unit(part.row_begin(), part.row_end(), unit_bytes, [&](const UnitRange& r, uint32_t at) {
    if ((part.rebuild >> r.unit & 1) == 0) return;
    wanted.push_back(static_cast<int>(r.unit));
    if (r.begin == part.hull.begin && r.end == part.hull.end) {
      out.push_back(part.memory + at);
    } else {
      copies.push_back({context_.buffers.get(hull_bytes), part.memory + at, r});
      out.push_back(copies.back().from.data());
    }
  });
  const std::span shards{part.source.data(), size_t{group.total()}};
  TRY(group.codec().reconstruct(part.sources, shards, wanted, out, hull_bytes));
  for (const Copy& copy : copies) {
    std::memcpy(copy.to, copy.from.data() + (copy.range.begin - part.hull.begin), copy.range.end - copy.range.begin);
  }
  part.extra.clear();
  return ok();
}

Status ExtentReader::verify(Part& part) {
  const Extent& extent = *part.read->extent;
  const size_t sum_bytes = checksum_bytes(extent.checksum);
  std::array<uint8_t, kMaxChecksumBytes> sum;
  for (uint32_t i = 0; i < part.chunks; ++i) {
    const ChunkRange range = chunk_bytes(part.first_chunk + i, 1, extent.address.length);
    uint8_t* bytes = part.bytes() + uint64_t{i} * kChecksumChunk;
    const auto* expected = reinterpret_cast<const uint8_t*>(extent.checksums.data()) + (part.first_chunk + i) * sum_bytes;
    compute_checksum(extent.checksum, {bytes, range.end - range.begin}, sum.data());
    if (std::memcmp(sum.data(), expected, sum_bytes) == 0) [[likely]]
      continue;
    ChunkRescue rescue(context_, choice_, *part.group,
                       {extent.address, extent.address.offset + range.begin, extent.address.offset + range.end,
                        extent.checksum, expected});
    if (!rescue.run(bytes)) {
      return unreadable(*part.group, extent.address.row, "no set of shards gives bytes that match their checksum");
    }
  }
  return ok();
}

Status ExtentReader::deliver(Part& part) {
  if (part.buffer.empty()) return ok();
  const ExtentRead& read = *part.read;
  const Extent& extent = *read.extent;
  if (extent.compression != 0) {
    const std::span<const uint8_t> frame{part.bytes(), extent.address.length};
    if (read.offset == 0 && read.out.size() == extent.expanded_length) return decompress_frame(frame, read.out);
    AlignedBuffer expanded = context_.buffers.get(extent.expanded_length);
    TRY(decompress_frame(frame, expanded.span().first(extent.expanded_length)));
    std::memcpy(read.out.data(), expanded.data() + read.offset, read.out.size());
    return ok();
  }
  const ChunkRange range = chunk_bytes(part.first_chunk, part.chunks, extent.address.length);
  const uint64_t begin = std::max<uint64_t>(range.begin, read.offset);
  const uint64_t end = std::min<uint64_t>(range.end, read.offset + read.out.size());
  std::memcpy(read.out.data() + (begin - read.offset), part.bytes() + (begin - range.begin), end - begin);
  return ok();
}

}  // namespace stavefs
