#include "fs/interval_map.h"

#include <algorithm>
#include <limits>

namespace stavefs {
namespace {

constexpr uint64_t kMaximum = std::numeric_limits<uint64_t>::max();

uint64_t end_of(uint64_t offset, uint64_t length) {
  return length > kMaximum - offset ? kMaximum : offset + length;
}

/// The part of a piece from its byte `from` on.
Piece without_head(const Piece& piece, uint64_t from) {
  Piece tail = piece;
  tail.chunk_offset += from;
  tail.length -= from;
  return tail;
}

bool continues(const Piece& before, const Piece& after) {
  return before.chunk == after.chunk && before.chunk_offset + before.length == after.chunk_offset &&
         before.logged == after.logged;
}

}  // namespace

Chunk::Chunk(AlignedBuffer memory, std::atomic<uint64_t>* charged)
    : buffer(std::move(memory)), charged_(charged) {
  if (charged_ != nullptr) charged_->fetch_add(buffer.size(), std::memory_order_relaxed);
}

Chunk::~Chunk() {
  if (charged_ != nullptr) charged_->fetch_sub(buffer.size(), std::memory_order_relaxed);
}

void IntervalMap::put(uint64_t offset, Piece piece) {
  if (piece.length == 0) return;
  erase(offset, piece.length);
  bytes_ += piece.length;
  const auto next = pieces_.lower_bound(offset);
  if (next != pieces_.begin()) {
    auto& [start, before] = *std::prev(next);
    if (start + before.length == offset && continues(before, piece)) {
      before.length += piece.length;
      return;
    }
  }
  pieces_.emplace_hint(next, offset, std::move(piece));
}

void IntervalMap::erase(uint64_t offset, uint64_t length) {
  if (length == 0 || pieces_.empty()) return;
  const uint64_t end = end_of(offset, length);
  auto it = pieces_.lower_bound(offset);
  if (it != pieces_.begin()) {
    const auto before = std::prev(it);
    const uint64_t before_end = before->first + before->second.length;
    if (before_end > offset) {
      if (before_end > end) {
        pieces_.emplace_hint(it, end, without_head(before->second, end - before->first));
        bytes_ += before_end - end;
      }
      bytes_ -= before_end - offset;
      before->second.length = offset - before->first;
    }
  }
  while (it != pieces_.end() && it->first < end) {
    const uint64_t it_end = it->first + it->second.length;
    if (it_end > end) {
      Piece tail = without_head(it->second, end - it->first);
      bytes_ -= end - it->first;
      it = pieces_.erase(it);
      pieces_.emplace_hint(it, end, std::move(tail));
      return;
    }
    bytes_ -= it->second.length;
    it = pieces_.erase(it);
  }
}

void IntervalMap::clear() {
  pieces_.clear();
  bytes_ = 0;
}

std::vector<std::pair<uint64_t, Piece>> IntervalMap::overlapping(uint64_t offset, uint64_t length) const {
  std::vector<std::pair<uint64_t, Piece>> found;
  const uint64_t end = end_of(offset, length);
  auto it = pieces_.upper_bound(offset);
  if (it != pieces_.begin() && std::prev(it)->first + std::prev(it)->second.length > offset) --it;
  for (; it != pieces_.end() && it->first < end; ++it) {
    const uint64_t from = std::max(it->first, offset);
    Piece part = without_head(it->second, from - it->first);
    part.length = std::min(part.length, end - from);
    found.emplace_back(from, std::move(part));
  }
  return found;
}

uint64_t IntervalMap::begin() const { return pieces_.empty() ? kMaximum : pieces_.begin()->first; }

uint64_t IntervalMap::end() const {
  return pieces_.empty() ? 0 : pieces_.rbegin()->first + pieces_.rbegin()->second.length;
}

void IntervalMap::swap(IntervalMap& other) noexcept {
  pieces_.swap(other.pieces_);
  std::swap(bytes_, other.bytes_);
}

}  // namespace stavefs
