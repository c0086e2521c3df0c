// Inodes in memory: loaded from the index on demand, at most one object per number, bounded.
//
// An inode stays while somebody holds a reference, it is open, or it has anything dirty; the others are
// evicted, least recently used first, when the cache is over its budget.
//
// Theory of loading: the index is read without any lock, so meanwhile another thread may load the same inode,
// change and commit it, and have it evicted.  A shard therefore counts the objects that left it; a record
// read before such a departure is read again.
//
// Threads: self-synchronised; sharded by number.  No shard lock is held while the index is read.  Lock order:
// a shard's lock comes after inode locks (under it inodes are only tried).

#pragma once

#include <cstddef>
#include <memory>

#include "fs/inode.h"
#include "store/ledger.h"

namespace stavefs {

class InodeCache {
 public:
  /// Keeps about `max_inodes`.
  InodeCache(Ledger& ledger, size_t max_inodes);
  ~InodeCache();

  /// ESTALE when there is no such inode.
  Result<InodeRef> get(InodeId id);
  /// Only if it is in memory already; else null.
  InodeRef find(InodeId id);
  /// Enters a new inode.  REQUIRES: its number is not in the cache.
  void insert(const InodeRef& inode);
  /// Drops an inode from the cache (deleted, or to be read again).
  void erase(InodeId id);
  size_t size() const;

 private:
  struct Shard;
  Shard& shard_of(InodeId id) const;

  Ledger& ledger_;
  const size_t max_per_shard_;
  std::unique_ptr<Shard[]> shards_;
};

}  // namespace stavefs
