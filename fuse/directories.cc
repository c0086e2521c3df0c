// Requests about the content of directories: opendir, readdir, readdirplus, releasedir, fsyncdir.
//
// A listing is stateless: a cookie is all that it goes on from.  So the kernel is told that there is nothing
// to open (ENOSYS to OPENDIR), which saves two requests per listing and lets it keep whole listings; its own
// changes drop them.

#include <sys/stat.h>

#include <string>
#include <vector>

#include "fuse/front_end.h"
#include "fuse/request_frame.h"

namespace stavefs {
namespace {

/// Where a listing is written to, and how much of it is used.
class ListingBuffer {
 public:
  ListingBuffer(FrontEnd& front, size_t size) {
    RequestFrame* frame = RequestFrame::current();
    if (frame != nullptr && frame->reply_space().size() >= size) {
      space_ = frame->reply_space().first(size);
    } else {
      own_ = front.buffers.get(size);
      space_ = own_.span().first(size);
    }
  }
  char* end() { return reinterpret_cast<char*>(space_.data()) + used_; }
  size_t room() const { return space_.size() - used_; }
  /// False when `bytes`, the size of an entry that libfuse was to add at end(), did not fit.
  bool took(size_t bytes) {
    if (bytes > room()) return false;
    used_ += bytes;
    return true;
  }
  void reply(fuse_req_t request) {
    fuse_reply_buf(request, reinterpret_cast<const char*>(space_.data()), used_);
  }

 private:
  AlignedBuffer own_;
  std::span<uint8_t> space_;
  size_t used_ = 0;
};

/// What a directory entry alone knows of its inode.
struct stat bare_stat(InodeId inode, uint8_t type) {
  struct stat st = {};
  st.st_ino = inode.value;
  st.st_mode = static_cast<mode_t>(type) << 12;  // DT_* are the type bits of st_mode
  return st;
}

void opendir(fuse_req_t request, fuse_ino_t inode, fuse_file_info* file) {
  answer(request, "opendir", inode, [&](FrontEnd& front) -> Status {
    if (front.kernel_lists_without_opendir) return posix_error(ENOSYS);
    file->cache_readdir = 1;
    file->keep_cache = 1;
    fuse_reply_open(request, file);
    return ok();
  });
}

void readdir(fuse_req_t request, fuse_ino_t inode, size_t size, off_t cookie, fuse_file_info* /*file*/) {
  answer(request, "readdir", inode, [&](FrontEnd& front) -> Status {
    ListingBuffer listing(front, size);
    std::string name;
    TRY(front.fs.readdir(InodeId(inode), static_cast<uint64_t>(cookie), [&](const DirectoryEntry& entry) {
      name.assign(entry.name);
      const struct stat st = bare_stat(entry.inode, entry.type);
      return listing.took(fuse_add_direntry(request, listing.end(), listing.room(), name.c_str(), &st,
                                            static_cast<off_t>(entry.cookie)));
    }));
    listing.reply(request);
    return ok();
  });
}

struct ListedName {
  std::string name;
  InodeId inode;
  uint8_t type;
  uint64_t cookie;
};

/// Copies as many entries as fit into `size` bytes: attributes are asked for when the directory is no longer
/// locked.
Result<std::vector<ListedName>> names_from(fuse_req_t request, FileSystem& fs, InodeId directory,
                                           uint64_t cookie, size_t size) {
  std::vector<ListedName> names;
  size_t bytes = 0;
  TRY(fs.readdir(directory, cookie, [&](const DirectoryEntry& entry) {
    names.push_back({std::string(entry.name), entry.inode, entry.type, entry.cookie});
    bytes += fuse_add_direntry_plus(request, nullptr, 0, names.back().name.c_str(), nullptr, 0);
    if (bytes <= size) return true;
    names.pop_back();
    return false;
  }));
  return names;
}

void readdirplus(fuse_req_t request, fuse_ino_t inode, size_t size, off_t cookie, fuse_file_info* /*file*/) {
  answer(request, "readdirplus", inode, [&](FrontEnd& front) -> Status {
    ASSIGN_OR_RETURN(const std::vector<ListedName> names,
                     names_from(request, front.fs, InodeId(inode), static_cast<uint64_t>(cookie), size));
    ListingBuffer listing(front, size);
    for (const ListedName& listed : names) {
      fuse_entry_param entry =
          {};  // inode 0: a name without attributes, of which the kernel takes no reference
      entry.attr = bare_stat(listed.inode, listed.type);
      if (listed.name != "." && listed.name != "..") {
        if (const Result<Attributes> attributes = front.fs.getattr(listed.inode))
          entry = to_entry(front, *attributes);
      }
      if (!listing.took(fuse_add_direntry_plus(request, listing.end(), listing.room(), listed.name.c_str(),
                                               &entry, static_cast<off_t>(listed.cookie)))) {
        break;
      }
    }
    listing.reply(request);
    return ok();
  });
}

void releasedir(fuse_req_t request, fuse_ino_t /*inode*/, fuse_file_info* /*file*/) {
  fuse_reply_err(request, 0);
}

void fsyncdir(fuse_req_t request, fuse_ino_t inode, int /*data_only*/, fuse_file_info* /*file*/) {
  answer(request, "fsyncdir", inode, [&](FrontEnd& front) -> Status {
    TRY(front.fs.fsyncdir(InodeId(inode)));
    return reply_done(request);
  });
}

}  // namespace

void set_directory_operations(fuse_lowlevel_ops& operations) {
  operations.opendir = opendir;
  operations.readdir = readdir;
  operations.readdirplus = readdirplus;
  operations.releasedir = releasedir;
  operations.fsyncdir = fsyncdir;
}

}  // namespace stavefs
