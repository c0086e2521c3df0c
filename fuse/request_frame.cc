#include "fuse/request_frame.h"

#include <linux/fuse.h>

#include <cstring>

#include "base/check.h"

namespace stavefs {
namespace {

thread_local RequestFrame* t_current = nullptr;

// libfuse receives 256 pages and one for the headers.
constexpr size_t kFrameBytes = kPageBytes + kMaxPayloadBytes + kPageBytes;

}  // namespace

RequestFrame::RequestFrame() : memory_(kFrameBytes) {
  static_assert(sizeof(fuse_in_header) + sizeof(fuse_write_in) == kHeaderBytes);
  static_assert(sizeof(fuse_in_header) + sizeof(fuse_read_in) <= kHeaderBytes);
  CHECK(t_current == nullptr);
  t_current = this;
}

RequestFrame::~RequestFrame() { t_current = nullptr; }

RequestFrame* RequestFrame::current() { return t_current; }

template <class Body>
const Body* RequestFrame::body(uint32_t opcode) const {
  if (received_ < sizeof(fuse_in_header) + sizeof(Body)) return nullptr;
  const uint8_t* start = memory_.data() + kPageBytes - kHeaderBytes;
  if (reinterpret_cast<const fuse_in_header*>(start)->opcode != opcode) return nullptr;
  return reinterpret_cast<const Body*>(start + sizeof(fuse_in_header));
}

bool RequestFrame::write_kills_privileges() const {
  const auto* write = body<fuse_write_in>(FUSE_WRITE);
  return write != nullptr && (write->write_flags & FUSE_WRITE_KILL_SUIDGID) != 0;
}

bool RequestFrame::open_kills_privileges() const {
  if (const auto* open = body<fuse_open_in>(FUSE_OPEN))
    return (open->open_flags & FUSE_OPEN_KILL_SUIDGID) != 0;
  if (const auto* create = body<fuse_create_in>(FUSE_CREATE)) {
    return (create->open_flags & FUSE_OPEN_KILL_SUIDGID) != 0;
  }
  return false;
}

ssize_t RequestFrame::send(int fd, const iovec* parts, int count) {
  if (body<fuse_init_in>(FUSE_INIT) != nullptr) [[unlikely]]
    return send_init_reply(fd, parts, count);
  return ::writev(fd, parts, count);
}

ssize_t RequestFrame::send_init_reply(int fd, const iovec* parts, int count) {
  const auto* offer = body<fuse_init_in>(FUSE_INIT);
  const bool whole =
      count == 2 && parts[0].iov_len == sizeof(fuse_out_header) && parts[1].iov_len == sizeof(fuse_init_out);
  if (!whole || (offer->flags & FUSE_HANDLE_KILLPRIV_V2) == 0) return ::writev(fd, parts, count);
  fuse_init_out reply;
  std::memcpy(&reply, parts[1].iov_base, sizeof reply);
  reply.flags |= FUSE_HANDLE_KILLPRIV_V2;
  const iovec patched[2] = {parts[0], {.iov_base = &reply, .iov_len = sizeof reply}};
  return ::writev(fd, patched, 2);
}

}  // namespace stavefs
