#include "store/extent_reader.h"

#include <cstring>

#include "base/check.h"
#include "codec/compress.h"
#include "store/chunk_rescue.h"

namespace stavefs {
Status ExtentReader::read(std::span<const ExtentRead> reads, std::span<Group* const> groups) {
  ReadJob job;
  job.parts.reserve(reads.size() + 2);
  for (size_t i = 0; i < reads.size(); ++i) {
    TRY(add_read(job, reads[i], *groups[i]));
    if (job.buffer_bytes >= kReadBufferBytes) {
      TRY(run(job));
      job = ReadJob();
    }
  }
  return run(job);
}

Status ExtentReader::add_read(ReadJob& job, const ExtentRead& read, Group& group) {
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
  const auto inner_end =
      wanted_end == a.length ? all_chunks : static_cast<uint32_t>(wanted_end / kChecksumChunk);
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

void ExtentReader::add_part(ReadJob& job, const ExtentRead& read, Group& group, uint32_t first_chunk,
                            uint32_t chunks, uint8_t* memory) {
  ReadPart& part = job.parts.emplace_back();
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

Status ExtentReader::run(ReadJob& job) {
  // Each round without success leaves out at least one more shard of some part.
  for (bool again = true; again;) {
    job.clear_batch();
    for (size_t i = 0; i < job.parts.size(); ++i) {
      if (!job.parts[i].planned) TRY(planner_.plan(job, i));
    }
    context_.pool.engine().run(job.batch);
    again = false;
    for (size_t i = 0; i < job.batch.size(); ++i) {
      ReadPart& part = job.parts[job.origins[i].part];
      choice_.note_read(*part.group, job.origins[i].shard, job.batch[i]);
      if (job.batch[i].error == 0) continue;
      part.avoid |= uint64_t{1} << job.origins[i].shard;
      part.planned = false;
      again = true;
    }
  }
  for (ReadPart& part : job.parts) {
    TRY(rebuild(part));
    TRY(verify(part));
  }
  // Only now: a range read in place may have spilled to the end of its last page, where another one's bytes
  // belong.
  for (ReadPart& part : job.parts) TRY(deliver(part));
  return ok();
}

Status ExtentReader::rebuild(ReadPart& part) {
  if (part.rebuild == 0) return ok();
  const Group& group = *part.group;
  std::vector<int> wanted;
  std::vector<uint8_t*> out;
  struct Copy {
    AlignedBuffer from;
    uint8_t* to;
    UnitRange range;
  };
  std::vector<Copy> copies;
  part.for_each_range([&](const UnitRange& range, uint8_t* memory) {
    if ((part.rebuild >> range.unit & 1) == 0) return;
    wanted.push_back(static_cast<int>(range.unit));
    if (range.begin == part.hull.begin && range.end == part.hull.end) {
      out.push_back(memory);
    } else {
      copies.push_back({context_.buffers.get(part.hull_bytes()), memory, range});
      out.push_back(copies.back().from.data());
    }
  });
  const std::span shards{part.source.data(), size_t{group.total()}};
  TRY(group.codec().reconstruct(part.sources, shards, wanted, out, part.hull_bytes()));
  for (const Copy& copy : copies) {
    std::memcpy(copy.to, copy.from.data() + (copy.range.begin - part.hull.begin),
                copy.range.end - copy.range.begin);
  }
  part.extra.clear();
  return ok();
}

Status ExtentReader::verify(ReadPart& part) {
  const Extent& extent = *part.read->extent;
  const size_t sum_bytes = checksum_bytes(extent.checksum);
  std::array<uint8_t, kMaxChecksumBytes> sum;
  for (uint32_t i = 0; i < part.chunks; ++i) {
    const ChunkRange range = chunk_bytes(part.first_chunk + i, 1, extent.address.length);
    uint8_t* bytes = part.bytes() + uint64_t{i} * kChecksumChunk;
    const auto* expected =
        reinterpret_cast<const uint8_t*>(extent.checksums.data()) + (part.first_chunk + i) * sum_bytes;
    compute_checksum(extent.checksum, {bytes, range.end - range.begin}, sum.data());
    if (std::memcmp(sum.data(), expected, sum_bytes) == 0) [[likely]]
      continue;
    ChunkRescue rescue(context_, choice_, *part.group,
                       {extent.address, extent.address.offset + range.begin,
                        extent.address.offset + range.end, extent.checksum, expected});
    if (!rescue.run(bytes)) {
      return unreadable(*part.group, extent.address.row,
                        "no set of shards gives bytes that match their checksum");
    }
  }
  return ok();
}

Status ExtentReader::deliver(ReadPart& part) {
  if (part.buffer.empty()) return ok();
  const ExtentRead& read = *part.read;
  const Extent& extent = *read.extent;
  if (extent.compression != 0) {
    const std::span<const uint8_t> frame{part.bytes(), extent.address.length};
    if (read.offset == 0 && read.out.size() == extent.expanded_length)
      return decompress_frame(frame, read.out);
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
