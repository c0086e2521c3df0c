// Cutting files: a new size, or the end of a file.
//
// What is committed must stay a prefix of the file's operations, so a cut that is committed at once takes the
// older dirty data that survives it along, as deferred data, or waits for its flush.  A cut at or beyond the
// committed size changes memory only.

#include <utility>

#include "fs/file_data_impl.h"
#include "index/keys.h"

namespace stavefs {
namespace {

/// Adds the unlogged pieces below `end` to the change; false, and nothing added, when they are too much.
bool add_deferred(const Inode& inode, uint64_t end, Change& change, bool* any) {
  const auto below = inode.data->dirty.overlapping(0, end);
  uint64_t bytes = 0;
  for (const auto& [offset, piece] : below) bytes += piece.length;
  if (bytes > kDeferBytes) return false;
  for (const auto& [offset, piece] : below) {
    if (piece.logged != Lsn()) continue;
    change.add_data(inode.id, offset, piece.bytes());
    *any = true;
  }
  return true;
}

}  // namespace

Result<bool> FileDataManager::Impl::truncate(Inode& inode, uint64_t size, Change& change) {
  if (size > kMaxFileBytes) return posix_error(EFBIG);
  FileData& data = ensure(inode);
  const bool shrinks = size < inode.record.size;
  const bool commits = shrinks ? size < inode.stored_size : data.dirty.empty() && data.flushing.empty();
  ExtentEdit edit;
  if (shrinks) {
    if (data.flushing.begin() < size && !data.flushing.empty()) return false;
    if (commits) {
      if (inode.record.stored_bytes > 0) {
        ASSIGN_OR_RETURN(edit, cut_extents(ledger, inode.id, size));
      }
      bool any = false;
      if (!add_deferred(inode, size, change, &any)) return false;
      data.pending_ = FileData::Pending::kCut;
      if (any) data.pending_ = FileData::Pending::kLogged;
      data.claimed_from_ = size;
      if (!data.deferred.empty()) change.discard(inode.id, size);
    }
    data.dirty.erase(size, kToEnd);
    data.flushing.clear();
    account(data);
  }
  const TimeNs now = clock.realtime_ns();
  inode.record.size = size;
  inode.record.mtime = inode.record.ctime = now;
  if (!commits) {
    inode.attributes_dirty = true;
    enqueue(inode);
    return true;
  }
  add_edit(change, inode.id, edit);
  inode.record.stored_bytes -= edit.removed_bytes;
  if (inode.record.inline_data.size() > size) inode.record.inline_data.resize(size);
  claim_size(inode, change);
  return true;
}

Status FileDataManager::Impl::remove_all(Inode& inode, Change& change) {
  if (!inode.record.is_regular()) return ok();
  FileData& data = ensure(inode);
  if (inode.record.stored_bytes > 0) {
    ASSIGN_OR_RETURN(const ExtentEdit edit, cut_extents(ledger, inode.id, 0));
    add_edit(change, inode.id, edit);
  }
  if (!data.deferred.empty()) change.discard(inode.id, 0);
  if (inode.stored_size > 0) {
    change.add_usage(inode.record.bucket, -static_cast<int64_t>(inode.stored_size), 0);
  }
  data.pending_ = FileData::Pending::kRemoved;
  return ok();
}

void FileDataManager::Impl::forget_content(Inode& inode) {
  FileData& data = *inode.data;
  data.dirty.clear();
  data.flushing.clear();
  account(data);
  dequeue(inode);
  data.failure.reset();
  inode.record.stored_bytes = 0;
  inode.record.inline_data.clear();
  inode.record.has_inline = false;
  inode.record.size = 0;
  inode.stored_size = 0;
}

void FileDataManager::Impl::committed(Inode& inode, Lsn lsn) {
  inode.last_lsn = lsn;
  if (inode.data == nullptr) return;
  FileData& data = *inode.data;
  const FileData::Pending pending = std::exchange(data.pending_, FileData::Pending::kNothing);
  if (pending == FileData::Pending::kNothing) return;
  if (pending == FileData::Pending::kLogged) mark_logged(data, lsn);
  if (pending == FileData::Pending::kRemoved) forget_content(inode);
  destage_unreferenced(data, lsn);
  inode.attributes_dirty = false;
}

}  // namespace stavefs
