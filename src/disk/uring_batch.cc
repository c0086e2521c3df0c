#include "disk/uring_batch.h"

#include <fcntl.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/buffer.h"
#include "base/check.h"

namespace stavefs {

namespace {

/// Kernel workers that one thread's flushes and blocking writes may occupy; made on demand.
constexpr unsigned kMaxWorkers = 32;

PosixFile& posix_file(IoRequest& request) { return static_cast<PosixFile&>(*request.file); }

bool writes(IoKind kind) { return kind != IoKind::kRead; }

/// How far a transfer came that had `done` bytes and got `more`.  Direct I/O has to go on at a multiple of
/// 4 KiB; what is left after rounding down is transferred again.
uint32_t advance(uint32_t done, uint32_t more, uint32_t bytes, bool direct) {
  const uint32_t now = done + more;
  return now < bytes && direct ? static_cast<uint32_t>(round_down(now, kPageBytes)) : now;
}

int transfer_flags(const IoRequest& request) {
  return request.kind == IoKind::kWrite && request.durable ? RWF_DSYNC : 0;
}

void pause_for_memory() {
  constexpr timespec kPause{.tv_sec = 0, .tv_nsec = 1'000'000};
  ::nanosleep(&kPause, nullptr);
}

}  // namespace

bool runs_on_caller(const IoRequest& r, const PosixFile& file) {
  const PosixFile::Properties& p = file.properties();
  return p.in_memory || (!p.direct && r.kind == IoKind::kWrite && !r.durable);
}

void run_inline(IoRequest& r, PosixFile& file) {
  r.error = 0;
  if (file.properties().read_only && writes(r.kind)) {
    r.error = EROFS;
    return;
  }
  if (r.kind == IoKind::kSync) {
    // Never repeated after an error: the kernel may have dropped the dirty pages and forgotten.
    int rc;
    do {
      rc = ::fdatasync(file.fd());
    } while (rc != 0 && errno == EINTR);
    if (rc != 0) r.error = errno;
    return;
  }
  for (uint32_t done = 0; done < r.bytes;) {
    const iovec piece{.iov_base = r.data + done, .iov_len = r.bytes - done};
    const auto offset = static_cast<off_t>(r.offset + done);
    const ssize_t n = r.kind == IoKind::kRead ? ::preadv2(file.fd(), &piece, 1, offset, 0)
                                              : ::pwritev2(file.fd(), &piece, 1, offset, transfer_flags(r));
    if (n < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (n < 0) {
      r.error = errno;
      return;
    }
    const uint32_t now = advance(done, static_cast<uint32_t>(n), r.bytes, file.properties().direct);
    if (now == done) {  // the end of the file
      r.error = EIO;
      return;
    }
    done = now;
  }
}

Result<std::unique_ptr<UringBatch>> UringBatch::make(int index, unsigned queue_entries,
                                                     std::shared_ptr<RingTables> tables) {
  std::unique_ptr<UringBatch> made(new UringBatch(index, std::move(tables)));
  // The submitting thread is the one that waits, so completions need no interrupt of it.  Not
  // SINGLE_ISSUER: a ring serves whichever thread holds it.
  int rc = io_uring_queue_init(queue_entries, &made->ring_, IORING_SETUP_COOP_TASKRUN);
  if (rc == -EINVAL) rc = io_uring_queue_init(queue_entries, &made->ring_, 0);
  if (rc < 0) return errno_error(-rc, "set up an io_uring");
  made->ready_ = true;
  made->queue_entries_ = made->ring_.sq.ring_entries;
  made->again_.reserve(made->queue_entries_);
  unsigned workers[2] = {kMaxWorkers, 0};
  (void)io_uring_register_iowq_max_workers(&made->ring_, workers);  // a default bound applies otherwise
  TRY(made->tables_->attach(index, &made->ring_));
  return made;
}

UringBatch::~UringBatch() {
  if (!ready_) return;
  tables_->detach(index_);
  io_uring_queue_exit(&ring_);
}

void UringBatch::prepare(IoRequest& r, uint32_t index) {
  io_uring_sqe* sqe = io_uring_get_sqe(&ring_);
  CHECK(sqe != nullptr);
  PosixFile& file = posix_file(r);
  const int slot = tables_->slot_for(index_, file);
  const int fd = slot > 0 ? slot : file.fd();
  const uint32_t done = done_[index];
  switch (r.kind) {
    case IoKind::kRead: io_uring_prep_read(sqe, fd, r.data + done, r.bytes - done, r.offset + done); break;
    case IoKind::kWrite:
      io_uring_prep_write(sqe, fd, r.data + done, r.bytes - done, r.offset + done);
      sqe->rw_flags = transfer_flags(r);
      break;
    case IoKind::kSync: io_uring_prep_fsync(sqe, fd, IORING_FSYNC_DATASYNC); break;
  }
  if (slot > 0) sqe->flags |= IOSQE_FIXED_FILE;
  sqe->user_data = index;
  ++in_flight_;
}

void UringBatch::fill_queue(std::span<IoRequest> batch) {
  while (in_flight_ < queue_entries_ && !again_.empty()) {
    const uint32_t index = again_.back();
    again_.pop_back();
    prepare(batch[index], index);
  }
  for (; in_flight_ < queue_entries_ && next_ < batch.size(); ++next_) {
    IoRequest& r = batch[next_];
    if (runs_on_caller(r, posix_file(r))) continue;
    r.error = 0;
    if (posix_file(r).properties().read_only && writes(r.kind)) {
      r.error = EROFS;
    } else if (r.bytes > 0 || r.kind == IoKind::kSync) {
      prepare(r, static_cast<uint32_t>(next_));
    }
  }
}

void UringBatch::submit(unsigned completions) {
  for (;;) {
    const int rc = completions > 0 ? io_uring_submit_and_wait(&ring_, completions) : io_uring_submit(&ring_);
    if (rc >= 0) return;
    if (rc == -EINTR) continue;
    // Out of memory for now (EAGAIN), or completions must be taken first (EBUSY).
    CHECK(rc == -EAGAIN || rc == -EBUSY || rc == -ENOMEM);
    if (io_uring_cq_ready(&ring_) > 0) return;
    pause_for_memory();
  }
}

void UringBatch::complete(IoRequest& r, uint32_t index, int result) {
  if (result == -EINTR || result == -EAGAIN) {
    again_.push_back(index);
    return;
  }
  if (result < 0) {
    r.error = -result;
    return;
  }
  if (r.kind == IoKind::kSync) return;
  const uint32_t before = done_[index];
  done_[index] = advance(before, static_cast<uint32_t>(result), r.bytes, posix_file(r).properties().direct);
  if (done_[index] == r.bytes) return;
  if (done_[index] == before) {
    r.error = EIO;  // the end of the file
  } else {
    again_.push_back(index);
  }
}

void UringBatch::reap(std::span<IoRequest> batch) {
  unsigned head;
  unsigned taken = 0;
  io_uring_cqe* cqe;
  io_uring_for_each_cqe(&ring_, head, cqe) {
    const auto index = static_cast<uint32_t>(cqe->user_data);
    CHECK(index < batch.size());
    complete(batch[index], index, cqe->res);
    ++taken;
  }
  io_uring_cq_advance(&ring_, taken);
  CHECK(taken <= in_flight_);
  in_flight_ -= taken;
}

void UringBatch::run(std::span<IoRequest> batch) {
  CHECK(batch.size() <= UINT32_MAX && in_flight_ == 0);
  done_.assign(batch.size(), 0);
  again_.clear();
  next_ = 0;
  bool served =
      std::none_of(batch.begin(), batch.end(), [](IoRequest& r) { return runs_on_caller(r, posix_file(r)); });
  for (;;) {
    fill_queue(batch);
    if (!served) {
      if (in_flight_ > 0) submit(0);
      for (IoRequest& r : batch) {
        if (runs_on_caller(r, posix_file(r))) run_inline(r, posix_file(r));
      }
      served = true;
    }
    if (in_flight_ == 0) return;
    // With more to come, refill the queue before it runs dry.
    const bool more = next_ < batch.size();
    submit(more ? std::max(1u, in_flight_ / 4) : in_flight_);
    reap(batch);
  }
}

}  // namespace stavefs
