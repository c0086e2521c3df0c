// Reading, writing and making durable: the way to FileDataManager, and what is not regular files.

#include "fs/file_system_impl.h"

namespace stavefs {

Result<InodeRef> FileSystem::Impl::regular(InodeId id) {
  ASSIGN_OR_RETURN(InodeRef inode, inodes.get(id));
  std::shared_lock lock(inode->mutex);
  if (inode->deleted) return posix_error(ESTALE);
  if (inode->record.is_directory()) return posix_error(EISDIR);
  if (!inode->record.is_regular()) return posix_error(EINVAL);
  lock.unlock();
  return inode;
}

Result<size_t> FileSystem::read(InodeId id, uint64_t offset, std::span<uint8_t> out, bool aligned) {
  ASSIGN_OR_RETURN(const InodeRef inode, impl_->regular(id));
  return impl_->data.read(inode, offset, out, aligned);
}

Result<size_t> FileSystem::write(InodeId id, uint64_t offset, std::span<const uint8_t> bytes, bool append,
                                 bool kill_privileges) {
  TRY(impl_->begin());
  ASSIGN_OR_RETURN(const InodeRef inode, impl_->regular(id));
  if (bytes.empty()) return size_t{0};
  TRY(impl_->data.write(inode, append ? kToEnd : offset, bytes, kill_privileges));
  return bytes.size();
}

Status FileSystem::fsync(InodeId id, bool data_only) {
  Impl& fs = *impl_;
  if (fs.options.read_only) return ok();
  ASSIGN_OR_RETURN(const InodeRef inode, fs.inodes.get(id));
  bool is_regular;
  {
    std::shared_lock lock(inode->mutex);
    is_regular = inode->record.is_regular();
  }
  return is_regular ? fs.data.fsync(inode, data_only) : fsyncdir(id);
}

Status FileSystem::fsyncdir(InodeId id) {
  Impl& fs = *impl_;
  if (fs.options.read_only) return ok();
  ASSIGN_OR_RETURN(const InodeRef inode, fs.inodes.get(id));
  Lsn last;
  {
    std::shared_lock lock(inode->mutex);
    last = inode->last_lsn;
  }
  return fs.ledger.sync(last);
}

Status FileSystem::sync() {
  if (impl_->options.read_only) return ok();
  return impl_->data.flush_all();
}

}  // namespace stavefs
