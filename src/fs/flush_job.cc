// One flush: capture, stripes, commit.
//
// What if power fails: before the commit is durable nobody refers to the stripes, and the old extents, whose
// groups cannot be reused before a later change is durable, hold the old state.  After it, every byte that it
// refers to was made durable by WriteSession::flush.  Either way the file is as after some prefix of its
// operations.

#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "base/log.h"
#include "fs/file_data_impl.h"
#include "index/keys.h"

namespace stavefs {
namespace {

/// Hands the captured pieces of one session to the store in large calls; short neighbours are copied together
/// first.
class SessionFeeder {
 public:
  SessionFeeder(WriteSession& session, BufferPool& buffers) : session_(session), buffers_(buffers) {}

  Status add(Captured& captured) {
    for (const auto& [offset, piece] : captured.pieces) {
      const bool joins = !group_.empty() && group_end_ == offset &&
                         group_end_ - group_start_ + piece.length <= kMaxChunkBytes;
      if (!joins || piece.length >= kGatherBelowBytes) TRY(close_group(captured));
      if (piece.length >= kGatherBelowBytes) {
        TRY(emit(captured, offset, piece.bytes()));
        continue;
      }
      if (group_.empty()) group_start_ = offset;
      group_.push_back(piece.bytes());
      group_end_ = offset + piece.length;
    }
    return close_group(captured);
  }

  Status finish() {
    if (pieces_.empty()) return ok();
    std::vector<PlacedExtent> placed;
    TRY(session_.write(pieces_, placed));
    for (PlacedExtent& extent : placed) {
      owners_[extent.piece]->placed.push_back({pieces_[extent.piece].file_offset + extent.piece_offset,
                                               extent.address, std::move(extent.checksums)});
    }
    pieces_.clear();
    owners_.clear();
    gathered_.clear();
    bytes_ = 0;
    return ok();
  }

 private:
  Status close_group(Captured& captured) {
    if (group_.empty()) return ok();
    std::span<const uint8_t> bytes = group_.front();
    if (group_.size() > 1) {
      AlignedBuffer joined = buffers_.get(group_end_ - group_start_);
      size_t at = 0;
      for (const auto& part : group_) {
        std::memcpy(joined.data() + at, part.data(), part.size());
        at += part.size();
      }
      bytes = {joined.data(), at};
      gathered_.push_back(std::move(joined));
    }
    group_.clear();
    return emit(captured, group_start_, bytes);
  }

  Status emit(Captured& captured, uint64_t offset, std::span<const uint8_t> bytes) {
    pieces_.push_back({captured.inode->id, offset, bytes});
    owners_.push_back(&captured);
    bytes_ += bytes.size();
    return bytes_ >= kWriteBatchBytes ? finish() : ok();
  }

  WriteSession& session_;
  BufferPool& buffers_;
  std::vector<DataPiece> pieces_;
  std::vector<Captured*> owners_;        ///< of pieces_
  std::vector<AlignedBuffer> gathered_;  ///< memory of joined pieces
  uint64_t bytes_ = 0;
  std::vector<std::span<const uint8_t>> group_;  ///< short pieces, one behind the other in the file
  uint64_t group_start_ = 0;
  uint64_t group_end_ = 0;
};

/// The pieces that go into stripes: the capture, and the inline bytes under it that it does not cover.
void choose_pieces(const InodeRecord& record, const FileData& data, BufferPool& buffers,
                   std::atomic<uint64_t>* charged, Captured& captured) {
  if (!record.has_inline || record.inline_data.empty()) {
    captured.pieces.assign(data.flushing.pieces().begin(), data.flushing.pieces().end());
    return;
  }
  const size_t n = record.inline_data.size();
  const auto chunk = std::make_shared<Chunk>(buffers.get(n), charged);
  std::memcpy(chunk->buffer.data(), record.inline_data.data(), n);
  chunk->used = n;
  IntervalMap all;
  all.put(0, Piece{chunk, 0, n, Lsn()});
  for (const auto& [offset, piece] : data.flushing.pieces()) all.put(offset, piece);
  captured.pieces.assign(all.pieces().begin(), all.pieces().end());
}

uint64_t chunk_bytes(const IntervalMap& map) {
  uint64_t sum = 0;
  const Chunk* last = nullptr;
  for (const auto& [offset, piece] : map.pieces()) {
    if (piece.chunk.get() != last) sum += piece.chunk->buffer.size();
    last = piece.chunk.get();
  }
  return sum;
}

std::vector<FileRange> ranges_of(const std::vector<PlacedRange>& placed) {
  std::vector<FileRange> ranges;
  for (const PlacedRange& p : placed) {
    const uint64_t end = p.file_offset + p.address.length;
    if (!ranges.empty() && ranges.back().to == p.file_offset) {
      ranges.back().to = end;
    } else {
      ranges.push_back({p.file_offset, end});
    }
  }
  return ranges;
}

uint64_t sum_of(const std::vector<PlacedRange>& placed) {
  uint64_t sum = 0;
  for (const PlacedRange& p : placed) sum += p.address.length;
  return sum;
}

}  // namespace

uint64_t FileDataManager::Impl::begin_job() {
  const std::lock_guard lock(mutex);
  active_jobs.insert(next_job);
  return next_job++;
}

void FileDataManager::Impl::end_job(FlushJob& job, const Status& status) {
  const bool did_something = !job.inodes.empty();
  job.sessions.clear();
  job.inodes.clear();  // frees the chunks that nobody reads
  in_flight.fetch_sub(job.memory, std::memory_order_relaxed);
  idle.notify_all();
  {
    const std::lock_guard lock(mutex);
    active_jobs.erase(job.id);
    if (!status) {
      ++failed_jobs;
      last_failure = status.error();
      newest_failure = status.error();
      backoff_ns = std::clamp(backoff_ns * 2, kFirstBackoffNs, kMaxBackoffNs);
      backoff_until_ns = clock.monotonic_ns() + backoff_ns;
    } else if (did_something) {
      last_failure.reset();
      backoff_ns = 0;
      backoff_until_ns = 0;
    }
  }
  progress.notify_all();
}

bool FileDataManager::Impl::capture(Inode& inode, FlushJob& job) {
  FileData& data = ensure(inode);
  dequeue(inode);
  if (inode.deleted || (data.dirty.empty() && !inode.attributes_dirty)) return false;
  Captured captured;
  captured.inode = inode.shared_from_this();
  captured.head = ledger.head();
  captured.bytes = data.dirty.bytes();
  captured.policy = policy_of(inode.record.bucket);
  if (data.reserved > 0) captured.policy.geometry = data.geometry;
  captured.temperature = captured.bytes >= kMaxChunkBytes ? Temperature::kLarge : Temperature::kHot;
  data.flushing.swap(data.dirty);
  data.flushing_size = inode.record.size;
  data.flushing_upto = data.deferred.empty() ? Lsn() : *data.deferred.rbegin();
  data.flush_running = true;
  data.tail_.reset();
  captured.to_inline = inode.record.size <= kInlineBytes && inode.record.stored_bytes == 0;
  if (!captured.to_inline && !data.flushing.empty()) {
    choose_pieces(inode.record, data, buffers, &memory, captured);
  }
  const uint64_t held = chunk_bytes(data.flushing);
  in_flight.fetch_add(held, std::memory_order_relaxed);
  job.memory += held;
  job.bytes += captured.bytes;
  job.weight += 1 + captured.pieces.size() * checksum_weight(captured.policy.checksum) +
                (captured.to_inline ? kInlineBytes / kChangeBytesPerPiece : 0);
  job.inodes.push_back(std::move(captured));
  return true;
}

Status FileDataManager::Impl::run(FlushJob& job) {
  std::sort(job.inodes.begin(), job.inodes.end(),
            [](const Captured& a, const Captured& b) { return a.inode->id < b.inode->id; });
  Status status = write_stripes(job);
  if (status) status = commit(job);
  if (status) {
    end_job(job, status);
    return status;
  }
  log_warning("flush of {} files failed: {}", job.inodes.size(), status.error().to_text());
  const bool alone = job.inodes.size() == 1 || ledger.fenced();
  std::vector<InodeRef> inodes;
  for (Captured& captured : job.inodes) {
    if (!alone) inodes.push_back(captured.inode);
    give_back(captured, alone ? &status.error() : nullptr);
  }
  if (alone) {
    end_job(job, status);
    return status;
  }
  // One file that cannot be flushed must not hold back, or be blamed on, the others.
  end_job(job, ok());
  Status worst = ok();
  for (const InodeRef& inode : inodes) {
    if (Status single = flush(inode); !single) worst = std::move(single);
  }
  return worst;
}

Status FileDataManager::Impl::write_stripes(FlushJob& job) {
  std::map<FlushJob::SessionKey, std::vector<Captured*>> families;
  for (Captured& c : job.inodes) {
    if (!c.pieces.empty()) families[{c.policy.geometry, c.policy.checksum, c.temperature}].push_back(&c);
  }
  for (const auto& [key, members] : families) {
    auto& session = job.sessions[key];
    session = store.begin_write(std::get<0>(key), std::get<1>(key), std::get<2>(key));
    SessionFeeder feeder(*session, buffers);
    for (Captured* captured : members) TRY(feeder.add(*captured));
    TRY(feeder.finish());
  }
  for (const auto& [key, session] : job.sessions) TRY(session->flush());
  return ok();
}

Status FileDataManager::Impl::commit(FlushJob& job) {
  {
    std::vector<Inode*> all;
    all.reserve(job.inodes.size());
    for (const Captured& c : job.inodes) all.push_back(c.inode.get());
    const InodeLocks locks(std::move(all));
    Change change;
    change.set_retryable();
    for (const auto& [key, session] : job.sessions) session->add_to(change);
    bool any = false;
    for (Captured& captured : job.inodes) {
      TRY(prepare(captured, change));
      any |= captured.has_record;
    }
    Lsn lsn;
    if (any) {
      ASSIGN_OR_RETURN(lsn, ledger.commit(change));
    }
    for (Captured& captured : job.inodes) settle(captured, lsn);
    if (!any) return ok();
  }
  for (const auto& [key, session] : job.sessions) session->committed();
  return ok();
}

Status FileDataManager::Impl::prepare(Captured& c, Change& change) {
  const Inode& inode = *c.inode;
  const FileData& data = *inode.data;
  c.wanted = !data.flushing.empty();
  c.complete = data.dirty.empty();
  if (!c.wanted) {
    for (const PlacedRange& p : c.placed)
      change.add_live(p.address.group, -static_cast<int64_t>(p.address.length));
  }
  const bool differs =
      inode.attributes_dirty || (inode.record.is_regular() && inode.record.size != inode.stored_size);
  c.has_record = !inode.deleted && (c.wanted || (c.complete && differs));
  if (!c.has_record) return ok();
  c.next = inode.record_to_store();
  if (c.complete) {
    c.next.size = inode.record.size;
  } else if (c.wanted) {
    c.next.size = data.flushing_size;
  }
  if (c.wanted && c.to_inline) {
    std::string& content = c.next.inline_data;
    content.resize(std::max<uint64_t>(content.size(), data.flushing.end()));
    for (const auto& [offset, piece] : data.flushing.pieces()) {
      std::memcpy(content.data() + offset, piece.bytes().data(), piece.length);
    }
    c.next.has_inline = true;
  } else if (c.wanted) {
    TRY(replace_extents(c, change));
  }
  if (c.wanted && data.flushing_upto != Lsn()) change.discard(inode.id, 0, kToEnd, data.flushing_upto);
  if (inode.record.is_regular() && c.next.size != inode.stored_size) {
    change.add_usage(inode.record.bucket, static_cast<int64_t>(c.next.size - inode.stored_size), 0);
  }
  change.index().put(keys::inode(inode.id), c.next.encode());
  return ok();
}

Status FileDataManager::Impl::replace_extents(Captured& c, Change& change) {
  const InodeId id = c.inode->id;
  uint64_t wanted_bytes = 0;
  for (const auto& [offset, piece] : c.pieces) wanted_bytes += piece.length;
  const uint64_t placed_bytes = sum_of(c.placed);
  CHECK(placed_bytes == wanted_bytes);
  if (c.next.stored_bytes > 0) {
    const std::vector<FileRange> ranges = ranges_of(c.placed);
    ASSIGN_OR_RETURN(const std::vector<ExtentEntry> old, load_extents(ledger, id, ranges));
    const ExtentEdit edit = carve(old, ranges);
    add_edit(change, id, edit);
    c.next.stored_bytes -= edit.removed_bytes;
  }
  c.next.stored_bytes += placed_bytes;
  c.next.has_inline = false;
  c.next.inline_data.clear();
  for (PlacedRange& p : c.placed) {
    Extent extent;
    extent.address = p.address;
    extent.length = p.address.length;
    extent.birth = Lsn(c.next.version.value);
    extent.captured = c.head;
    extent.checksum = c.policy.checksum;
    extent.expanded_length = p.address.length;
    extent.checksums = std::move(p.checksums);
    change.index().put(keys::extent(id, p.file_offset), extent.encode());
  }
  return ok();
}

void FileDataManager::Impl::settle(Captured& c, Lsn lsn) {
  Inode& inode = *c.inode;
  FileData& data = *inode.data;
  if (c.has_record) {
    inode.last_lsn = lsn;
    inode.record.stored_bytes = c.next.stored_bytes;
    inode.record.has_inline = c.next.has_inline;
    inode.record.inline_data = std::move(c.next.inline_data);
    if (inode.record.is_regular()) inode.stored_size = c.next.size;
    if (c.complete) inode.attributes_dirty = false;
  }
  if (c.wanted) {
    const auto end = data.deferred.upper_bound(data.flushing_upto);
    for (auto it = data.deferred.begin(); it != end; it = data.deferred.erase(it))
      ledger.data_destaged(*it, lsn);
  }
  data.flushing.clear();
  data.flush_running = false;
  account(data);
  if (!inode.deleted && (!data.dirty.empty() || inode.attributes_dirty)) enqueue(inode);
}

void FileDataManager::Impl::give_back(Captured& c, const Error* error) {
  Inode& inode = *c.inode;
  const std::unique_lock lock(inode.mutex);
  FileData& data = *inode.data;
  IntervalMap merged;
  merged.swap(data.flushing);
  for (const auto& [offset, piece] : data.dirty.pieces()) merged.put(offset, piece);
  data.dirty.swap(merged);
  data.flush_running = false;
  data.tail_.reset();
  account(data);
  if (error != nullptr) {
    data.failure = *error;
    data.failure_told = false;
  }
  if (!inode.deleted && (!data.dirty.empty() || inode.attributes_dirty)) enqueue(inode);
}

}  // namespace stavefs
