// Buckets: the directories of the root.

#include "fs/file_system_impl.h"
#include "fs/scalars.h"

namespace stavefs {

Status check_bucket_name(std::string_view name) {
  TRY(check_name(name));
  if (name.front() == '.') return posix_error(EPERM);
  return ok();
}

void put_bucket(Change& change, std::string_view name, const BucketRecord& record) {
  change.index().put(keys::bucket(name), record.encode());
}

void erase_bucket(Change& change, std::string_view name) { change.index().erase(keys::bucket(name)); }

namespace {

BucketInfo to_info(const BucketTable::Entry& entry, const Ledger& ledger) {
  const Change::Usage usage = ledger.usage(entry.record.id);
  return {.id = entry.record.id,
          .name = entry.name,
          .root = entry.record.root,
          .policy = entry.record.policy,
          .created = entry.record.created,
          .bytes = usage.bytes,
          .files = usage.files};
}

}  // namespace

Result<BucketInfo> FileSystem::create_bucket(std::string_view name, const BucketPolicy& policy, uint32_t mode,
                                             const Caller& caller) {
  Impl& fs = *impl_;
  TRY(fs.begin());
  TRY(check_bucket_name(name));
  if (!policy.geometry.valid()) {
    return Error(ErrorCode::kInvalid, EINVAL, "a bucket cannot have the class " + policy.geometry.to_text());
  }
  ASSIGN_OR_RETURN(const InodeRef root, fs.inodes.get(kRootInode));
  ASSIGN_OR_RETURN(const InodeId number, fs.numbers.take());
  const auto top = std::make_shared<Inode>(number);

  InodeLocks locks({root.get(), top.get()});
  ASSIGN_OR_RETURN(const auto taken, fs.find(kRootInode, name));
  if (taken) return posix_error(EEXIST);
  if (root->record.nlink >= kMaxLinks) return posix_error(EMLINK);
  ASSIGN_OR_RETURN(const auto next, get_scalar(fs.ledger, kNextBucketScalar));
  if (!next || *next == 0 || *next > UINT32_MAX) {
    return Error(ErrorCode::kCorrupt, EIO, "no number for another bucket");
  }
  const uint32_t permissions = mode & kPermissionMask & ~caller.umask;
  fs.fill(*top, *root, {.mode = kDirectory | permissions}, caller);
  const BucketRecord record{.id = BucketId(static_cast<uint32_t>(*next)),
                            .root = number,
                            .policy = policy,
                            .created = top->record.btime};
  top->record.bucket = record.id;

  Operation op(fs.ledger, fs.inodes, fs.data);
  op.add(top);
  op.edit(*root);
  ++root->record.nlink;
  fs.touch_directory(*root, record.created);
  op.change().index().put(fs.dentry_key(kRootInode, name), Dentry{number, dentry_type(kDirectory)}.encode());
  put_bucket(op.change(), name, record);
  put_scalar(op.change(), kNextBucketScalar, *next + 1);
  // Before the commit: whoever finds the bucket's directory must find its policy.
  fs.buckets.put(name, record);
  if (Status committed = op.commit(); !committed) {
    fs.buckets.erase(name);
    return std::move(committed.error());
  }
  return to_info({std::string(name), record}, fs.ledger);
}

Result<std::vector<BucketInfo>> FileSystem::list_buckets() {
  std::vector<BucketInfo> infos;
  for (const auto& entry : impl_->buckets.list()) infos.push_back(to_info(entry, impl_->ledger));
  return infos;
}

Result<BucketInfo> FileSystem::bucket(std::string_view name) {
  const auto entry = impl_->buckets.find(name);
  if (!entry) return posix_error(ENOENT);
  return to_info(*entry, impl_->ledger);
}

Status FileSystem::delete_bucket(std::string_view name) { return rmdir(kRootInode, name); }

}  // namespace stavefs
