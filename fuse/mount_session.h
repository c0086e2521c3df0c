// A filesystem at a mount point: the connection to the kernel and the threads that serve it.
//
//   prepare  ->  mount()  ->  run()  ->  destructor
//
// Theory: a few workers each receive a request into their own frame (request_frame.h), carry it out and
// reply, all on one thread. Their number follows the cores; a request that waits for a disk occupies its
// worker.
//
// End: run() returns when the kernel has unmounted (umount(8)), or after stop().  stop() first asks the
// kernel to unmount while the workers still serve, so that pages of memory-mapped files are written back.  If
// the mount is in use it is detached from the tree, and its users get errors from then on.  When run() has
// returned no handler runs any more: the caller then closes the FileSystem, and after that destroys the
// session.
//
// Signals: run() takes SIGRTMIN (no action, without SA_RESTART) to end a worker's wait in read(2).
//
// Threads: run() from one thread; the other members from any.

#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/buffer.h"
#include "base/ids.h"
#include "base/result.h"
#include "fs/file_system.h"

namespace stavefs {

struct MountOptions {
  std::string mountpoint;
  std::string fs_name;              ///< shown as the source in the mount table: the pool's name
  std::string subtype = "stavefs";  ///< shown as the type: fuse.SUBTYPE
  bool allow_other = false;         ///< users other than the one who mounts; always so for root
  bool dev = false;                 ///< device nodes work
  bool suid = false;                ///< set-id programs work
  bool read_only = false;
  int threads = 0;                    ///< 0: four per core, at least 4, at most 64
  double cache_seconds = 86'400;      ///< how long the kernel keeps names and attributes
  unsigned read_ahead_kib = 2048;     ///< 0: the kernel's default.  Needs root
  std::vector<std::string> extra;     ///< further options as after -o; they override the fields above
  std::function<void()> on_answered;  ///< called once, from a thread of the session, when the mount answers
};

class MountSession {
 public:
  /// What mount() checks, without changing anything but to detach a dead mount of ours; for callers that do
  /// not want to open a pool in vain.  Errors: kNotFound, kInvalid, kBusy (mount point), kUnsupported,
  /// kNoPermission (/dev/fuse).
  static Status check(const MountOptions& options);

  /// Enters the mount into the tree.  Its requests wait until run().  `fs` and `buffers` outlive the session.
  static Result<std::unique_ptr<MountSession>> mount(FileSystem& fs, BufferPool& buffers,
                                                     const MountOptions& options);
  /// Unmounts when that has not been done.  REQUIRES: run() is not running.
  ~MountSession();
  MountSession(const MountSession&) = delete;
  MountSession& operator=(const MountSession&) = delete;

  /// Serves until unmounted or stopped.  Called once.
  Status run();
  /// Unmounts and makes run() return, in use or not.  Not from a handler or a signal handler.
  void stop();
  /// A stat(2) of the mount point has come back through the kernel.
  bool answered() const;

  /// `name` in `parent` was made or removed by other means than the mount: the kernel forgets what it knew.
  void name_changed(InodeId parent, std::string_view name);
  /// The mount point, absolute and without symlinks.
  const std::string& path() const;

 private:
  struct Impl;
  explicit MountSession(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace stavefs
