// Requests about inodes: forget, getattr, setattr, statfs.

#include <sys/stat.h>
#include <sys/statvfs.h>

#include "fuse/attributes.h"
#include "fuse/front_end.h"

namespace stavefs {
namespace {

// FORGET has no reply, so a failure has nobody to tell.
void forget_one(FrontEnd& front, fuse_ino_t inode) noexcept {
  try {
    front.fs.forget(InodeId(inode));
  } catch (...) {  // the inode stays in memory a little longer
  }
}

void forget(fuse_req_t request, fuse_ino_t inode, uint64_t /*lookups*/) {
  forget_one(FrontEnd::of(request), inode);
  fuse_reply_none(request);
}

void forget_multi(fuse_req_t request, size_t count, fuse_forget_data* forgotten) {
  for (size_t i = 0; i < count; ++i) forget_one(FrontEnd::of(request), forgotten[i].ino);
  fuse_reply_none(request);
}

Status reply_attributes(fuse_req_t request, const FrontEnd& front, const Attributes& attributes) {
  const struct stat st = to_stat(attributes);
  fuse_reply_attr(request, &st, front.cache_seconds);
  return ok();
}

void getattr(fuse_req_t request, fuse_ino_t inode, fuse_file_info* /*file*/) {
  answer(request, "getattr", inode, [&](FrontEnd& front) -> Status {
    ASSIGN_OR_RETURN(const Attributes attributes, front.fs.getattr(InodeId(inode)));
    return reply_attributes(request, front, attributes);
  });
}

void setattr(fuse_req_t request, fuse_ino_t inode, struct stat* wanted, int to_set,
             fuse_file_info* /*file*/) {
  answer(request, "setattr", inode, [&](FrontEnd& front) -> Status {
    AttributeChange change = to_change(*wanted, to_set);
    if (change.set_uid || change.set_gid) {
      // With FUSE_HANDLE_KILLPRIV_V2 this is ours to do, whoever asks, as chown(2) says; directories keep
      // their bits.
      ASSIGN_OR_RETURN(const Attributes before, front.fs.getattr(InodeId(inode)));
      change.kill_privileges = !S_ISDIR(before.mode);
    }
    ASSIGN_OR_RETURN(const Attributes after, front.fs.setattr(InodeId(inode), change));
    return reply_attributes(request, front, after);
  });
}

void statfs(fuse_req_t request, fuse_ino_t inode) {
  answer(request, "statfs", inode, [&](FrontEnd& front) -> Status {
    ASSIGN_OR_RETURN(const FileSystemStats stats, front.fs.statfs());
    struct statvfs reply = {};
    reply.f_bsize = stats.block_bytes;
    reply.f_frsize = stats.block_bytes;
    reply.f_blocks = stats.blocks;
    reply.f_bfree = stats.free_blocks;
    reply.f_bavail = stats.available_blocks;
    reply.f_files = stats.files;
    reply.f_ffree = stats.free_files;
    reply.f_favail = stats.free_files;
    reply.f_namemax = stats.name_max;
    fuse_reply_statfs(request, &reply);
    return ok();
  });
}

}  // namespace

void set_inode_operations(fuse_lowlevel_ops& operations) {
  operations.forget = forget;
  operations.forget_multi = forget_multi;
  operations.getattr = getattr;
  operations.setattr = setattr;
  operations.statfs = statfs;
}

}  // namespace stavefs
