// Durability of one file: a small amount of dirty data goes into the journal as it is, more goes to stripes.

#include "fs/file_data_impl.h"
#include "index/keys.h"

namespace stavefs {
namespace {

bool has_unlogged(const FileData& data) {
  for (const auto& [offset, piece] : data.dirty.pieces()) {
    if (piece.logged == Lsn()) return true;
  }
  return false;
}

/// The whole file fits its record: flushing costs no more than deferring.
bool fits_record(const InodeRecord& record) {
  return record.size <= kInlineBytes && record.stored_bytes == 0;
}

}  // namespace

bool FileDataManager::Impl::log_dirty(Inode& inode, Change& change) {
  if (inode.data == nullptr) return true;
  FileData& data = *inode.data;
  if (!data.flushing.empty() || data.dirty.bytes() > kDeferBytes) return false;
  for (const auto& [offset, piece] : data.dirty.pieces()) {
    if (piece.logged == Lsn()) change.add_data(inode.id, offset, piece.bytes());
  }
  if (change.data().empty() && inode.record.size == inode.stored_size) return true;
  data.pending_ = FileData::Pending::kLogged;
  data.claimed_from_ = inode.stored_size;
  claim_size(inode, change);
  return true;
}

void FileDataManager::Impl::logged(Inode& inode, Lsn lsn) {
  inode.last_lsn = lsn;
  if (inode.data == nullptr || inode.data->pending_ == FileData::Pending::kNothing) return;
  FileData& data = *inode.data;
  data.pending_ = FileData::Pending::kNothing;
  mark_logged(data, lsn);
  destage_unreferenced(data, lsn);
  inode.attributes_dirty = false;
}

Status FileDataManager::Impl::fsync(const InodeRef& ref, bool data_only) {
  Inode& inode = *ref;
  TRY(ledger.admit());
  std::unique_lock lock(inode.mutex);
  wait_idle(inode, lock);
  if (inode.data != nullptr && inode.data->failure) {
    Error failure = std::move(*inode.data->failure);
    inode.data->failure.reset();
    return failure;
  }
  const bool unlogged = inode.data != nullptr && has_unlogged(*inode.data);
  const bool size_changed = inode.record.is_regular() && inode.record.size != inode.stored_size;
  if (inode.deleted) {
    // Its keys are gone: there is nothing that could be made durable but their removal.
  } else if (unlogged && (fits_record(inode.record) || inode.data->dirty.bytes() > kDeferBytes)) {
    lock.unlock();
    const Status flushed = flush(ref);
    lock.lock();
    if (!flushed) {
      inode.data->failure.reset();
      return flushed;
    }
  } else if (unlogged || size_changed) {
    Change change;
    if (log_dirty(inode, change)) {
      ASSIGN_OR_RETURN(const Lsn lsn, ledger.commit(change));
      logged(inode, lsn);
    }
  } else if (inode.attributes_dirty && !data_only) {
    Change change;
    change.index().put(keys::inode(inode.id), inode.record_to_store().encode());
    ASSIGN_OR_RETURN(inode.last_lsn, ledger.commit(change));
    inode.attributes_dirty = false;
  }
  const Lsn upto = inode.last_lsn;
  lock.unlock();
  return ledger.sync(upto);
}

}  // namespace stavefs
