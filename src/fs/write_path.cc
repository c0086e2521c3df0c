// Writing: bytes of the caller become pieces in memory.
//
// Chunks: a write goes behind the last one in the open chunk when it continues it or is small; else it gets a
// chunk of its own. Chunks double with the length of a contiguous run, up to 1 MiB, and none crosses a
// multiple of 1 MiB of the file, so that a stream's chunks fall on whole stripes.

#include <algorithm>
#include <bit>
#include <chrono>
#include <cstring>

#include "fs/file_data_impl.h"

namespace stavefs {
namespace {

/// Non-contiguous writes below this share a chunk.
constexpr size_t kSmallWriteBytes = 4096;

/// While memory is short and flushing fails, a writer looks again this often.
constexpr auto kRoomPoll = std::chrono::milliseconds(50);

void kill_set_id_bits(InodeRecord& record) {
  record.mode &= ~04000U;
  if ((record.mode & 0010U) != 0) record.mode &= ~02000U;
}

}  // namespace

Status FileDataManager::Impl::wait_for_memory() {
  while (memory.load(std::memory_order_relaxed) > options.max_dirty_bytes) {
    if (options.threads == 0) {
      Status status;
      if (!flush_batch(INT64_MAX, &status)) return status;
      TRY(status);
      continue;
    }
    kick();
    std::unique_lock lock(mutex);
    if (last_failure) return *last_failure;
    if (stopping) return Error(ErrorCode::kFenced, EIO, "the filesystem is being stopped");
    progress.wait_for(lock, kRoomPoll);
  }
  return ok();
}

Result<BucketPolicy> FileDataManager::Impl::admit(const InodeRef& inode) {
  for (;;) {
    TRY(wait_for_memory());
    std::shared_lock lock(inode->mutex);
    if (inode->deleted) return posix_error(ESTALE);
    const BucketId bucket = inode->record.bucket;
    const FileData* data = inode->data.get();
    if (data == nullptr) {
      lock.unlock();
      return policy_of(bucket);
    }
    const bool failed = data->failure && !data->failure_told;
    const size_t pieces = data->dirty.pieces().size();
    const bool reserved = data->reserved > 0;
    const Geometry geometry = data->geometry;
    lock.unlock();
    if (failed) {
      const std::unique_lock exclusive(inode->mutex);
      if (inode->data->failure && !inode->data->failure_told) {
        inode->data->failure_told = true;
        return *inode->data->failure;
      }
    }
    const BucketPolicy policy = policy_of(bucket);
    const bool full = pieces >= max_pieces / checksum_weight(policy.checksum);
    if (!full && (!reserved || policy.geometry == geometry)) return policy;
    // Too many pieces for one change, or a reservation of a geometry that the bucket has left since.
    TRY(flush(inode));
  }
}

Result<uint64_t> FileDataManager::Impl::write(const InodeRef& ref, uint64_t offset,
                                              std::span<const uint8_t> bytes, bool kill_privileges) {
  Inode& inode = *ref;
  for (;;) {
    ASSIGN_OR_RETURN(const BucketPolicy policy, admit(ref));
    TRY(store.reserve(policy.geometry, bytes.size()));
    const std::unique_lock lock(inode.mutex);
    FileData& data = ensure(inode);
    const uint64_t at = offset == kToEnd ? inode.record.size : offset;
    const bool too_large = at > kMaxFileBytes || bytes.size() > kMaxFileBytes - at;
    const bool other_geometry = data.reserved > 0 && data.geometry != policy.geometry;
    if (inode.deleted || too_large || other_geometry || bytes.empty()) {
      store.release(policy.geometry, bytes.size());
      if (inode.deleted) return posix_error(ESTALE);
      if (too_large) return posix_error(EFBIG);
      if (other_geometry) continue;
      return at;
    }
    data.geometry = policy.geometry;
    data.reserved += bytes.size();
    copy_in(data, at, bytes);
    account(data);
    inode.record.size = std::max(inode.record.size, at + bytes.size());
    inode.record.mtime = inode.record.ctime = clock.realtime_ns();
    if (kill_privileges) kill_set_id_bits(inode.record);
    inode.attributes_dirty = true;
    enqueue(inode);
    const bool much = memory.load(std::memory_order_relaxed) >
                      options.flush_above_bytes + in_flight.load(std::memory_order_relaxed);
    if (much) kick();
    return at;
  }
}

std::shared_ptr<Chunk> FileDataManager::Impl::new_chunk(const FileData& data, uint64_t offset,
                                                        uint64_t bytes) {
  const uint64_t to_boundary = kMaxChunkBytes - offset % kMaxChunkBytes;
  const uint64_t run = offset - data.run_start_;
  const uint64_t wanted = std::min(std::max(bytes, run), to_boundary);
  return std::make_shared<Chunk>(buffers.get(std::bit_ceil(std::max<uint64_t>(wanted, kPageBytes))), &memory);
}

void FileDataManager::Impl::copy_in(FileData& data, uint64_t offset, std::span<const uint8_t> bytes) {
  const bool contiguous = offset == data.run_end_;
  if (!contiguous) {
    data.run_start_ = offset;
    if (bytes.size() >= kSmallWriteBytes) data.tail_.reset();
  }
  while (!bytes.empty()) {
    const uint64_t to_boundary = kMaxChunkBytes - offset % kMaxChunkBytes;
    if (data.tail_ == nullptr || data.tail_->used == data.tail_->buffer.size() ||
        to_boundary == kMaxChunkBytes) {
      data.tail_ = new_chunk(data, offset, bytes.size());
    }
    Chunk& chunk = *data.tail_;
    const size_t n = std::min({bytes.size(), size_t{to_boundary}, chunk.buffer.size() - chunk.used});
    std::memcpy(chunk.buffer.data() + chunk.used, bytes.data(), n);
    data.dirty.put(offset, Piece{data.tail_, chunk.used, n, Lsn()});
    chunk.used += n;
    offset += n;
    bytes = bytes.subspan(n);
  }
  data.run_end_ = offset;
}

}  // namespace stavefs
