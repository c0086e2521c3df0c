// Commands that ask and print: status, disk list, bucket, info.

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "control/control_server.h"
#include "control/paths.h"
#include "control/report_json.h"
#include "control/unix_http.h"
#include "disk/posix_disk.h"
#include "disk/uring_engine.h"
#include "pool/pool.h"
#include "tools/stavefs/cli.h"

namespace stavefs::cli {
namespace {

using nlohmann::json;

bool use_colour() { return isatty(STDOUT_FILENO) != 0 && std::getenv("NO_COLOR") == nullptr; }

std::string coloured(const std::string& text, const std::string& verdict) {
  if (!use_colour()) return text;
  const char* code = verdict == "HEALTHY" ? "\033[32m" : verdict == "DEGRADED" ? "\033[33m" : "\033[31m";
  return code + text + "\033[0m";
}

std::string bytes_text(const json& value) { return format_bytes(value.get<uint64_t>()); }

/// Left-aligned columns, as wide as their widest cell.
void print_table(const std::vector<std::vector<std::string>>& rows) {
  std::vector<size_t> widths;
  for (const auto& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  for (const auto& row : rows) {
    std::string line = " ";
    for (size_t i = 0; i < row.size(); ++i) {
      line += " " + row[i];
      if (i + 1 < row.size()) line.append(widths[i] - row[i].size() + 1, ' ');
    }
    std::printf("%s\n", line.c_str());
  }
}

void print_disks(const json& disks) {
  std::vector<std::vector<std::string>> rows = {
      {"DISK", "STATE", "SIZE", "FREE", "ERRORS r/w/sum", "BEHIND", "PATH"}};
  for (const json& disk : disks) {
    const json& errors = disk["errors"];
    const auto behind = disk["groups_behind"].get<uint64_t>();
    std::string state = disk["state"];
    if (disk["full"].get<bool>()) state += ", full";
    if (disk["metadata"].get<bool>()) state += " *";
    rows.push_back({disk["name"], state, bytes_text(disk["total_bytes"]), bytes_text(disk["free_bytes"]),
                    std::to_string(errors["read"].get<uint64_t>()) + "/" +
                        std::to_string(errors["write"].get<uint64_t>()) + "/" +
                        std::to_string(errors["checksum"].get<uint64_t>()),
                    behind == 0 ? "-" : std::to_string(behind) + " groups", disk["path"]});
  }
  print_table(rows);
  for (const json& disk : disks) {
    if (!disk["reason"].get<std::string>().empty()) {
      std::printf("  %s: %s\n", disk["name"].get<std::string>().c_str(),
                  disk["reason"].get<std::string>().c_str());
    }
  }
}

void print_status(const json& report) {
  const std::string verdict = report["verdict"];
  std::printf("%s: %s  %s\n", report["pool"].get<std::string>().c_str(), coloured(verdict, verdict).c_str(),
              report["explanation"].get<std::string>().c_str());
  if (const std::string next = report["next_command"]; !next.empty()) {
    const std::string when = report["next_when"];
    std::printf("  next%s:  %s\n", when.empty() ? "" : (", " + when).c_str(), next.c_str());
  }
  if (report["mounted"].get<bool>()) {
    const json& space = report["space"];
    std::printf("  mounted on %s, class %s, %s usable, %s free\n", report.value("mount_point", "?").c_str(),
                report["class"].get<std::string>().c_str(), bytes_text(space["total_bytes"]).c_str(),
                bytes_text(space["free_bytes"]).c_str());
    if (space["degraded_groups"].get<uint64_t>() > 0) {
      const auto groups = space["degraded_groups"].get<uint64_t>();
      std::printf("  %llu group%s (%s of data) cannot lose as many disks as the class allows\n",
                  static_cast<unsigned long long>(groups), groups == 1 ? "" : "s",
                  bytes_text(space["degraded_bytes"]).c_str());
    }
  }
  std::printf("\n");
  print_disks(report["disks"]);
  std::printf("  (* carries a copy of the metadata)\n");
  const json& events = report["events"];
  const size_t first = events.size() > 5 ? events.size() - 5 : 0;
  if (!events.empty()) std::printf("\n  last events:\n");
  for (size_t i = first; i < events.size(); ++i) {
    std::printf("  %sZ  %s\n", events[i]["time"].get<std::string>().substr(0, 19).c_str(),
                events[i]["text"].get<std::string>().c_str());
  }
}

/// What the disks tell without a daemon.
Result<json> offline_status(const HostConfig& config) {
  ASSIGN_OR_RETURN(const auto engine, make_uring_engine({}));
  const auto witness = make_file_witness(witness_path(config.name));
  std::vector<Pool::Attached> disks;
  std::string left_out;
  for (const std::string& path : config.disks) {
    auto disk = open_posix_disk(path);
    auto probe = disk ? probe_disk(**disk, *engine) : Result<ProbeResult>(Error(disk.error()));
    if (probe && probe->has_superblock) {
      disks.push_back({std::move(*disk), path});
    } else {
      left_out +=
          (left_out.empty() ? "" : "; ") + path + ": " + (probe ? "no superblock" : probe.error().to_text());
    }
  }
  if (disks.empty())
    return Error(ErrorCode::kDegraded, 0, "no disk of pool \"" + config.name + "\" is here: " + left_out);
  Rng rng = Rng::from_entropy();
  Pool::OpenOptions options;
  options.read_only = true;
  ASSIGN_OR_RETURN(const auto pool, Pool::open(std::move(disks), *engine, *witness, rng, options));
  json list = json::array();
  size_t absent = 0;
  for (const DiskReport& disk : pool->reports()) {
    if (disk.state == DiskState::kRemoved) continue;
    absent += disk.state == DiskState::kActive ? 0 : 1;
    list.push_back(to_json(disk, 0));
  }
  const PoolConfig& fixed = pool->config();
  const bool enough = absent <= fixed.geometry.parity;
  const std::vector<MountEntry> mounts = stavefs_mounts();
  const bool died = std::any_of(mounts.begin(), mounts.end(), [&](const MountEntry& entry) {
    return entry.pool == fixed.name && entry.directory == config.mount_point;
  });
  return json{{"output_version", kOutputVersion},
              {"pool", fixed.name},
              {"id", fixed.id.to_text()},
              {"mounted", false},
              {"verdict", absent == 0 ? "HEALTHY"
                          : enough    ? "DEGRADED"
                                      : "UNAVAILABLE"},
              {"explanation", (died ? "Its daemon has died; " : "Not mounted; ") +
                                  (absent == 0 ? std::string("all disks are here.")
                                               : std::to_string(absent) + " of its disks are not here.")},
              {"mount_point", config.mount_point},
              {"next_command",
               "stavefs mount " + fixed.name + " " +
                   (config.mount_point.empty() ? std::string("DIR") : shell_word(config.mount_point))},
              {"next_when", enough ? "" : "once the disks are back"},
              {"exit_code", absent == 0 ? kOk : kDegraded},
              {"class", fixed.geometry.to_text()},
              {"epoch", pool->epoch().epoch.value},
              {"disks", std::move(list)},
              {"events", json::array()}};
}

Result<json> status_of(const std::string& pool) {
  auto live = ask(pool, "GET", "/v1/status");
  if (live || !no_daemon(live.error())) return live;
  ASSIGN_OR_RETURN(const HostConfig config, load_host_config(pool));
  return offline_status(config);
}

}  // namespace

int status(const Globals& globals, const std::string& pool) {
  std::vector<std::string> pools = {pool};
  if (pool.empty()) pools = known_pools();
  if (pools.empty()) {
    return fail(
        globals,
        Error(ErrorCode::kNotFound, 0, "no pool on this host; to make one: stavefs create POOL DIR..."),
        kNoSuchPool);
  }
  int worst = kOk;
  json all = json::array();
  for (const std::string& name : pools) {
    auto report = status_of(name);
    if (!report) {
      const int code = is_unknown_pool(report.error()) ? kNoSuchPool : exit_code_of(report.error());
      if (!pool.empty()) return fail(globals, report.error(), code);
      // Among several pools the others are still reported.
      fail(Globals{}, report.error(), code);
      all.push_back({{"pool", name}, {"error", error_json(report.error(), code)}});
      worst = std::max(worst, code);
      continue;
    }
    const int code = (*report)["exit_code"].get<int>();
    if (worst == kOk || code == kDamaged) worst = code == kOk ? worst : code;
    if (!globals.json) print_status(*report);
    all.push_back(std::move(*report));
  }
  if (globals.json) {
    print_json(pool.empty() ? json{{"output_version", kOutputVersion}, {"pools", std::move(all)}}
                            : all.front());
  }
  return worst;
}

int disk_list(const Globals& globals, const std::string& pool) {
  auto report = status_of(pool);
  if (!report) {
    return fail(globals, report.error(),
                is_unknown_pool(report.error()) ? kNoSuchPool : exit_code_of(report.error()));
  }
  if (globals.json) {
    print_json({{"output_version", kOutputVersion}, {"pool", pool}, {"disks", (*report)["disks"]}});
  } else {
    print_disks((*report)["disks"]);
  }
  return kOk;
}

int bucket_create(const Globals& globals, const std::string& pool, const std::string& bucket,
                  const std::vector<std::string>& properties) {
  json body = {{"name", bucket}};
  for (const std::string& property : properties) {
    const size_t equals = property.find('=');
    if (equals == std::string::npos || equals == 0) {
      return fail(
          globals,
          Error(ErrorCode::kInvalid, EINVAL, "\"" + property + "\" is not of the form PROPERTY=VALUE"),
          kUsage);
    }
    body[property.substr(0, equals)] = property.substr(equals + 1);
  }
  auto made = ask_mounted(pool, "POST", "/v1/buckets", body);
  if (!made) {
    const int code = is_unknown_pool(made.error()) ? kNoSuchPool : exit_code_of(made.error());
    return fail(globals, std::move(made.error()).with_context("bucket " + bucket), code);
  }
  if (globals.json) {
    print_json(*made);
  } else {
    std::printf("bucket %s made, class %s, checksum %s\n", bucket.c_str(),
                (*made)["class"].get<std::string>().c_str(), (*made)["checksum"].get<std::string>().c_str());
  }
  return kOk;
}

int bucket_list(const Globals& globals, const std::string& pool) {
  auto answer = ask_mounted(pool, "GET", "/v1/buckets");
  if (!answer) {
    return fail(globals, answer.error(),
                is_unknown_pool(answer.error()) ? kNoSuchPool : exit_code_of(answer.error()));
  }
  if (globals.json) {
    print_json(*answer);
    return kOk;
  }
  std::vector<std::vector<std::string>> rows = {{"BUCKET", "CLASS", "CHECKSUM", "FILES", "BYTES", "CREATED"}};
  for (const json& bucket : (*answer)["buckets"]) {
    rows.push_back({bucket["name"], bucket["class"], bucket["checksum"],
                    std::to_string(bucket["files"].get<int64_t>()),
                    format_bytes(static_cast<uint64_t>(std::max<int64_t>(bucket["bytes"].get<int64_t>(), 0))),
                    bucket["created"].get<std::string>().substr(0, 19) + "Z"});
  }
  print_table(rows);
  return kOk;
}

int bucket_delete(const Globals& globals, const std::string& pool, const std::string& bucket) {
  auto gone = ask_mounted(pool, "DELETE", "/v1/buckets/" + httplib::detail::encode_query_param(bucket));
  if (!gone) {
    const int code = is_unknown_pool(gone.error()) ? kNoSuchPool : exit_code_of(gone.error());
    return fail(globals, std::move(gone.error()).with_context("bucket " + bucket), code);
  }
  if (globals.json) {
    print_json(*gone);
  } else {
    std::printf("bucket %s deleted\n", bucket.c_str());
  }
  return kOk;
}

int info(const Globals& globals, const std::string& path) {
  auto found = find_mount(path);
  if (!found) return fail(globals, found.error(), exit_code_of(found.error()) == kUsage ? kUsage : kFailed);
  if (served_mount_point(found->mount.pool) != found->mount.directory) {
    return fail(globals,
                Error(ErrorCode::kNotFound, 0,
                      "the daemon of the mount " + found->mount.directory + " does not answer here"),
                kFailed);
  }
  auto answer = ask_mounted(found->mount.pool, "GET",
                            "/v1/info?path=" + httplib::detail::encode_query_param(found->relative));
  if (!answer) return fail(globals, std::move(answer.error()).with_context(path), kFailed);
  if (globals.json) {
    (*answer)["path"] = path;
    print_json(*answer);
    return kOk;
  }
  const json& file = *answer;
  std::printf("%s\n", path.c_str());
  std::printf("  size %s, inode %llu, %u links, modified %s\n", bytes_text(file["size"]).c_str(),
              static_cast<unsigned long long>(file["inode"].get<uint64_t>()), file["links"].get<unsigned>(),
              file["modified"].get<std::string>().c_str());
  if (!file["bucket"].is_null()) {
    std::printf("  bucket %s, class %s, checksum %s, health %s\n", file["bucket"].get<std::string>().c_str(),
                file["class"].get<std::string>().c_str(), file["checksum"].get<std::string>().c_str(),
                file["health"].get<std::string>().c_str());
  }
  if (file["inline_bytes"].get<uint64_t>() > 0)
    std::printf("  %s inside the inode\n", bytes_text(file["inline_bytes"]).c_str());
  if (file["dirty_bytes"].get<uint64_t>() > 0)
    std::printf("  %s in memory, not yet in stripes\n", bytes_text(file["dirty_bytes"]).c_str());
  std::vector<std::vector<std::string>> rows = {{"OFFSET", "BYTES", "GROUP", "ROW", "UNIT", "IN STRIPE"}};
  for (const json& extent : file["extents"]) {
    rows.push_back({std::to_string(extent["file_offset"].get<uint64_t>()),
                    std::to_string(extent["bytes"].get<uint64_t>()),
                    std::to_string(extent["group"].get<uint64_t>()),
                    std::to_string(extent["row"].get<uint64_t>()), bytes_text(extent["unit_bytes"]),
                    std::to_string(extent["stripe_offset"].get<uint64_t>())});
  }
  if (rows.size() > 1) print_table(rows);
  for (const json& group : file["groups"]) {
    std::printf("  group %llu, class %s, %s:\n",
                static_cast<unsigned long long>(group["group"].get<uint64_t>()),
                group["class"].get<std::string>().c_str(), group["state"].get<std::string>().c_str());
    std::vector<std::vector<std::string>> shards = {{"SHARD", "DISK", "SEGMENT", "HEALTH"}};
    for (const json& shard : group["shards"]) {
      const bool placed = !shard["disk"].is_null();
      shards.push_back({std::to_string(shard["shard"].get<int>()),
                        placed ? shard["disk"].get<std::string>() : "-",
                        placed ? std::to_string(shard["segment"].get<uint32_t>()) : "-", shard["health"]});
    }
    print_table(shards);
  }
  return kOk;
}

}  // namespace stavefs::cli
