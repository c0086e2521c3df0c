// Goal: whatever was synced survives a power cut at any disk write, and nothing is ever half there.
// Method: run a seeded workload over simulated disks; cut the power at every (or every n-th) step that
// reaches a disk; for each cut resolve the unflushed writes in several ways (all dropped, all kept, dropped,
// reordered and torn at random, a prefix, a single one), on some with up to m disks gone as well; reopen,
// compare with the model, write more, reopen again.
//
// Usage: crash_test [--states N] [--seed S] [--operations N].  Seeds are printed; a failure prints what
// reproduces it.

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include "base/log.h"
#include "disk/sim/sim_disk.h"
#include "engine/engine.h"
#include "tests/crash/model.h"
#include "tests/crash/workload.h"

namespace stavefs::crash {
namespace {

struct Shape {
  Geometry geometry;
  int disks;
};
constexpr Shape kShapes[] = {{{4, 2}, 6}, {{2, 1}, 3}, {{1, 1}, 3}, {{4, 2}, 7}};
constexpr uint64_t kDiskBytes = uint64_t{192} << 20;

class Machine {
 public:
  Machine(std::unique_ptr<sim::SimWorld> world, uint64_t seed) : world_(std::move(world)), rng_(seed) {}

  sim::SimWorld& world() { return *world_; }
  Engine& engine() { return *engine_; }
  Witness& witness() { return *witness_; }

  Status format(const Shape& shape) {
    PoolConfig config;
    config.id = Uuid::random(rng_);
    config.name = "sim";
    config.geometry = shape.geometry;
    config.segment_bytes = 4u << 20;
    config.ring_bytes = 4u << 20;
    config.metadata_copies = static_cast<uint8_t>(shape.geometry.parity + 1);
    std::vector<Pool::NewDisk> disks;
    for (int i = 0; i < world_->disk_count(); ++i) {
      disks.push_back({&world_->disk(i), "sim" + std::to_string(i), kDiskBytes - (uint64_t{32} << 20)});
    }
    return format_pool(config, disks, world_->engine(), rng_);
  }

  Status start(uint64_t gone_mask = 0) {
    Engine::Environment environment;
    for (int i = 0; i < world_->disk_count(); ++i) {
      if ((gone_mask >> i & 1) != 0) continue;
      environment.disks.push_back({std::make_unique<Borrowed>(world_->disk(i)), "sim" + std::to_string(i)});
    }
    environment.io = &world_->engine();
    environment.witness = witness_.get();
    environment.clock = &clock_;
    environment.rng = &rng_;
    environment.background = false;
    environment.memory.total_bytes = uint64_t{64} << 20;
    environment.data.threads = 0;
    environment.data.max_dirty_bytes = 2u << 20;
    environment.data.flush_above_bytes = 1u << 20;
    environment.data.max_capture_bytes = 4u << 20;
    auto engine = Engine::open(std::move(environment));
    if (!engine) return std::move(engine.error());
    engine_ = std::move(*engine);
    return ok();
  }

  void stop() { engine_.reset(); }

  /// This machine after a power cut: its disks resolved by `mode`, the host's witness as it was.
  std::unique_ptr<Machine> after_crash(uint64_t seed, sim::CrashMode mode) {
    auto other = std::make_unique<Machine>(world_->fork(seed, mode), seed ^ 0x5bd1e995);
    const auto value = witness_->load();
    if (value && *value) (void)other->witness_->store(**value);
    return other;
  }

 private:
  /// A Disk of the world seen as one that the pool may own.
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

  std::unique_ptr<sim::SimWorld> world_;
  Rng rng_;
  SystemClock clock_;
  std::unique_ptr<Witness> witness_ = make_memory_witness();
  std::unique_ptr<Engine> engine_;
};

struct Totals {
  uint64_t states = 0;
  uint64_t cuts = 0;
  uint64_t with_lost_disks = 0;
  uint64_t operations = 0;
};

const char* name_of(sim::CrashMode mode) {
  switch (mode) {
    case sim::CrashMode::kDropAll: return "drop-all";
    case sim::CrashMode::kKeepAll: return "keep-all";
    case sim::CrashMode::kRandom: return "random";
    case sim::CrashMode::kPrefix: return "prefix";
    case sim::CrashMode::kSingle: return "single";
  }
  return "?";
}

constexpr sim::CrashMode kModes[] = {sim::CrashMode::kDropAll, sim::CrashMode::kRandom,
                                     sim::CrashMode::kPrefix,  sim::CrashMode::kSingle,
                                     sim::CrashMode::kKeepAll, sim::CrashMode::kRandom};

/// Writes through a recovered machine, and sees it again after a clean stop.
std::optional<std::string> still_serves(Machine& machine, Model& model) {
  FileSystem& fs = machine.engine().fs();
  if (auto problem = model.check(fs)) return problem;
  std::string error;
  const auto bucket = fs.lookup(kRootInode, "b");
  if (!bucket) return std::nullopt;  // crashed before the bucket was durable
  const auto made = fs.mknod(bucket->id, "after", 0100600, 0, {});
  if (!made) return "create after recovery: " + made.error().to_text();
  const std::string text(20000, 'x');
  const auto written =
      fs.write(made->id, 0, {reinterpret_cast<const uint8_t*>(text.data()), text.size()}, false, false);
  if (!written) return "write after recovery: " + written.error().to_text();
  if (const Status synced = fs.fsync(made->id, false); !synced)
    return "fsync after recovery: " + synced.error().to_text();
  if (const Status removed = fs.unlink(bucket->id, "after"); !removed)
    return "unlink after recovery: " + removed.error().to_text();
  if (const Status closed = machine.engine().close(); !closed)
    return "close after recovery: " + closed.error().to_text();
  return std::nullopt;
}

bool check_state(Machine& crashed, Model& model, uint64_t seed, sim::CrashMode mode, const Shape& shape,
                 bool lose_disks, const std::string& where) {
  const auto machine = crashed.after_crash(seed, mode);
  Rng rng(seed);
  uint64_t gone = 0;
  if (lose_disks) {
    for (int i = 0; i < shape.geometry.parity; ++i)
      gone |= uint64_t{1} << rng.below(static_cast<uint64_t>(shape.disks));
  }
  std::string problem;
  if (const Status started = machine->start(gone); !started) {
    problem = "the pool does not open: " + started.error().to_text();
  } else if (auto found = still_serves(*machine, model)) {
    problem = *found;
  }
  machine->stop();
  if (problem.empty()) return true;
  std::fprintf(stderr, "FAILED %s mode %s state-seed %llu lost-disks %#llx: %s\n", where.c_str(),
               name_of(mode), static_cast<unsigned long long>(seed), static_cast<unsigned long long>(gone),
               problem.c_str());
  return false;
}

/// One run of the workload that is cut at step `cut` after the pool was opened (0: not at all).  The steps it
/// took, or -1 on failure.
int64_t run_once(uint64_t seed, const Shape& shape, int operations, uint64_t cut, Totals& totals,
                 bool& failed) {
  Machine machine(std::make_unique<sim::SimWorld>(seed, shape.disks, kDiskBytes), seed);
  const std::string where = "seed " + std::to_string(seed) + " class " + shape.geometry.to_text() +
                            " disks " + std::to_string(shape.disks) + " cut " + std::to_string(cut);
  if (const Status formatted = machine.format(shape); !formatted) {
    std::fprintf(stderr, "FAILED %s: format: %s\n", where.c_str(), formatted.error().to_text().c_str());
    failed = true;
    return -1;
  }
  if (const Status started = machine.start(); !started) {
    std::fprintf(stderr, "FAILED %s: start: %s\n", where.c_str(), started.error().to_text().c_str());
    failed = true;
    return -1;
  }
  const uint64_t first = machine.world().step_count();
  if (cut > 0) machine.world().crash_at(first + cut);
  Model model;
  Workload workload(seed, machine.engine(), model);
  const int done = workload.run(operations);
  totals.operations += static_cast<uint64_t>(done);
  const uint64_t steps = machine.world().step_count() - first;
  if (cut == 0 && done != operations) {
    std::fprintf(stderr, "FAILED %s: operation %d failed on healthy disks\n", where.c_str(), done);
    failed = true;
  }
  if (cut == 0 && !failed) {
    if (auto problem = model.check(machine.engine().fs())) {
      std::fprintf(stderr, "FAILED %s: without a crash: %s\n", where.c_str(), problem->c_str());
      failed = true;
    }
  }
  machine.stop();
  if (cut > 0) {
    ++totals.cuts;
    for (size_t i = 0; i < std::size(kModes); ++i) {
      const bool lose = (cut + i) % 3 == 0;
      ++totals.states;
      if (lose) ++totals.with_lost_disks;
      if (!check_state(machine, model, seed * 1'000'003 + cut * 31 + i, kModes[i], shape, lose, where))
        failed = true;
    }
  }
  return static_cast<int64_t>(steps);
}

int run_all(uint64_t states_wanted, uint64_t seed, int operations, uint64_t only_cut) {
  Totals totals;
  bool failed = false;
  for (uint64_t round = 0; totals.states < states_wanted && !failed; ++round) {
    const Shape& shape = kShapes[round % std::size(kShapes)];
    const uint64_t round_seed = seed + round;
    if (only_cut != 0) {
      run_once(round_seed, shape, operations, only_cut, totals, failed);
      break;
    }
    const int64_t steps = run_once(round_seed, shape, operations, 0, totals, failed);
    if (steps <= 0) break;
    const uint64_t share = std::max<uint64_t>(states_wanted / 4 / std::size(kModes), 1);
    const uint64_t stride = std::max<uint64_t>(static_cast<uint64_t>(steps) / share, 1);
    for (uint64_t cut = 1 + round_seed % stride; cut <= static_cast<uint64_t>(steps) && !failed;
         cut += stride) {
      run_once(round_seed, shape, operations, cut, totals, failed);
    }
    std::printf("seed %llu class %s on %d disks: %lld disk steps, every %llu. cut; %llu states so far\n",
                static_cast<unsigned long long>(round_seed), shape.geometry.to_text().c_str(), shape.disks,
                static_cast<long long>(steps), static_cast<unsigned long long>(stride),
                static_cast<unsigned long long>(totals.states));
    std::fflush(stdout);
  }
  std::printf("%llu crash states from %llu power cuts, %llu of them with lost disks, %llu operations: %s\n",
              static_cast<unsigned long long>(totals.states), static_cast<unsigned long long>(totals.cuts),
              static_cast<unsigned long long>(totals.with_lost_disks),
              static_cast<unsigned long long>(totals.operations), failed ? "FAILED" : "nothing lost");
  return failed || (only_cut == 0 && totals.states < states_wanted) ? 1 : 0;
}

}  // namespace
}  // namespace stavefs::crash

int main(int argc, char** argv) {
  uint64_t states = 2000;
  uint64_t seed = 1;
  uint64_t cut = 0;
  int operations = 60;
  for (int i = 1; i + 1 < argc; i += 2) {
    if (std::strcmp(argv[i], "--states") == 0) states = std::strtoull(argv[i + 1], nullptr, 10);
    if (std::strcmp(argv[i], "--seed") == 0) seed = std::strtoull(argv[i + 1], nullptr, 10);
    if (std::strcmp(argv[i], "--cut") == 0) cut = std::strtoull(argv[i + 1], nullptr, 10);
    if (std::strcmp(argv[i], "--operations") == 0) operations = std::atoi(argv[i + 1]);
  }
  stavefs::set_log_level(stavefs::LogLevel::kError);
  return stavefs::crash::run_all(states, seed, operations, cut);
}
