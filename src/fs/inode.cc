#include "fs/inode.h"

#include <algorithm>

#include "base/buffer.h"
#include "fs/file_data.h"

namespace stavefs {

Inode::Inode(InodeId number) : id(number) {}
Inode::~Inode() = default;

InodeRecord Inode::record_to_store() const {
  InodeRecord stored = record;
  if (stored.is_regular()) stored.size = stored_size;
  return stored;
}

Attributes Inode::attributes() const {
  Attributes a;
  a.id = id;
  a.mode = record.mode;
  a.nlink = record.nlink;
  a.uid = record.uid;
  a.gid = record.gid;
  a.rdev = record.rdev;
  a.size = record.size;
  if (record.is_regular()) {
    uint64_t bytes = record.stored_bytes + record.inline_data.size();
    if (data != nullptr) bytes += data->dirty.bytes() + data->flushing.bytes();
    // Dirty bytes may lie over stored ones; a file never takes more than its size.
    a.blocks = (std::min(bytes, round_up(record.size, kPageBytes)) + 511) / 512;
  }
  a.atime = record.atime;
  a.mtime = record.mtime;
  a.ctime = record.ctime;
  a.btime = record.btime;
  a.generation = record.generation;
  return a;
}

bool Inode::clean() const {
  if (attributes_dirty) return false;
  return data == nullptr || (data->dirty.empty() && data->flushing.empty() && !data->flush_running);
}

InodeLocks::InodeLocks(std::initializer_list<Inode*> inodes) : InodeLocks(std::vector<Inode*>(inodes)) {}

InodeLocks::InodeLocks(std::vector<Inode*> inodes) : inodes_(std::move(inodes)) {
  std::erase(inodes_, nullptr);
  std::sort(inodes_.begin(), inodes_.end(), [](const Inode* a, const Inode* b) { return a->id < b->id; });
  inodes_.erase(std::unique(inodes_.begin(), inodes_.end()), inodes_.end());
  for (Inode* inode : inodes_) inode->mutex.lock();
}

InodeLocks::~InodeLocks() {
  for (auto it = inodes_.rbegin(); it != inodes_.rend(); ++it) (*it)->mutex.unlock();
}

}  // namespace stavefs
