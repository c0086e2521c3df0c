// The control API of a mounted pool: HTTP/JSON on RUN/POOL.sock.
//
//   GET    /v1/alive               {alive, mount_point, failure}: answers until the daemon has let go of the
//                                  disks; `failure` says what went wrong while it did
//   GET    /v1/status              StatusReport
//   GET    /v1/buckets             {buckets: [...]}
//   POST   /v1/buckets             {name, class?, checksum?} -> the bucket
//   DELETE /v1/buckets/NAME        an empty bucket
//   GET    /v1/info?path=P         layout of a file; P relative to the mount
//   POST   /v1/sync                everything is durable
//
// Failures: status 4xx/5xx and {"error": {"message", "code", "errno"}}.
//
// End: let_go() before the engine is closed; finish() tells how that went; stop() or destruction at last.
//
// Threads: self-synchronised.  Lock order: engine_mutex_ (shared, held while a request uses the engine)
// before every lock of the engine; end_mutex_ is a leaf.

#pragma once

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <string>

#include "control/unix_http.h"
#include "engine/engine.h"

namespace stavefs {

class ControlServer {
 public:
  /// Called with the name of a bucket that was made or deleted here, so that the kernel forgets what it knew
  /// of the name.
  using RootChanged = std::function<void(const std::string&)>;
  /// Answers for `engine` on the socket `path`; `mount_point` completes suggested commands.
  /// REQUIRES: let_go() is called before `engine`, or what `root_changed` uses, is gone.
  static Result<std::unique_ptr<ControlServer>> start(Engine& engine, const std::string& path,
                                                      std::string mount_point, RootChanged root_changed);
  ~ControlServer() { stop(); }
  /// Returns when no request uses the engine any more; from now on only /v1/alive is answered.
  void let_go();
  /// How the engine's end went.  A failure is kept up for a while, until somebody has asked for it.
  void finish(const Status& closed);
  void stop() { server_.stop_serving(); }

 private:
  using Handler = std::function<void(Engine&, const httplib::Request&, httplib::Response&)>;
  ControlServer(Engine& engine, std::string mount_point, RootChanged root_changed)
      : engine_(&engine), mount_point_(std::move(mount_point)), root_changed_(std::move(root_changed)) {}
  void add_routes();
  void add_bucket_routes();
  httplib::Server::Handler guarded(Handler handler);

  std::shared_mutex engine_mutex_;
  Engine* engine_;  // guarded by engine_mutex_; null after let_go()
  const std::string mount_point_;
  const RootChanged root_changed_;

  std::mutex end_mutex_;  // guards failure_ and told_
  std::condition_variable told_changed_;
  std::string failure_;
  bool told_ = false;
  UnixServer server_;  // last: its threads use what is above
};

/// What to do about a report.
struct Suggestion {
  std::string command;  ///< "" when nothing needs doing
  std::string when;     ///< what must be so first; "" for nothing
};
Suggestion suggest(const StatusReport& report, const std::string& mount_point);
/// `word` as a shell reads it back.
std::string shell_word(const std::string& word);

}  // namespace stavefs
