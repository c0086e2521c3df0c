// Where a file's bytes are.

#include "fs/file_system_impl.h"
#include "store/extent.h"

namespace stavefs {

Result<FileLayout> FileSystem::layout(InodeId id) {
  Impl& fs = *impl_;
  ASSIGN_OR_RETURN(const InodeRef inode, fs.inodes.get(id));
  FileLayout layout;
  BucketId bucket;
  {
    std::shared_lock lock(inode->mutex);
    if (inode->deleted) return posix_error(ESTALE);
    layout.attributes = inode->attributes();
    bucket = inode->record.bucket;
    if (inode->record.has_inline) layout.inline_bytes = inode->record.inline_data.size();
    if (inode->data != nullptr)
      layout.dirty_bytes = inode->data->dirty.bytes() + inode->data->flushing.bytes();
  }
  if (const auto entry = fs.buckets.find(bucket)) {
    ASSIGN_OR_RETURN(layout.bucket, this->bucket(entry->name));
  }
  ASSIGN_OR_RETURN(const auto scan, fs.ledger.scan_prefix(keys::extent_prefix(id)));
  for (; scan->valid(); scan->next()) {
    if (scan->key().size() != 17) return Error(ErrorCode::kCorrupt, EIO, "extent key of a wrong size");
    ASSIGN_OR_RETURN(const Extent extent, Extent::decode(scan->value()));
    layout.extents.push_back({.file_offset = keys::second_number(scan->key()),
                              .length = extent.length,
                              .group = extent.address.group,
                              .row = extent.address.row,
                              .unit_bytes = extent.address.unit_bytes(),
                              .offset = extent.address.offset,
                              .compressed = extent.compression != 0});
  }
  TRY(scan->status());
  return layout;
}

}  // namespace stavefs
