// The end of an inode: with its last name, or, when it is open then, with its last close (or at the next
// start).  A caller that keeps inodes by number (the kernel, through FUSE) also uses one without a name that
// is not open: a working directory, an O_PATH descriptor, an open(2) that has looked the name up just before
// it went.  With such a caller an inode ends when forget() has come as well.
//
// An open inode without a name is an orphan: key 'O' (with an empty value) lists it from the change that took
// its last name to the change that erases it, so that a crash between them loses no space.

#include "base/log.h"
#include "fs/file_system_impl.h"

namespace stavefs {

Status FileSystem::Impl::drop_name(Operation& op, Inode& inode, TimeNs time) {
  InodeRecord& record = op.edit(inode).record;
  record.ctime = time;
  record.nlink = record.is_directory() || record.nlink == 0 ? 0 : record.nlink - 1;
  if (record.nlink > 0) return ok();
  if (inode.open_count == 0 && !forgets_follow) return destroy(op, inode);
  inode.orphan = true;
  op.change().index().put(keys::orphan(inode.id), {});
  return ok();
}

Status FileSystem::Impl::destroy(Operation& op, Inode& inode) {
  Change& change = op.change();
  op.edit(inode);
  if (inode.record.is_regular()) {
    TRY(data.remove_all(inode, change));
    op.data_changed(inode);
  }
  {
    ASSIGN_OR_RETURN(const auto scan, ledger.scan_prefix(keys::xattr_prefix(inode.id)));
    for (; scan->valid(); scan->next()) change.index().erase(scan->key());
    TRY(scan->status());
  }
  change.index().erase(keys::inode(inode.id));
  if (inode.orphan) change.index().erase(keys::orphan(inode.id));
  if (!is_bucket_root(inode.record)) change.add_usage(inode.record.bucket, 0, -1);
  op.remove(inode);
  return ok();
}

void FileSystem::Impl::reap_if_unused(Inode& inode) {
  if (!inode.orphan || inode.deleted || inode.open_count > 0 || options.read_only) return;
  if (forgets_follow && !inode.forgotten) return;
  Operation op(ledger, inodes, data);
  Status reaped = destroy(op, inode);
  if (reaped) reaped = op.commit();
  // Nobody waits for the outcome; the next start reaps what is left.
  if (!reaped)
    log_error("removing inode {}, which has lost its last name: {}", inode.id.value,
              reaped.error().to_text());
}

void FileSystem::release_file(InodeId id) {
  Impl& fs = *impl_;
  // What is open is in the cache.
  const InodeRef inode = fs.inodes.find(id);
  if (inode == nullptr) return;
  // Without room the inode may still be reaped: what follows only gives space back.
  (void)fs.begin();
  InodeLocks locks({inode.get()});
  if (inode->open_count == 0 || --inode->open_count > 0) return;
  fs.reap_if_unused(*inode);
}

void FileSystem::hold_until_forgotten() { impl_->forgets_follow = true; }

void FileSystem::forget(InodeId id) {
  Impl& fs = *impl_;
  // Orphans are in the cache; it is bounded by itself, and an inode that has names can be loaded again.
  const InodeRef inode = fs.inodes.find(id);
  if (inode == nullptr) return;
  {
    std::shared_lock lock(inode->mutex);
    if (!inode->orphan || inode->deleted) return;
  }
  (void)fs.begin();
  InodeLocks locks({inode.get()});
  inode->forgotten = true;
  fs.reap_if_unused(*inode);
}

}  // namespace stavefs
