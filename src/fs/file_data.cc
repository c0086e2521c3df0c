#include "fs/file_data.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/check.h"
#include "base/log.h"
#include "fs/file_data_impl.h"
#include "index/keys.h"

namespace stavefs {

FileDataManager::Impl::Impl(Ledger& ledger, Store& store, InodeCache& inodes, BufferPool& buffers,
                            Clock& clock, PolicyOf policy_of, const Options& options)
    : ledger(ledger),
      store(store),
      inodes(inodes),
      buffers(buffers),
      clock(clock),
      policy_of(std::move(policy_of)),
      options(options),
      max_pieces(std::clamp<uint64_t>(ledger.journal_stats().ring_bytes / kRingParts / kChangeBytesPerPiece,
                                      64, kMaxDirtyPieces)) {}

FileData& FileDataManager::Impl::ensure(Inode& inode) {
  if (inode.data == nullptr) inode.data = std::make_unique<FileData>();
  return *inode.data;
}

void FileDataManager::Impl::account(FileData& data) {
  const uint64_t now = data.dirty.bytes() + data.flushing.bytes();
  if (now != data.counted_) {
    dirty_bytes.fetch_add(now - data.counted_, std::memory_order_relaxed);
    data.counted_ = now;
  }
  if (data.reserved > now) {
    store.release(data.geometry, data.reserved - now);
    data.reserved = now;
  }
  if (data.dirty.empty()) data.tail_.reset();
}

void FileDataManager::Impl::enqueue(Inode& inode) {
  FileData& data = ensure(inode);
  if (data.queued_) return;
  data.queued_ = true;
  data.queued_since_ns_ = clock.monotonic_ns();
  data.dirty_since_ns = data.queued_since_ns_;
  const std::lock_guard lock(mutex);
  queue.emplace(std::make_pair(data.queued_since_ns_, inode.id.value), inode.shared_from_this());
}

void FileDataManager::Impl::dequeue(Inode& inode) {
  FileData& data = *inode.data;
  if (!data.queued_) return;
  data.queued_ = false;
  InodeRef reference;  // the caller's reference keeps the inode; this one must not go under the lock
  const std::lock_guard lock(mutex);
  const auto it = queue.find({data.queued_since_ns_, inode.id.value});
  if (it == queue.end()) return;
  reference = std::move(it->second);
  queue.erase(it);
}

void FileDataManager::Impl::destage_unreferenced(FileData& data, Lsn lsn) {
  if (data.deferred.empty()) return;
  std::set<Lsn> referenced;
  for (const auto& [offset, piece] : data.dirty.pieces()) {
    if (piece.logged != Lsn()) referenced.insert(piece.logged);
  }
  for (auto it = data.deferred.begin(); it != data.deferred.end();) {
    if (referenced.contains(*it)) {
      ++it;
      continue;
    }
    ledger.data_destaged(*it, lsn);
    it = data.deferred.erase(it);
  }
}

void FileDataManager::Impl::mark_logged(FileData& data, Lsn lsn) {
  for (auto& [offset, piece] : data.dirty.pieces()) {
    if (piece.logged != Lsn()) continue;
    piece.logged = lsn;
    data.deferred.insert(lsn);
  }
}

void FileDataManager::Impl::claim_size(Inode& inode, Change& change) {
  if (inode.record.size != inode.stored_size) {
    change.add_usage(inode.record.bucket, static_cast<int64_t>(inode.record.size - inode.stored_size), 0);
    inode.stored_size = inode.record.size;
  }
  change.index().put(keys::inode(inode.id), inode.record_to_store().encode());
}

void FileDataManager::Impl::wait_idle(Inode& inode, std::unique_lock<std::shared_mutex>& lock) {
  idle.wait(lock, [&] { return inode.data == nullptr || !inode.data->flush_running; });
}

Result<bool> FileDataManager::Impl::adopt_piece(const RecoveredData& piece) {
  auto found = inodes.get(piece.inode);
  if (!found && found.error().errno_value() == ESTALE) {
    return false;
  }
  TRY(found);
  const InodeRef inode = *found;
  const std::unique_lock lock(inode->mutex);
  if (!inode->record.is_regular() || piece.offset > inode->record.size ||
      piece.bytes.size() > inode->record.size - piece.offset) {
    return Error(ErrorCode::kCorrupt, EIO,
                 fmt::format("deferred data of inode {} at LSN {} does not fit its file", piece.inode.value,
                             piece.lsn.value));
  }
  FileData& data = ensure(*inode);
  const BucketPolicy policy = policy_of(inode->record.bucket);
  if (data.reserved == 0) data.geometry = policy.geometry;
  // These bytes were accepted long ago: they are kept even if a full pool leaves nothing to set aside.
  if (store.reserve(data.geometry, piece.bytes.size())) data.reserved += piece.bytes.size();
  for (size_t done = 0; done < piece.bytes.size();) {
    const size_t n = std::min<size_t>(piece.bytes.size() - done, kMaxChunkBytes);
    const auto chunk = std::make_shared<Chunk>(buffers.get(n), &memory);
    std::memcpy(chunk->buffer.data(), piece.bytes.data() + done, n);
    chunk->used = n;
    data.dirty.put(piece.offset + done, Piece{chunk, 0, n, piece.lsn});
    done += n;
  }
  data.deferred.insert(piece.lsn);
  account(data);
  enqueue(*inode);
  return true;
}

FileDataManager::FileDataManager(Ledger& ledger, Store& store, InodeCache& inodes, BufferPool& buffers,
                                 Clock& clock, PolicyOf policy_of, const Options& options)
    : impl_(std::make_unique<Impl>(ledger, store, inodes, buffers, clock, std::move(policy_of), options)) {
  ledger.on_pressure([impl = impl_.get()] { impl->pressure(); });
}

FileDataManager::~FileDataManager() {
  CHECK(impl_->threads.empty());
  impl_->ledger.on_pressure({});
  // Whatever is still dirty is given up: its chunks must not outlive their counter, nor keep their
  // reservation.
  auto queue = std::move(impl_->queue);
  for (auto& [key, inode] : queue) {
    const std::unique_lock lock(inode->mutex);
    if (inode->data == nullptr) continue;
    inode->data->dirty.clear();
    impl_->account(*inode->data);
  }
}

Status FileDataManager::adopt(std::vector<RecoveredData> recovered) {
  std::set<std::pair<InodeId, Lsn>> unclaimed;
  for (const RecoveredData& piece : recovered) {
    ASSIGN_OR_RETURN(const bool adopted, impl_->adopt_piece(piece));
    if (!adopted) unclaimed.emplace(piece.inode, piece.lsn);
  }
  for (const auto& [inode, lsn] : unclaimed) {
    // Without an inode nobody can ever ask for these bytes; the journal need not keep them.
    log_warning("deferred data of inode {} at LSN {} has no inode", inode.value, lsn.value);
    impl_->ledger.data_destaged(lsn, impl_->ledger.head());
  }
  return ok();
}

Result<uint64_t> FileDataManager::write(const InodeRef& inode, uint64_t offset,
                                        std::span<const uint8_t> bytes, bool kill_privileges) {
  return impl_->write(inode, offset, bytes, kill_privileges);
}

Result<size_t> FileDataManager::read(const InodeRef& inode, uint64_t offset, std::span<uint8_t> out,
                                     bool aligned) {
  return impl_->read(inode, offset, out, aligned);
}

Status FileDataManager::fsync(const InodeRef& inode, bool data_only) {
  return impl_->fsync(inode, data_only);
}
Status FileDataManager::flush(const InodeRef& inode) { return impl_->flush(inode); }
Status FileDataManager::flush_all() { return impl_->flush_all(); }

void FileDataManager::note_attributes(Inode& inode) {
  inode.attributes_dirty = true;
  impl_->enqueue(inode);
}

bool FileDataManager::log_dirty(Inode& inode, Change& change) { return impl_->log_dirty(inode, change); }
void FileDataManager::logged(Inode& inode, Lsn lsn) { impl_->logged(inode, lsn); }

Result<bool> FileDataManager::truncate(Inode& inode, uint64_t size, Change& change) {
  return impl_->truncate(inode, size, change);
}
Status FileDataManager::remove_all(Inode& inode, Change& change) { return impl_->remove_all(inode, change); }
void FileDataManager::committed(Inode& inode, Lsn lsn) { impl_->committed(inode, lsn); }

void FileDataManager::aborted(Inode& inode) {
  if (inode.data == nullptr) return;
  const auto pending = std::exchange(inode.data->pending_, FileData::Pending::kNothing);
  if (pending == FileData::Pending::kLogged) inode.stored_size = inode.data->claimed_from_;
}

uint64_t FileDataManager::dirty_bytes() const { return impl_->dirty_bytes.load(std::memory_order_relaxed); }

}  // namespace stavefs
