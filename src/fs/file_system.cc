#include "fs/file_system.h"

#include <unistd.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "base/log.h"
#include "base/rng.h"
#include "fs/file_system_impl.h"
#include "fs/scalars.h"

namespace stavefs {

FileSystem::Impl::Impl(Ledger& ledger, Store& store, BufferPool& buffers, Clock& clock,
                       const Options& options)
    : ledger(ledger),
      store(store),
      buffers(buffers),
      clock(clock),
      options(options),
      buckets(options.default_policy),
      numbers(ledger),
      inodes(ledger, options.max_cached_inodes),
      data(
          ledger, store, inodes, buffers, clock, [this](BucketId id) { return buckets.policy(id); },
          options.data) {}

FileSystem::FileSystem(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

FileSystem::~FileSystem() { abandon(); }

Result<std::unique_ptr<FileSystem>> FileSystem::open(Ledger& ledger, Store& store, BufferPool& buffers,
                                                     Clock& clock, const Options& options) {
  std::unique_ptr<FileSystem> fs(
      new FileSystem(std::make_unique<Impl>(ledger, store, buffers, clock, options)));
  Impl& impl = *fs->impl_;
  impl.running = true;
  TRY(impl.load());
  TRY(impl.data.adopt(ledger.take_recovered_data()));
  if (!options.read_only) {
    TRY(impl.reap_orphans());
    impl.data.start();
  }
  return fs;
}

Status FileSystem::close() {
  Status flushed = impl_->options.read_only ? ok() : impl_->data.flush_all();
  abandon();
  return flushed;
}

void FileSystem::abandon() {
  if (!std::exchange(impl_->running, false)) return;
  impl_->data.stop();
}

Status FileSystem::Impl::begin() {
  if (options.read_only) return posix_error(EROFS);
  return ledger.admit();
}

Status FileSystem::Impl::load() {
  ASSIGN_OR_RETURN(auto root, get_scalar(ledger, kRootScalar));
  if (!root) {
    if (options.read_only) return Error(ErrorCode::kNotFound, ENOENT, "the pool has no filesystem yet");
    TRY(make_root());
    ASSIGN_OR_RETURN(root, get_scalar(ledger, kRootScalar));
  }
  ASSIGN_OR_RETURN(const auto seed, get_scalar(ledger, kDirSeedScalar));
  ASSIGN_OR_RETURN(const auto next, get_scalar(ledger, kNextInodeScalar));
  if (!root || *root != kRootInode.value || !seed || !next || *next <= kRootInode.value) {
    return Error(ErrorCode::kCorrupt, EIO, "the filesystem's scalars are missing or wrong");
  }
  dir_seed = *seed;
  numbers.start(*next);
  return load_buckets();
}

Status FileSystem::Impl::make_root() {
  const TimeNs time = now();
  Inode root(kRootInode);
  root.record.mode = kDirectory | 0755;
  root.record.nlink = 2;
  // Whoever makes the pool must be able to make buckets in it, with root's rights or without.
  root.record.uid = geteuid();
  root.record.gid = getegid();
  root.record.atime = root.record.mtime = root.record.ctime = root.record.btime = time;
  root.record.generation = 1;
  root.record.version = VersionId(ledger.head().value + 1);
  root.record.parent = kRootInode;
  Change change;
  change.index().put(keys::inode(kRootInode), root.record_to_store().encode());
  put_scalar(change, kRootScalar, kRootInode.value);
  put_scalar(change, kDirSeedScalar, Rng::from_entropy().next());
  put_scalar(change, kNextInodeScalar, kRootInode.value + 1);
  put_scalar(change, kNextBucketScalar, 1);
  ASSIGN_OR_RETURN(const Lsn lsn, ledger.commit(change));
  return ledger.sync(lsn);
}

Status FileSystem::Impl::load_buckets() {
  ASSIGN_OR_RETURN(const auto scan, ledger.scan_prefix("B"));
  for (; scan->valid(); scan->next()) {
    ASSIGN_OR_RETURN(const BucketRecord record, BucketRecord::decode(scan->value()));
    buckets.put(scan->key().substr(1), record);
  }
  return scan->status();
}

Status FileSystem::Impl::reap_orphans() {
  constexpr size_t kAtOnce = 1024;
  std::string from = keys::orphan(InodeId(0));
  for (;;) {
    std::vector<InodeId> found;
    {
      ASSIGN_OR_RETURN(const auto scan, ledger.scan(from, keys::prefix_end("O")));
      for (; scan->valid() && found.size() < kAtOnce; scan->next()) {
        if (scan->key().size() != 9) return Error(ErrorCode::kCorrupt, EIO, "orphan key of a wrong size");
        found.push_back(InodeId(keys::first_number(scan->key())));
      }
      TRY(scan->status());
    }
    if (found.empty()) return ok();
    from = keys::orphan(found.back().next());
    for (const InodeId id : found) {
      const auto inode = inodes.get(id);
      if (!inode) {
        // What cannot be read is not deleted: it stays listed until it can.
        log_error("orphan {}: {}", id.value, inode.error().to_text());
        continue;
      }
      InodeLocks locks({inode->get()});
      if ((*inode)->record.nlink != 0) {
        log_error("orphan {} has {} names; left alone", id.value, (*inode)->record.nlink);
        continue;
      }
      Operation op(ledger, inodes, data);
      (*inode)->orphan = true;
      Status reaped = destroy(op, **inode);
      if (reaped) reaped = op.commit();
      if (!reaped && ledger.fenced()) return reaped;
      if (!reaped) log_error("orphan {}: {}", id.value, reaped.error().to_text());
    }
  }
}

Result<FileSystemStats> FileSystem::statfs() {
  constexpr uint64_t kFreeFiles = uint64_t{1} << 40;  // nothing is laid out in advance; space is what ends
  Impl& fs = *impl_;
  const SpaceReport space = fs.store.space();
  FileSystemStats stats;
  stats.block_bytes = 4096;
  stats.blocks = space.total_bytes / stats.block_bytes;
  // What is dirty has its room reserved, and the store counts that as taken.
  stats.free_blocks = space.free_bytes / stats.block_bytes;
  stats.available_blocks = stats.free_blocks;
  int64_t used = 1;
  for (const auto& bucket : fs.buckets.list()) used += 1 + fs.ledger.usage(bucket.record.id).files;
  stats.free_files = kFreeFiles;
  stats.files = kFreeFiles + static_cast<uint64_t>(std::max<int64_t>(used, 0));
  stats.name_max = kMaxNameBytes;
  return stats;
}

uint64_t FileSystem::dirty_bytes() const { return impl_->data.dirty_bytes(); }

}  // namespace stavefs
