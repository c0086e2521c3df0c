// HTTP over a Unix socket, on cpp-httplib's parser and router.
//
// cpp-httplib 0.11 has no Unix sockets of its own: the server here accepts connections itself, checks who is
// there (SO_PEERCRED: the daemon's own user or root) and hands each stream to httplib; the client connects
// one for httplib.  One request per connection.
//
// Threads: UnixServer runs an accepting thread and one thread per connection, at most kMaxConnections at
// once; what is too much is closed unanswered.  A UnixClient belongs to one thread.

#pragma once

#include <httplib.h>
#include <sys/types.h>

#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>

#include "base/result.h"

namespace stavefs {

inline constexpr size_t kMaxConnections = 16;

/// Who may talk to a server run by `self`.
constexpr bool may_control(uid_t peer, uid_t self) { return peer == 0 || peer == self; }

class UnixServer : public httplib::Server {
 public:
  UnixServer() = default;
  ~UnixServer() override { stop_serving(); }

  /// Binds `path` (0600, replacing a socket that nobody listens on) and starts to answer.  kBusy when
  /// somebody does.
  Status serve(const std::string& path);
  /// Lets requests that are being carried out finish, ends all connections and removes the socket.
  /// Idempotent.
  void stop_serving();

 private:
  void accept_loop();
  void handle(int connection);

  std::string path_;
  int listener_ = -1;
  std::atomic<bool> stopping_{false};
  std::thread thread_;
  std::mutex mutex_;  // a leaf; guards connections_
  std::condition_variable idle_;
  std::set<int> connections_;  // open descriptors; each is closed under the mutex
};

/// A client of such a server.
class UnixClient : public httplib::ClientImpl {
 public:
  explicit UnixClient(std::string path);
  /// Why the last request did not even connect; 0 when it did.
  int connect_errno() const { return connect_errno_; }

 private:
  bool create_and_connect_socket(Socket& socket, httplib::Error& error) override;
  const std::string path_;
  int connect_errno_ = 0;
};

}  // namespace stavefs
