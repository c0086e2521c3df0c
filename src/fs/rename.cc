// rename, with RENAME_NOREPLACE and RENAME_EXCHANGE.
//
// A file that takes another's place brings its content: dirty data goes into the same change (or was written
// out just before), so that after a crash the name stands for the old content or the new, never for an empty
// file.
//
// A directory that changes its parent does so under rename_mutex: what a walk from the new parent to the root
// saw stays true until the change is committed, so no directory ever becomes its own ancestor.

#include "fs/file_system_impl.h"

namespace stavefs {

struct FileSystem::Impl::Rename {
  Impl& fs;
  InodeId from_id;
  std::string_view from_name;
  InodeId to_id;
  std::string_view to_name;
  uint32_t flags = 0;

  View from{}, to{};
  std::optional<Entry> source{}, target{};
  std::unique_lock<std::mutex> tree{};
  bool flushed = false;  ///< what was written to the source before the call is in stripes

  bool exchange() const { return (flags & kExchange) != 0; }
  bool same_parent() const { return from_id == to_id; }
  bool source_is_directory() const { return source->dentry.is_directory(); }
  bool target_is_directory() const { return target && target->dentry.is_directory(); }

  Status check_arguments() const;
  /// True when done; false when something changed meanwhile and it must be tried again.
  Result<bool> attempt();
  Status resolve();
  /// EINVAL when `directory` is `below` or one of its ancestors.
  Status check_not_ancestor(InodeId directory, InodeId below) const;
  Status check_tree();
  /// Under the locks.
  Status check_types() const;
  Status edit(Operation& op) const;
  void edit_buckets(Change& change) const;
  void move_buckets() const;
};

Status FileSystem::Impl::Rename::check_arguments() const {
  TRY(check_name(from_name));
  TRY(check_name(to_name));
  if ((flags & ~(kNoReplace | kExchange)) != 0 || flags == (kNoReplace | kExchange))
    return posix_error(EINVAL);
  // Into or out of the top would move a directory between buckets, or make one of it.
  if ((from_id == kRootInode) != (to_id == kRootInode)) return posix_error(EXDEV);
  return ok();
}

Status FileSystem::Impl::Rename::resolve() {
  ASSIGN_OR_RETURN(from, fs.view(from_id));
  ASSIGN_OR_RETURN(to, fs.view(to_id));
  if (from.bucket != to.bucket) return posix_error(EXDEV);
  ASSIGN_OR_RETURN(source, fs.entry(from_id, from_name));
  if (!source) return posix_error(ENOENT);
  ASSIGN_OR_RETURN(target, fs.entry(to_id, to_name));
  if ((flags & kNoReplace) != 0 && target) return posix_error(EEXIST);
  if (exchange() && !target) return posix_error(ENOENT);
  if (to_id == kRootInode && !target) return check_bucket_name(to_name);
  return ok();
}

Status FileSystem::Impl::Rename::check_not_ancestor(InodeId directory, InodeId below) const {
  InodeId at = below;
  while (at != kRootInode) {
    if (at == directory) return posix_error(EINVAL);
    ASSIGN_OR_RETURN(const InodeRef inode, fs.inodes.get(at));
    std::shared_lock lock(inode->mutex);
    if (!inode->record.is_directory() || inode->record.parent == at) {
      return Error(ErrorCode::kCorrupt, EIO,
                   "inode " + std::to_string(at.value) + " has no way up to the root");
    }
    at = inode->record.parent;
  }
  return ok();
}

Status FileSystem::Impl::Rename::check_tree() {
  const bool moves_directory = source_is_directory() || (exchange() && target_is_directory());
  if (same_parent() || !moves_directory) return ok();
  tree = std::unique_lock(fs.rename_mutex);
  if (source_is_directory()) TRY(check_not_ancestor(source->dentry.inode, to_id));
  if (exchange() && target_is_directory()) TRY(check_not_ancestor(target->dentry.inode, from_id));
  return ok();
}

Status FileSystem::Impl::Rename::check_types() const {
  if (to.inode->deleted || to.inode->record.nlink == 0) return posix_error(ENOENT);
  const bool replace = target && !exchange();
  if (replace && source_is_directory() && !target_is_directory()) return posix_error(ENOTDIR);
  if (replace && !source_is_directory() && target_is_directory()) return posix_error(EISDIR);
  if (replace && target_is_directory()) {
    ASSIGN_OR_RETURN(const bool empty, fs.is_empty(target->dentry.inode));
    if (!empty) return posix_error(ENOTEMPTY);
  }
  if (same_parent()) return ok();
  if (source_is_directory() && !target_is_directory() && to.inode->record.nlink >= kMaxLinks) {
    return posix_error(EMLINK);
  }
  if (exchange() && target_is_directory() && !source_is_directory() &&
      from.inode->record.nlink >= kMaxLinks) {
    return posix_error(EMLINK);
  }
  return ok();
}

Status FileSystem::Impl::Rename::edit(Operation& op) const {
  IndexBatch& index = op.change().index();
  const TimeNs time = fs.now();
  Inode& moved = op.edit(*source->inode);
  InodeRecord& from_record = op.edit(*from.inode).record;
  InodeRecord& to_record = op.edit(*to.inode).record;

  index.erase(fs.dentry_key(from_id, from_name));
  index.put(fs.dentry_key(to_id, to_name), source->dentry.encode());
  if (source_is_directory()) {
    --from_record.nlink;
    ++to_record.nlink;
  }
  if (target_is_directory()) --to_record.nlink;
  moved.record.parent = to_id;
  moved.record.ctime = time;
  if (exchange()) {
    Inode& back = op.edit(*target->inode);
    index.put(fs.dentry_key(from_id, from_name), target->dentry.encode());
    if (target_is_directory()) ++from_record.nlink;
    back.record.parent = from_id;
    back.record.ctime = time;
  }
  fs.touch_directory(*from.inode, time);
  fs.touch_directory(*to.inode, time);
  if (to_id == kRootInode) edit_buckets(op.change());
  if (target && !exchange()) return fs.drop_name(op, *target->inode, time);
  return ok();
}

void FileSystem::Impl::Rename::edit_buckets(Change& change) const {
  const auto moved = fs.buckets.find(from_name);
  const auto other = fs.buckets.find(to_name);
  erase_bucket(change, from_name);
  if (moved) put_bucket(change, to_name, moved->record);
  if (exchange() && other) put_bucket(change, from_name, other->record);
}

void FileSystem::Impl::Rename::move_buckets() const {
  const auto moved = fs.buckets.find(from_name);
  const auto other = fs.buckets.find(to_name);
  fs.buckets.erase(from_name);
  if (moved) fs.buckets.put(to_name, moved->record);
  if (exchange() && other) fs.buckets.put(from_name, other->record);
}

Result<bool> FileSystem::Impl::Rename::attempt() {
  TRY(resolve());
  if (target && target->dentry.inode == source->dentry.inode)
    return true;  // two names of one inode, or one name
  TRY(check_tree());

  {
    InodeLocks locks(
        {from.inode.get(), to.inode.get(), source->inode.get(), target ? target->inode.get() : nullptr});
    ASSIGN_OR_RETURN(const bool source_same, fs.unchanged(from, from_name, source));
    ASSIGN_OR_RETURN(const bool target_same, fs.unchanged(to, to_name, target));
    if (!source_same || !target_same) return false;
    TRY(check_types());

    Operation op(fs.ledger, fs.inodes, fs.data);
    Inode& moved = *source->inode;
    bool complete = true;
    if (target && !exchange() && moved.record.is_regular()) {
      complete = fs.data.log_dirty(moved, op.change());
      if (complete) op.data_logged(moved);
    }
    // After one flush all that was written before the call is committed; a writer that goes on does not hold
    // us up.
    if (complete || flushed) {
      TRY(edit(op));
      TRY(op.commit());
      if (to_id == kRootInode) move_buckets();
      return true;
    }
  }
  TRY(fs.data.flush(source->inode));
  flushed = true;
  return false;
}

Status FileSystem::rename(InodeId parent, std::string_view name, InodeId new_parent,
                          std::string_view new_name, uint32_t flags) {
  TRY(impl_->begin());
  Impl::Rename rename{.fs = *impl_,
                      .from_id = parent,
                      .from_name = name,
                      .to_id = new_parent,
                      .to_name = new_name,
                      .flags = flags};
  TRY(rename.check_arguments());
  for (;;) {
    ASSIGN_OR_RETURN(const bool done, rename.attempt());
    if (done) return ok();
    rename.tree = {};
  }
}

}  // namespace stavefs
