// Attributes, and opening (which may cut a file and clear set-id bits in the same change).

#include "fs/file_system_impl.h"

namespace stavefs {
namespace {

/// As write(2) and chown(2) do: a set-group-id bit without group execution is no privilege (it once meant
/// mandatory locking).
uint32_t without_privileges(uint32_t mode) {
  mode &= ~kSetUid;
  if ((mode & kGroupExecute) != 0) mode &= ~kSetGid;
  return mode;
}

void edit_attributes(InodeRecord& record, const AttributeChange& change, TimeNs now) {
  if (change.set_mode) record.mode = (record.mode & kTypeMask) | (change.mode & kPermissionMask);
  if (change.set_uid) record.uid = change.uid;
  if (change.set_gid) record.gid = change.gid;
  const bool new_owner = (change.set_uid || change.set_gid) && !change.set_mode;
  if (!record.is_directory() && (new_owner || change.kill_privileges))
    record.mode = without_privileges(record.mode);
  if (change.set_atime) record.atime = change.atime_now ? now : change.atime;
  if (change.set_mtime) record.mtime = change.mtime_now ? now : change.mtime;
  record.ctime = change.set_ctime ? change.ctime : now;
}

}  // namespace

Result<Attributes> FileSystem::Impl::apply(InodeId id, const AttributeChange& change, bool open) {
  ASSIGN_OR_RETURN(const InodeRef inode, inodes.get(id));
  for (;;) {
    {
      InodeLocks locks({inode.get()});
      InodeRecord& record = inode->record;
      if (inode->deleted) return posix_error(ESTALE);
      if (change.set_size && record.is_directory()) return posix_error(EISDIR);
      if (change.set_size && !record.is_regular()) return posix_error(EINVAL);

      Operation op(ledger, inodes, data);
      op.edit(*inode);
      bool done = true;
      if (change.set_size) {
        ASSIGN_OR_RETURN(done, data.truncate(*inode, change.size, op.change()));
        if (done) op.data_changed(*inode);
      }
      if (done) {
        edit_attributes(record, change, now());
        TRY(op.commit());
        if (open) ++inode->open_count;
        return inode->attributes();
      }
    }
    TRY(data.flush(inode));
  }
}

Result<Attributes> FileSystem::getattr(InodeId id) {
  ASSIGN_OR_RETURN(const InodeRef inode, impl_->inodes.get(id));
  std::shared_lock lock(inode->mutex);
  if (inode->deleted) return posix_error(ESTALE);
  return inode->attributes();
}

Result<Attributes> FileSystem::setattr(InodeId inode, const AttributeChange& change) {
  TRY(impl_->begin());
  return impl_->apply(inode, change, false);
}

Status FileSystem::open_file(InodeId id, bool truncate, bool kill_privileges) {
  Impl& fs = *impl_;
  if (truncate) {
    TRY(fs.begin());
    TRY(fs.apply(id, {.set_size = true, .kill_privileges = kill_privileges}, true));
    return ok();
  }
  ASSIGN_OR_RETURN(const InodeRef inode, fs.inodes.get(id));
  InodeLocks locks({inode.get()});
  if (inode->deleted) return posix_error(ESTALE);
  if (inode->record.is_symlink()) return posix_error(ELOOP);
  ++inode->open_count;
  return ok();
}

}  // namespace stavefs
