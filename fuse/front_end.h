// The handlers of FUSE requests: translation and nothing else.
//
// A handler turns its request into one call of FileSystem and the result into one reply.  Its work runs
// inside answer(), which is the boundary for exceptions (libraries throw; C callers must not see it) and
// turns an Error into an errno.
//
// What the kernel may keep: every change comes through this mount, so names, their absence, attributes, file
// pages and directory listings stay valid for `cache_seconds`.  The kernel itself drops what it changes. What
// it does not know of, the handlers and MountSession tell it: a write that cleared set-id bits, and names
// changed by the control socket.
//
// Requests that nobody implements are answered with ENOSYS by libfuse, after which the kernel does them by
// itself or knows that they are not there: FLUSH, LSEEK, FALLOCATE, COPY_FILE_RANGE, IOCTL, ACCESS, locks.
// close() reports nothing; fsync() does.
//
// FORGET is passed on when the kernel drops an inode; it ends those that have no name any more.  Lookups are
// not counted: without names there are no new ones, and a restarted daemon can go on with the same kernel
// connection.
//
// Threads: every handler may run on any worker at any time.

#pragma once

#include <atomic>
#include <new>
#include <utility>

#include "base/buffer.h"
#include "base/log.h"
#include "base/result.h"
#include "fs/file_system.h"
#include "fuse/errno_map.h"
#include "fuse/low_level.h"

namespace stavefs {

/// What handlers share; libfuse's userdata.
struct FrontEnd {
  FileSystem& fs;
  BufferPool& buffers;
  double cache_seconds;
  fuse_session* session = nullptr;       ///< set before the first request
  std::atomic<bool> initialised{false};  ///< the kernel's INIT has come
  bool kernel_lists_without_opendir = false;

  static FrontEnd& of(fuse_req_t request) { return *static_cast<FrontEnd*>(fuse_req_userdata(request)); }
};

/// Each fills its part of the table.
void set_name_operations(fuse_lowlevel_ops& operations);       // names.cc
void set_inode_operations(fuse_lowlevel_ops& operations);      // inodes.cc
void set_xattr_operations(fuse_lowlevel_ops& operations);      // xattrs.cc
void set_file_operations(fuse_lowlevel_ops& operations);       // files.cc
void set_directory_operations(fuse_lowlevel_ops& operations);  // directories.cc
void set_session_operations(fuse_lowlevel_ops& operations);    // negotiation.cc

/// Replies with the errno of `error`; what a user could not have caused is logged.
void reply_error(fuse_req_t request, const char* operation, fuse_ino_t inode, const Error& error) noexcept;
/// An exception has reached a handler: it is the one that is being handled.
void reply_exception(fuse_req_t request, const char* operation, fuse_ino_t inode) noexcept;

/// Runs `work(FrontEnd&) -> Status`, which replies as its last act when it succeeds.
template <class Work>
void answer(fuse_req_t request, const char* operation, fuse_ino_t inode, Work&& work) noexcept {
  try {
    if (Status status = std::forward<Work>(work)(FrontEnd::of(request)); !status) {
      reply_error(request, operation, inode, status.error());
    }
  } catch (...) {
    reply_exception(request, operation, inode);
  }
}

/// For operations that have no more to say than that it is done.
inline Status reply_done(fuse_req_t request) {
  fuse_reply_err(request, 0);
  return ok();
}

fuse_entry_param to_entry(const FrontEnd& front, const Attributes& attributes);
/// Replies with a name's inode.
Status reply_entry(fuse_req_t request, const FrontEnd& front, const Attributes& attributes);

inline Caller caller_of(fuse_req_t request) {
  const fuse_ctx* context = fuse_req_ctx(request);
  return {.uid = context->uid, .gid = context->gid, .umask = 0};  // the kernel has applied the umask
}

}  // namespace stavefs
