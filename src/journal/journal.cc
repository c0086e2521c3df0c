#include "journal/journal.h"

#include <fmt/core.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/check.h"
#include "journal/journal_impl.h"

namespace stavefs {
namespace {

/// Idle frame buffers that are kept.
constexpr size_t kSpareBuffers = 3;

}  // namespace

Journal::Journal(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Journal::~Journal() = default;

Status Journal::Impl::fenced_status() const {
  if (fenced) return Error(ErrorCode::kFenced, EIO, "the journal is fenced: " + *fenced);
  return ok();
}

/// True when everything buffered and one more record of `record_bytes` have room, and, unless that one is
/// empty, one empty record more: the frame that makes a trim count.  REQUIRES: mutex held.
bool Journal::Impl::fits(uint64_t record_bytes) const {
  const uint64_t added = kRecordOverheadBytes + record_bytes;
  uint64_t head_position = space.head();
  const auto put = [&](uint64_t bytes) { head_position = space.place(head_position, bytes) + bytes; };
  for (const Buffered& frame : closed_frames) put(frame_bytes_for(frame.payload_bytes));
  const uint64_t together = frame_bytes_for(active.payload_bytes + added);
  if (active.empty() || together <= format.target_frame_bytes()) {
    put(together);
  } else {
    put(frame_bytes_for(active.payload_bytes));
    put(frame_bytes_for(added));
  }
  if (record_bytes > 0) put(kPageBytes);
  return space.fits(head_position);
}

/// Makes what is buffered a frame of its own.  REQUIRES: mutex held.
void Journal::Impl::close_active() {
  if (active.empty()) return;
  closed_frames.push_back(std::move(active));
  active = Buffered();
}

Result<Lsn> Journal::Impl::append(std::string_view record) {
  std::lock_guard lock(mutex);
  TRY(fenced_status());
  if (closed || read_only) return Error(ErrorCode::kInvalid, EROFS, "the journal takes no more records");
  if (record.size() > format.max_record_bytes())
    return Error(ErrorCode::kInvalid, EMSGSIZE, fmt::format("a journal record of {} bytes", record.size()));
  if (!fits(record.size())) return Error(ErrorCode::kNoSpace, ENOSPC, "the journal is full");
  const uint64_t added = kRecordOverheadBytes + record.size();
  if (frame_bytes_for(active.payload_bytes + added) > format.target_frame_bytes()) close_active();
  if (active.empty()) {
    const uint64_t needed = std::max(frame_bytes_for(added), format.target_frame_bytes());
    if (needed == format.target_frame_bytes() && !spares.empty()) {
      active.buffer = std::move(spares.back());
      spares.pop_back();
    } else {
      active.buffer = AlignedBuffer(needed);
    }
    active.first_lsn = head.next();
  }
  uint8_t* to = active.buffer.data() + kFrameHeaderBytes + active.payload_bytes;
  const Le32 length = static_cast<uint32_t>(record.size());
  std::memcpy(to, &length, sizeof length);
  if (!record.empty()) std::memcpy(to + sizeof length, record.data(), record.size());
  active.payload_bytes += static_cast<uint32_t>(added);
  head = head.next();
  active.last_lsn = head;
  ++counters.records;
  return head;
}

Status Journal::Impl::sync(Lsn lsn) {
  std::unique_lock lock(mutex);
  lsn = std::min(lsn, head);
  for (;;) {
    TRY(fenced_status());
    if (durable >= lsn) return ok();
    if (writing) {
      changed.wait(lock);
      continue;
    }
    // This thread writes for everybody who has appended by now.
    if (closed_frames.empty()) close_active();
    CHECK(!closed_frames.empty() && closed_frames.front().first_lsn == durable.next());
    Buffered frame = std::move(closed_frames.front());
    closed_frames.pop_front();
    const auto bytes = static_cast<uint32_t>(frame_bytes_for(frame.payload_bytes));
    const uint64_t position = space.place(space.head(), bytes);
    space.push({position, bytes, frame.last_lsn, {}});
    FrameHeader header;
    header.ring_offset = space.offset(position);
    header.first_lsn = frame.first_lsn;
    header.last_lsn = frame.last_lsn;
    header.durable_lsn = durable;
    header.trim_lsn = trimmed;
    header.payload_bytes = frame.payload_bytes;
    writing = true;
    lock.unlock();
    const bool written = write_frame(frame, header);
    lock.lock();
    writing = false;
    if (written) {
      durable = header.last_lsn;
      space.set_last_hash(header.hash);
      // Frames are overwritten only when a durable frame says that they are not needed, so recovery can
      // insist on everything above the trim point of the newest frame.
      space.trim(header.trim_lsn);
      ++counters.frames;
      counters.bytes += header.frame_bytes;
    }
    if (frame.buffer.size() == format.target_frame_bytes() && spares.size() < kSpareBuffers)
      spares.push_back(std::move(frame.buffer));
    changed.notify_all();
  }
}

/// Writes one frame to all members; true when all that are members afterwards have it.  The writer's.
bool Journal::Impl::write_frame(Buffered& frame, FrameHeader& header) {
  header.epoch = epoch;
  header.ticket = ticket;
  header.prev_hash = chain_hash;
  seal_frame(format, header, frame.buffer.span());
  batch.clear();
  for (const RingFile& ring : rings)
    batch.push_back({.file = ring.file.get(),
                     .kind = IoKind::kWrite,
                     .offset = header.ring_offset,
                     .data = frame.buffer.data(),
                     .bytes = header.frame_bytes,
                     .durable = true});
  pool.engine().run(batch);
  bool all = true;
  std::vector<DiskSlot> remaining;
  for (size_t i = 0; i < rings.size(); ++i) {
    if (batch[i].error != 0) pool.report(rings[i].slot, IoKind::kWrite, batch[i].error, "journal");
    // A disk that was fenced for another reason may have taken this write, but is not to be relied on.
    all &= batch[i].error == 0 && pool.usable(rings[i].slot);
  }
  chain_hash = header.hash;
  if (all) return true;
  for (size_t i = 0; i < rings.size(); ++i)
    if (batch[i].error == 0) remaining.push_back(rings[i].slot);
  return move_epoch(std::move(remaining), header.last_lsn, header.hash).has_value();
}

/// REQUIRES: mutex held.
uint64_t Journal::Impl::buffered_bytes() const {
  uint64_t bytes = active.empty() ? 0 : frame_bytes_for(active.payload_bytes);
  for (const Buffered& frame : closed_frames) bytes += frame_bytes_for(frame.payload_bytes);
  return bytes;
}

Result<Lsn> Journal::append(std::string_view record) { return impl_->append(record); }

bool Journal::has_room(uint64_t bytes) const {
  std::lock_guard lock(impl_->mutex);
  return bytes <= impl_->format.max_record_bytes() && impl_->fits(bytes);
}

uint64_t Journal::max_record_bytes() const { return impl_->format.max_record_bytes(); }

uint64_t Journal::unsynced_bytes() const {
  std::lock_guard lock(impl_->mutex);
  return impl_->buffered_bytes();
}

Status Journal::sync(Lsn lsn) { return impl_->sync(lsn); }

void Journal::trim(Lsn lsn) {
  std::lock_guard lock(impl_->mutex);
  lsn = std::min(lsn, impl_->durable);
  if (lsn <= impl_->trimmed) return;
  impl_->trimmed = lsn;
}

Lsn Journal::head() const {
  std::lock_guard lock(impl_->mutex);
  return impl_->head;
}

Lsn Journal::durable() const {
  std::lock_guard lock(impl_->mutex);
  return impl_->durable;
}

Journal::Stats Journal::stats() const {
  std::lock_guard lock(impl_->mutex);
  Stats stats = impl_->counters;
  stats.ring_bytes = impl_->format.ring_bytes;
  stats.live_bytes = impl_->space.head() - impl_->space.tail() + impl_->buffered_bytes();
  return stats;
}

}  // namespace stavefs
