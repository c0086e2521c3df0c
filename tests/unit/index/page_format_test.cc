#include "index/page_format.h"

#include <gtest/gtest.h>

#include <cstring>

#include "base/rng.h"
#include "codec/checksum.h"
#include "index/page_map.h"

namespace stavefs {
namespace {

using Page = std::array<uint8_t, kPageBytes>;

Page make_page(const PageInfo& info, std::string_view name, uint8_t fill) {
  Page page;
  page.fill(0xee);  // what encode_page must overwrite
  std::memset(page.data() + sizeof(PageHeader), fill, info.used);
  encode_page(page, info, name_seed(name));
  return page;
}

const PageInfo kInfo{make_file_id(0x123456789a, 0xabcdef), 0x1122334455, 7, 3, 4};

// The layout is on disk: each field is found where the format says, bytes are little-endian.
TEST(PageFormat, GoldenBytes) {
  const Page page = make_page(kInfo, "000012.sst", 0x5a);
  const uint8_t expected[] = {
      0xef, 0xcd, 0xab, 0x9a, 0x78, 0x56, 0x34, 0x12,  // file_id
      0x55, 0x44, 0x33, 0x22, 0x11, 0x00, 0x00, 0x00,  // start
      0x07, 0x00, 0x00, 0x00,                          // number
      0x03, 0x00, 0x00, 0x00,                          // synced
      0x04, 0x00,                                      // used
      0x01, 0x00,                                      // version
      0x00, 0x00, 0x00, 0x00,                          // reserved
      0x5a, 0x5a, 0x5a, 0x5a,                          // payload
  };
  EXPECT_EQ(0, std::memcmp(page.data() + 8, expected, sizeof expected));
  for (size_t i = 8 + sizeof expected; i < page.size(); ++i) ASSERT_EQ(0, page[i]) << i;
  uint64_t checksum = 0;
  std::memcpy(&checksum, page.data(), sizeof checksum);
  EXPECT_EQ(xxh3_64(page.data() + 8, kPageBytes - 8, xxh3_64("000012.sst", 10) + 7), checksum);
  EXPECT_EQ(0xfc0879709c70bba1ull, checksum);
}

TEST(PageFormat, RoundTrip) {
  const Page page = make_page(kInfo, "000012.sst", 0x5a);
  const Result<PageInfo> info = decode_page(page, 7, name_seed("000012.sst"));
  ASSERT_TRUE(info);
  EXPECT_EQ(kInfo, *info);
}

// A page read at another place of the same file, or in another file, is not taken for the right one.
TEST(PageFormat, MisdirectedPageIsRefused) {
  const Page page = make_page(kInfo, "000012.sst", 0x5a);
  EXPECT_FALSE(decode_page(page, 8, name_seed("000012.sst")));
  EXPECT_FALSE(decode_page(page, 6, name_seed("000012.sst")));
  EXPECT_FALSE(decode_page(page, 7, name_seed("000013.sst")));
}

// Every single flipped bit is found.
TEST(PageFormat, EveryFlippedBitIsFound) {
  Page page = make_page(kInfo, "CURRENT", 0x5a);
  for (size_t bit = 0; bit < kPageBytes * 8; ++bit) {
    page[bit / 8] ^= static_cast<uint8_t>(1 << bit % 8);
    ASSERT_FALSE(decode_page(page, 7, name_seed("CURRENT"))) << bit;
    page[bit / 8] ^= static_cast<uint8_t>(1 << bit % 8);
  }
  EXPECT_TRUE(decode_page(page, 7, name_seed("CURRENT")));
}

// Fields that are wrong under a right checksum (a hostile or later writer) are refused, not believed.
TEST(PageFormat, MalformedFieldsUnderAValidChecksumAreRefused) {
  const auto refused = [](auto change) {
    Page page = make_page(kInfo, "CURRENT", 0x5a);
    PageHeader header;
    std::memcpy(&header, page.data(), sizeof header);
    change(header);
    std::memcpy(page.data(), &header, sizeof header);
    header.checksum = xxh3_64(page.data() + 8, kPageBytes - 8, name_seed("CURRENT") + 7);
    std::memcpy(page.data(), &header, sizeof header);
    const Result<PageInfo> info = decode_page(page, 7, name_seed("CURRENT"));
    return info ? std::string("accepted") : std::string(to_string(info.error().code()));
  };
  EXPECT_EQ("accepted", refused([](PageHeader&) {}));
  EXPECT_EQ("corrupt", refused([](PageHeader& h) { h.number = 8; }));
  EXPECT_EQ("corrupt", refused([](PageHeader& h) { h.used = kPagePayloadBytes + 1; }));
  EXPECT_EQ("corrupt", refused([](PageHeader& h) { h.used = 3; }));
  EXPECT_EQ("corrupt", refused([](PageHeader& h) { h.synced = 8; }));
  EXPECT_EQ("corrupt", refused([](PageHeader& h) { h.reserved = 1; }));
  EXPECT_EQ("unsupported", refused([](PageHeader& h) { h.version = 2; }));
}

// A page of zeros (a hole, a lost write) is no page.
TEST(PageFormat, ZerosAreNoPage) {
  const Page zeros{};
  EXPECT_FALSE(decode_page(zeros, 0, name_seed("CURRENT")));
}

TEST(PageFormat, LaterFileHasTheGreaterIdentity) {
  EXPECT_GT(make_file_id(2, 0), make_file_id(1, ~uint64_t{0}));
  EXPECT_EQ(2u, creation_of(make_file_id(2, ~uint64_t{0})));
}

// The map agrees with a plain list of page lengths, for files of full pages and for those synced in the
// middle.
TEST(PageMap, AgreesWithAList) {
  for (uint64_t seed = 1; seed <= 50; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    Rng rng(seed);
    PageMap map;
    std::vector<uint64_t> starts{0};
    const size_t pages = 1 + rng.below(60);
    for (size_t i = 0; i < pages; ++i) {
      const bool full = seed % 2 ? i + 1 < pages : rng.one_in(2);
      const auto used = static_cast<uint16_t>(full ? kPagePayloadBytes : 1 + rng.below(kPagePayloadBytes));
      map.add(used);
      starts.push_back(starts.back() + used);
    }
    ASSERT_EQ(pages, map.pages());
    ASSERT_EQ(starts.back(), map.bytes());
    for (uint32_t page = 0; page < pages; ++page) {
      ASSERT_EQ(starts[page], map.start(page));
      ASSERT_EQ(starts[page + 1] - starts[page], map.used(page));
      ASSERT_EQ(page, map.find(starts[page]));
      ASSERT_EQ(page, map.find(starts[page + 1] - 1));
    }
  }
}

}  // namespace
}  // namespace stavefs
