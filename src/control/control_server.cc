#include "control/control_server.h"

#include <chrono>
#include <string_view>
#include <system_error>

#include "base/log.h"
#include "control/report_json.h"

namespace stavefs {
namespace {

using httplib::Request;
using httplib::Response;
using nlohmann::json;

constexpr auto kTellFailureFor = std::chrono::seconds(2);

int http_status(const Error& error) {
  if (error.code() == ErrorCode::kBusy) return 409;
  switch (error.errno_value()) {
    case ENOENT: return 404;
    case EEXIST:
    case ENOTEMPTY:
    case EBUSY: return 409;
    case EINVAL:
    case ENAMETOOLONG:
    case EPERM: return 400;
    case ENOSPC: return 507;
    default: return 500;
  }
}

void reply_error(Response& response, const Error& error) {
  response.status = http_status(error);
  // A bare POSIX outcome has no sentence; a usage error's says more than "Invalid argument".
  const bool bare = error.message().empty() && error.errno_value() > 0;
  const bool sentence = error.code() == ErrorCode::kInvalid && !error.message().empty();
  const std::string message = bare       ? std::generic_category().message(error.errno_value())
                              : sentence ? error.message()
                                         : error.to_text();
  const json body = {
      {"output_version", kOutputVersion},
      {"error", {{"message", message}, {"code", to_string(error.code())}, {"errno", error.errno_value()}}}};
  response.set_content(body.dump(-1, ' ', false, json::error_handler_t::replace), "application/json");
}

void reply(Response& response, const json& body) {
  response.set_content(body.dump(-1, ' ', false, json::error_handler_t::replace), "application/json");
}

Result<BucketPolicy> policy_from(const json& body, BucketPolicy policy) {
  for (const auto& [key, value] : body.items()) {
    if (key == "name") continue;
    if (!value.is_string())
      return Error(ErrorCode::kInvalid, EINVAL, "property " + key + " must be a string");
    const auto text = value.get<std::string>();
    if (key == "class") {
      ASSIGN_OR_RETURN(policy.geometry, Geometry::parse(text));
    } else if (key == "checksum") {
      ASSIGN_OR_RETURN(policy.checksum, parse_checksum_kind(text));
    } else {
      return Error(ErrorCode::kInvalid, EINVAL,
                   "unknown bucket property \"" + key + "\": class and checksum can be given");
    }
  }
  return policy;
}

/// What mkdir(2) at the top of the mount would refuse with less of an explanation.
Status check_bucket_name(const std::string& name) {
  constexpr size_t kMaxNameBytes = 255;
  if (!name.empty() && name.size() <= kMaxNameBytes && name[0] != '.' &&
      name.find_first_of(std::string("/\0", 2)) == std::string::npos) {
    return ok();
  }
  return Error(ErrorCode::kInvalid, EINVAL,
               "a bucket's name has 1 to " + std::to_string(kMaxNameBytes) +
                   " bytes, no \"/\", and does not start with \".\"");
}

/// A class must fit on the pool's disks, and may not ask for more copies of metadata than the pool keeps.
Status check_policy(const BucketPolicy& policy, const Pool& pool) {
  int disks = 0;
  for (const Member& member : pool.members()) disks += member.removed ? 0 : 1;
  if (policy.geometry.total() > disks) {
    return Error(ErrorCode::kInvalid, EINVAL,
                 "class " + policy.geometry.to_text() + " needs " + std::to_string(policy.geometry.total()) +
                     " disks, the pool has " + std::to_string(disks));
  }
  if (policy.geometry.parity >= pool.config().metadata_copies) {
    return Error(ErrorCode::kInvalid, EINVAL,
                 "class " + policy.geometry.to_text() +
                     " would survive more losses than the pool's metadata, which has " +
                     std::to_string(pool.config().metadata_copies) + " copies: at most " +
                     std::to_string(pool.config().metadata_copies - 1) + " parity shards are possible here");
  }
  return ok();
}

}  // namespace

std::string shell_word(const std::string& word) {
  const std::string_view plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-+:@%,=";
  if (!word.empty() && word.find_first_not_of(plain) == std::string::npos) return word;
  std::string quoted = "'";
  for (const char c : word) quoted += c == '\'' ? "'\\''" : std::string(1, c);
  return quoted + "'";
}

Suggestion suggest(const StatusReport& report, const std::string& mount_point) {
  bool gone = false;
  for (const DiskReport& disk : report.disks) {
    gone = gone || disk.state == DiskState::kAbsent || disk.state == DiskState::kFailed;
  }
  if (!gone && report.verdict != "FENCED") return {};
  const std::string directory = shell_word(mount_point);
  return {"stavefs umount " + directory + " && stavefs mount " + report.pool + " " + directory,
          gone ? "once the disks are back" : ""};
}

Result<std::unique_ptr<ControlServer>> ControlServer::start(Engine& engine, const std::string& path,
                                                            std::string mount_point,
                                                            RootChanged root_changed) {
  std::unique_ptr<ControlServer> server(
      new ControlServer(engine, std::move(mount_point), std::move(root_changed)));
  server->add_routes();
  server->add_bucket_routes();
  TRY(server->server_.serve(path));
  return server;
}

void ControlServer::let_go() {
  const std::unique_lock lock(engine_mutex_);
  engine_ = nullptr;
}

void ControlServer::finish(const Status& closed) {
  if (closed) return;
  std::unique_lock lock(end_mutex_);
  failure_ = closed.error().to_text();
  told_changed_.wait_for(lock, kTellFailureFor, [this] { return told_; });
}

httplib::Server::Handler ControlServer::guarded(Handler handler) {
  return [this, handler = std::move(handler)](const Request& request, Response& response) {
    const std::shared_lock lock(engine_mutex_);
    if (engine_ == nullptr)
      return reply_error(response, Error(ErrorCode::kBusy, 0, "the pool is being unmounted"));
    handler(*engine_, request, response);
  };
}

void ControlServer::add_routes() {
  server_.Get("/v1/alive", [this](const Request&, Response& response) {
    const std::lock_guard lock(end_mutex_);
    reply(response, {{"output_version", kOutputVersion},
                     {"alive", true},
                     {"mount_point", mount_point_},
                     {"failure", failure_}});
    told_ = !failure_.empty();
    told_changed_.notify_all();
  });
  server_.Get("/v1/status", guarded([this](Engine& engine, const Request&, Response& response) {
                StatusReport report = engine.status();
                Suggestion next = suggest(report, mount_point_);
                report.next_command = std::move(next.command);
                json body = to_json(report);
                body["next_when"] = std::move(next.when);
                body["mounted"] = true;
                body["mount_point"] = mount_point_;
                reply(response, body);
              }));
  server_.Get("/v1/info", guarded([](Engine& engine, const Request& request, Response& response) {
                auto inode = engine.fs().resolve(request.get_param_value("path"));
                if (!inode) return reply_error(response, inode.error());
                auto layout = engine.fs().layout(*inode);
                if (!layout) return reply_error(response, layout.error());
                reply(response, to_json(*layout, engine.store(), engine.pool()));
              }));
  server_.Post("/v1/sync", guarded([](Engine& engine, const Request&, Response& response) {
                 if (auto synced = engine.fs().sync(); !synced) return reply_error(response, synced.error());
                 reply(response, {{"output_version", kOutputVersion}});
               }));
  server_.set_exception_handler([](const Request&, Response& response, std::exception_ptr) {
    reply_error(response, Error(ErrorCode::kIo, EIO, "internal error"));
  });
}

void ControlServer::add_bucket_routes() {
  server_.Get("/v1/buckets", guarded([](Engine& engine, const Request&, Response& response) {
                auto buckets = engine.fs().list_buckets();
                if (!buckets) return reply_error(response, buckets.error());
                json list = json::array();
                for (const BucketInfo& bucket : *buckets) list.push_back(to_json(bucket));
                reply(response, {{"output_version", kOutputVersion}, {"buckets", std::move(list)}});
              }));
  server_.Post("/v1/buckets", guarded([this](Engine& engine, const Request& request, Response& response) {
                 const json body = json::parse(request.body, nullptr, false);
                 if (!body.is_object() || !body.contains("name") || !body["name"].is_string()) {
                   return reply_error(response,
                                      Error(ErrorCode::kInvalid, EINVAL, "the request has no bucket name"));
                 }
                 const auto name = body["name"].get<std::string>();
                 if (auto good = check_bucket_name(name); !good) return reply_error(response, good.error());
                 const PoolConfig& config = engine.pool().config();
                 auto policy = policy_from(body, {config.geometry, config.checksum});
                 if (!policy) return reply_error(response, policy.error());
                 if (auto fits = check_policy(*policy, engine.pool()); !fits)
                   return reply_error(response, fits.error());
                 auto made = engine.fs().create_bucket(name, *policy, 0755, Caller{});
                 if (!made) return reply_error(response, made.error());
                 root_changed_(made->name);
                 if (auto synced = engine.ledger().sync_all(); !synced)
                   return reply_error(response, synced.error());
                 json answer = to_json(*made);
                 answer["output_version"] = kOutputVersion;
                 reply(response, answer);
               }));
  server_.Delete(R"(/v1/buckets/([\s\S]+))",
                 guarded([this](Engine& engine, const Request& request, Response& response) {
                   const std::string name = request.matches[1].str();
                   if (auto gone = engine.fs().delete_bucket(name); !gone)
                     return reply_error(response, gone.error());
                   root_changed_(name);
                   if (auto synced = engine.ledger().sync_all(); !synced)
                     return reply_error(response, synced.error());
                   reply(response, {{"output_version", kOutputVersion}});
                 }));
}

}  // namespace stavefs
