#include "index/page_map.h"

#include <algorithm>

namespace stavefs {

void PageMap::add(uint16_t used) {
  const bool full_so_far = bytes_ == uint64_t{pages_} * kPagePayloadBytes;
  if (starts_.empty() && !full_so_far) {
    starts_.resize(pages_);
    for (uint32_t page = 0; page < pages_; ++page) starts_[page] = uint64_t{page} * kPagePayloadBytes;
  }
  if (!starts_.empty()) starts_.push_back(bytes_);
  ++pages_;
  bytes_ += used;
}

uint64_t PageMap::start(uint32_t page) const {
  if (page == pages_) return bytes_;
  return starts_.empty() ? uint64_t{page} * kPagePayloadBytes : starts_[page];
}

uint32_t PageMap::find(uint64_t offset) const {
  if (starts_.empty()) return static_cast<uint32_t>(offset / kPagePayloadBytes);
  return static_cast<uint32_t>(std::ranges::upper_bound(starts_, offset) - starts_.begin() - 1);
}

}  // namespace stavefs
