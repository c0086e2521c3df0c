// An engine on simulated disks, as tests of the floors above want it: made, started, stopped, started again
// with some disks away.

#pragma once

#include <memory>
#include <string>
#include <utility>

#include "disk/sim/sim_disk.h"
#include "engine/engine.h"

namespace stavefs::testing_support {

class SimEngine {
 public:
  static constexpr uint64_t kDiskBytes = uint64_t{192} << 20;

  explicit SimEngine(uint64_t seed, Geometry geometry = {2, 1}, int disks = 4)
      : geometry_(geometry), world_(seed, disks, kDiskBytes), rng_(seed) {}

  sim::SimWorld& world() { return world_; }
  Engine& engine() { return *engine_; }

  Status format() {
    PoolConfig config;
    config.id = Uuid::random(rng_);
    config.name = "sim";
    config.geometry = geometry_;
    config.segment_bytes = 4u << 20;
    config.ring_bytes = 4u << 20;
    config.metadata_copies = static_cast<uint8_t>(geometry_.parity + 1);
    std::vector<Pool::NewDisk> disks;
    for (int i = 0; i < world_.disk_count(); ++i)
      disks.push_back({&world_.disk(i), path(i), kDiskBytes - (uint64_t{32} << 20)});
    return format_pool(config, disks, world_.engine(), rng_);
  }
  /// Opens the pool with the disks that `gone_mask` does not name.
  Status start(unsigned gone_mask = 0) {
    Engine::Environment environment;
    for (int i = 0; i < world_.disk_count(); ++i) {
      if ((gone_mask >> i & 1) == 0)
        environment.disks.push_back({std::make_unique<Borrowed>(world_.disk(i)), path(i)});
    }
    environment.io = &world_.engine();
    environment.witness = witness_.get();
    environment.clock = &clock_;
    environment.rng = &rng_;
    environment.background = false;
    environment.memory.total_bytes = uint64_t{64} << 20;
    auto opened = Engine::open(std::move(environment));
    if (!opened) return std::move(opened.error());
    engine_ = std::move(*opened);
    return ok();
  }
  /// Without close(): as if the process had been killed.
  void kill() { engine_.reset(); }
  Status stop() {
    Status closed = engine_->close();
    engine_.reset();
    return closed;
  }

 private:
  /// A disk of the world, owned by nobody.
  class Borrowed final : public Disk {
   public:
    explicit Borrowed(Disk& inner) : inner_(inner) {}
    Result<std::unique_ptr<DiskFile>> open(std::string_view name, const OpenOptions& options) override {
      return inner_.open(name, options);
    }
    Status remove(std::string_view name) override { return inner_.remove(name); }
    Status rename(std::string_view from, std::string_view to) override { return inner_.rename(from, to); }
    Result<std::vector<std::string>> list(std::string_view directory) override {
      return inner_.list(directory);
    }
    Status sync_names(std::string_view directory) override { return inner_.sync_names(directory); }
    Result<DiskSpace> space() override { return inner_.space(); }
    std::string describe() const override { return inner_.describe(); }
    Status probe() override { return inner_.probe(); }

   private:
    Disk& inner_;
  };
  static std::string path(int disk) { return "sim" + std::to_string(disk); }

  const Geometry geometry_;
  sim::SimWorld world_;
  Rng rng_;
  SystemClock clock_;
  std::unique_ptr<Witness> witness_ = make_memory_witness();
  std::unique_ptr<Engine> engine_;
};

}  // namespace stavefs::testing_support
