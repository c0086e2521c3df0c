// The control API on an engine over simulated disks: what the command line asks is answered, refusals carry
// their reason, and a request never meets an engine that is gone.

#include "control/control_server.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <atomic>
#include <chrono>
#include <future>
#include <nlohmann/json.hpp>
#include <thread>

#include "tests/unit/control/scratch_directory.h"
#include "tests/unit/engine/sim_engine.h"

namespace stavefs {
namespace {

using nlohmann::json;
using testing_support::ScratchDirectory;
using testing_support::SimEngine;

constexpr uint64_t kSeed = 7;

class ControlApi : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(sim_.format());
    ASSERT_TRUE(sim_.start());
    auto server = ControlServer::start(sim_.engine(), path_, "/mnt/sim",
                                       [this](const std::string& name) { changed_.push_back(name); });
    ASSERT_TRUE(server) << server.error().to_text();
    server_ = std::move(*server);
  }
  void TearDown() override {
    if (server_) server_->let_go();
    server_.reset();
  }
  struct Answer {
    int status = 0;
    json body;
  };
  Answer ask(const std::string& method, const std::string& path, const std::string& body = "") {
    UnixClient client(path_);
    httplib::Request request;
    request.method = method;
    request.path = path;
    request.body = body;
    request.headers.emplace("Host", "localhost");
    const auto result = client.send(request);
    if (!result) return {};
    return {result->status, json::parse(result->body, nullptr, false)};
  }

  ScratchDirectory scratch_;
  std::string path_ = scratch_ / "sim.sock";
  SimEngine sim_{kSeed};
  std::vector<std::string> changed_;  // by the server's thread while a request is carried out
  std::unique_ptr<ControlServer> server_;
};

TEST_F(ControlApi, StatusIsComplete) {
  const Answer answer = ask("GET", "/v1/status");
  ASSERT_EQ(answer.status, 200);
  EXPECT_EQ(answer.body["pool"], "sim");
  EXPECT_EQ(answer.body["verdict"], "HEALTHY");
  EXPECT_EQ(answer.body["mount_point"], "/mnt/sim");
  EXPECT_EQ(answer.body["mounted"], true);
  EXPECT_EQ(answer.body["next_command"], "");
  EXPECT_EQ(answer.body["disks"].size(), 4u);
}

TEST_F(ControlApi, BucketIsMadeListedAndDeletedAndTheKernelIsTold) {
  const Answer made = ask("POST", "/v1/buckets", R"({"name": "a b%/?", "class": "1+1"})");
  EXPECT_EQ(made.status, 400) << "a slash is in it";
  const Answer photos =
      ask("POST", "/v1/buckets", R"({"name": "f o%+?#", "class": "1+1", "checksum": "sha256"})");
  ASSERT_EQ(photos.status, 200) << photos.body;
  EXPECT_EQ(photos.body["class"], "1+1");
  EXPECT_EQ(photos.body["checksum"], "sha256");
  const Answer list = ask("GET", "/v1/buckets");
  ASSERT_EQ(list.body["buckets"].size(), 1u);
  EXPECT_EQ(list.body["buckets"][0]["name"], "f o%+?#");
  EXPECT_EQ(ask("POST", "/v1/buckets", R"({"name": "f o%+?#"})").status, 409);
  EXPECT_EQ(ask("DELETE", "/v1/buckets/" + httplib::detail::encode_query_param("f o%+?#")).status, 200);
  EXPECT_EQ(ask("GET", "/v1/buckets").body["buckets"].size(), 0u);
  EXPECT_EQ(changed_, (std::vector<std::string>{"f o%+?#", "f o%+?#"}));
  EXPECT_EQ(ask("DELETE", "/v1/buckets/gone").status, 404);
}

TEST_F(ControlApi, BucketWithFilesIsKept) {
  ASSERT_EQ(ask("POST", "/v1/buckets", R"({"name": "b"})").status, 200);
  FileSystem& fs = sim_.engine().fs();
  const auto root = fs.resolve("b");
  ASSERT_TRUE(root);
  ASSERT_TRUE(fs.mkdir(*root, "d", 0755, {}));
  const Answer refused = ask("DELETE", "/v1/buckets/b");
  EXPECT_EQ(refused.status, 409);
  EXPECT_EQ(refused.body["error"]["errno"], ENOTEMPTY);
  EXPECT_EQ(refused.body["error"]["message"], "Directory not empty");
}

TEST_F(ControlApi, ImpossibleBucketsAreRefusedWithTheReason) {
  const std::pair<const char*, const char*> cases[] = {
      {R"({"name": "b", "class": "8+4"})", "needs 12 disks, the pool has 4"},
      {R"({"name": "b", "class": "2+2"})", "would survive more losses than the pool's metadata"},
      {R"({"name": "b", "class": "nine"})", "class \"nine\""},
      {R"({"name": "b", "checksum": "crc"})", "xxh3"},
      {R"({"name": "b", "colour": "red"})", "unknown bucket property \"colour\""},
      {R"({"name": "b", "class": 5})", "must be a string"},
      {R"({"class": "1+1"})", "no bucket name"},
      {R"({"name": 7})", "no bucket name"},
      {R"([])", "no bucket name"},
      {R"({"name": )", "no bucket name"},
      {"", "no bucket name"},
      {R"({"name": ""})", "a bucket's name has"},
      {R"({"name": ".hidden"})", "a bucket's name has"},
      {R"({"name": "a/b"})", "a bucket's name has"},
      {R"({"name": "a\u0000b"})", "a bucket's name has"},
  };
  for (const auto& [body, part] : cases) {
    const Answer answer = ask("POST", "/v1/buckets", body);
    EXPECT_EQ(answer.status, 400) << body;
    ASSERT_TRUE(answer.body.contains("error")) << body;
    EXPECT_NE(answer.body["error"]["message"].get<std::string>().find(part), std::string::npos)
        << answer.body;
  }
  EXPECT_EQ(ask("GET", "/v1/buckets").body["buckets"].size(), 0u);
}

TEST_F(ControlApi, InfoShowsWhereAFileIs) {
  ASSERT_EQ(ask("POST", "/v1/buckets", R"({"name": "b"})").status, 200);
  FileSystem& fs = sim_.engine().fs();
  const auto file = fs.create(fs.resolve("b").value(), "f", S_IFREG | 0640, {});
  ASSERT_TRUE(file);
  ASSERT_TRUE(fs.write(file->id, 0, std::vector<uint8_t>(1'000'000, 1), false, false));
  ASSERT_EQ(ask("POST", "/v1/sync").status, 200);
  const Answer answer = ask("GET", "/v1/info?path=b%2Ff");
  ASSERT_EQ(answer.status, 200) << answer.body;
  EXPECT_EQ(answer.body["size"], 1'000'000);
  EXPECT_EQ(answer.body["bucket"], "b");
  EXPECT_EQ(answer.body["health"], "ok");
  uint64_t bytes = 0;
  for (const json& extent : answer.body["extents"]) bytes += extent["bytes"].get<uint64_t>();
  EXPECT_EQ(bytes, 1'000'000u);
  ASSERT_GE(answer.body["groups"].size(), 1u);
  EXPECT_EQ(answer.body["groups"][0]["shards"].size(), 3u);
  EXPECT_EQ(ask("GET", "/v1/info?path=b%2Fgone").status, 404);
  const Answer root = ask("GET", "/v1/info");
  ASSERT_EQ(root.status, 200);
  EXPECT_EQ(root.body["inode"], 1);
  EXPECT_TRUE(root.body["bucket"].is_null()) << "the root is in no bucket";
  fs.release_file(file->id);

  sim_.world().set_vanished(0, true);
  (void)sim_.engine().maintain();
  (void)sim_.engine().maintain();
  const Answer status = ask("GET", "/v1/status");
  EXPECT_EQ(status.body["verdict"], "DEGRADED");
  EXPECT_EQ(status.body["next_command"], "stavefs umount /mnt/sim && stavefs mount sim /mnt/sim");
}

TEST_F(ControlApi, AfterLettingGoOnlyAliveIsAnswered) {
  server_->let_go();
  ASSERT_TRUE(sim_.stop());
  for (const char* path : {"/v1/status", "/v1/buckets", "/v1/info?path=b"}) {
    const Answer answer = ask("GET", path);
    EXPECT_EQ(answer.status, 409) << path;
    EXPECT_EQ(answer.body["error"]["code"], "busy");
  }
  EXPECT_EQ(ask("POST", "/v1/sync").status, 409);
  EXPECT_EQ(ask("GET", "/v1/alive").body["alive"], true);
  EXPECT_EQ(ask("GET", "/v1/alive").body["mount_point"], "/mnt/sim");
  EXPECT_EQ(ask("GET", "/v1/alive").body["failure"], "");
}

// Requests race with the end of the engine: each is answered by a whole engine or refused.  Worth most under
// the thread sanitizer.
TEST_F(ControlApi, RequestsDuringTheEndAreAnsweredOrRefused) {
  std::atomic<bool> end{false};
  std::atomic<int> answered{0};
  std::atomic<int> refused{0};
  std::vector<std::thread> clients;
  for (int i = 0; i < 3; ++i) {
    clients.emplace_back([&] {
      while (!end) {
        const int status = ask("GET", "/v1/status").status;
        (status == 200 ? answered : refused) += status == 200 || status == 409 ? 1 : 1000;
      }
    });
  }
  while (answered < 10) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  server_->let_go();
  ASSERT_TRUE(sim_.stop());
  while (refused < 10) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  end = true;
  for (std::thread& client : clients) client.join();
  EXPECT_LT(refused, 1000) << "a status that is neither 200 nor 409";
}

TEST_F(ControlApi, FailureAtTheEndIsToldBeforeTheSocketGoes) {
  server_->let_go();
  auto finished = std::async(std::launch::async, [this] {
    server_->finish(Error(ErrorCode::kIo, EIO, "the journal could not be closed"));
    server_->stop();
  });
  std::string failure;
  while (failure.empty()) {
    const Answer answer = ask("GET", "/v1/alive");
    ASSERT_EQ(answer.status, 200) << "gone without a word";
    failure = answer.body["failure"];
  }
  EXPECT_NE(failure.find("the journal could not be closed"), std::string::npos);
  finished.get();
}

TEST_F(ControlApi, NobodyAsksAndTheEndComesAnyway) {
  server_->let_go();
  const auto start = std::chrono::steady_clock::now();
  server_->finish(ok());
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(1));
  server_->finish(Error(ErrorCode::kIo, EIO, "x"));
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(10));
}

}  // namespace
}  // namespace stavefs
