// Hard links.

#include "fs/file_system_impl.h"

namespace stavefs {

Result<Attributes> FileSystem::link(InodeId inode, InodeId new_parent, std::string_view new_name) {
  Impl& fs = *impl_;
  TRY(fs.begin());
  TRY(check_name(new_name));
  ASSIGN_OR_RETURN(const auto directory, fs.view(new_parent));
  ASSIGN_OR_RETURN(const InodeRef target, fs.inodes.get(inode));

  InodeLocks locks({directory.inode.get(), target.get()});
  Inode& parent = *directory.inode;
  if (target->record.is_directory()) return posix_error(EPERM);
  if (new_parent == kRootInode) return posix_error(EPERM);
  if (target->record.bucket != parent.record.bucket) return posix_error(EXDEV);
  if (parent.deleted || parent.record.nlink == 0) return posix_error(ENOENT);
  if (target->deleted || target->record.nlink == 0) return posix_error(ENOENT);
  ASSIGN_OR_RETURN(const auto taken, fs.find(new_parent, new_name));
  if (taken) return posix_error(EEXIST);
  if (target->record.nlink >= kMaxLinks) return posix_error(EMLINK);

  Operation op(fs.ledger, fs.inodes, fs.data);
  op.edit(*target);
  op.edit(parent);
  const TimeNs time = fs.now();
  ++target->record.nlink;
  target->record.ctime = time;
  target->record.parent = new_parent;
  fs.touch_directory(parent, time);
  op.change().index().put(fs.dentry_key(new_parent, new_name),
                          Dentry{inode, dentry_type(target->record.mode)}.encode());
  TRY(op.commit());
  return target->attributes();
}

}  // namespace stavefs
