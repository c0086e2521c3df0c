#include "engine/engine.h"

#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <thread>
#include <utility>

#include "base/log.h"
#include "disk/posix_disk.h"
#include "disk/uring_engine.h"

namespace stavefs {
namespace {

constexpr size_t kMaxEvents = 256;
constexpr auto kUpkeepInterval = std::chrono::seconds(1);
constexpr const char* kLockFile = "lock";
/// The rings of a killed daemon hold its locks until the kernel has ended their last write.
constexpr auto kLockPatience = std::chrono::seconds(5);
constexpr auto kLockRetry = std::chrono::milliseconds(20);

/// Disks that carry a superblock of the pool; what is not one of them is left alone and noted in `skipped`.
Result<std::vector<Pool::Attached>> attach_disks(const Engine::Options& options, IoEngine& io,
                                                 std::vector<std::string>& skipped) {
  std::vector<Pool::Attached> found;
  Uuid pool_id = options.expected_pool;
  std::string pool_name;
  std::string first_path;
  for (const std::string& path : options.disk_paths) {
    auto disk = open_posix_disk(path);
    if (!disk) {
      skipped.push_back(path + ": " + disk.error().to_text());
      continue;
    }
    auto probe = probe_disk(**disk, io);
    if (!probe && probe.error().code() == ErrorCode::kUnsupported) return std::move(probe.error());
    if (!probe || !probe->has_superblock) {
      skipped.push_back(path + ": " + (probe ? "has no superblock (not mounted?)" : probe.error().to_text()));
      continue;
    }
    if (pool_id.is_nil()) {
      pool_id = probe->config.id;
      pool_name = probe->config.name;
      first_path = path;
    } else if (probe->config.id != pool_id) {
      const std::string expected = first_path.empty()
                                       ? "the pool with id " + pool_id.to_text()
                                       : "pool \"" + pool_name + "\" (as " + first_path + " does)";
      return Error(ErrorCode::kForeign, EINVAL,
                   path + " belongs to pool \"" + probe->config.name + "\" with id " +
                       probe->config.id.to_text() + ", not to " + expected + "; nothing was changed");
    } else if (first_path.empty()) {
      pool_name = probe->config.name;
      first_path = path;
    }
    found.push_back({std::move(*disk), path});
  }
  if (found.empty()) {
    std::string message = "no disk of the pool was found";
    for (const std::string& line : skipped) message += "\n  " + line;
    return Error(ErrorCode::kNotFound, ENOENT, std::move(message));
  }
  return found;
}

/// kBusy when the lock is still taken at the deadline.
Result<int> lock_disk(const Pool::Attached& attached, std::chrono::steady_clock::time_point deadline) {
  for (;;) {
    auto lock = lock_posix_disk(*attached.disk, kLockFile);
    if (lock || lock.error().code() != ErrorCode::kBusy) return lock;
    if (std::chrono::steady_clock::now() >= deadline) {
      return Error(ErrorCode::kBusy, 0,
                   "disk " + attached.path + " is in use by another daemon; nothing was changed");
    }
    std::this_thread::sleep_for(kLockRetry);
  }
}

}  // namespace

Result<std::unique_ptr<Engine>> Engine::open(const Options& options) {
  std::unique_ptr<Engine> engine(new Engine());
  UringOptions ring_options;
  ring_options.rings =
      static_cast<int>(std::clamp(std::thread::hardware_concurrency() * 4, 8u, unsigned{kMaxUringRings}));
  ASSIGN_OR_RETURN(engine->own_io_, make_uring_engine(ring_options));
  engine->own_clock_ = std::make_unique<SystemClock>();
  engine->own_rng_ = std::make_unique<Rng>(Rng::from_entropy());
  engine->own_witness_ = make_file_witness(options.witness_path);

  std::vector<std::string> skipped;
  ASSIGN_OR_RETURN(std::vector<Pool::Attached> disks, attach_disks(options, *engine->own_io_, skipped));
  const auto lock_deadline = std::chrono::steady_clock::now() + kLockPatience;
  for (const Pool::Attached& attached : disks) {
    auto lock = lock_disk(attached, lock_deadline);
    if (!lock) {
      // A disk that cannot even be locked because it is broken is one of those that may be missing.
      if (lock.error().code() == ErrorCode::kBusy) return std::move(lock.error());
      log_warning("cannot lock {}: {}", attached.path, lock.error().to_text());
      continue;
    }
    engine->locks_.push_back(*lock);
    // A second daemon needs every lock: some that outlive this process are enough.
    if (engine->locks_.size() <= kMaxHeldDescriptors) TRY(hold_descriptor(*engine->own_io_, *lock));
  }

  Environment environment;
  environment.disks = std::move(disks);
  environment.io = engine->own_io_.get();
  environment.witness = engine->own_witness_.get();
  environment.clock = engine->own_clock_.get();
  environment.rng = engine->own_rng_.get();
  environment.memory = options.memory;
  environment.force_degraded = options.force_degraded;
  environment.direct = options.direct;
  environment.data.max_dirty_bytes = options.memory.dirty_bytes();
  environment.data.flush_above_bytes = options.memory.dirty_bytes() / 8;
  environment.data.max_capture_bytes = options.memory.dirty_bytes() / 4;
  auto opened = assemble(std::move(engine), std::move(environment));
  if (opened) {
    for (const std::string& line : skipped) (*opened)->add_event("warning", "disk left out: " + line);
  } else if (!skipped.empty()) {
    std::string context = "disks left out";
    for (const std::string& line : skipped) context += "\n  " + line;
    return std::move(opened.error()).with_context(context + "\nmount");
  }
  return opened;
}

Result<std::unique_ptr<Engine>> Engine::open(Environment environment) {
  return assemble(std::unique_ptr<Engine>(new Engine()), std::move(environment));
}

Result<std::unique_ptr<Engine>> Engine::assemble(std::unique_ptr<Engine> engine, Environment environment) {
  Engine* self = engine.get();
  engine->clock_ = environment.clock;
  engine->rng_ = environment.rng;
  engine->background_ = environment.background;
  engine->buffers_ = std::make_unique<BufferPool>(environment.memory.idle_buffer_bytes());

  Pool::OpenOptions pool_options;
  pool_options.force_degraded = environment.force_degraded;
  ASSIGN_OR_RETURN(engine->pool_, Pool::open(std::move(environment.disks), *environment.io,
                                             *environment.witness, *environment.rng, pool_options));
  engine->pool_->on_fenced([self](DiskSlot slot) {
    const Member& member = self->pool_->members()[slot.value];
    std::string reason;
    for (const DiskReport& report : self->pool_->reports()) {
      if (report.member.slot == slot) reason = report.reason;
    }
    self->add_event("error", "disk " + member.name + " is out of use: " + reason);
    const std::lock_guard lock(self->mutex_);
    self->wake_.notify_all();
  });

  Ledger::Options ledger_options;
  ledger_options.index_cache_bytes = environment.memory.index_cache_bytes();
  ledger_options.memtable_bytes = environment.memory.memtable_bytes();
  ASSIGN_OR_RETURN(engine->ledger_, Ledger::open(*engine->pool_, ledger_options));

  Store::Options store_options;
  store_options.stripe_buffer_bytes = environment.memory.stripe_buffer_bytes();
  store_options.direct = environment.direct;
  ASSIGN_OR_RETURN(engine->store_, Store::open(*engine->pool_, *engine->ledger_, *engine->buffers_,
                                               *engine->clock_, *engine->rng_, store_options));

  FileSystem::Options fs_options;
  fs_options.max_cached_inodes = environment.memory.cached_inodes();
  fs_options.data = environment.data;
  if (!environment.background) fs_options.data.threads = 0;
  fs_options.default_policy = {engine->pool_->config().geometry, engine->pool_->config().checksum};
  ASSIGN_OR_RETURN(engine->fs_, FileSystem::open(*engine->ledger_, *engine->store_, *engine->buffers_,
                                                 *engine->clock_, fs_options));
  if (engine->background_) {
    engine->thread_ = std::thread([self] { self->repeat("upkeep", [self] { return self->upkeep(); }); });
    engine->recruiter_ = std::thread(
        [self] { self->repeat("re-mirroring the metadata", [self] { return self->ledger_->recruit(); }); });
  }
  return engine;
}

Engine::~Engine() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    wake_.notify_all();
  }
  if (thread_.joinable()) thread_.join();
  if (recruiter_.joinable()) recruiter_.join();
  if (fs_ && !closed_) fs_->abandon();
  fs_.reset();
  store_.reset();
  ledger_.reset();
  pool_.reset();
  own_io_.reset();
  for (const int lock : locks_) {
    // Nothing is in flight any more, but the kernel takes the rings down, and with them their hold, only
    // later.
    (void)::flock(lock, LOCK_UN);
    ::close(lock);
  }
}

Status Engine::close() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    wake_.notify_all();
  }
  if (thread_.joinable()) thread_.join();
  if (recruiter_.joinable()) recruiter_.join();
  closed_ = true;
  TRY(fs_->close());
  TRY(store_->maintain());
  return ledger_->close();
}

Status Engine::maintain() {
  TRY(upkeep());
  return ledger_->recruit();
}

Status Engine::upkeep() {
  pool_->probe_disks();
  TRY(ledger_->sync_all());
  TRY(ledger_->maintain());
  return store_->maintain();
}

void Engine::repeat(const char* what, const std::function<Status()>& work) {
  bool reported = false;
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    wake_.wait_for(lock, kUpkeepInterval);
    if (stopping_) break;
    lock.unlock();
    const Status done = work();
    if (!done && !reported) {
      reported = true;
      add_event("error", std::string(what) + " failed: " + done.error().to_text());
    } else if (done) {
      reported = false;
    }
    lock.lock();
  }
}

void Engine::add_event(std::string severity, std::string text) {
  if (severity == "info") {
    log_info("{}", text);
  } else {
    log_warning("{}", text);
  }
  const std::lock_guard lock(mutex_);
  events_.push_back({clock_->realtime_ns(), std::move(severity), std::move(text)});
  if (events_.size() > kMaxEvents) events_.pop_front();
}

}  // namespace stavefs
