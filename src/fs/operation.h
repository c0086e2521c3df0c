// One operation of the namespace: its change, and the inodes that it edits.
//
// Theory: the inodes are edited in place under their locks, commit() puts their records into the change, and
// nobody else sees them before the locks are gone.  An operation that is dropped without a successful commit
// puts the edited attributes back, so that memory and index stay one.
//
// Threads: one owner, which holds the exclusive locks of all edited inodes until the operation is destroyed:
// declare it after the InodeLocks.

#pragma once

#include <vector>

#include "fs/file_data.h"
#include "fs/inode.h"
#include "fs/inode_cache.h"
#include "store/change.h"
#include "store/ledger.h"

namespace stavefs {

class Operation {
 public:
  Operation(Ledger& ledger, InodeCache& inodes, FileDataManager& data)
      : ledger_(ledger), inodes_(inodes), data_(data) {}
  ~Operation();
  Operation(const Operation&) = delete;
  Operation& operator=(const Operation&) = delete;

  Change& change() { return change_; }

  /// The inode's record goes into the change; its attributes are restored unless the change is committed.
  /// Idempotent.  The cached object must outlive the operation.
  Inode& edit(Inode& inode);
  /// The same for an inode that the operation makes: it enters the cache now, and leaves it again on failure.
  Inode& add(const InodeRef& inode);
  /// The inode's keys are erased by this change: commit() marks it deleted and drops it from the cache.
  void remove(Inode& inode);
  /// The change carries what FileDataManager::truncate or remove_all added (then `committed` is due), or
  /// log_dirty (then `logged` is).
  void data_changed(Inode& inode);
  void data_logged(Inode& inode);

  /// All or nothing.  On success every edited inode's last_lsn is the change's.
  Status commit();

 private:
  struct Edit {
    Inode* inode = nullptr;
    bool added = false, removed = false, data_changed = false, data_logged = false;
    // What an operation may edit, as it was.
    uint32_t mode = 0, nlink = 0, uid = 0, gid = 0;
    TimeNs atime = 0, mtime = 0, ctime = 0;
    InodeId parent;
    bool orphan = false;
  };
  Edit& find(Inode& inode);
  void restore();

  Ledger& ledger_;
  InodeCache& inodes_;
  FileDataManager& data_;
  Change change_;
  std::vector<Edit> edits_;
  bool committed_ = false;
};

}  // namespace stavefs
