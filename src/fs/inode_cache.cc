#include "fs/inode_cache.h"

#include <fmt/format.h>

#include <algorithm>
#include <list>
#include <mutex>
#include <unordered_map>

#include "base/check.h"
#include "index/keys.h"

namespace stavefs {
namespace {

constexpr size_t kShards = 16;
/// Inodes looked at for one eviction; those in use go to the recent end.
constexpr int kEvictionTries = 16;

/// REQUIRES: nobody can obtain a new reference meanwhile.
bool evictable(const InodeRef& inode) {
  if (inode.use_count() != 1) return false;
  const std::shared_lock lock(inode->mutex, std::try_to_lock);
  // An orphan waits for its end, which is found in the cache only.
  return lock.owns_lock() && inode->open_count == 0 && !inode->orphan && inode->clean();
}

}  // namespace

struct InodeCache::Shard {
  struct Node {
    InodeRef inode;
    std::list<InodeId>::iterator place;
  };

  mutable std::mutex mutex;
  // Guarded by mutex.
  std::unordered_map<InodeId, Node> nodes;
  std::list<InodeId> recent;  ///< most recently used first
  uint64_t departures = 0;

  InodeRef lookup(InodeId id) {
    const auto it = nodes.find(id);
    if (it == nodes.end()) return nullptr;
    recent.splice(recent.begin(), recent, it->second.place);
    return it->second.inode;
  }

  void enter(const InodeRef& inode) {
    recent.push_front(inode->id);
    nodes.emplace(inode->id, Node{inode, recent.begin()});
  }

  void evict(size_t budget) {
    for (int tries = 0; nodes.size() > budget && tries < kEvictionTries; ++tries) {
      const auto it = nodes.find(recent.back());
      if (evictable(it->second.inode)) {
        recent.pop_back();
        nodes.erase(it);
        ++departures;
      } else {
        recent.splice(recent.begin(), recent, std::prev(recent.end()));
      }
    }
  }
};

InodeCache::InodeCache(Ledger& ledger, size_t max_inodes)
    : ledger_(ledger),
      max_per_shard_(std::max<size_t>(1, max_inodes / kShards)),
      shards_(std::make_unique<Shard[]>(kShards)) {}

InodeCache::~InodeCache() = default;

InodeCache::Shard& InodeCache::shard_of(InodeId id) const { return shards_[id.value % kShards]; }

Result<InodeRef> InodeCache::get(InodeId id) {
  Shard& shard = shard_of(id);
  for (;;) {
    uint64_t departures = 0;
    {
      const std::lock_guard lock(shard.mutex);
      if (InodeRef found = shard.lookup(id)) return found;
      departures = shard.departures;
    }
    ASSIGN_OR_RETURN(const std::optional<std::string> value, ledger_.get(keys::inode(id)));
    InodeRef loaded;
    if (value) {
      auto record = InodeRecord::decode(*value);
      if (!record) return std::move(record.error()).with_context(fmt::format("inode {}", id.value));
      loaded = std::make_shared<Inode>(id);
      loaded->record = std::move(*record);
      loaded->stored_size = loaded->record.size;
      loaded->last_lsn = ledger_.head();
      loaded->orphan = loaded->record.nlink == 0;
    }
    const std::lock_guard lock(shard.mutex);
    if (InodeRef found = shard.lookup(id)) return found;
    if (shard.departures != departures) continue;
    if (loaded == nullptr) return posix_error(ESTALE);
    shard.enter(loaded);
    shard.evict(max_per_shard_);
    return loaded;
  }
}

InodeRef InodeCache::find(InodeId id) {
  Shard& shard = shard_of(id);
  const std::lock_guard lock(shard.mutex);
  return shard.lookup(id);
}

void InodeCache::insert(const InodeRef& inode) {
  Shard& shard = shard_of(inode->id);
  const std::lock_guard lock(shard.mutex);
  CHECK(!shard.nodes.contains(inode->id));
  shard.enter(inode);
  shard.evict(max_per_shard_);
}

void InodeCache::erase(InodeId id) {
  Shard& shard = shard_of(id);
  const std::lock_guard lock(shard.mutex);
  const auto it = shard.nodes.find(id);
  if (it == shard.nodes.end()) return;
  shard.recent.erase(it->second.place);
  shard.nodes.erase(it);
  ++shard.departures;
}

size_t InodeCache::size() const {
  size_t sum = 0;
  for (size_t i = 0; i < kShards; ++i) {
    const std::lock_guard lock(shards_[i].mutex);
    sum += shards_[i].nodes.size();
  }
  return sum;
}

}  // namespace stavefs
