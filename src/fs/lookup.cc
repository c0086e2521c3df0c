// Names to inodes.

#include "fs/file_system_impl.h"

namespace stavefs {

std::string FileSystem::Impl::dentry_key(InodeId parent, std::string_view name) const {
  return keys::dentry(parent, options.name_hash(name, dir_seed), name);
}

Result<FileSystem::Impl::View> FileSystem::Impl::view(InodeId directory) {
  ASSIGN_OR_RETURN(InodeRef inode, inodes.get(directory));
  View view;
  {
    std::shared_lock lock(inode->mutex);
    if (!inode->record.is_directory()) return posix_error(ENOTDIR);
    view.seen = inode->last_lsn;
    view.bucket = inode->record.bucket;
    view.gone = inode->deleted || inode->record.nlink == 0;
  }
  view.inode = std::move(inode);
  return view;
}

Result<std::optional<Dentry>> FileSystem::Impl::find(InodeId parent, std::string_view name) const {
  ASSIGN_OR_RETURN(const auto value, ledger.get(dentry_key(parent, name)));
  if (!value) return std::optional<Dentry>();
  ASSIGN_OR_RETURN(const Dentry dentry, Dentry::decode(*value));
  return std::optional<Dentry>(dentry);
}

Result<std::optional<FileSystem::Impl::Entry>> FileSystem::Impl::entry(InodeId parent,
                                                                       std::string_view name) {
  ASSIGN_OR_RETURN(auto dentry, find(parent, name));
  while (dentry) {
    auto inode = inodes.get(dentry->inode);
    if (inode) return std::optional<Entry>(Entry{*dentry, std::move(*inode)});
    if (inode.error().errno_value() != ESTALE) return std::move(inode.error());
    // Name and inode go in one change: when the name is still there, the inode was never removed.
    ASSIGN_OR_RETURN(const auto again, find(parent, name));
    if (again == dentry) {
      return Error(
          ErrorCode::kCorrupt, EIO,
          "a directory entry names inode " + std::to_string(dentry->inode.value) + ", which does not exist");
    }
    dentry = again;
  }
  return std::optional<Entry>();
}

Result<bool> FileSystem::Impl::unchanged(const View& view, std::string_view name,
                                         const std::optional<Entry>& expected) const {
  if (expected && dentry_type(expected->inode->record.mode) != expected->dentry.type) {
    return Error(ErrorCode::kCorrupt, EIO,
                 "directory entry and inode " + std::to_string(expected->inode->id.value) +
                     " disagree about its type");
  }
  // Whoever changes a directory's entries moves its last_lsn under its lock.
  if (view.inode->last_lsn == view.seen) return true;
  ASSIGN_OR_RETURN(const auto dentry, find(view.inode->id, name));
  return expected ? dentry == expected->dentry : !dentry.has_value();
}

Result<bool> FileSystem::Impl::is_empty(InodeId directory) const {
  ASSIGN_OR_RETURN(const auto scan, ledger.scan_prefix(keys::dentry_prefix(directory)));
  const bool empty = !scan->valid();
  TRY(scan->status());
  return empty;
}

void FileSystem::Impl::touch_directory(Inode& directory, TimeNs time) const {
  directory.record.mtime = directory.record.ctime = time;
}

Result<Attributes> FileSystem::lookup(InodeId parent, std::string_view name) {
  Impl& fs = *impl_;
  TRY(check_name(name));
  ASSIGN_OR_RETURN(const auto directory, fs.view(parent));
  for (;;) {
    ASSIGN_OR_RETURN(const auto entry, fs.entry(parent, name));
    if (!entry) return posix_error(ENOENT);
    std::shared_lock lock(entry->inode->mutex);
    // An inode without a name lost it after the entry was read: what does the name stand for now?
    if (entry->inode->deleted || entry->inode->record.nlink == 0) continue;
    return entry->inode->attributes();
  }
}

Result<InodeId> FileSystem::resolve(std::string_view path) {
  InodeId at = kRootInode;
  while (!path.empty()) {
    const size_t end = path.find('/');
    const std::string_view name = path.substr(0, end);
    path = end == path.npos ? std::string_view() : path.substr(end + 1);
    if (name.empty() || name == ".") continue;
    if (name == "..") {
      ASSIGN_OR_RETURN(const auto directory, impl_->view(at));
      std::shared_lock lock(directory.inode->mutex);
      at = directory.inode->record.parent;
      continue;
    }
    ASSIGN_OR_RETURN(const Attributes attributes, lookup(at, name));
    at = attributes.id;
  }
  return at;
}

}  // namespace stavefs
