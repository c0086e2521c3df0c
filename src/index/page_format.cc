#include "index/page_format.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "codec/checksum.h"

namespace stavefs {

namespace {

uint64_t page_checksum(const uint8_t* page, uint32_t number, uint64_t name_seed) {
  constexpr size_t kSkip = sizeof(PageHeader::checksum);
  return xxh3_64(page + kSkip, kPageBytes - kSkip, name_seed + number);
}

Error corrupt(uint32_t number, const char* why) {
  return Error(ErrorCode::kCorrupt, EIO, fmt::format("page {}: {}", number, why));
}

}  // namespace

std::string PageInfo::to_text() const {
  return fmt::format("page {} of file {:016x}: {} bytes from {}, {} pages synced before", number, file_id,
                     used, start, synced);
}

uint64_t name_seed(std::string_view name) { return xxh3_64(name.data(), name.size()); }

void encode_page(std::span<uint8_t, kPageBytes> page, const PageInfo& info, uint64_t name_seed) {
  CHECK(info.used <= kPagePayloadBytes);
  std::memset(page.data() + sizeof(PageHeader) + info.used, 0, kPagePayloadBytes - info.used);
  PageHeader header;
  header.file_id = info.file_id;
  header.start = info.start;
  header.number = info.number;
  header.synced = info.synced;
  header.used = info.used;
  header.version = kPageVersion;
  std::memcpy(page.data(), &header, sizeof header);
  header.checksum = page_checksum(page.data(), info.number, name_seed);
  std::memcpy(page.data(), &header.checksum, sizeof header.checksum);
}

Result<PageInfo> decode_page(std::span<const uint8_t, kPageBytes> page, uint32_t number, uint64_t name_seed) {
  PageHeader header;
  std::memcpy(&header, page.data(), sizeof header);
  if (header.checksum != page_checksum(page.data(), number, name_seed))
    return corrupt(number, "wrong checksum");
  if (header.version != kPageVersion)
    return Error(ErrorCode::kUnsupported, EIO,
                 fmt::format("page {}: version {} of the format", number, uint16_t{header.version}));
  if (header.number != number) return corrupt(number, "has another number");
  if (header.used > kPagePayloadBytes) return corrupt(number, "claims more bytes than a page holds");
  if (header.synced > number) return corrupt(number, "claims that later pages were synced before it");
  if (header.reserved != 0) return corrupt(number, "reserved bytes are not zero");
  const auto unused = page.subspan(sizeof(PageHeader) + header.used);
  if (!std::ranges::all_of(unused, [](uint8_t b) { return b == 0; }))
    return corrupt(number, "unused bytes are not zero");
  return PageInfo{header.file_id, header.start, header.number, header.synced, header.used};
}

}  // namespace stavefs
