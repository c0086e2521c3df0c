// Making a pool: every check first, then rings, then superblocks, so that a crash in between leaves
// directories without a valid superblock rather than half a pool.

#include <dirent.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include <algorithm>
#include <map>
#include <set>

#include "disk/posix_disk.h"
#include "disk/uring_engine.h"
#include "engine/engine.h"
#include "store/space.h"

namespace stavefs {
namespace {

constexpr uint64_t kMinDiskBytes = uint64_t{96} << 20;
constexpr size_t kMaxPoolName = 63;
/// Index files grow on the metadata members beside the segments.
constexpr uint64_t kIndexShare = 20;

struct Target {
  std::string path;
  dev_t device = 0;
  ino_t inode = 0;
  uint64_t free_bytes = 0;
  std::unique_ptr<Disk> disk;
};

Error invalid(std::string message) {
  return Error(ErrorCode::kInvalid, EINVAL, std::move(message) + "; nothing was changed");
}

Status check_name(const std::string& name) {
  const auto letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); };
  const bool good =
      !name.empty() && name.size() <= kMaxPoolName && letter(name[0]) &&
      std::all_of(name.begin(), name.end(), [&](char c) { return letter(c) || c == '-' || c == '_'; });
  return good
             ? ok()
             : Status(invalid("\"" + name + "\" cannot be a pool's name: use a-z, 0-9, - and _, at most " +
                              std::to_string(kMaxPoolName) + " characters, starting with a letter or digit"));
}

Status check_empty(const std::string& path) {
  DIR* dir = opendir(path.c_str());
  if (dir == nullptr) return errno_error(errno, "open " + path);
  std::string found;
  while (const dirent* entry = readdir(dir)) {
    const std::string name = entry->d_name;
    if (name != "." && name != ".." && name != "lost+found") found = name;
  }
  closedir(dir);
  if (found.empty()) return ok();
  return Error(
      ErrorCode::kExists, EEXIST,
      path + " is not empty (it contains \"" + found + "\"): give an empty directory; nothing was changed");
}

Result<Target> examine(const std::string& path, bool demo, IoEngine& io) {
  struct stat st {};
  if (stat(path.c_str(), &st) != 0) {
    const int error = errno;
    return Error(error == ENOENT ? ErrorCode::kNotFound : ErrorCode::kIo, error,
                 path + " cannot be used as a disk; nothing was changed");
  }
  if (!S_ISDIR(st.st_mode))
    return invalid(path + " is not a directory: a disk is given as the directory where it is mounted");
  Target target;
  target.path = path;
  target.device = st.st_dev;
  target.inode = st.st_ino;
  struct stat parent {};
  if (!demo && stat((path + "/..").c_str(), &parent) == 0 && parent.st_dev == st.st_dev) {
    return invalid(
        path +
        " is not a mounted filesystem of its own: mount a disk there, or give --demo to try stavefs on "
        "ordinary directories");
  }
  ASSIGN_OR_RETURN(target.disk, open_posix_disk(path));
  auto probe = probe_disk(*target.disk, io);
  if (!probe) {
    return Error(ErrorCode::kExists, EEXIST,
                 path + " holds a damaged or unknown stavefs superblock (" + probe.error().to_text() +
                     "): it may be a disk of a pool; nothing was changed");
  }
  if (probe->has_superblock) {
    return Error(ErrorCode::kExists, EEXIST,
                 path + " is disk " + probe->member.name + " of pool \"" + probe->config.name + "\" (" +
                     probe->config.id.to_text() + "); nothing was changed");
  }
  TRY(check_empty(path));
  struct statvfs vfs {};
  if (statvfs(path.c_str(), &vfs) != 0) return errno_error(errno, "statvfs " + path);
  target.free_bytes = static_cast<uint64_t>(vfs.f_bavail) * vfs.f_frsize;
  return target;
}

Status check_devices(const std::vector<Target>& targets, bool demo) {
  std::map<dev_t, std::string> devices;
  std::set<std::pair<dev_t, ino_t>> directories;
  for (const Target& target : targets) {
    if (!directories.insert({target.device, target.inode}).second) {
      return invalid(target.path + " is given twice");
    }
    const auto [other, fresh] = devices.emplace(target.device, target.path);
    if (!fresh && !demo) {
      return invalid(
          target.path + " is on the same device as " + other->second +
          ": both would fail together. Give directories on different disks, or --demo to try stavefs");
    }
  }
  return ok();
}

/// What df will show as the size (store/space.h).
uint64_t usable_bytes(const PoolConfig& config, const std::vector<uint64_t>& disk_bytes) {
  const size_t sets = (disk_bytes.size() + kMaxSetDisks - 1) / kMaxSetDisks;
  std::vector<DiskRoom> rooms;
  for (size_t i = 0; i < disk_bytes.size(); ++i) {
    rooms.push_back({static_cast<uint16_t>(i * sets / disk_bytes.size()),
                     static_cast<uint32_t>(disk_bytes[i] / config.segment_bytes)});
  }
  const uint64_t groups = groups_possible(config.geometry, rooms);
  return (groups - groups_held_back(groups)) * group_data_bytes(config.geometry, config.segment_bytes);
}

}  // namespace

Status format_pool(const PoolConfig& config, std::span<const Pool::NewDisk> disks, IoEngine& engine,
                   Rng& rng) {
  for (size_t i = 0; i < config.metadata_copies && i < disks.size(); ++i) {
    TRY(Journal::format(*disks[i].disk, engine, config.ring_bytes));
  }
  return Pool::format(config, disks, engine, rng);
}

Result<CreateReport> create_pool(const CreateOptions& options) {
  TRY(check_name(options.name));
  if (!options.geometry.valid()) {
    return invalid("class " + options.geometry.to_text() +
                   " is impossible: at least 1 data and 1 parity shard, at most 64 together");
  }
  if (options.directories.size() < static_cast<size_t>(options.geometry.total())) {
    return invalid("class " + options.geometry.to_text() + " needs " +
                   std::to_string(options.geometry.total()) + " disks, " +
                   std::to_string(options.directories.size()) + " given");
  }
  ASSIGN_OR_RETURN(std::unique_ptr<IoEngine> io, make_uring_engine({}));
  std::vector<Target> targets;
  for (const std::string& path : options.directories) {
    ASSIGN_OR_RETURN(Target target, examine(path, options.demo, *io));
    targets.push_back(std::move(target));
  }
  TRY(check_devices(targets, options.demo));

  std::map<dev_t, uint64_t> sharers;
  for (const Target& target : targets) ++sharers[target.device];
  std::vector<uint64_t> disk_bytes;
  CreateReport report;
  for (const Target& target : targets) {
    const uint64_t share = target.free_bytes / sharers[target.device];
    if (share < kMinDiskBytes) {
      return Error(ErrorCode::kNoSpace, ENOSPC,
                   target.path + " has " + std::to_string(share >> 20) + " MiB free for the pool; at least " +
                       std::to_string(kMinDiskBytes >> 20) + " MiB are needed; nothing was changed");
    }
    disk_bytes.push_back(share);
    report.raw_bytes += share;
    report.directories.push_back(target.path);
  }
  Rng rng = Rng::from_entropy();
  PoolConfig& config = report.config;
  config.id = Uuid::random(rng);
  config.name = options.name;
  config.geometry = options.geometry;
  config.checksum = options.checksum;
  const uint64_t smallest = *std::min_element(disk_bytes.begin(), disk_bytes.end());
  config.ring_bytes = std::clamp<uint64_t>(round_down(smallest / 32, uint64_t{1} << 20), uint64_t{4} << 20,
                                           uint64_t{128} << 20);
  config.segment_bytes = choose_segment_bytes(disk_bytes);
  config.metadata_copies = static_cast<uint8_t>(options.geometry.parity + 1);
  config.created_ns = SystemClock().realtime_ns();
  for (uint64_t& bytes : disk_bytes) bytes -= config.ring_bytes + bytes / kIndexShare;
  report.usable_bytes = usable_bytes(config, disk_bytes);
  if (options.dry_run) return report;

  std::vector<Pool::NewDisk> disks;
  for (size_t i = 0; i < targets.size(); ++i)
    disks.push_back({targets[i].disk.get(), targets[i].path, disk_bytes[i]});
  TRY(format_pool(config, disks, *io, rng));
  return report;
}

}  // namespace stavefs
