// What this daemon and the kernel agree on at INIT.
//
// Wanted: parallel reads and directory operations, listings with attributes, O_TRUNC as part of OPEN, cached
// symlinks, file handles (NFS).  Not wanted:
//  - WRITEBACK_CACHE: ENOSPC must come from write(), and the size of a file must be known here.
//  - AUTO_INVAL_DATA: the kernel would drop a file's pages whenever it sees an mtime that its own write has
//  caused.
//  - SPLICE: the payload is wanted in memory, aligned; a pipe is a detour.
//  - locks: the kernel keeps them.
// FUSE_HANDLE_KILLPRIV_V2 is added in request_frame.cc.

#include <algorithm>

#include "fuse/front_end.h"
#include "fuse/request_frame.h"

namespace stavefs {
namespace {

constexpr unsigned kWanted = FUSE_CAP_ASYNC_READ | FUSE_CAP_PARALLEL_DIROPS | FUSE_CAP_READDIRPLUS |
                             FUSE_CAP_READDIRPLUS_AUTO | FUSE_CAP_ATOMIC_O_TRUNC | FUSE_CAP_EXPORT_SUPPORT |
                             FUSE_CAP_CACHE_SYMLINKS | FUSE_CAP_ASYNC_DIO | FUSE_CAP_EXPLICIT_INVAL_DATA;

// Read-ahead and asynchronous direct I/O beyond this wait in the kernel.
constexpr unsigned kMaxBackground = 64;

void init(void* userdata, fuse_conn_info* connection) {
  auto& front = *static_cast<FrontEnd*>(userdata);
  connection->want = kWanted & connection->capable;
  connection->max_write = kMaxPayloadBytes;
  connection->max_background = kMaxBackground;
  connection->congestion_threshold = kMaxBackground * 3 / 4;
  connection->time_gran = 1;
  front.kernel_lists_without_opendir = (connection->capable & FUSE_CAP_NO_OPENDIR_SUPPORT) != 0;
  front.initialised.store(true, std::memory_order_release);
}

}  // namespace

void set_session_operations(fuse_lowlevel_ops& operations) { operations.init = init; }

}  // namespace stavefs
