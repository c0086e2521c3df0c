// The end of an inode: with its last name, or, when it is open then, with its last close (or at the next
// start).
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
  if (inode.open_count == 0) return destroy(op, inode);
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

void FileSystem::release_file(InodeId id) {
  Impl& fs = *impl_;
  // What is open is in the cache.
  const InodeRef inode = fs.inodes.find(id);
  if (inode == nullptr) return;
  // Without room the inode may still be reaped: what follows only gives space back.
  (void)fs.begin();
  InodeLocks locks({inode.get()});
  if (inode->open_count == 0 || --inode->open_count > 0) return;
  if (!inode->orphan || inode->deleted || fs.options.read_only) return;
  Operation op(fs.ledger, fs.inodes, fs.data);
  Status reaped = fs.destroy(op, *inode);
  if (reaped) reaped = op.commit();
  // Nobody waits for the outcome; the next start reaps what is left.
  if (!reaped) log_error("removing inode {} after its last close: {}", id.value, reaped.error().to_text());
}

void FileSystem::forget(InodeId) {
  // The cache is bounded by itself and an inode can be loaded again: what the kernel remembers holds nothing
  // here.
}

}  // namespace stavefs
