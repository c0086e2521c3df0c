#include <sys/stat.h>

#include <climits>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>
#include <sstream>

#include "control/paths.h"
#include "control/report_json.h"
#include "control/unix_http.h"
#include "tools/stavefs/cli.h"

namespace stavefs::cli {
namespace {

using nlohmann::json;

/// mountinfo writes space, tab, newline and backslash as \ooo (proc(5)).
std::string unescape(const std::string& text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 3 < text.size()) {
      out.push_back(static_cast<char>(std::strtol(text.substr(i + 1, 3).c_str(), nullptr, 8)));
      i += 3;
    } else {
      out.push_back(text[i]);
    }
  }
  return out;
}

ErrorCode code_named(const std::string& name) {
  for (int i = 0; i <= static_cast<int>(ErrorCode::kPosix); ++i) {
    if (to_string(static_cast<ErrorCode>(i)) == name) return static_cast<ErrorCode>(i);
  }
  return ErrorCode::kIo;
}

}  // namespace

int exit_code_of(const Error& error) {
  switch (error.code()) {
    case ErrorCode::kInvalid: return kUsage;
    case ErrorCode::kDegraded: return kDegraded;
    case ErrorCode::kCorrupt: return kDamaged;
    case ErrorCode::kBusy: return kBusy;
    default: return kFailed;
  }
}

void print_json(const json& document) {
  std::printf("%s\n", document.dump(2, ' ', false, json::error_handler_t::replace).c_str());
}

json error_json(const Error& error, int code) {
  return {{"message", error.message()},
          {"code", to_string(error.code())},
          {"errno", error.errno_value()},
          {"exit_code", code}};
}

int fail(const Globals& globals, const Error& error, int code) {
  if (globals.json) print_json({{"output_version", kOutputVersion}, {"error", error_json(error, code)}});
  // EINVAL says nothing that the sentence does not.
  const bool plain = error.code() == ErrorCode::kInvalid && !error.message().empty();
  std::fprintf(stderr, "stavefs: %s\n", plain ? error.message().c_str() : error.to_text().c_str());
  return code;
}

bool no_daemon(const Error& error) {
  return error.code() == ErrorCode::kNotFound && error.errno_value() == ECONNREFUSED;
}

bool is_unknown_pool(const Error& error) {
  return error.code() == ErrorCode::kNotFound && error.errno_value() == ENOENT;
}

Result<json> ask(const std::string& pool, const std::string& method, const std::string& path,
                 const json& body) {
  UnixClient client(socket_path(pool));
  httplib::Request request;
  request.method = method;
  request.path = path;
  request.headers.emplace("Host", "localhost");
  if (!body.is_null()) {
    try {
      request.body = body.dump();
    } catch (const json::exception&) {
      return Error(ErrorCode::kInvalid, EINVAL, "names and values must be UTF-8");
    }
    request.headers.emplace("Content-Type", "application/json");
  }
  const httplib::Result result = client.send(request);
  if (!result) {
    switch (client.connect_errno()) {
      case 0: break;
      case EACCES:
      case EPERM:
        return Error(
            ErrorCode::kNoPermission, 0,
            "the daemon of pool \"" + pool + "\" belongs to another user (" + socket_path(pool) + ")");
      case ENOENT:
      case ENOTDIR:
      case ECONNREFUSED:
        return Error(ErrorCode::kNotFound, ECONNREFUSED, "no daemon serves pool \"" + pool + "\"");
      default: return errno_error(client.connect_errno(), "connect to " + socket_path(pool));
    }
    return Error(ErrorCode::kIo, 0, "the daemon of pool \"" + pool + "\" did not finish its answer");
  }
  json answer = json::parse(result->body, nullptr, false);
  if (result->status >= 200 && result->status < 300 && !answer.is_discarded()) return answer;
  if (answer.is_object() && answer.contains("error")) {
    const json& error = answer["error"];
    return Error(code_named(error.value("code", "io")), 0, error.value("message", "the daemon refused"));
  }
  return Error(ErrorCode::kIo, EIO, "the daemon answered with HTTP status " + std::to_string(result->status));
}

std::string served_mount_point(const std::string& pool) {
  const auto alive = ask(pool, "GET", "/v1/alive");
  return alive ? alive->value("mount_point", std::string()) : std::string();
}

Result<json> ask_mounted(const std::string& pool, const std::string& method, const std::string& path,
                         const json& body) {
  auto answer = ask(pool, method, path, body);
  if (answer || !no_daemon(answer.error())) return answer;
  TRY(load_host_config(pool));
  return Error(ErrorCode::kNotFound, 0,
               "pool \"" + pool + "\" is not mounted; mount it first: stavefs mount " + pool + " DIR");
}

std::vector<MountEntry> all_mounts() {
  std::vector<MountEntry> mounts;
  std::ifstream in("/proc/self/mountinfo");
  for (std::string line; std::getline(in, line);) {
    // id parent dev root mount-point options [tags] - type source super-options
    const size_t separator = line.find(" - ");
    if (separator == std::string::npos) continue;
    std::istringstream left(line.substr(0, separator));
    std::istringstream right(line.substr(separator + 3));
    std::string id, parent, device, root, directory, type, source;
    left >> id >> parent >> device >> root >> directory;
    right >> type >> source;
    mounts.push_back({unescape(source), unescape(directory), type});
  }
  return mounts;
}

std::vector<MountEntry> stavefs_mounts() {
  std::vector<MountEntry> mounts = all_mounts();
  std::erase_if(mounts, [](const MountEntry& entry) { return entry.type != "fuse.stavefs"; });
  return mounts;
}

Status check_mount_point(const std::string& directory) {
  for (const std::string& pool : known_pools()) {
    const auto config = load_host_config(pool);
    if (!config) continue;
    for (const std::string& disk : config->disks) {
      const std::string path = real_path(disk).value_or(disk);
      if (directory == path || directory.starts_with(path + "/")) {
        return Error(ErrorCode::kInvalid, EINVAL,
                     "the mount point " + directory + " is inside " + path + ", which is a disk of pool \"" +
                         pool + "\": choose another one");
      }
      if (directory == "/" || path.starts_with(directory + "/")) {
        return Error(ErrorCode::kInvalid, EINVAL,
                     "the mount point " + directory + " would hide " + path + ", which is a disk of pool \"" +
                         pool + "\": choose another one");
      }
    }
  }
  return ok();
}

Result<std::string> real_path(const std::string& path) {
  const std::unique_ptr<char, decltype(&std::free)> resolved(::realpath(path.c_str(), nullptr), &std::free);
  if (!resolved) return errno_error(errno, path);
  return std::string(resolved.get());
}

std::string mount_point_path(const std::string& directory) {
  if (auto real = real_path(directory)) return *real;
  std::error_code error;
  std::filesystem::path path = std::filesystem::absolute(directory, error).lexically_normal();
  if (!path.has_filename()) path = path.parent_path();
  const auto parent = real_path(path.parent_path().string());
  return parent ? (std::filesystem::path(*parent) / path.filename()).string() : path.string();
}

Result<MountedPath> find_mount(const std::string& path) {
  // The last component may be a symlink of ours: resolve only what leads to it.
  struct stat st {};
  std::string resolved;
  if (lstat(path.c_str(), &st) == 0 && S_ISLNK(st.st_mode)) {
    const size_t slash = path.find_last_of('/');
    const std::string directory = slash == std::string::npos ? "." : path.substr(0, slash + 1);
    ASSIGN_OR_RETURN(resolved, real_path(directory));
    resolved += "/" + (slash == std::string::npos ? path : path.substr(slash + 1));
  } else {
    ASSIGN_OR_RETURN(resolved, real_path(path));
  }
  std::optional<MountEntry> best;
  for (const MountEntry& entry : stavefs_mounts()) {
    const bool inside = resolved == entry.directory || resolved.starts_with(entry.directory + "/");
    if (inside && (!best || entry.directory.size() >= best->directory.size())) best = entry;
  }
  if (!best) return Error(ErrorCode::kInvalid, EINVAL, path + " is not in a mounted stavefs pool");
  std::string relative = resolved.substr(best->directory.size());
  if (relative.starts_with("/")) relative.erase(0, 1);
  return MountedPath{*best, relative};
}

}  // namespace stavefs::cli
