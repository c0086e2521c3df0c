#include "control/unix_http.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <system_error>

#include "base/log.h"

namespace stavefs {
namespace {

constexpr int kIdleMs = 30'000;
constexpr int kAcceptPollMs = 200;
constexpr auto kEndGrace = std::chrono::seconds(1);

/// A connected Unix socket as httplib wants to see it.
class SocketStream final : public httplib::Stream {
 public:
  explicit SocketStream(int fd) : fd_(fd) {}
  bool is_readable() const override { return ready(POLLIN); }
  bool is_writable() const override { return ready(POLLOUT); }
  ssize_t read(char* data, size_t bytes) override { return ready(POLLIN) ? ::recv(fd_, data, bytes, 0) : -1; }
  ssize_t write(const char* data, size_t bytes) override {
    return ready(POLLOUT) ? ::send(fd_, data, bytes, MSG_NOSIGNAL) : -1;
  }
  void get_remote_ip_and_port(std::string& ip, int& port) const override {
    ip = "local";
    port = 0;
  }
  void get_local_ip_and_port(std::string& ip, int& port) const override { get_remote_ip_and_port(ip, port); }
  int socket() const override { return fd_; }

 private:
  bool ready(short events) const {
    pollfd poll_fd{fd_, events, 0};
    return ::poll(&poll_fd, 1, kIdleMs) > 0;
  }
  const int fd_;
};

Result<sockaddr_un> address_of(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) {
    return Error(ErrorCode::kInvalid, ENAMETOOLONG, "the control socket's path is too long: " + path);
  }
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  return address;
}

int connect_to(const sockaddr_un& address) {
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd >= 0 && ::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    const int error = errno;
    ::close(fd);
    errno = error;
    return -1;
  }
  return fd;
}

bool peer_allowed(int fd) {
  ucred peer{};
  socklen_t length = sizeof peer;
  return ::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) == 0 && may_control(peer.uid, geteuid());
}

}  // namespace

Status UnixServer::serve(const std::string& path) {
  ASSIGN_OR_RETURN(const sockaddr_un address, address_of(path));
  if (const int other = connect_to(address); other >= 0) {
    ::close(other);
    return Error(ErrorCode::kBusy, EADDRINUSE, "another daemon listens on " + path);
  }
  ::unlink(path.c_str());
  listener_ = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (listener_ < 0) return errno_error(errno, "make the control socket");
  // The socket must never be open to others, not even for a moment: the mode is set between bind and listen.
  if (::bind(listener_, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
      ::chmod(path.c_str(), 0600) != 0 || ::listen(listener_, static_cast<int>(kMaxConnections)) != 0) {
    const int error = errno;
    ::close(listener_);
    listener_ = -1;
    return errno_error(error, "listen on " + path);
  }
  path_ = path;
  set_payload_max_length(size_t{1} << 20);
  thread_ = std::thread([this] { accept_loop(); });
  return ok();
}

void UnixServer::stop_serving() {
  if (listener_ < 0) return;
  stopping_ = true;
  if (thread_.joinable()) thread_.join();
  std::unique_lock lock(mutex_);
  // A peer that sends nothing or takes nothing must not keep us.
  const auto idle = [this] { return connections_.empty(); };
  for (const int connection : connections_) ::shutdown(connection, SHUT_RD);
  if (!idle_.wait_for(lock, kEndGrace, idle)) {
    for (const int connection : connections_) ::shutdown(connection, SHUT_RDWR);
    idle_.wait(lock, idle);
  }
  lock.unlock();
  ::close(listener_);
  listener_ = -1;
  ::unlink(path_.c_str());
}

void UnixServer::accept_loop() {
  while (!stopping_) {
    pollfd poll_fd{listener_, POLLIN, 0};
    if (::poll(&poll_fd, 1, kAcceptPollMs) <= 0) continue;
    const int connection = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    if (connection < 0) continue;
    if (!peer_allowed(connection)) {
      ::close(connection);
      continue;
    }
    const std::lock_guard lock(mutex_);
    if (connections_.size() >= kMaxConnections) {
      ::close(connection);
      continue;
    }
    try {
      std::thread([this, connection] { handle(connection); }).detach();
      connections_.insert(connection);
    } catch (const std::system_error& error) {
      log_warning("control: no thread for a connection: {}", error.what());
      ::close(connection);
    }
  }
}

void UnixServer::handle(int connection) {
  try {
    SocketStream stream(connection);
    bool closed = false;
    process_request(stream, /*close_connection=*/true, closed, nullptr);
  } catch (const std::exception& error) {
    log_warning("control: request failed: {}", error.what());
  }
  const std::lock_guard lock(mutex_);
  ::shutdown(connection, SHUT_RDWR);
  ::close(connection);
  connections_.erase(connection);
  idle_.notify_all();
}

UnixClient::UnixClient(std::string path) : httplib::ClientImpl("localhost"), path_(std::move(path)) {
  set_read_timeout(600, 0);
}

bool UnixClient::create_and_connect_socket(Socket& socket, httplib::Error& error) {
  const auto address = address_of(path_);
  const int fd = address ? connect_to(*address) : -1;
  connect_errno_ = fd >= 0 ? 0 : address ? errno : ENAMETOOLONG;
  if (fd < 0) {
    error = httplib::Error::Connection;
    return false;
  }
  socket.sock = fd;
  return true;
}

}  // namespace stavefs
