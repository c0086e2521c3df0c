// One request as the kernel wrote it, in memory laid out for zero-copy, and what libfuse does not pass on
// from it.
//
// Theory: a WRITE is fuse_in_header (40 bytes), fuse_write_in (40 bytes), payload.  The request is received
// 80 bytes before a page boundary, so that the payload is 4 KiB aligned and goes to the filesystem as it is.
// The bodies of READ and READDIR end at that boundary as well, so that the same pages, warm from the last
// request, take the reply.
//
// libfuse 3.14 neither negotiates FUSE_HANDLE_KILLPRIV_V2 nor passes on the flags that come with it.  Without
// it the kernel asks for the xattr security.capability before every write.  The flag is laid over the reply
// to INIT (init_reply()), and the handlers read the flags of their request here.
//
// Source of the layouts: <linux/fuse.h>.
//
// Threads: a frame belongs to one worker; current() is that of the calling thread.

#pragma once

#include <sys/types.h>
#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/buffer.h"

namespace stavefs {

/// The kernel's limit: fs.fuse.max_pages_limit is 256 pages unless raised.
inline constexpr size_t kMaxPayloadBytes = 1u << 20;

class RequestFrame {
 public:
  /// Enters itself as the calling thread's frame.
  RequestFrame();
  ~RequestFrame();
  RequestFrame(const RequestFrame&) = delete;
  RequestFrame& operator=(const RequestFrame&) = delete;

  /// The calling thread's frame; null outside of a worker.
  static RequestFrame* current();

  /// Where the next request is received; there is room for libfuse's buffer size at kMaxPayloadBytes.
  uint8_t* request() { return memory_.data() + kPageBytes - kHeaderBytes; }
  /// `bytes` of a request were received; 0 between requests.
  void set_received(size_t bytes) { received_ = bytes; }

  /// 4 KiB aligned memory for the reply of a request without payload (READ, READDIR, READDIRPLUS).
  std::span<uint8_t> reply_space() { return {memory_.data() + kPageBytes, kMaxPayloadBytes}; }

  /// The WRITE comes from somebody whose writes clear set-id bits.
  bool write_kills_privileges() const;
  /// The same for the truncation of an OPEN or CREATE.
  bool open_kills_privileges() const;

  /// Sends a reply to `fd` like writev(2).  The reply to an INIT gets the flags that libfuse does not know
  /// of.
  ssize_t send(int fd, const iovec* parts, int count);

 private:
  static constexpr size_t kHeaderBytes = 80;

  template <class Body>
  const Body* body(uint32_t opcode) const;
  ssize_t send_init_reply(int fd, const iovec* parts, int count);

  AlignedBuffer memory_;
  size_t received_ = 0;
};

}  // namespace stavefs
