// Opening a journal.
//
// Order matters: everything is read and judged first; then the chain is repaired on every present member;
// then the epoch moves; only then is anything replayed or written.  A crash in between leaves the same chain
// to be found.

#include <fmt/core.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/log.h"
#include "journal/journal_impl.h"

namespace stavefs {
namespace {

/// What was found on the disks.
struct Found {
  std::vector<RingFile> rings;
  std::vector<std::vector<std::pair<uint64_t, uint64_t>>> unreadable;  // by ring
  Chain chain;
};

bool overlaps(const std::vector<std::pair<uint64_t, uint64_t>>& ranges, uint64_t from, uint64_t to) {
  return std::any_of(ranges.begin(), ranges.end(),
                     [&](const auto& range) { return range.first < to && from < range.second; });
}

/// A frame behind the chain's end may hide where a disk could not be read.  One disk that could be read there
/// settles that there is none: an acknowledged frame is on all of them.
Status check_tail_was_readable(const Found& found, const RingFormat& format) {
  for (const auto& ranges : found.unreadable) {
    if (found.chain.frames.empty() && ranges.empty()) return ok();
    if (found.chain.frames.empty()) continue;
    const FrameHeader& last = found.chain.frames.back().header;
    const uint64_t next = last.ring_offset + last.frame_bytes;
    const uint64_t longest = format.max_frame_bytes();
    const bool may_wrap = next + longest > format.ring_bytes;
    if (!overlaps(ranges, next, next + longest) && !(may_wrap && overlaps(ranges, 0, longest))) return ok();
  }
  return Error(ErrorCode::kIo, EIO, "the end of the journal cannot be read from any disk that is here");
}

Result<Found> find_chain(Pool& pool, const RingFormat& format, const EpochRecord& epoch, Lsn after) {
  Found found;
  FrameIndex index(4 * format.ring_bytes / kPageBytes);
  std::string passed_over;
  for (const DiskSlot slot : epoch.members) {
    if (!pool.usable(slot)) continue;
    Result<RingFile> ring = open_ring(pool, slot);
    Result<RingScan> scan = ring ? scan_ring(pool, *ring, format) : Result<RingScan>(ring.error());
    if (!scan) {
      passed_over.append(" ").append(scan.error().to_text()).append(";");
      log_warning("a copy of the journal is not used: {}", scan.error().to_text());
      continue;
    }
    TRY(index.add(scan->frames, static_cast<int>(found.rings.size())));
    found.rings.push_back(std::move(*ring));
    found.unreadable.push_back(std::move(scan->unreadable));
  }
  if (found.rings.empty())
    return Error(ErrorCode::kIo, EIO, "no copy of the journal can be read:" + passed_over);
  ASSIGN_OR_RETURN(found.chain, choose_chain(index, epoch, after));
  TRY(check_tail_was_readable(found, format));
  return found;
}

/// Puts the chain's frames where recovery found them.
Status place_frames(const Chain& chain, const RingFormat& format, RingSpace& space) {
  uint64_t lap = 0;
  uint64_t end = 0;
  for (const FoundFrame& frame : chain.frames) {
    uint64_t position = lap + frame.header.ring_offset;
    if (position < end) {
      lap += format.ring_bytes;
      position += format.ring_bytes;
    }
    end = position + frame.header.frame_bytes;
    const uint64_t begin = space.live().empty() ? position : space.tail();
    if (position < space.head() || end - begin > format.ring_bytes)
      return Error(ErrorCode::kCorrupt, EIO, "frames of the journal overlap");
    space.push_recovered({position, frame.header.frame_bytes, frame.header.last_lsn, frame.header.hash});
  }
  return ok();
}

/// Writes `frame` to a ring and reads it back.
bool write_and_verify(Pool& pool, const RingFile& ring, const FrameHeader& header, AlignedBuffer& frame,
                      AlignedBuffer& check) {
  IoRequest write{.file = ring.file.get(),
                  .kind = IoKind::kWrite,
                  .offset = header.ring_offset,
                  .data = frame.data(),
                  .bytes = header.frame_bytes,
                  .durable = true};
  pool.engine().run({&write, 1});
  if (write.error != 0) {
    pool.report(ring.slot, IoKind::kWrite, write.error, "journal");
    return false;
  }
  IoRequest read{.file = ring.file.get(),
                 .offset = header.ring_offset,
                 .data = check.data(),
                 .bytes = header.frame_bytes};
  pool.engine().run({&read, 1});
  if (read.error != 0) {
    pool.report(ring.slot, IoKind::kRead, read.error, "journal");
    return false;
  }
  if (std::memcmp(frame.data(), check.data(), header.frame_bytes) == 0) return true;
  pool.report_corrupt(ring.slot, "journal, just written");
  return false;
}

/// Gives every ring all frames of the chain; returns the slots of those that have them.
Result<std::vector<DiskSlot>> repair(Pool& pool, const Found& found, const RingFormat& format) {
  std::vector<bool> good(found.rings.size(), true);
  AlignedBuffer frame_buffer;
  AlignedBuffer check_buffer;
  for (const FoundFrame& frame : found.chain.frames) {
    bool loaded = false;
    for (size_t i = 0; i < found.rings.size(); ++i) {
      if ((frame.holders >> i & 1) != 0 || !good[i]) continue;
      if (frame_buffer.empty()) {
        frame_buffer = AlignedBuffer(format.max_frame_bytes());
        check_buffer = AlignedBuffer(format.max_frame_bytes());
      }
      if (!loaded) TRY(load_frame(pool, found.rings, frame.holders, frame.header, frame_buffer.span()));
      loaded = true;
      good[i] = write_and_verify(pool, found.rings[i], frame.header, frame_buffer, check_buffer);
      if (good[i])
        log_info("journal records {} to {} were repaired on {}", frame.header.first_lsn.value,
                 frame.header.last_lsn.value, found.rings[i].file->disk().describe());
    }
  }
  std::vector<DiskSlot> slots;
  for (size_t i = 0; i < good.size(); ++i)
    if (good[i]) slots.push_back(found.rings[i].slot);
  return slots;
}

Status replay_chain(Pool& pool, std::span<const RingFile> rings, const Chain& chain, const RingFormat& format,
                    bool repaired, const Journal::Replay& replay) {
  AlignedBuffer buffer;
  for (const FoundFrame& frame : chain.frames) {
    if (frame.header.last_lsn <= chain.floor) continue;
    if (buffer.empty()) buffer = AlignedBuffer(format.max_frame_bytes());
    // After the repair all rings have it; before, the bits count rings as they were found.
    const uint64_t holders = repaired ? ~uint64_t{0} : frame.holders;
    TRY(load_frame(pool, rings, holders, frame.header, buffer.span()));
    FrameRecords records(frame.header, buffer.span());
    Lsn lsn;
    std::string_view record;
    while (records.next(lsn, record))
      if (lsn > chain.floor) TRY(replay(lsn, record));
  }
  return ok();
}

}  // namespace

Result<std::unique_ptr<Journal>> Journal::open(Pool& pool, Lsn after, const Replay& replay, bool read_only) {
  const RingFormat format{pool.config().id, pool.journal_key(), pool.config().ring_bytes};
  const EpochRecord epoch = pool.epoch();
  ASSIGN_OR_RETURN(Found found, find_chain(pool, format, epoch, after));
  auto impl = std::make_unique<Impl>(pool, format, read_only);
  TRY(place_frames(found.chain, format, impl->space));
  const Chain& chain = found.chain;
  impl->head = impl->durable = chain.end;
  impl->trimmed = chain.floor;
  impl->chain_hash = chain.hash;
  impl->epoch = epoch.epoch;
  impl->ticket = epoch.ticket;
  if (read_only) {
    TRY(replay_chain(pool, found.rings, chain, format, false, replay));
    impl->rings = std::move(found.rings);
    return std::unique_ptr<Journal>(new Journal(std::move(impl)));
  }
  ASSIGN_OR_RETURN(std::vector<DiskSlot> members, repair(pool, found, format));
  impl->rings = std::move(found.rings);
  TRY(impl->move_epoch(std::move(members), chain.end, chain.hash));
  TRY(replay_chain(pool, impl->rings, chain, format, true, replay));
  return std::unique_ptr<Journal>(new Journal(std::move(impl)));
}

}  // namespace stavefs
