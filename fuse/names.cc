// Requests about names: lookup, mknod, mkdir, symlink, link, unlink, rmdir, rename, readlink.

#include <sys/stat.h>

#include <optional>

#include "fuse/front_end.h"

namespace stavefs {
namespace {

/// The kernel asks for "." and ".." of inodes that it only has a file handle of (NFS, open_by_handle_at).
Result<Attributes> lookup_dots(FileSystem& fs, InodeId inode, std::string_view name) {
  if (name == ".") {
    ASSIGN_OR_RETURN(const Attributes attributes, fs.getattr(inode));
    if (attributes.nlink == 0) return posix_error(ESTALE);  // removed: only who has it open may go on
    return attributes;
  }
  std::optional<InodeId> parent;
  TRY(fs.readdir(inode, 0, [&parent](const DirectoryEntry& entry) {
    if (entry.name == "..") parent = entry.inode;
    return entry.name == ".";
  }));
  if (!parent) return posix_error(ENOENT);
  return fs.getattr(*parent);
}

void lookup(fuse_req_t request, fuse_ino_t parent, const char* name) {
  answer(request, "lookup", parent, [&](FrontEnd& front) -> Status {
    const std::string_view wanted(name);
    Result<Attributes> found = wanted == "." || wanted == ".."
                                   ? lookup_dots(front.fs, InodeId(parent), wanted)
                                   : front.fs.lookup(InodeId(parent), wanted);
    if (!found && errno_for(found.error()) == ENOENT) {
      fuse_entry_param absent = {};  // inode 0 lets the kernel remember that there is none
      absent.entry_timeout = front.cache_seconds;
      fuse_reply_entry(request, &absent);
      return ok();
    }
    TRY(found);
    return reply_entry(request, front, *found);
  });
}

void mknod(fuse_req_t request, fuse_ino_t parent, const char* name, mode_t mode, dev_t device) {
  answer(request, "mknod", parent, [&](FrontEnd& front) -> Status {
    ASSIGN_OR_RETURN(const Attributes made,
                     front.fs.mknod(InodeId(parent), name, mode, device, caller_of(request)));
    return reply_entry(request, front, made);
  });
}

void mkdir(fuse_req_t request, fuse_ino_t parent, const char* name, mode_t mode) {
  answer(request, "mkdir", parent, [&](FrontEnd& front) -> Status {
    ASSIGN_OR_RETURN(const Attributes made,
                     front.fs.mkdir(InodeId(parent), name, mode | S_IFDIR, caller_of(request)));
    return reply_entry(request, front, made);
  });
}

void symlink(fuse_req_t request, const char* target, fuse_ino_t parent, const char* name) {
  answer(request, "symlink", parent, [&](FrontEnd& front) -> Status {
    ASSIGN_OR_RETURN(const Attributes made,
                     front.fs.symlink(InodeId(parent), name, target, caller_of(request)));
    return reply_entry(request, front, made);
  });
}

void link(fuse_req_t request, fuse_ino_t inode, fuse_ino_t new_parent, const char* new_name) {
  answer(request, "link", inode, [&](FrontEnd& front) -> Status {
    ASSIGN_OR_RETURN(const Attributes linked, front.fs.link(InodeId(inode), InodeId(new_parent), new_name));
    return reply_entry(request, front, linked);
  });
}

void unlink(fuse_req_t request, fuse_ino_t parent, const char* name) {
  answer(request, "unlink", parent, [&](FrontEnd& front) -> Status {
    TRY(front.fs.unlink(InodeId(parent), name));
    return reply_done(request);
  });
}

void rmdir(fuse_req_t request, fuse_ino_t parent, const char* name) {
  answer(request, "rmdir", parent, [&](FrontEnd& front) -> Status {
    TRY(front.fs.rmdir(InodeId(parent), name));
    return reply_done(request);
  });
}

void rename(fuse_req_t request, fuse_ino_t parent, const char* name, fuse_ino_t new_parent,
            const char* new_name, unsigned flags) {
  answer(request, "rename", parent, [&](FrontEnd& front) -> Status {
    constexpr unsigned kKnown = FileSystem::kNoReplace | FileSystem::kExchange;
    if ((flags & ~kKnown) != 0 || flags == kKnown) return posix_error(EINVAL);
    TRY(front.fs.rename(InodeId(parent), name, InodeId(new_parent), new_name, flags));
    return reply_done(request);
  });
}

void readlink(fuse_req_t request, fuse_ino_t inode) {
  answer(request, "readlink", inode, [&](FrontEnd& front) -> Status {
    ASSIGN_OR_RETURN(const std::string target, front.fs.readlink(InodeId(inode)));
    fuse_reply_readlink(request, target.c_str());
    return ok();
  });
}

}  // namespace

void set_name_operations(fuse_lowlevel_ops& operations) {
  operations.lookup = lookup;
  operations.mknod = mknod;
  operations.mkdir = mkdir;
  operations.symlink = symlink;
  operations.link = link;
  operations.unlink = unlink;
  operations.rmdir = rmdir;
  operations.rename = rename;
  operations.readlink = readlink;
}

}  // namespace stavefs
