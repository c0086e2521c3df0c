// The 4 KiB page: the unit in which the files of the index are stored and verified.
//
// Theory: a file of the index is a sequence of pages; each carries a part of the file's bytes and a header
// that says which part of which file it is.  The checksum covers the page and is seeded with the file's name
// and the page's number, so that a page that landed elsewhere, in this file or in another, is not taken for
// the right one; the identity, drawn anew whenever a file is made, tells a page of an older file of the same
// name.  A page is written once and never again: whatever is synced in the middle of a file ends in a page
// that is not full.
//
// Functions of their arguments; any thread.

#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "base/buffer.h"
#include "base/endian.h"
#include "base/result.h"

namespace stavefs {

struct PageHeader {
  Le64 checksum;  ///< XXH3-64 of the rest of the page, seeded by page_seed()
  Le64 file_id;   ///< identity of the file, see make_file_id()
  Le64 start;     ///< offset in the file of the first byte that this page carries
  Le32 number;    ///< of this page in its file, from 0
  Le32 synced;    ///< pages of this file that were stable on all copies when this one was written
  Le16 used;      ///< bytes carried; the rest of the page is zero
  Le16 version;   ///< kPageVersion
  Le32 reserved;  ///< zero
};
static_assert(sizeof(PageHeader) == 40 && alignof(PageHeader) == 1);
static_assert(offsetof(PageHeader, file_id) == 8 && offsetof(PageHeader, start) == 16);
static_assert(offsetof(PageHeader, number) == 24 && offsetof(PageHeader, synced) == 28);
static_assert(offsetof(PageHeader, used) == 32 && offsetof(PageHeader, version) == 34);

inline constexpr uint16_t kPageVersion = 1;
inline constexpr size_t kPagePayloadBytes = kPageBytes - sizeof(PageHeader);

/// What a page says of itself, besides its bytes.
struct PageInfo {
  uint64_t file_id = 0;
  uint64_t start = 0;
  uint32_t number = 0;
  uint32_t synced = 0;
  uint16_t used = 0;

  bool operator==(const PageInfo&) const = default;
  std::string to_text() const;
};

/// An identity: creations are counted in the upper 40 bits, so that of two files of one name the newer one is
/// known by the greater identity; the lower 24 are random.
constexpr uint64_t make_file_id(uint64_t creation, uint64_t random) {
  return creation << 24 | (random & 0xffffff);
}
constexpr uint64_t creation_of(uint64_t file_id) { return file_id >> 24; }

/// The part of the seed that depends on the file; `name` is the last component.
uint64_t name_seed(std::string_view name);

/// Completes `page`, whose payload (from byte 40 on) holds info.used bytes: zeros the rest and fills in the
/// header. REQUIRES: info.used <= kPagePayloadBytes.
void encode_page(std::span<uint8_t, kPageBytes> page, const PageInfo& info, uint64_t name_seed);

/// kCorrupt when the page is not page `number` of a file of that name; kUnsupported for a later version of
/// the format. The caller compares the identity.
Result<PageInfo> decode_page(std::span<const uint8_t, kPageBytes> page, uint32_t number, uint64_t name_seed);

}  // namespace stavefs
