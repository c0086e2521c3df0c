#include "disk/fault_engine.h"

#include <algorithm>
#include <thread>

namespace stavefs {

void FaultEngine::plan(const Disk& disk, const FaultPlan& plan) {
  std::lock_guard lock(mutex_);
  disks_[&disk] = DiskState{.plan = plan, .counts = {}};
}

FaultEngine::Counts FaultEngine::counts(const Disk& disk) const {
  std::lock_guard lock(mutex_);
  const auto it = disks_.find(&disk);
  return it == disks_.end() ? Counts() : it->second.counts;
}

bool FaultEngine::fails(DiskState& state, const IoRequest& r) {
  uint64_t nth = 0;
  uint64_t fail_at = 0;
  switch (r.kind) {
    case IoKind::kRead:
      nth = ++state.counts.reads;
      fail_at = state.plan.fail_read_at;
      break;
    case IoKind::kWrite:
      nth = ++state.counts.writes;
      fail_at = state.plan.fail_write_at;
      break;
    case IoKind::kSync:
      nth = ++state.counts.syncs;
      fail_at = state.plan.fail_sync_at;
      break;
  }
  const bool now = fail_at != 0 && (nth == fail_at || (state.plan.stay_failed && nth > fail_at));
  state.counts.failed += now;
  return now;
}

void FaultEngine::flip(std::span<IoRequest> batch) {
  std::lock_guard lock(mutex_);
  for (IoRequest& r : batch) {
    if (r.kind != IoKind::kRead || r.error != 0 || r.bytes == 0) continue;
    DiskState& state = disks_[&r.file->disk()];
    if (state.plan.flip_one_in == 0 || !rng_.one_in(state.plan.flip_one_in)) continue;
    r.data[rng_.below(r.bytes)] ^= static_cast<uint8_t>(1u << rng_.below(8));
    ++state.counts.flipped;
  }
}

void FaultEngine::run(std::span<IoRequest> batch) {
  std::vector<IoRequest> passed;
  std::vector<size_t> origin;
  std::chrono::microseconds delay{0};
  {
    std::lock_guard lock(mutex_);
    for (size_t i = 0; i < batch.size(); ++i) {
      IoRequest& r = batch[i];
      DiskState& state = disks_[&r.file->disk()];
      delay = std::max(delay, state.plan.delay);
      if (fails(state, r)) {
        r.error = state.plan.error;
        continue;
      }
      passed.push_back(r);
      origin.push_back(i);
    }
  }
  if (!passed.empty()) inner_.run(passed);
  flip(passed);
  for (size_t i = 0; i < passed.size(); ++i) batch[origin[i]].error = passed[i].error;
  if (delay.count() > 0) std::this_thread::sleep_for(delay);
}

}  // namespace stavefs
