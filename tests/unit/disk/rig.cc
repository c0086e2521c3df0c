#include "rig.h"

#include <sys/stat.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>

#include "base/check.h"
#include "base/rng.h"
#include "disk/fault_engine.h"
#include "disk/posix_disk.h"
#include "disk/sim/sim_disk.h"
#include "disk/uring_engine.h"

namespace stavefs::test {

namespace {

constexpr uint64_t kSimDiskBytes = 256 << 20;

class PosixRig final : public Rig {
 public:
  explicit PosixRig(const std::string& parent) : directory_(parent) {
    auto disk = open_posix_disk(directory_.path());
    CHECK(disk);
    disk_ = std::move(*disk);
    // A short queue, so that large batches go in parts.
    auto engine = make_uring_engine({.rings = 4, .queue_entries = 16});
    CHECK(engine);
    engine_ = std::move(*engine);
  }
  Disk& disk() override { return *disk_; }
  IoEngine& engine() override { return *engine_; }

 private:
  ScratchDirectory directory_;
  std::unique_ptr<Disk> disk_;
  std::unique_ptr<IoEngine> engine_;
};

class SimRig final : public Rig {
 public:
  Disk& disk() override { return world_.disk(0); }
  IoEngine& engine() override { return world_.engine(); }

 private:
  sim::SimWorld world_{1, 1, kSimDiskBytes};
};

class FaultRig final : public Rig {
 public:
  explicit FaultRig(std::unique_ptr<Rig> inner) : inner_(std::move(inner)), engine_(inner_->engine(), 1) {}
  Disk& disk() override { return inner_->disk(); }
  IoEngine& engine() override { return engine_; }

 private:
  std::unique_ptr<Rig> inner_;
  FaultEngine engine_;
};

}  // namespace

ScratchDirectory::ScratchDirectory(const std::string& parent) : path_(parent + "/stavefs-test-XXXXXX") {
  CHECK(::mkdtemp(path_.data()) != nullptr);
}

ScratchDirectory::~ScratchDirectory() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

std::string scratch_parent() {
  const char* set = std::getenv("TMPDIR");
  return set != nullptr && *set != '\0' ? set : "/var/tmp";
}

std::vector<Backend> all_backends() {
  std::vector<Backend> backends;
  backends.push_back({"Posix", [] { return std::make_unique<PosixRig>(scratch_parent()); }});
  struct stat st;
  if (::stat("/dev/shm", &st) == 0) {
    backends.push_back({"PosixOnTmpfs", [] { return std::make_unique<PosixRig>("/dev/shm"); }, true});
  }
  backends.push_back({"Sim", [] { return std::make_unique<SimRig>(); }, true});
  backends.push_back({"FaultOverPosix", [] {
                        return std::make_unique<FaultRig>(std::make_unique<PosixRig>(scratch_parent()));
                      }});
  backends.push_back(
      {"FaultOverSim", [] { return std::make_unique<FaultRig>(std::make_unique<SimRig>()); }, true});
  return backends;
}

std::string pattern(uint64_t seed, size_t bytes) {
  Rng rng(seed);
  std::string out(round_up(bytes, 8), '\0');
  for (size_t i = 0; i < out.size(); i += 8) {
    const uint64_t word = rng.next();
    std::memcpy(out.data() + i, &word, sizeof word);
  }
  out.resize(bytes);
  return out;
}

AlignedBuffer aligned_copy(std::string_view bytes) {
  AlignedBuffer buffer(bytes.size() + 1);
  std::memcpy(buffer.data(), bytes.data(), bytes.size());
  return buffer;
}

Status write(IoEngine& engine, DiskFile& file, uint64_t offset, std::string_view bytes, bool durable) {
  AlignedBuffer buffer = aligned_copy(bytes);
  return run_one(engine, {.file = &file,
                          .kind = IoKind::kWrite,
                          .offset = offset,
                          .data = buffer.data(),
                          .bytes = static_cast<uint32_t>(bytes.size()),
                          .durable = durable});
}

Result<std::string> read(IoEngine& engine, DiskFile& file, uint64_t offset, size_t bytes) {
  AlignedBuffer buffer(bytes + 1);
  // What was not read must not look like zeros.
  std::memset(buffer.data(), 0xEE, buffer.size());
  TRY(run_one(engine, {.file = &file,
                       .kind = IoKind::kRead,
                       .offset = offset,
                       .data = buffer.data(),
                       .bytes = static_cast<uint32_t>(bytes)}));
  return std::string(reinterpret_cast<const char*>(buffer.data()), bytes);
}

Status sync(IoEngine& engine, DiskFile& file) {
  return run_one(engine, {.file = &file, .kind = IoKind::kSync});
}

std::unique_ptr<DiskFile> must_open(Disk& disk, std::string_view name, const OpenOptions& options) {
  auto file = disk.open(name, options);
  EXPECT_TRUE(file) << text(file);
  CHECK(file);
  return std::move(*file);
}

}  // namespace stavefs::test
