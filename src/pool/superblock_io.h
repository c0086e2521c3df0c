// Reading the superblocks of many disks and writing one to many, in few batches.
//
// Theory: disk/superblock_format.h.  Work is done in rounds of kDisksPerRound disks, so that memory is
// bounded however many disks there are; a disk that fails does not disturb the others.
//
// Threads: functions of their arguments; the caller serialises writers of one disk.

#pragma once

#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "base/result.h"
#include "disk/disk.h"
#include "disk/superblock_format.h"

namespace stavefs {

inline constexpr size_t kDisksPerRound = 32;

struct SuperblockRead {
  /// The newest copy; empty for a blank disk.  kCorrupt: there are copies, but none is valid; kUnsupported:
  /// the newest is from newer software; kIo.
  Result<std::optional<Superblock>> superblock = std::optional<Superblock>();
  std::unique_ptr<DiskFile> file;  ///< open for direct I/O; null for a blank disk
  int damaged_copies = 0;
};
/// One result per disk, in order.
std::vector<SuperblockRead> read_superblocks(std::span<Disk* const> disks, IoEngine& engine);

struct SuperblockWrite {
  DiskFile* file = nullptr;
  const Superblock* superblock = nullptr;
  int error = 0;  ///< result: 0, or a positive errno
};
/// Writes each superblock durably to the pair of places of its sequence.
/// REQUIRES: all superblocks have equally many members.
void write_superblocks(std::span<SuperblockWrite> writes, IoEngine& engine);

}  // namespace stavefs
