// stavefs import: writes this host's file of a pool from what its disks say.

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <map>
#include <sstream>

#include "control/paths.h"
#include "control/report_json.h"
#include "disk/posix_disk.h"
#include "disk/superblock_format.h"
#include "disk/uring_engine.h"
#include "pool/pool.h"
#include "tools/stavefs/cli.h"

namespace stavefs::cli {
namespace {

using nlohmann::json;

struct Found {
  std::string name;
  Uuid id;
  std::vector<Pool::Attached> disks;
};
using FoundPools = std::map<Uuid, Found>;

/// Filesystems of other machines may hang, and none of them is a disk.
bool may_be_a_disk(const std::string& type) {
  static constexpr const char* kPrefixes[] = {"fuse", "nfs",  "cifs",   "smb",   "autofs", "9p",
                                              "ceph", "proc", "sysfs",  "devp",  "cgroup", "bpf",
                                              "afs",  "sunr", "virtio", "mqueue"};
  return std::none_of(std::begin(kPrefixes), std::end(kPrefixes),
                      [&](const char* prefix) { return type.starts_with(prefix); });
}

/// Mount points of this host that hold a superblock file.
std::vector<std::string> likely_disks() {
  std::vector<std::string> directories;
  for (const MountEntry& entry : all_mounts()) {
    if (may_be_a_disk(entry.type) && ::access((entry.directory + "/" + kSuperblockFile).c_str(), F_OK) == 0)
      directories.push_back(entry.directory);
  }
  return directories;
}

Status look_at(const std::string& directory, IoEngine& engine, FoundPools& pools) {
  ASSIGN_OR_RETURN(const std::string real, real_path(directory));
  ASSIGN_OR_RETURN(auto disk, open_posix_disk(real));
  auto probe = probe_disk(*disk, engine);
  if (!probe) return std::move(probe.error()).with_context(real);
  if (!probe->has_superblock) return Error(ErrorCode::kInvalid, EINVAL, real + " is not a disk of a pool");
  if (probe->formatting) {
    return Error(ErrorCode::kInvalid, EINVAL,
                 real + " is of pool \"" + probe->config.name + "\", whose making was interrupted");
  }
  Found& found = pools[probe->config.id];
  found.name = probe->config.name;
  found.id = probe->config.id;
  found.disks.push_back({std::move(disk), real});
  return ok();
}

/// Writes the file of one pool.
Result<json> import_one(Found found, IoEngine& engine) {
  HostConfig config;
  config.name = found.name;
  config.id = found.id;
  for (const Pool::Attached& attached : found.disks) config.disks.push_back(attached.path);
  if (const auto known = load_host_config(config.name); known && known->id != config.id) {
    return Error(
        ErrorCode::kExists, 0,
        "this host already has another pool \"" + config.name + "\" (" + config_path(config.name) + ")");
  } else if (known) {
    config.mount_point = known->mount_point;
    config.memory_bytes = known->memory_bytes;
  }
  // Opened only to look: refuses two disks with one identity, and knows which are not here.
  const auto witness = make_file_witness(witness_path(config.name));
  Rng rng = Rng::from_entropy();
  Pool::OpenOptions options;
  options.read_only = true;
  ASSIGN_OR_RETURN(const auto pool, Pool::open(std::move(found.disks), engine, *witness, rng, options));
  json absent = json::array();
  for (const DiskReport& disk : pool->reports()) {
    if (disk.state == DiskState::kAbsent) absent.push_back(disk.member.name);
  }
  TRY(save_host_config(config));
  return json{{"output_version", kOutputVersion},
              {"pool", config.name},
              {"id", config.id.to_text()},
              {"disks", config.disks},
              {"absent", std::move(absent)}};
}

void print_imported(const json& report) {
  const std::string name = report["pool"];
  std::printf("imported pool %s with %zu disks\n", name.c_str(), report["disks"].size());
  std::string absent;
  for (const json& disk : report["absent"]) absent += (absent.empty() ? "" : ", ") + disk.get<std::string>();
  if (!absent.empty()) {
    std::printf("  not here  %s; import again with all directories when they are\n", absent.c_str());
  }
  std::printf("  next      stavefs mount %s DIR\n", name.c_str());
}

Error unchanged(const Error& error) {
  return Error(error.code(), error.errno_value(), error.message() + "; nothing was changed");
}

}  // namespace

int import_pools(const Globals& globals, const std::vector<std::string>& directories) {
  auto engine = make_uring_engine({});
  if (!engine) return fail(globals, engine.error(), kFailed);
  const bool search = directories.empty();
  FoundPools pools;
  for (const std::string& directory : search ? likely_disks() : directories) {
    if (auto seen = look_at(directory, **engine, pools); !seen) {
      if (!search) return fail(globals, unchanged(seen.error()), kFailed);
      fail(Globals{}, seen.error(), kFailed);  // a warning: it may have nothing to do with us
    }
  }
  if (pools.empty()) {
    return fail(globals,
                Error(ErrorCode::kNotFound, 0,
                      "no mounted filesystem of this host holds a disk of a pool; nothing was changed"),
                kFailed);
  }
  if (!search && pools.size() > 1) {
    const Found& one = pools.begin()->second;
    const Found& other = std::next(pools.begin())->second;
    return fail(globals,
                Error(ErrorCode::kForeign, 0,
                      one.disks.front().path + " belongs to pool \"" + one.name + "\", " +
                          other.disks.front().path + " to pool \"" + other.name + "\"; nothing was changed"),
                kFailed);
  }
  int worst = kOk;
  json all = json::array();
  for (auto& [id, found] : pools) {
    const std::string name = found.name;
    auto report = import_one(std::move(found), **engine);
    if (!report) {
      if (!search) return fail(globals, unchanged(report.error()), kFailed);
      worst = fail(Globals{}, report.error(), kFailed);
      all.push_back({{"pool", name}, {"error", error_json(report.error(), kFailed)}});
      continue;
    }
    if (!globals.json) print_imported(*report);
    all.push_back(std::move(*report));
  }
  if (globals.json)
    print_json(search ? json{{"output_version", kOutputVersion}, {"pools", std::move(all)}} : all.front());
  return worst;
}

}  // namespace stavefs::cli
