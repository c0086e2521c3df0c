// When and what to flush: by age, by memory, on request.

#include <algorithm>

#include "base/check.h"
#include "fs/file_data_impl.h"

namespace stavefs {
namespace {

using std::chrono::milliseconds;
using std::chrono::nanoseconds;

constexpr auto kPoll = milliseconds(100);
/// Pause of a thread that found nothing to take although something was due.
constexpr auto kShortPause = milliseconds(2);
/// How long one round of relief waits for flushes that others run.
constexpr auto kPressureWait = milliseconds(1000);

}  // namespace

Status FileDataManager::Impl::flush(const InodeRef& ref) {
  Inode& inode = *ref;
  std::unique_lock lock(inode.mutex);
  wait_idle(inode, lock);
  if (inode.data == nullptr && !inode.attributes_dirty) return ok();
  FlushJob job;
  job.id = begin_job();
  const bool took = capture(inode, job);
  lock.unlock();
  if (took) return run(job);
  end_job(job, ok());
  return ok();
}

InodeRef FileDataManager::Impl::pop(int64_t before_ns, int64_t* since_ns) {
  const std::lock_guard lock(mutex);
  if (queue.empty() || queue.begin()->first.first > before_ns) return nullptr;
  *since_ns = queue.begin()->first.first;
  InodeRef inode = std::move(queue.begin()->second);
  queue.erase(queue.begin());
  return inode;
}

bool FileDataManager::Impl::flush_batch(int64_t before_ns, Status* status) {
  *status = ok();
  FlushJob job;
  job.id = begin_job();
  while (job.inodes.size() < kMaxCaptureInodes && job.bytes < options.max_capture_bytes &&
         job.weight < max_pieces) {
    int64_t since_ns = 0;
    const InodeRef inode = pop(before_ns, &since_ns);
    if (inode == nullptr) break;
    const std::unique_lock lock(inode->mutex);
    FileData& data = ensure(*inode);
    data.queued_ = false;
    if (data.flush_running) continue;  // the end of that flush queues it again
    const bool fits =
        job.bytes + data.dirty.bytes() <= options.max_capture_bytes &&
        job.weight + data.dirty.pieces().size() * checksum_weight(policy_of(inode->record.bucket).checksum) <=
            max_pieces;
    if (!fits && !job.inodes.empty()) {
      data.queued_ = true;
      data.queued_since_ns_ = since_ns;
      const std::lock_guard queue_lock(mutex);
      queue.emplace(std::make_pair(since_ns, inode->id.value), inode);
      break;
    }
    capture(*inode, job);
  }
  if (!job.inodes.empty()) {
    *status = run(job);
    return true;
  }
  end_job(job, ok());
  return false;
}

void FileDataManager::Impl::wait_for_jobs(nanoseconds limit) {
  std::unique_lock lock(mutex);
  const uint64_t last = next_job - 1;
  const auto ended = [&] { return active_jobs.empty() || *active_jobs.begin() > last; };
  if (limit == nanoseconds::max()) {
    progress.wait(lock, ended);
  } else {
    progress.wait_for(lock, limit, ended);
  }
}

Status FileDataManager::Impl::flush_all() {
  uint64_t failed_before = 0;
  {
    const std::lock_guard lock(mutex);
    failed_before = failed_jobs;
  }
  // The first pass may meet inodes of which an older state is being flushed; the second one finds them queued
  // again, or in a job.
  for (int pass = 0; pass < 2; ++pass) {
    const int64_t before = clock.monotonic_ns();
    for (bool more = true; more;) {
      TRY(ledger.admit());
      Status status;
      more = flush_batch(before, &status);
      TRY(status);
    }
    wait_for_jobs(nanoseconds::max());
  }
  {
    const std::lock_guard lock(mutex);
    if (failed_jobs != failed_before && newest_failure) return *newest_failure;
  }
  return ledger.sync_all();
}

int64_t FileDataManager::Impl::due_before(int64_t now_ns) const {
  if (now_ns < backoff_until_ns) return INT64_MIN;
  const uint64_t waiting = memory.load(std::memory_order_relaxed);
  if (waiting > options.flush_above_bytes + in_flight.load(std::memory_order_relaxed)) return INT64_MAX;
  return now_ns - options.flush_after_ns;
}

void FileDataManager::Impl::work_loop() {
  std::unique_lock lock(mutex);
  while (!stopping) {
    const int64_t before = due_before(clock.monotonic_ns());
    if (queue.empty() || queue.begin()->first.first > before) {
      work.wait_for(lock, kPoll);
      continue;
    }
    lock.unlock();
    Status status = ledger.admit();
    const bool took = status && flush_batch(before, &status);
    lock.lock();
    if (!took && !status) {
      last_failure = status.error();
      work.wait_for(lock, kPoll);
    }
    if (!took && !stopping) work.wait_for(lock, kShortPause);
  }
}

void FileDataManager::Impl::kick() { work.notify_one(); }

void FileDataManager::Impl::pressure() {
  const int64_t before = clock.monotonic_ns();
  Status status;
  // The flushes take room themselves: the caller makes some of it free before it comes back.
  while (ledger.has_room_for_change() && flush_batch(before, &status) && status) {
  }
  wait_for_jobs(kPressureWait);
}

void FileDataManager::start() {
  CHECK(impl_->threads.empty());
  for (int i = 0; i < impl_->options.threads; ++i) {
    impl_->threads.emplace_back([impl = impl_.get()] { impl->work_loop(); });
  }
}

void FileDataManager::stop() {
  {
    const std::lock_guard lock(impl_->mutex);
    impl_->stopping = true;
  }
  impl_->work.notify_all();
  impl_->progress.notify_all();
  for (std::thread& thread : impl_->threads) thread.join();
  impl_->threads.clear();
}

}  // namespace stavefs
