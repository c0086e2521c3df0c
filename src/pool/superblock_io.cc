#include "pool/superblock_io.h"

#include <algorithm>
#include <array>

#include "base/buffer.h"
#include "base/check.h"

namespace stavefs {
namespace {

/// The copies of one disk while they are being read.
struct Reading {
  SuperblockRead* out = nullptr;
  std::array<AlignedBuffer, kSuperblockCopies> first_pages;
  std::array<uint32_t, kSuperblockCopies> extents{};  // 0: no copy
  std::array<AlignedBuffer, kSuperblockCopies> copies;
  int io_error = 0;
};

/// Opens the file; false when the disk has none or cannot be read, with the result set.
bool begin(Disk& disk, Reading& reading, uint64_t& file_bytes) {
  Result<std::unique_ptr<DiskFile>> file = disk.open(kSuperblockFile, {.direct = true});
  if (!file) {
    if (file.error().code() != ErrorCode::kNotFound) reading.out->superblock = std::move(file.error());
    return false;
  }
  const Result<uint64_t> size = (*file)->size();
  if (!size) {
    reading.out->superblock = size.error();
    return false;
  }
  file_bytes = *size;
  reading.out->file = std::move(*file);
  if (file_bytes % kPageBytes != 0) ++reading.out->damaged_copies;  // we never leave such a file
  return true;
}

/// Runs reads that belong to (disk, copy) pairs and notes which failed.
void run_reads(std::vector<IoRequest>& batch, const std::vector<std::pair<Reading*, int>>& owners,
               IoEngine& engine) {
  if (batch.empty()) return;
  engine.run(batch);
  for (size_t i = 0; i < batch.size(); ++i) {
    if (batch[i].error == 0) continue;
    Reading& reading = *owners[i].first;
    reading.io_error = batch[i].error;
    reading.extents[static_cast<size_t>(owners[i].second)] = 0;
    reading.first_pages[static_cast<size_t>(owners[i].second)] = AlignedBuffer();
  }
}

void read_first_pages(std::span<Reading> readings, std::span<const uint64_t> file_bytes, IoEngine& engine) {
  std::vector<IoRequest> batch;
  std::vector<std::pair<Reading*, int>> owners;
  for (size_t d = 0; d < readings.size(); ++d) {
    if (!readings[d].out->file) continue;
    for (int copy = 0; copy < kSuperblockCopies; ++copy) {
      const uint64_t offset = static_cast<uint64_t>(copy) * kSuperblockStride;
      if (offset + kPageBytes > file_bytes[d]) continue;
      AlignedBuffer& page = readings[d].first_pages[static_cast<size_t>(copy)];
      page = AlignedBuffer(kPageBytes);
      batch.push_back(
          {.file = readings[d].out->file.get(), .offset = offset, .data = page.data(), .bytes = kPageBytes});
      owners.emplace_back(&readings[d], copy);
    }
  }
  run_reads(batch, owners, engine);
}

void read_copies(std::span<Reading> readings, std::span<const uint64_t> file_bytes, IoEngine& engine) {
  std::vector<IoRequest> batch;
  std::vector<std::pair<Reading*, int>> owners;
  for (size_t d = 0; d < readings.size(); ++d) {
    for (int copy = 0; copy < kSuperblockCopies; ++copy) {
      const auto c = static_cast<size_t>(copy);
      if (readings[d].first_pages[c].empty()) continue;
      const uint64_t offset = c * kSuperblockStride;
      const Result<uint32_t> extent = superblock_extent(readings[d].first_pages[c].span());
      if (!extent || offset + *extent > file_bytes[d]) {
        ++readings[d].out->damaged_copies;
        continue;
      }
      if (*extent == 0) continue;
      readings[d].extents[c] = *extent;
      readings[d].copies[c] = AlignedBuffer(*extent);
      batch.push_back({.file = readings[d].out->file.get(),
                       .offset = offset,
                       .data = readings[d].copies[c].data(),
                       .bytes = *extent});
      owners.emplace_back(&readings[d], copy);
    }
  }
  run_reads(batch, owners, engine);
}

/// Takes the copy with the highest sequence.
void choose(Reading& reading, const Disk& disk) {
  SuperblockRead& out = *reading.out;
  std::vector<std::pair<uint64_t, size_t>> valid;  // sequence, copy
  for (size_t c = 0; c < kSuperblockCopies; ++c) {
    if (reading.extents[c] == 0) continue;
    const Result<uint64_t> sequence = superblock_sequence(reading.copies[c].span());
    if (sequence)
      valid.emplace_back(*sequence, c);
    else
      ++out.damaged_copies;
  }
  std::sort(valid.rbegin(), valid.rend());
  for (const auto& [sequence, c] : valid) {
    Result<Superblock> superblock = decode_superblock(reading.copies[c].span());
    if (superblock) {
      out.superblock = std::optional<Superblock>(std::move(*superblock));
      return;
    }
    if (superblock.error().code() == ErrorCode::kUnsupported) {
      out.superblock = std::move(superblock.error()).with_context(disk.describe());
      return;
    }
    ++out.damaged_copies;
  }
  if (reading.io_error != 0)
    out.superblock = errno_error(reading.io_error, "read the superblock of " + disk.describe());
  else if (out.damaged_copies != 0)
    out.superblock = Error(ErrorCode::kCorrupt, EIO,
                           disk.describe() + ": there is a superblock, but every copy of it is damaged");
}

void read_round(std::span<Disk* const> disks, std::span<SuperblockRead> results, IoEngine& engine) {
  std::vector<Reading> readings(disks.size());
  std::vector<uint64_t> file_bytes(disks.size());
  for (size_t d = 0; d < disks.size(); ++d) {
    readings[d].out = &results[d];
    begin(*disks[d], readings[d], file_bytes[d]);
  }
  read_first_pages(readings, file_bytes, engine);
  read_copies(readings, file_bytes, engine);
  for (size_t d = 0; d < disks.size(); ++d)
    if (results[d].file) choose(readings[d], *disks[d]);
}

void write_round(std::span<SuperblockWrite> writes, size_t bytes, IoEngine& engine) {
  AlignedBuffer buffer(bytes * writes.size());
  std::vector<IoRequest> batch;
  for (size_t i = 0; i < writes.size(); ++i) {
    const std::span<uint8_t> copy = buffer.span().subspan(i * bytes, bytes);
    encode_superblock(*writes[i].superblock, copy);
    const uint64_t pair = writes[i].superblock->sequence % 2;
    for (const uint64_t place : {pair, pair + 2})
      batch.push_back({.file = writes[i].file,
                       .kind = IoKind::kWrite,
                       .offset = place * kSuperblockStride,
                       .data = copy.data(),
                       .bytes = static_cast<uint32_t>(bytes),
                       .durable = true});
  }
  engine.run(batch);
  for (size_t i = 0; i < batch.size(); ++i)
    if (batch[i].error != 0) writes[i / 2].error = batch[i].error;
}

}  // namespace

std::vector<SuperblockRead> read_superblocks(std::span<Disk* const> disks, IoEngine& engine) {
  std::vector<SuperblockRead> results(disks.size());
  for (size_t first = 0; first < disks.size(); first += kDisksPerRound) {
    const size_t count = std::min(kDisksPerRound, disks.size() - first);
    read_round(disks.subspan(first, count), std::span(results).subspan(first, count), engine);
  }
  return results;
}

void write_superblocks(std::span<SuperblockWrite> writes, IoEngine& engine) {
  if (writes.empty()) return;
  const size_t bytes = superblock_bytes(*writes[0].superblock);
  for (SuperblockWrite& write : writes) {
    CHECK(superblock_bytes(*write.superblock) == bytes);
    write.error = 0;
  }
  for (size_t first = 0; first < writes.size(); first += kDisksPerRound)
    write_round(writes.subspan(first, std::min(kDisksPerRound, writes.size() - first)), bytes, engine);
}

}  // namespace stavefs
