// unlink and rmdir.

#include "fs/file_system_impl.h"

namespace stavefs {

Status FileSystem::unlink(InodeId parent, std::string_view name) {
  Impl& fs = *impl_;
  TRY(fs.begin());
  TRY(check_name(name));
  for (;;) {
    ASSIGN_OR_RETURN(const auto directory, fs.view(parent));
    ASSIGN_OR_RETURN(const auto entry, fs.entry(parent, name));
    if (!entry) return posix_error(ENOENT);
    if (entry->dentry.is_directory()) return posix_error(EISDIR);

    InodeLocks locks({directory.inode.get(), entry->inode.get()});
    ASSIGN_OR_RETURN(const bool same, fs.unchanged(directory, name, entry));
    if (!same) continue;
    Operation op(fs.ledger, fs.inodes, fs.data);
    const TimeNs time = fs.now();
    fs.touch_directory(op.edit(*directory.inode), time);
    op.change().index().erase(fs.dentry_key(parent, name));
    TRY(fs.drop_name(op, *entry->inode, time));
    return op.commit();
  }
}

Status FileSystem::rmdir(InodeId parent, std::string_view name) {
  Impl& fs = *impl_;
  TRY(fs.begin());
  TRY(check_name(name));
  for (;;) {
    ASSIGN_OR_RETURN(const auto directory, fs.view(parent));
    ASSIGN_OR_RETURN(const auto entry, fs.entry(parent, name));
    if (!entry) return posix_error(ENOENT);
    if (!entry->dentry.is_directory()) return posix_error(ENOTDIR);

    InodeLocks locks({directory.inode.get(), entry->inode.get()});
    ASSIGN_OR_RETURN(const bool same, fs.unchanged(directory, name, entry));
    if (!same) continue;
    ASSIGN_OR_RETURN(const bool empty, fs.is_empty(entry->inode->id));
    if (!empty) return posix_error(ENOTEMPTY);
    Operation op(fs.ledger, fs.inodes, fs.data);
    const TimeNs time = fs.now();
    fs.touch_directory(op.edit(*directory.inode), time);
    --directory.inode->record.nlink;
    op.change().index().erase(fs.dentry_key(parent, name));
    if (parent == kRootInode) erase_bucket(op.change(), name);
    TRY(fs.drop_name(op, *entry->inode, time));
    TRY(op.commit());
    if (parent == kRootInode) fs.buckets.erase(name);
    return ok();
  }
}

}  // namespace stavefs
