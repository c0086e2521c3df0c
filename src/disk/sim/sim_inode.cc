#include "disk/sim/sim_inode.h"

#include <algorithm>

#include "base/check.h"

namespace stavefs::sim {

namespace {

using Kind = PendingChange::Kind;

/// The piece [from, to) of a write.
PendingChange slice(const PendingChange& write, uint64_t from, uint64_t to) {
  PendingChange piece = write;
  piece.data_at += from - write.offset;
  piece.offset = from;
  piece.bytes = to - from;
  return piece;
}

std::span<const uint8_t> bytes_of_write(const PendingChange& write) {
  return std::span(*write.data).subspan(write.data_at, write.bytes);
}

}  // namespace

uint64_t BlockMap::missing(uint64_t offset, uint64_t bytes) const {
  uint64_t n = 0;
  const uint64_t end = (offset + bytes + kBlockBytes - 1) / kBlockBytes;
  for (uint64_t b = offset / kBlockBytes; b < end && bytes > 0; ++b) {
    n += b >= blocks_.size() || !blocks_[b];
  }
  return n;
}

void BlockMap::add(uint64_t offset, uint64_t bytes) {
  if (bytes == 0) return;
  held_ += missing(offset, bytes);
  const uint64_t end = (offset + bytes + kBlockBytes - 1) / kBlockBytes;
  if (end > blocks_.size()) blocks_.resize(end);
  std::fill(blocks_.begin() + static_cast<ptrdiff_t>(offset / kBlockBytes),
            blocks_.begin() + static_cast<ptrdiff_t>(end), true);
}

void BlockMap::remove(uint64_t offset, uint64_t bytes) {
  const uint64_t limit = blocks_.size() * kBlockBytes;
  const uint64_t end = std::min(bytes > limit ? limit : offset + bytes, limit) / kBlockBytes;
  for (uint64_t b = (offset + kBlockBytes - 1) / kBlockBytes; b < end; ++b) {
    held_ -= blocks_[b];
    blocks_[b] = false;
  }
}

SimInode::SimInode(SparseBytes media, BlockMap held)
    : blocks(std::move(held)), view_(media), media_(std::move(media)) {}

void SimInode::apply(SparseBytes& to, const PendingChange& change) {
  switch (change.kind) {
    case Kind::kWrite: to.write(change.offset, bytes_of_write(change)); break;
    case Kind::kAllocate: to.resize(std::max(to.size(), change.bytes)); break;
    case Kind::kTruncate: to.resize(change.bytes); break;
    case Kind::kPunch: to.zero(change.offset, change.bytes); break;
  }
}

void SimInode::apply(SparseBytes& to, const PendingChange& change, Fate fate, Rng& rng) {
  if (fate == Fate::kDropped) return;
  if (fate == Fate::kTorn && change.is_write()) {
    apply_torn(to, change, rng);
  } else {
    apply(to, change);
  }
}

void SimInode::apply_torn(SparseBytes& to, const PendingChange& write, Rng& rng) {
  const uint64_t unit = rng.one_in(2) ? 512 : 4096;
  const uint64_t end = write.offset + write.bytes;
  const uint64_t first = write.offset / unit;
  const uint64_t units = (end + unit - 1) / unit - first;
  const uint64_t shape = rng.below(3);  // a head, a tail, any subset
  const uint64_t split = rng.below(units + 1);
  for (uint64_t i = 0; i < units; ++i) {
    const bool lands = shape == 0 ? i < split : shape == 1 ? i >= split : rng.one_in(2);
    if (!lands) continue;
    const uint64_t from = std::max(write.offset, (first + i) * unit);
    apply(to, slice(write, from, std::min(end, (first + i + 1) * unit)));
  }
  // The length may become durable without the bytes.
  if (rng.one_in(2)) to.resize(std::max(to.size(), end));
}

void SimInode::change(PendingChange change) {
  apply(view_, change);
  pending_.push_back(std::move(change));
}

void SimInode::interrupt(PendingChange change) {
  change.in_flight = true;
  view_is_ahead_ = true;
  pending_.push_back(std::move(change));
}

void SimInode::cut_pending_writes(size_t count, uint64_t from, uint64_t to) {
  std::vector<PendingChange> left;
  left.reserve(pending_.size());
  for (size_t i = 0; i < pending_.size(); ++i) {
    const PendingChange& c = pending_[i];
    const uint64_t end = c.offset + c.bytes;
    if (i >= count || !c.is_write() || end <= from || c.offset >= to) {
      left.push_back(c);
      continue;
    }
    if (c.offset < from) left.push_back(slice(c, c.offset, from));
    if (end > to) left.push_back(slice(c, to, end));
  }
  pending_ = std::move(left);
}

void SimInode::write_durably(PendingChange write) {
  // The inode first: every pending length change and hole, in order.
  for (size_t i = 0; i < pending_.size();) {
    if (pending_[i].is_write()) {
      ++i;
      continue;
    }
    const PendingChange c = pending_[i];
    pending_.erase(pending_.begin() + static_cast<ptrdiff_t>(i));
    apply(media_, c);
    const size_t before = pending_.size();
    if (c.kind == Kind::kTruncate) cut_pending_writes(i, c.bytes, UINT64_MAX);
    if (c.kind == Kind::kPunch) cut_pending_writes(i, c.offset, c.offset + c.bytes);
    i = i + pending_.size() - before;  // cutting may remove or split what lies before i
  }
  cut_pending_writes(pending_.size(), write.offset, write.offset + write.bytes);
  apply(media_, write);
  apply(view_, write);
}

void SimInode::sync(uint64_t sequence) {
  size_t covered = 0;
  while (covered < pending_.size() && pending_[covered].sequence < sequence) ++covered;
  if (covered == pending_.size() && !view_is_ahead_) {
    media_ = view_;
  } else {
    for (size_t i = 0; i < covered; ++i) apply(media_, pending_[i]);
  }
  pending_.erase(pending_.begin(), pending_.begin() + static_cast<ptrdiff_t>(covered));
}

void SimInode::flip(uint64_t offset, int bit) {
  view_.flip(offset, bit);
  if (offset < media_.size()) media_.flip(offset, bit);
  for (PendingChange& c : pending_) {
    if (!c.is_write() || offset < c.offset || offset >= c.offset + c.bytes) continue;
    auto copy = std::make_shared<std::vector<uint8_t>>(*c.data);
    (*copy)[c.data_at + offset - c.offset] ^= static_cast<uint8_t>(1u << bit);
    c.data = std::move(copy);
  }
}

}  // namespace stavefs::sim
