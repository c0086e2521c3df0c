#include "fs_world.h"

#include <algorithm>

#include "index/keys.h"
#include "journal/journal.h"

namespace stavefs::test {
namespace {

constexpr int kDisks = 3;
constexpr uint64_t kDiskBytes = uint64_t{512} << 20;
constexpr uint64_t kRingBytes = uint64_t{8} << 20;

/// A disk that somebody else owns.
class BorrowedDisk final : public Disk {
 public:
  explicit BorrowedDisk(Disk& disk) : disk_(disk) {}
  Result<std::unique_ptr<DiskFile>> open(std::string_view name, const OpenOptions& options) override {
    return disk_.open(name, options);
  }
  Status remove(std::string_view name) override { return disk_.remove(name); }
  Status rename(std::string_view from, std::string_view to) override { return disk_.rename(from, to); }
  Result<std::vector<std::string>> list(std::string_view directory) override { return disk_.list(directory); }
  Status sync_names(std::string_view directory) override { return disk_.sync_names(directory); }
  Result<DiskSpace> space() override { return disk_.space(); }
  std::string describe() const override { return disk_.describe(); }
  Status probe() override { return disk_.probe(); }

 private:
  Disk& disk_;
};

template <class T>
std::string text_of(const Result<T>& result) {
  return result ? "ok" : result.error().to_text();
}

}  // namespace

FileSystem::Options FsWorld::small_options() {
  FileSystem::Options options;
  options.data.threads = 0;
  options.default_policy.geometry = Geometry{2, 1};
  return options;
}

FsWorld::FsWorld(uint64_t seed, FileSystem::Options options)
    : options_(options),
      world_(std::make_unique<sim::SimWorld>(seed, kDisks, kDiskBytes)),
      witness_(make_memory_witness()),
      rng_(seed) {
  PoolConfig config;
  config.id = Uuid::random(rng_);
  config.name = "tank";
  config.geometry = Geometry{2, 1};
  config.segment_bytes = 4u << 20;
  config.ring_bytes = kRingBytes;
  config.metadata_copies = 2;
  std::vector<Pool::NewDisk> disks;
  for (int i = 0; i < kDisks; ++i) disks.push_back({&world_->disk(i), "sim", kDiskBytes});
  auto formatted = Pool::format(config, disks, world_->engine(), rng_);
  if (!formatted) throw std::runtime_error(text_of(formatted));
  for (int i = 0; i < config.metadata_copies; ++i) {
    formatted = Journal::format(world_->disk(i), world_->engine(), kRingBytes);
    if (!formatted) throw std::runtime_error(text_of(formatted));
  }
  mount();
}

FsWorld::~FsWorld() { stop(false); }

Status FsWorld::try_mount() {
  std::vector<Pool::Attached> attached;
  for (int i = 0; i < kDisks; ++i)
    attached.push_back({std::make_unique<BorrowedDisk>(world_->disk(i)), "sim"});
  Pool::OpenOptions pool_options;
  pool_options.read_only = options_.read_only;
  ASSIGN_OR_RETURN(pool_, Pool::open(std::move(attached), world_->engine(), *witness_, rng_, pool_options));
  Ledger::Options ledger_options;
  ledger_options.read_only = options_.read_only;
  ledger_options.index_cache_bytes = 8u << 20;
  ledger_options.memtable_bytes = 4u << 20;
  ASSIGN_OR_RETURN(ledger_, Ledger::open(*pool_, ledger_options));
  store_ = std::make_unique<MemoryStore>(media_);
  ASSIGN_OR_RETURN(fs_, FileSystem::open(*ledger_, *store_, buffers_, clock_, options_));
  return ok();
}

void FsWorld::mount() {
  const Status mounted = try_mount();
  if (!mounted && !world_->crashed()) throw std::runtime_error("mount: " + text_of(mounted));
}

void FsWorld::stop(bool clean) {
  Status closed;
  if (fs_ != nullptr && clean) closed = fs_->close();
  if (fs_ != nullptr) fs_->abandon();
  fs_.reset();
  store_.reset();
  if (ledger_ != nullptr && clean && closed && !options_.read_only) closed = ledger_->close();
  EXPECT_TRUE(closed || world_->crashed()) << text_of(closed);
  ledger_.reset();
  pool_.reset();
}

void FsWorld::unmount() { stop(true); }

void FsWorld::crash(sim::CrashMode mode) {
  // From the next step on nothing reaches the disks: what the dying objects still try is lost, too.
  if (!world_->crashed()) world_->crash_at(world_->step_count() + 1);
  stop(false);
  world_->restart(mode);
  mount();
}

Result<FsWorld::Place> FsWorld::place(std::string_view path) {
  const size_t slash = path.rfind('/');
  if (slash == path.npos) return Place{kRootInode, std::string(path)};
  ASSIGN_OR_RETURN(const InodeId parent, fs_->resolve(path.substr(0, slash)));
  return Place{parent, std::string(path.substr(slash + 1))};
}

InodeId FsWorld::at(std::string_view path) {
  const auto found = fs_->resolve(path);
  EXPECT_TRUE(found) << path << ": " << text_of(found);
  return found ? *found : InodeId(0);
}

Result<Attributes> FsWorld::stat(std::string_view path) {
  ASSIGN_OR_RETURN(const InodeId inode, fs_->resolve(path));
  return fs_->getattr(inode);
}

int FsWorld::mkdir(std::string_view path, uint32_t mode) {
  const auto where = place(path);
  return where ? error_of(fs_->mkdir(where->parent, where->name, mode, caller)) : error_of(where);
}

int FsWorld::create(std::string_view path, uint32_t mode) {
  const auto where = place(path);
  if (!where) return error_of(where);
  const auto made = fs_->create(where->parent, where->name, mode, caller);
  if (made) fs_->release_file(made->id);
  return error_of(made);
}

int FsWorld::symlink(std::string_view path, std::string_view target) {
  const auto where = place(path);
  return where ? error_of(fs_->symlink(where->parent, where->name, target, caller)) : error_of(where);
}

int FsWorld::link(std::string_view from, std::string_view to) {
  const auto inode = fs_->resolve(from);
  const auto where = place(to);
  if (!inode || !where) return inode ? error_of(where) : error_of(inode);
  return error_of(fs_->link(*inode, where->parent, where->name));
}

int FsWorld::unlink(std::string_view path) {
  const auto where = place(path);
  return where ? error_of(fs_->unlink(where->parent, where->name)) : error_of(where);
}

int FsWorld::rmdir(std::string_view path) {
  const auto where = place(path);
  return where ? error_of(fs_->rmdir(where->parent, where->name)) : error_of(where);
}

int FsWorld::rename(std::string_view from, std::string_view to, uint32_t flags) {
  const auto source = place(from);
  const auto target = place(to);
  if (!source || !target) return source ? error_of(target) : error_of(source);
  return error_of(fs_->rename(source->parent, source->name, target->parent, target->name, flags));
}

int FsWorld::write(std::string_view path, std::string_view bytes, uint64_t offset) {
  const auto inode = fs_->resolve(path);
  if (!inode) return error_of(inode);
  const auto written = fs_->write(
      *inode, offset, {reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()}, false, false);
  if (written && *written != bytes.size()) ADD_FAILURE() << "short write";
  return error_of(written);
}

std::string FsWorld::read(std::string_view path) {
  const auto attributes = stat(path);
  if (!attributes) return "error: " + text_of(attributes);
  std::string bytes(attributes->size, '\0');
  const auto n =
      fs_->read(attributes->id, 0, {reinterpret_cast<uint8_t*>(bytes.data()), bytes.size()}, false);
  if (!n) return "error: " + text_of(n);
  bytes.resize(*n);
  return bytes;
}

std::vector<std::string> FsWorld::list(std::string_view path) {
  std::vector<std::string> names;
  const Status listed = fs_->readdir(at(path), 0, [&](const DirectoryEntry& entry) {
    names.emplace_back(entry.name);
    return true;
  });
  EXPECT_TRUE(listed) << path << ": " << text_of(listed);
  return names;
}

}  // namespace stavefs::test
