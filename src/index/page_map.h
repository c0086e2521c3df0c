// Which page of a file carries which bytes.
//
// Theory: as long as every page but the last is full, a page's place follows from arithmetic, and nothing is
// kept but two numbers.  The first page that follows a page that is not full makes the map keep the start of
// every page; only small files, which are synced in the middle, get there.
//
// One owner; see MirrorFile for the lock.

#pragma once

#include <cstdint>
#include <vector>

#include "index/page_format.h"

namespace stavefs {

class PageMap {
 public:
  /// The map of a file whose pages are all full but the last.
  static PageMap regular(uint32_t pages, uint16_t last_used) {
    PageMap map;
    map.pages_ = pages;
    map.bytes_ = pages == 0 ? 0 : uint64_t{pages - 1} * kPagePayloadBytes + last_used;
    return map;
  }

  /// Adds the next page, which carries `used` bytes.
  void add(uint16_t used);

  uint32_t pages() const { return pages_; }
  /// Bytes of the file that its pages carry.
  uint64_t bytes() const { return bytes_; }
  /// Offset in the file of the first byte of `page`.  REQUIRES: page <= pages().
  uint64_t start(uint32_t page) const;
  /// REQUIRES: page < pages().
  uint16_t used(uint32_t page) const { return static_cast<uint16_t>(start(page + 1) - start(page)); }
  /// The page that carries byte `offset`.  REQUIRES: offset < bytes().
  uint32_t find(uint64_t offset) const;

 private:
  uint32_t pages_ = 0;
  uint64_t bytes_ = 0;
  std::vector<uint64_t> starts_;  ///< empty while arithmetic does
};

}  // namespace stavefs
