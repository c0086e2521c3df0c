// The journal's member set: making rings, losing and gaining members.

#include <fmt/core.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/log.h"
#include "journal/journal_impl.h"

namespace stavefs {
namespace {

constexpr uint64_t kZeroPieceBytes = uint64_t{1} << 20;
constexpr size_t kZeroPieces = 8;
/// How much is copied to a new member before others get to write.
constexpr uint64_t kCopyTurnBytes = uint64_t{8} << 20;

}  // namespace

Status Journal::format(Disk& disk, IoEngine& engine, uint64_t ring_bytes) {
  if (ring_bytes == 0 || ring_bytes % kPageBytes != 0)
    return Error(ErrorCode::kInvalid, EINVAL, fmt::format("a journal ring of {} bytes", ring_bytes));
  ASSIGN_OR_RETURN(std::unique_ptr<DiskFile> file,
                   disk.open(kJournalFile, {.create = true, .truncate = true, .direct = true}));
  TRY(file->allocate(ring_bytes));
  // Real zeros, so that later writes change no metadata of the host filesystem and one flush is enough.
  AlignedBuffer zeros(kZeroPieceBytes);
  std::memset(zeros.data(), 0, zeros.size());
  std::vector<IoRequest> batch;
  for (uint64_t offset = 0; offset < ring_bytes;) {
    const uint64_t bytes = std::min(kZeroPieceBytes, ring_bytes - offset);
    batch.push_back({.file = file.get(),
                     .kind = IoKind::kWrite,
                     .offset = offset,
                     .data = zeros.data(),
                     .bytes = static_cast<uint32_t>(bytes)});
    offset += bytes;
    if (batch.size() < kZeroPieces && offset < ring_bytes) continue;
    engine.run(batch);
    for (const IoRequest& request : batch)
      if (request.error != 0) return errno_error(request.error, "write the journal of " + disk.describe());
    batch.clear();
  }
  TRY(run_one(engine, {.file = file.get(), .kind = IoKind::kSync}));
  return disk.sync_names("");
}

bool Journal::Impl::is_member(DiskSlot slot) const {
  return std::any_of(rings.begin(), rings.end(), [&](const RingFile& ring) { return ring.slot == slot; });
}

std::vector<DiskSlot> Journal::Impl::member_slots() const {
  std::vector<DiskSlot> slots;
  for (const RingFile& ring : rings) slots.push_back(ring.slot);
  return slots;
}

Status Journal::Impl::fence(std::string why) {
  log_error("the journal is fenced, nothing is acknowledged any more: {}", why);
  std::lock_guard lock(mutex);
  if (!fenced) fenced = std::move(why);
  changed.notify_all();
  return fenced_status();
}

/// Publishes epochs until one stands whose members are `members`, less those that fail on the way.
/// REQUIRES: everything up to start_lsn is durable on all of `members`, whose rings are in `rings`.
Status Journal::Impl::move_epoch(std::vector<DiskSlot> members, Lsn start_lsn, const Hash128& hash) {
  for (;;) {
    std::erase_if(members, [&](DiskSlot slot) { return !pool.usable(slot); });
    if (members.empty()) return fence("no metadata disk is left");
    EpochRecord next = pool.epoch();
    next.epoch = next.epoch.next();
    next.members = members;
    next.start_lsn = start_lsn;
    next.chain_hash = hash;
    next.clean = false;
    const Status status = pool.publish(next);
    if (status) break;
    const bool shrinks =
        std::any_of(members.begin(), members.end(), [&](DiskSlot slot) { return !pool.usable(slot); });
    if (status.error().code() != ErrorCode::kIo || !shrinks)
      return fence("the epoch could not be moved: " + status.error().to_text());
  }
  const EpochRecord now = pool.epoch();
  epoch = now.epoch;
  ticket = now.ticket;
  for (RingFile& ring : rings)
    if (std::find(members.begin(), members.end(), ring.slot) == members.end())
      retired.push_back(std::move(ring));
  std::erase_if(rings, [](const RingFile& ring) { return ring.file == nullptr; });
  return ok();
}

Status Journal::drop_member(DiskSlot slot) {
  Impl& impl = *impl_;
  if (impl.read_only) return Error(ErrorCode::kFenced, EROFS, "the journal was opened for reading only");
  Impl::Writer writer(impl);
  Lsn durable;
  {
    std::lock_guard lock(impl.mutex);
    TRY(impl.fenced_status());
    durable = impl.durable;
  }
  if (!impl.is_member(slot)) return ok();
  std::vector<DiskSlot> members = impl.member_slots();
  std::erase(members, slot);
  return impl.move_epoch(std::move(members), durable, impl.chain_hash);
}

/// Copies live frames from position `copied_to` on, at most `most_bytes`; `done` when there are no more.  The
/// writer's.
Status Journal::Impl::copy_live_frames(const RingFile& to, uint64_t& copied_to, uint64_t most_bytes,
                                       AlignedBuffer& buffer, bool& done) {
  std::vector<LiveFrame> frames;
  uint64_t bytes = 0;
  done = true;
  {
    std::lock_guard lock(mutex);
    TRY(fenced_status());
    for (const LiveFrame& frame : space.live()) {
      if (frame.position < copied_to) continue;
      if (bytes >= most_bytes) {
        done = false;
        break;
      }
      bytes += frame.bytes;
      frames.push_back(frame);
    }
  }
  for (const LiveFrame& frame : frames) {
    const uint64_t offset = space.offset(frame.position);
    bool copied = false;
    for (const RingFile& from : rings) {
      IoRequest read{.file = from.file.get(), .offset = offset, .data = buffer.data(), .bytes = frame.bytes};
      pool.engine().run({&read, 1});
      pool.report(from.slot, IoKind::kRead, read.error, "journal");
      if (read.error != 0) continue;
      const Result<FrameHeader> header = decode_frame_header(format, offset, buffer.span());
      if (!header || header->hash != frame.hash || !verify_frame(*header, buffer.span())) {
        pool.report_corrupt(from.slot, "journal");
        continue;
      }
      copied = true;
      break;
    }
    if (!copied)
      return Error(
          ErrorCode::kCorrupt, EIO,
          fmt::format("the journal frame that ends at record {} cannot be read", frame.last_lsn.value));
    IoRequest write{.file = to.file.get(),
                    .kind = IoKind::kWrite,
                    .offset = offset,
                    .data = buffer.data(),
                    .bytes = frame.bytes};
    pool.engine().run({&write, 1});
    if (write.error != 0) pool.report(to.slot, IoKind::kWrite, write.error, "journal");
    if (write.error != 0)
      return errno_error(write.error, "write the journal of " + to.file->disk().describe());
    copied_to = frame.position + frame.bytes;
  }
  return ok();
}

Status Journal::add_member(DiskSlot slot) {
  Impl& impl = *impl_;
  if (impl.read_only) return Error(ErrorCode::kFenced, EROFS, "the journal was opened for reading only");
  {
    Impl::Writer writer(impl);
    if (impl.is_member(slot)) return ok();
    if (impl.rings.size() >= kMaxEpochMembers) return Error(ErrorCode::kInvalid, EINVAL, "too many members");
  }
  Disk* disk = impl.pool.disk(slot);
  if (disk == nullptr || !impl.pool.usable(slot))
    return Error(ErrorCode::kIo, EIO, "a disk that is not here cannot carry the journal");
  TRY(format(*disk, impl.pool.engine(), impl.format.ring_bytes));
  ASSIGN_OR_RETURN(RingFile ring, open_ring(impl.pool, slot));
  const IoRequest flush{.file = ring.file.get(), .kind = IoKind::kSync};
  AlignedBuffer buffer(impl.format.max_frame_bytes());
  uint64_t copied_to = 0;
  // Most of it while others write in between; frames that are trimmed meanwhile are simply not copied.
  for (bool done = false; !done;) {
    Impl::Writer writer(impl);
    TRY(impl.copy_live_frames(ring, copied_to, kCopyTurnBytes, buffer, done));
  }
  if (Status synced = run_one(impl.pool.engine(), flush); !synced) {
    impl.pool.report(slot, IoKind::kSync, EIO, "journal");
    return synced;
  }
  // The rest while nobody writes; the member counts from the next epoch on.
  Impl::Writer writer(impl);
  bool done = false;
  TRY(impl.copy_live_frames(ring, copied_to, impl.format.ring_bytes, buffer, done));
  if (Status synced = run_one(impl.pool.engine(), flush); !synced) {
    impl.pool.report(slot, IoKind::kSync, EIO, "journal");
    return synced;
  }
  Lsn durable;
  {
    std::lock_guard lock(impl.mutex);
    TRY(impl.fenced_status());
    durable = impl.durable;
  }
  if (impl.is_member(slot)) return ok();  // two callers
  impl.rings.push_back(std::move(ring));
  TRY(impl.move_epoch(impl.member_slots(), durable, impl.chain_hash));
  if (!impl.is_member(slot))
    return Error(ErrorCode::kIo, EIO, "the disk failed when it became a metadata member");
  return ok();
}

Status Journal::mark_clean() {
  Impl& impl = *impl_;
  if (impl.read_only) return Error(ErrorCode::kFenced, EROFS, "the journal was opened for reading only");
  {
    std::lock_guard lock(impl.mutex);
    impl.closed = true;
  }
  TRY(impl.sync(head()));
  Impl::Writer writer(impl);
  {
    std::lock_guard lock(impl.mutex);
    TRY(impl.fenced_status());
  }
  EpochRecord record = impl.pool.epoch();
  record.clean = true;
  return impl.pool.publish(record);
}

}  // namespace stavefs
