#include "journal/chain.h"

#include <fmt/core.h>

#include <algorithm>

#include "base/log.h"

namespace stavefs {
namespace {

/// The frames that were reached, newest first, and the end of the gap when they do not reach far enough.
struct Walk {
  std::vector<FoundFrame> frames;
  Lsn gap_end;  // 0: complete
};

/// Follows hashes backwards until every record above `after` is reached.  `need` is the LSN that the frame
/// with hash `hash` must end at.
void walk_back(const FrameIndex& index, const EpochRecord& epoch, Lsn floor, Lsn after, Lsn need,
               Hash128 hash, Walk& walk) {
  for (;;) {
    const bool joins = need == epoch.start_lsn;
    if (joins && hash != epoch.chain_hash) break;  // not of this history
    if (need <= floor) return;
    const FoundFrame* frame = hash == Hash128{} ? nullptr : index.find(hash);
    if (frame == nullptr) break;
    const bool index_was_ahead = joins && frame->header.last_lsn < need && need <= after;
    if (frame->header.last_lsn != need && !index_was_ahead) break;
    if (need > epoch.start_lsn && frame->header.first_lsn <= epoch.start_lsn) break;
    walk.frames.push_back(*frame);
    need = Lsn(frame->header.first_lsn.value - 1);
    hash = frame->header.prev_hash;
  }
  walk.gap_end = need;
}

/// The records that end at walk.gap_end are not to be had.
Error gap(const FrameIndex& index, Lsn after, const Walk& walk) {
  Lsn below = after;
  for (const FoundFrame& frame : index.frames())
    if (frame.header.last_lsn < walk.gap_end) below = std::max(below, frame.header.last_lsn);
  Lsn trimmed;
  for (const FoundFrame& frame : walk.frames) trimmed = std::max(trimmed, frame.header.trim_lsn);
  const char* why = walk.gap_end <= trimmed
                        ? "they were given up because an index held them, and the index that is here is older"
                        : "no copy that is here holds them; attach the missing disks";
  return Error(ErrorCode::kCorrupt, EIO,
               fmt::format("the journal lacks records {} to {}, which were acknowledged: {}", below.value + 1,
                           walk.gap_end.value, why));
}

Chain finish(Walk walk, const EpochRecord& epoch, Lsn floor, Lsn after) {
  Chain chain;
  chain.floor = floor;
  chain.frames.assign(walk.frames.rbegin(), walk.frames.rend());
  chain.end = epoch.start_lsn;
  chain.hash = epoch.chain_hash;
  if (!chain.frames.empty()) {
    chain.end = chain.frames.back().header.last_lsn;
    chain.hash = chain.frames.back().header.hash;
  }
  if (chain.end < after) {
    log_warning("the journal ends at record {} although the index holds {}", chain.end.value, after.value);
    chain.end = after;
  }
  return chain;
}

}  // namespace

Status FrameIndex::add(std::span<const FrameHeader> frames, int ring) {
  for (const FrameHeader& header : frames) frames_.push_back({header, uint64_t{1} << ring});
  merge();
  if (frames_.size() > limit_)
    return Error(ErrorCode::kCorrupt, EIO, "the journal copies have nothing in common");
  return ok();
}

void FrameIndex::merge() {
  std::sort(frames_.begin(), frames_.end(),
            [](const FoundFrame& a, const FoundFrame& b) { return a.header.hash < b.header.hash; });
  size_t out = 0;
  for (size_t i = 0; i < frames_.size(); ++i) {
    if (out > 0 && frames_[out - 1].header == frames_[i].header) {
      frames_[out - 1].holders |= frames_[i].holders;
    } else {
      frames_[out++] = frames_[i];
    }
  }
  frames_.resize(out);
}

const FoundFrame* FrameIndex::find(const Hash128& hash) const {
  const auto it = std::lower_bound(frames_.begin(), frames_.end(), hash,
                                   [](const FoundFrame& f, const Hash128& h) { return f.header.hash < h; });
  return it != frames_.end() && it->header.hash == hash ? &*it : nullptr;
}

Result<Chain> choose_chain(const FrameIndex& index, const EpochRecord& epoch, Lsn after) {
  std::vector<const FoundFrame*> candidates;
  for (const FoundFrame& frame : index.frames()) {
    const FrameHeader& h = frame.header;
    if (h.epoch == epoch.epoch && h.ticket == epoch.ticket && h.first_lsn > epoch.start_lsn)
      candidates.push_back(&frame);
  }
  std::sort(candidates.begin(), candidates.end(), [](const FoundFrame* a, const FoundFrame* b) {
    return std::pair(a->header.last_lsn, a->header.hash) > std::pair(b->header.last_lsn, b->header.hash);
  });
  for (const FoundFrame* end : candidates) {
    Walk walk;
    walk.frames.push_back(*end);
    const Lsn floor = std::min(after, end->header.trim_lsn);
    walk_back(index, epoch, floor, after, Lsn(end->header.first_lsn.value - 1), end->header.prev_hash, walk);
    if (walk.gap_end.value == 0) return finish(std::move(walk), epoch, floor, after);
    // What is at or below the start, or below a durable mark on the way, was acknowledged or may have been.
    Lsn durable = epoch.start_lsn;
    for (const FoundFrame& frame : walk.frames) durable = std::max(durable, frame.header.durable_lsn);
    if (walk.gap_end <= durable) return gap(index, floor, walk);
  }
  // Nothing was written in this epoch, so the frame that it began after is the newest: the newest is never
  // overwritten.
  const bool has_last = epoch.chain_hash != Hash128{};
  const FoundFrame* last = has_last ? index.find(epoch.chain_hash) : nullptr;
  if (has_last && last == nullptr)
    return Error(
        ErrorCode::kCorrupt, EIO,
        fmt::format(
            "the journal lacks the frame that ends at record {}, which was acknowledged: no copy that is "
            "here holds it; attach the missing disks",
            epoch.start_lsn.value));
  const Lsn floor = last == nullptr ? after : std::min(after, last->header.trim_lsn);
  Walk walk;
  walk_back(index, epoch, floor, after, epoch.start_lsn, epoch.chain_hash, walk);
  if (walk.gap_end.value != 0) return gap(index, floor, walk);
  // Nothing needed in the ring: the last frame still tells where to go on writing.
  if (walk.frames.empty() && last != nullptr) walk.frames.push_back(*last);
  return finish(std::move(walk), epoch, floor, after);
}

}  // namespace stavefs
