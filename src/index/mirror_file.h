// What a mirrored directory knows of one copy, and of one file.

#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <utility>

#include "base/ids.h"
#include "disk/disk.h"
#include "index/page_format.h"
#include "index/page_map.h"

namespace stavefs {

class MirrorWriter;

/// One disk's copy of the directory.  A slot that comes back is another MirrorCopy.
struct MirrorCopy {
  enum class State : uint8_t {
    kJoining,  ///< being filled
    kLive,
    kFailing,  ///< takes no more changes; the epoch still names it
    kGone,
  };
  MirrorCopy(DiskSlot slot, Disk* disk, State state) : slot(slot), disk(disk), state(state) {}

  const DiskSlot slot;
  Disk* const disk;
  State state;  ///< guarded by MirrorSet::mutex_
  std::atomic<bool> read_failed{
      false};  ///< the last read that failed has not been followed by one that did not
};

/// One file, from its creation until its name goes; readers may outlive that.
struct MirrorFile {
  MirrorFile(std::string file_name, uint64_t id)
      : name(std::move(file_name)), id(id), seed(name_seed(name)), disk_name(name) {}

  uint64_t bytes() const {
    std::lock_guard lock(mutex);
    return map.bytes();
  }
  PageInfo page(uint32_t number) const {
    std::lock_guard lock(mutex);
    return {id, map.start(number), number, 0, map.used(number)};
  }
  uint32_t pages() const {
    std::lock_guard lock(mutex);
    return map.pages();
  }

  /// REQUIRES: offset < bytes().
  uint32_t page_at(uint64_t offset) const {
    std::lock_guard lock(mutex);
    return map.find(offset);
  }
  bool is_damaged() const {
    std::lock_guard lock(mutex);
    return damaged;
  }
  /// kCorrupt when `bytes` are not page `number` of this file.
  Status verify(std::span<const uint8_t, kPageBytes> bytes, uint32_t number) const;

  const std::string name;  ///< seeds the pages
  const uint64_t id;
  const uint64_t seed;

  std::mutex exclusive;  ///< held while the file is removed, renamed, or written anew on one copy

  mutable std::mutex mutex;  ///< guards what follows
  std::string disk_name;     ///< where it stands; differs from `name` only while a rename is prepared
  PageMap map;               ///< of the pages that are on the disks
  MirrorWriter* writer = nullptr;
  bool gone = false;     ///< removed or replaced
  bool damaged = false;  ///< known to be incomplete on all copies: reading it is an error
  int readers = 0;
  uint64_t replaced = 0;  ///< how often a copy of it was written anew
  std::map<const MirrorCopy*, std::shared_ptr<DiskFile>> handles;  ///< for reading; empty without readers
};

}  // namespace stavefs
