#include "fs/operation.h"

#include "index/keys.h"

namespace stavefs {

Operation::~Operation() {
  if (!committed_) restore();
}

Operation::Edit& Operation::find(Inode& inode) {
  for (Edit& edit : edits_) {
    if (edit.inode == &inode) return edit;
  }
  const InodeRecord& record = inode.record;
  edits_.push_back({.inode = &inode,
                    .mode = record.mode,
                    .nlink = record.nlink,
                    .uid = record.uid,
                    .gid = record.gid,
                    .atime = record.atime,
                    .mtime = record.mtime,
                    .ctime = record.ctime,
                    .parent = record.parent,
                    .orphan = inode.orphan});
  return edits_.back();
}

Inode& Operation::edit(Inode& inode) { return *find(inode).inode; }

Inode& Operation::add(const InodeRef& inode) {
  inodes_.insert(inode);
  find(*inode).added = true;
  return *inode;
}

void Operation::remove(Inode& inode) { find(inode).removed = true; }
void Operation::data_changed(Inode& inode) { find(inode).data_changed = true; }
void Operation::data_logged(Inode& inode) { find(inode).data_logged = true; }

Status Operation::commit() {
  for (const Edit& edit : edits_) {
    if (edit.removed) continue;
    change_.index().put(keys::inode(edit.inode->id), edit.inode->record_to_store().encode());
  }
  ASSIGN_OR_RETURN(const Lsn lsn, ledger_.commit(change_));
  committed_ = true;
  for (const Edit& edit : edits_) {
    Inode& inode = *edit.inode;
    inode.last_lsn = lsn;
    if (edit.data_changed) data_.committed(inode, lsn);
    if (edit.data_logged) data_.logged(inode, lsn);
    if (edit.removed) {
      inode.deleted = true;
      inodes_.erase(inode.id);
    }
  }
  return ok();
}

void Operation::restore() {
  for (const Edit& edit : edits_) {
    Inode& inode = *edit.inode;
    if (edit.data_logged || edit.data_changed) data_.aborted(inode);
    if (edit.added) {
      inode.deleted = true;
      inodes_.erase(inode.id);
      continue;
    }
    inode.record.mode = edit.mode;
    inode.record.nlink = edit.nlink;
    inode.record.uid = edit.uid;
    inode.record.gid = edit.gid;
    inode.record.atime = edit.atime;
    inode.record.mtime = edit.mtime;
    inode.record.ctime = edit.ctime;
    inode.record.parent = edit.parent;
    inode.orphan = edit.orphan;
  }
}

}  // namespace stavefs
