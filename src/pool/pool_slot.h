// A disk of an open pool, and the conversions between the superblock's plain fields and the pool's types.
// Internal to src/pool.

#pragma once

#include <atomic>
#include <memory>
#include <string>

#include "disk/superblock_format.h"
#include "pool/pool.h"

namespace stavefs {

struct Pool::Slot {
  std::unique_ptr<Disk> disk;
  std::string path;
  std::unique_ptr<DiskFile> superblock;  // after `disk`: closed before it
  uint64_t sequence = 0;                 // of the newest copy; guarded by publish_mutex_
  bool stale = false;                    // fixed once open
  std::atomic<DiskState> state{DiskState::kActive};
  std::atomic<bool> full{false};
  std::atomic<int> reads_failed_in_a_row{0};
  std::atomic<uint64_t> read_errors{0};
  std::atomic<uint64_t> write_errors{0};
  std::atomic<uint64_t> checksum_errors{0};
  std::string reason;  // guarded by mutex_
};

SuperblockEpoch to_superblock(const EpochRecord& record);
EpochRecord from_superblock(const SuperblockEpoch& epoch);
PoolConfig config_of(const Superblock& superblock);
Member member_of(const Superblock& superblock, uint16_t slot);

}  // namespace stavefs
