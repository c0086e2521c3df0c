// The control socket: only its owner may use it, nobody can take it from a living daemon, everybody can from
// a dead one, and neither a silent nor a numerous client keeps the daemon from ending.

#include "control/unix_http.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstring>
#include <filesystem>
#include <future>

#include "tests/unit/control/scratch_directory.h"

namespace stavefs {
namespace {

using testing_support::ScratchDirectory;
using Clock = std::chrono::steady_clock;

/// A server that answers /hello, counts, and holds /slow until it is let go.
class ControlSocket : public ::testing::Test {
 protected:
  void SetUp() override {
    server_ = make();
    ASSERT_TRUE(server_->serve(path_));
  }
  std::unique_ptr<UnixServer> make() {
    auto server = std::make_unique<UnixServer>();
    server->Get("/hello", [](const httplib::Request& request, httplib::Response& response) {
      response.set_content("hello " + request.get_param_value("who"), "text/plain");
    });
    server->Get("/slow", [this](const httplib::Request&, httplib::Response& response) {
      entered_.set_value();
      release_.get_future().wait();
      response.set_content("done", "text/plain");
    });
    server->Post("/length", [](const httplib::Request& request, httplib::Response& response) {
      response.set_content(std::to_string(request.body.size()), "text/plain");
    });
    return server;
  }
  std::string get(const std::string& path) {
    UnixClient client(path_);
    const auto result = client.Get(path.c_str());
    return result ? std::to_string(result->status) + " " + result->body : "no answer";
  }
  /// A connection that says nothing.
  int connect_silently() {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, path_.c_str(), sizeof address.sun_path - 1);
    const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    EXPECT_EQ(::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
    return fd;
  }
  /// Whether the peer has closed `fd` within five seconds.
  static bool closed_by_peer(int fd) {
    timeval limit{5, 0};
    ::setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    char byte;
    return ::recv(fd, &byte, 1, 0) == 0;
  }

  ScratchDirectory scratch_;
  std::string path_ = scratch_ / "pool.sock";
  std::promise<void> entered_;
  std::promise<void> release_;
  std::unique_ptr<UnixServer> server_;
};

TEST_F(ControlSocket, AnswersAndDecodesParameters) {
  EXPECT_EQ(get("/hello?who=a%2Fb%20c"), "200 hello a/b c");
  EXPECT_EQ(get("/nothing").substr(0, 3), "404");
}

TEST_F(ControlSocket, IsOpenToItsOwnerOnly) {
  struct stat st {};
  ASSERT_EQ(::stat(path_.c_str(), &st), 0);
  EXPECT_TRUE(S_ISSOCK(st.st_mode));
  EXPECT_EQ(st.st_mode & 0777, 0600u);
  EXPECT_TRUE(may_control(0, 1000));
  EXPECT_TRUE(may_control(1000, 1000));
  EXPECT_TRUE(may_control(0, 0));
  EXPECT_FALSE(may_control(1001, 1000));
  EXPECT_FALSE(may_control(1000, 0));
}

// The mode alone may be changed by mistake: the credentials of the peer are looked at as well.
TEST_F(ControlSocket, OtherUserIsTurnedAwayEvenIfTheModeLetsHimIn) {
  if (geteuid() != 0) GTEST_SKIP() << "needs root to become another user";
  ASSERT_EQ(::chmod(path_.c_str(), 0666), 0);
  ASSERT_EQ(::chmod(scratch_.path().c_str(), 0755), 0);
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    if (::setgid(65534) != 0 || ::setuid(65534) != 0) ::_exit(3);
    const int fd = connect_silently();
    const char request[] = "GET /hello HTTP/1.1\r\nHost: x\r\n\r\n";
    (void)!::send(fd, request, sizeof request - 1, MSG_NOSIGNAL);
    char answer[64];
    const ssize_t n = ::recv(fd, answer, sizeof answer, 0);
    ::_exit(n > 0 ? 1 : 0);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0) << "1: got an answer, 3: could not become another user";
  EXPECT_EQ(get("/hello?who=root"), "200 hello root");
}

TEST_F(ControlSocket, SecondServerIsRefusedWhileTheFirstLives) {
  UnixServer second;
  const auto refused = second.serve(path_);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), ErrorCode::kBusy);
  EXPECT_EQ(get("/hello?who=you"), "200 hello you");
}

TEST_F(ControlSocket, SocketOfADeadDaemonIsReplaced) {
  server_->stop_serving();
  // What a killed daemon leaves: a socket file that nobody listens on.
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, path_.c_str(), sizeof address.sun_path - 1);
  const int dead = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  ASSERT_EQ(::bind(dead, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  ::close(dead);
  ASSERT_TRUE(std::filesystem::exists(path_));
  auto next = make();
  ASSERT_TRUE(next->serve(path_));
  EXPECT_EQ(get("/hello?who=again"), "200 hello again");
}

TEST_F(ControlSocket, StopRemovesTheSocketAndMayBeCalledTwice) {
  server_->stop_serving();
  EXPECT_FALSE(std::filesystem::exists(path_));
  server_->stop_serving();
  UnixClient client(path_);
  EXPECT_FALSE(client.Get("/hello"));
  EXPECT_EQ(client.connect_errno(), ENOENT);
}

TEST_F(ControlSocket, SilentClientDoesNotKeepTheDaemon) {
  const int silent = connect_silently();
  EXPECT_EQ(get("/hello?who=x"), "200 hello x");  // so the silent one has been accepted, too
  const auto start = Clock::now();
  server_->stop_serving();
  EXPECT_LT(Clock::now() - start, std::chrono::seconds(5));
  EXPECT_TRUE(closed_by_peer(silent));
  ::close(silent);
}

TEST_F(ControlSocket, RequestUnderWayIsFinishedBeforeTheEnd) {
  auto answer = std::async(std::launch::async, [this] { return get("/slow"); });
  entered_.get_future().wait();
  auto stopped = std::async(std::launch::async, [this] { server_->stop_serving(); });
  EXPECT_EQ(stopped.wait_for(std::chrono::milliseconds(300)), std::future_status::timeout);
  release_.set_value();
  stopped.get();
  EXPECT_EQ(answer.get(), "200 done");
}

TEST_F(ControlSocket, ConnectionsAreBoundedAndComeBack) {
  std::vector<int> silent;
  for (size_t i = 0; i < kMaxConnections; ++i) silent.push_back(connect_silently());
  // One too many: closed unanswered.
  const int extra = connect_silently();
  EXPECT_TRUE(closed_by_peer(extra));
  ::close(extra);
  for (const int fd : silent) ::close(fd);
  std::string answer;
  for (const auto deadline = Clock::now() + std::chrono::seconds(10); Clock::now() < deadline;) {
    answer = get("/hello?who=later");
    if (answer == "200 hello later") break;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  EXPECT_EQ(answer, "200 hello later");
}

TEST_F(ControlSocket, LargeBodyIsRefusedNotSwallowed) {
  UnixClient client(path_);
  const auto fits = client.Post("/length", std::string(1 << 20, 'x'), "text/plain");
  ASSERT_TRUE(fits);
  EXPECT_EQ(fits->body, std::to_string(1 << 20));
  UnixClient other(path_);
  const auto refused = other.Post("/length", std::string((1 << 20) + 1, 'x'), "text/plain");
  EXPECT_TRUE(!refused || refused->status == 413) << refused->status;
}

TEST(UnixClientErrors, WhyNobodyAnswersIsKnown) {
  const ScratchDirectory scratch;
  UnixClient missing(scratch / "missing.sock");
  EXPECT_FALSE(missing.Get("/"));
  EXPECT_EQ(missing.connect_errno(), ENOENT);
  UnixClient long_path(scratch / std::string(200, 'x'));
  EXPECT_FALSE(long_path.Get("/"));
  EXPECT_EQ(long_path.connect_errno(), ENAMETOOLONG);
  UnixServer server;
  const auto too_long = server.serve(scratch / std::string(200, 'x'));
  ASSERT_FALSE(too_long);
  EXPECT_EQ(too_long.error().code(), ErrorCode::kInvalid);
  EXPECT_FALSE(server.serve(scratch / "missing/pool.sock"));
}

}  // namespace
}  // namespace stavefs
