#include "fuse/front_end.h"

#include <time.h>

#include <exception>

#include "fuse/attributes.h"

namespace stavefs {
namespace {

// A pool that is beyond its budget fails every read of a damaged file: a few lines a second are enough.
bool may_log() {
  constexpr int kLinesPerSecond = 10;
  static std::atomic<int64_t> second{0};
  static std::atomic<int> lines{0};
  timespec now = {};
  clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
  if (second.exchange(now.tv_sec, std::memory_order_relaxed) != now.tv_sec)
    lines.store(0, std::memory_order_relaxed);
  return lines.fetch_add(1, std::memory_order_relaxed) < kLinesPerSecond;
}

bool is_ours(ErrorCode code) {
  switch (code) {
    case ErrorCode::kIo:
    case ErrorCode::kCorrupt:
    case ErrorCode::kForeign:
    case ErrorCode::kDegraded:
    case ErrorCode::kFenced: return true;
    default: return false;
  }
}

}  // namespace

void reply_error(fuse_req_t request, const char* operation, fuse_ino_t inode, const Error& error) noexcept {
  const int number = errno_for(error);
  if ((is_ours(error.code()) || number == EIO) && may_log()) {
    try {
      log_error("{} of inode {}: {}", operation, inode, error.to_text());
    } catch (...) {  // no memory for the line: the reply matters more
    }
  }
  fuse_reply_err(request, number);
}

void reply_exception(fuse_req_t request, const char* operation, fuse_ino_t inode) noexcept {
  int number = EIO;
  try {
    throw;
  } catch (const std::bad_alloc&) {
    number = ENOMEM;
  } catch (const std::exception& exception) {
    try {
      if (may_log()) log_error("{} of inode {}: {}", operation, inode, exception.what());
    } catch (...) {
    }
  } catch (...) {
  }
  fuse_reply_err(request, number);
}

fuse_entry_param to_entry(const FrontEnd& front, const Attributes& attributes) {
  fuse_entry_param entry = {};
  entry.ino = attributes.id.value;
  entry.generation = attributes.generation;
  entry.attr = to_stat(attributes);
  entry.attr_timeout = front.cache_seconds;
  entry.entry_timeout = front.cache_seconds;
  return entry;
}

Status reply_entry(fuse_req_t request, const FrontEnd& front, const Attributes& attributes) {
  const fuse_entry_param entry = to_entry(front, attributes);
  fuse_reply_entry(request, &entry);
  return ok();
}

}  // namespace stavefs
