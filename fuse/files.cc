// Requests about the content of regular files: open, create, read, write, fsync, release.

#include <fcntl.h>
#include <sys/stat.h>

#include "fuse/front_end.h"
#include "fuse/request_frame.h"

namespace stavefs {
namespace {

bool open_kills_privileges() {
  const RequestFrame* frame = RequestFrame::current();
  return frame != nullptr && frame->open_kills_privileges();
}

/// After a WRITE or a truncating OPEN the kernel asks for sizes and times again, but trusts the mode that it
/// has.
void drop_cached_mode(FrontEnd& front, fuse_ino_t inode) {
  fuse_lowlevel_notify_inval_inode(front.session, inode, -1, 0);  // -1: attributes only
}

bool has_set_id_bits(FrontEnd& front, fuse_ino_t inode) {
  const Result<Attributes> attributes = front.fs.getattr(InodeId(inode));
  return attributes && (attributes->mode & (S_ISUID | S_ISGID)) != 0;
}

/// Every descriptor of a file shares its pages; the kernel's own O_DIRECT goes around them.
void set_cache_flags(fuse_file_info& file) { file.keep_cache = 1; }

/// Opens and notes the cleared mode; the caller replies.
Status open_inode(FrontEnd& front, fuse_ino_t inode, int flags) {
  const bool truncate = (flags & O_TRUNC) != 0;
  const bool kill = truncate && open_kills_privileges() && has_set_id_bits(front, inode);
  TRY(front.fs.open_file(InodeId(inode), truncate, kill));
  if (kill) drop_cached_mode(front, inode);
  return ok();
}

void open(fuse_req_t request, fuse_ino_t inode, fuse_file_info* file) {
  answer(request, "open", inode, [&](FrontEnd& front) -> Status {
    TRY(open_inode(front, inode, file->flags));
    set_cache_flags(*file);
    // A request that was interrupted meanwhile is never released by the kernel.
    if (fuse_reply_open(request, file) != 0) front.fs.release_file(InodeId(inode));
    return ok();
  });
}

void create(fuse_req_t request, fuse_ino_t parent, const char* name, mode_t mode, fuse_file_info* file) {
  answer(request, "create", parent, [&](FrontEnd& front) -> Status {
    Result<Attributes> made = front.fs.create(InodeId(parent), name, mode, caller_of(request));
    if (!made && errno_for(made.error()) == EEXIST && (file->flags & O_EXCL) == 0) {
      // The kernel did not know of the name: without O_EXCL that is an ordinary open.
      ASSIGN_OR_RETURN(const Attributes found, front.fs.lookup(InodeId(parent), name));
      if (!S_ISREG(found.mode)) return posix_error(EEXIST);
      TRY(open_inode(front, found.id.value, file->flags));
      made = front.fs.getattr(found.id);
      if (!made) front.fs.release_file(found.id);
    }
    TRY(made);
    set_cache_flags(*file);
    const fuse_entry_param entry = to_entry(front, *made);
    if (fuse_reply_create(request, &entry, file) != 0) front.fs.release_file(made->id);
    return ok();
  });
}

void read(fuse_req_t request, fuse_ino_t inode, size_t size, off_t offset, fuse_file_info* /*file*/) {
  answer(request, "read", inode, [&](FrontEnd& front) -> Status {
    RequestFrame* frame = RequestFrame::current();
    std::span<uint8_t> out = frame != nullptr ? frame->reply_space() : std::span<uint8_t>();
    AlignedBuffer own;
    if (size > out.size()) {
      own = front.buffers.get(size);
      out = own.span();
    }
    out = out.first(size);
    ASSIGN_OR_RETURN(const size_t bytes,
                     front.fs.read(InodeId(inode), static_cast<uint64_t>(offset), out, true));
    fuse_reply_buf(request, reinterpret_cast<const char*>(out.data()), bytes);
    return ok();
  });
}

void write(fuse_req_t request, fuse_ino_t inode, const char* bytes, size_t size, off_t offset,
           fuse_file_info* /*file*/) {
  answer(request, "write", inode, [&](FrontEnd& front) -> Status {
    const RequestFrame* frame = RequestFrame::current();
    const bool kill = frame != nullptr && frame->write_kills_privileges() && has_set_id_bits(front, inode);
    // O_APPEND: the kernel has computed the offset under the inode's lock, and all writers come through it.
    const std::span<const uint8_t> payload(reinterpret_cast<const uint8_t*>(bytes), size);
    ASSIGN_OR_RETURN(const size_t written,
                     front.fs.write(InodeId(inode), static_cast<uint64_t>(offset), payload, false, kill));
    if (kill) drop_cached_mode(front, inode);
    fuse_reply_write(request, written);
    return ok();
  });
}

void fsync(fuse_req_t request, fuse_ino_t inode, int data_only, fuse_file_info* /*file*/) {
  answer(request, "fsync", inode, [&](FrontEnd& front) -> Status {
    TRY(front.fs.fsync(InodeId(inode), data_only != 0));
    return reply_done(request);
  });
}

void release(fuse_req_t request, fuse_ino_t inode, fuse_file_info* /*file*/) {
  answer(request, "release", inode, [&](FrontEnd& front) -> Status {
    front.fs.release_file(InodeId(inode));
    return reply_done(request);
  });
}

}  // namespace

void set_file_operations(fuse_lowlevel_ops& operations) {
  operations.open = open;
  operations.create = create;
  operations.read = read;
  operations.write = write;
  operations.fsync = fsync;
  operations.release = release;
}

}  // namespace stavefs
