#include "disk/uring_engine.h"

#include <algorithm>
#include <cerrno>
#include <condition_variable>
#include <mutex>
#include <utility>
#include <vector>

#include "base/check.h"
#include "disk/posix_file.h"
#include "disk/ring_files.h"
#include "disk/uring_batch.h"

namespace stavefs {

namespace {

static_assert(kMaxUringRings == RingSlots::kMaxRings && kMaxHeldDescriptors == RingTables::kMaxHeld);

class UringEngine final : public IoEngine {
 public:
  explicit UringEngine(const UringOptions& options)
      : options_(options), tables_(std::make_shared<RingTables>(options.rings)) {}

  /// Makes the first ring, which proves that the kernel lets us.
  Status start() {
    ASSIGN_OR_RETURN(auto first, UringBatch::make(0, options_.queue_entries, tables_));
    made_ = 1;
    idle_.push_back(std::move(first));
    return ok();
  }

  void run(std::span<IoRequest> batch) override;
  Status hold(int descriptor) { return tables_->hold(descriptor); }

 private:
  /// Waits for an idle ring; makes one while fewer than options_.rings exist.
  std::unique_ptr<UringBatch> take();
  void give_back(std::unique_ptr<UringBatch> ring);

  const UringOptions options_;
  const std::shared_ptr<RingTables> tables_;

  std::mutex mutex_;  // a leaf
  std::condition_variable returned_;
  // Guarded by mutex_.
  std::vector<std::unique_ptr<UringBatch>> idle_;
  int made_ = 0;
  bool may_make_ = true;  // false once the kernel refused a further ring
};

std::unique_ptr<UringBatch> UringEngine::take() {
  std::unique_lock lock(mutex_);
  for (;;) {
    if (!idle_.empty()) {
      auto ring = std::move(idle_.back());
      idle_.pop_back();
      return ring;
    }
    if (may_make_ && made_ < options_.rings) {
      const int index = made_++;
      lock.unlock();
      auto made = UringBatch::make(index, options_.queue_entries, tables_);
      if (made) return std::move(*made);
      lock.lock();
      // Out of memory or descriptors: the rings that there are will do.  The number stays taken.
      may_make_ = false;
      continue;
    }
    returned_.wait(lock);
  }
}

void UringEngine::give_back(std::unique_ptr<UringBatch> ring) {
  {
    std::lock_guard lock(mutex_);
    idle_.push_back(std::move(ring));
  }
  returned_.notify_one();
}

void UringEngine::run(std::span<IoRequest> batch) {
  bool needs_ring = false;
  for (const IoRequest& r : batch) {
    const auto* file = dynamic_cast<const PosixFile*>(r.file);
    CHECK(file != nullptr);
    // A lone read of the page cache is a copy; a lone direct read is as fast on the ring.
    const bool lone_buffered_read =
        batch.size() == 1 && r.kind == IoKind::kRead && !file->properties().direct;
    needs_ring = needs_ring || !(lone_buffered_read || runs_on_caller(r, *file));
  }
  if (!needs_ring) {
    for (IoRequest& r : batch) run_inline(r, static_cast<PosixFile&>(*r.file));
    return;
  }
  auto ring = take();
  ring->run(batch);
  give_back(std::move(ring));
}

}  // namespace

Result<std::unique_ptr<IoEngine>> make_uring_engine(const UringOptions& options) {
  if (options.rings < 1 || options.rings > RingSlots::kMaxRings || options.queue_entries < 1) {
    return Error(ErrorCode::kInvalid, EINVAL, "an engine needs 1 to 32 rings and a queue");
  }
  auto engine = std::make_unique<UringEngine>(options);
  if (auto started = engine->start(); !started) {
    Error& e = started.error();
    return Error(ErrorCode::kUnsupported, e.errno_value(), "no io_uring: " + e.message());
  }
  return std::unique_ptr<IoEngine>(std::move(engine));
}

Status hold_descriptor(IoEngine& engine, int descriptor) {
  auto* uring = dynamic_cast<UringEngine*>(&engine);
  if (uring == nullptr) return Error(ErrorCode::kInvalid, EINVAL, "not an io_uring engine");
  return uring->hold(descriptor);
}

}  // namespace stavefs
