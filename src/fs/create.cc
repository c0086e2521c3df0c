// New inodes: files, directories, symlinks, special files.

#include "fs/file_system_impl.h"

namespace stavefs {

void FileSystem::Impl::fill(Inode& inode, const Inode& parent, const NewInode& what,
                            const Caller& caller) const {
  InodeRecord& record = inode.record;
  record.mode = what.mode;
  record.uid = caller.uid;
  record.gid = caller.gid;
  if ((parent.record.mode & kSetGid) != 0) {
    record.gid = parent.record.gid;
    if (record.is_directory()) record.mode |= kSetGid;
  }
  record.nlink = record.is_directory() ? 2 : 1;
  record.rdev = what.rdev;
  record.atime = record.mtime = record.ctime = record.btime = now();
  record.generation = 1;
  // The change's own LSN is not known yet; it is never below this one.
  record.version = VersionId(ledger.head().value + 1);
  record.bucket = parent.record.bucket;
  record.parent = parent.id;
  if (record.is_symlink()) {
    record.inline_data = what.target;
    record.has_inline = true;
    record.size = inode.stored_size = what.target.size();
  }
  if (what.open) inode.open_count = 1;
}

Result<Attributes> FileSystem::Impl::make(InodeId parent, std::string_view name, const NewInode& what,
                                          const Caller& caller) {
  TRY(begin());
  TRY(check_name(name));
  ASSIGN_OR_RETURN(const View directory, view(parent));
  if (parent == kRootInode) {
    // Only buckets stand at the top (buckets.cc makes them); a name that is taken says so all the same.
    ASSIGN_OR_RETURN(const auto taken, find(parent, name));
    return posix_error(taken ? EEXIST : EPERM);
  }
  ASSIGN_OR_RETURN(const InodeId number, numbers.take());
  const bool is_directory = (what.mode & kTypeMask) == kDirectory;

  const auto child = std::make_shared<Inode>(number);
  InodeLocks locks({directory.inode.get(), child.get()});
  Inode& parent_inode = *directory.inode;
  if (parent_inode.deleted || parent_inode.record.nlink == 0) return posix_error(ENOENT);
  ASSIGN_OR_RETURN(const auto taken, find(parent, name));
  if (taken) return posix_error(EEXIST);
  if (is_directory && parent_inode.record.nlink >= kMaxLinks) return posix_error(EMLINK);

  Operation op(ledger, inodes, data);
  fill(*child, parent_inode, what, caller);
  op.add(child);
  op.edit(parent_inode);
  if (is_directory) ++parent_inode.record.nlink;
  touch_directory(parent_inode, child->record.mtime);
  op.change().index().put(dentry_key(parent, name), Dentry{number, dentry_type(what.mode)}.encode());
  op.change().add_usage(child->record.bucket, 0, 1);
  TRY(op.commit());
  return child->attributes();
}

namespace {

uint32_t permissions(uint32_t mode, const Caller& caller) { return mode & kPermissionMask & ~caller.umask; }

}  // namespace

Result<Attributes> FileSystem::mknod(InodeId parent, std::string_view name, uint32_t mode, uint64_t rdev,
                                     const Caller& caller) {
  uint32_t type = mode & kTypeMask;
  if (type == 0) type = kRegular;
  switch (type) {
    case kRegular:
    case kFifo:
    case kSocket: rdev = 0; break;
    case kCharacterDevice:
    case kBlockDevice: break;
    case kDirectory: return posix_error(EPERM);
    default: return posix_error(EINVAL);
  }
  return impl_->make(parent, name, {.mode = type | permissions(mode, caller), .rdev = rdev}, caller);
}

Result<Attributes> FileSystem::create(InodeId parent, std::string_view name, uint32_t mode,
                                      const Caller& caller) {
  return impl_->make(parent, name, {.mode = kRegular | permissions(mode, caller), .open = true}, caller);
}

Result<Attributes> FileSystem::mkdir(InodeId parent, std::string_view name, uint32_t mode,
                                     const Caller& caller) {
  if (parent == kRootInode) {
    ASSIGN_OR_RETURN(const BucketInfo bucket,
                     create_bucket(name, impl_->options.default_policy, mode, caller));
    return getattr(bucket.root);
  }
  return impl_->make(parent, name, {.mode = kDirectory | permissions(mode, caller)}, caller);
}

Result<Attributes> FileSystem::symlink(InodeId parent, std::string_view name, std::string_view target,
                                       const Caller& caller) {
  if (target.empty()) return posix_error(ENOENT);
  if (target.size() > kMaxSymlinkBytes) return posix_error(ENAMETOOLONG);
  if (target.find('\0') != target.npos) return posix_error(EINVAL);
  return impl_->make(parent, name, {.mode = kSymlink | 0777, .target = target}, caller);
}

Result<std::string> FileSystem::readlink(InodeId inode) {
  ASSIGN_OR_RETURN(const InodeRef link, impl_->inodes.get(inode));
  std::shared_lock lock(link->mutex);
  if (!link->record.is_symlink()) return posix_error(EINVAL);
  return link->record.inline_data;
}

}  // namespace stavefs
