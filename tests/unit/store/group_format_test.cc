// Goal: the pages of a segment and the store's index values are what FORMAT says, byte for byte, and nothing
// malformed is taken for one. Method: golden bytes; every prefix and every single flipped bit of valid
// values; garbage.

#include "store/group_format.h"

#include <gtest/gtest.h>

#include <cstring>

#include "format_helpers.h"

namespace stavefs::test {
namespace {

Uuid uuid_of(uint8_t first) {
  Uuid uuid;
  for (size_t i = 0; i < 16; ++i) uuid.bytes[i] = static_cast<uint8_t>(first + i);
  return uuid;
}

SegmentIdentity identity() {
  SegmentIdentity id;
  id.pool = uuid_of(0x10);
  id.disk = uuid_of(0x40);
  id.slot = DiskSlot(0x0302);
  id.segment = SegmentNumber(0x0a0b0c0d);
  id.group = GroupId(0x1122334455667788);
  id.generation = Generation(0x01020304);
  id.shard = 5;
  id.geometry = {4, 2};
  id.temperature = Temperature::kLarge;
  id.created_ns = 0x1807060504030201;
  id.segment_bytes = 4u << 20;
  return id;
}

constexpr const char* kIdentityHex =
    "01000000"                          // version
    "00004000"                          // segment bytes
    "101112131415161718191a1b1c1d1e1f"  // pool
    "404142434445464748494a4b4c4d4e4f"  // disk
    "8877665544332211"                  // group
    "0102030405060718"                  // created
    "0d0c0b0a"                          // segment
    "04030201"                          // generation
    "0203"                              // slot
    "05"                                // shard
    "0402"                              // k, m
    "01"                                // temperature
    "0000";

SegmentFooter footer() {
  SegmentFooter f;
  f.identity = identity();
  f.sealed_ns = 0x2807060504030201;
  f.missing = 2;
  f.end_row = 1000;
  f.summary = {{Row(1000), 64, 4, 1048576, 0xaabbccdd00112233}, {Row(1064), 2, 1, 5000, 0x99}};
  f.unit_checksums = {0x1234, 0};
  return f;
}

GroupRecord open_group() {
  GroupRecord r;
  r.state = GroupState::kOpen;
  r.temperature = Temperature::kCold;
  r.geometry = {2, 1};
  r.missing = 4;
  r.created_ns = 0x77;
  r.shards = {
      {DiskSlot(1), SegmentNumber(2), Generation(3)}, {DiskSlot(0x104), SegmentNumber(5), Generation(6)}, {}};
  return r;
}

GroupRecord sealed_group() {
  GroupRecord r = open_group();
  r.state = GroupState::kSealed;
  r.end_row = 900;
  r.summary = {{Row(900), 3, 2, 9000, 0x0807060504030201}};
  return r;
}

StripeRecord stripe() {
  StripeRecord r;
  r.unit_rows = 2;
  r.used_units = 1;
  r.data_bytes = 4164;
  r.unit_checksums = {0x0807060504030201, 0, 0xff};
  r.owners = {{InodeId(300), 4096, 100, 0}, {InodeId(2), 0, 4036, 128}};
  return r;
}

TEST(GroupFormat, HeaderPageHasGoldenBytes) {
  std::string page(kRowBytes, 'x');
  encode_header(identity(), {reinterpret_cast<uint8_t*>(page.data()), page.size()});
  EXPECT_EQ(hex(page.substr(0, 80)), hex("stvSEGhd") + kIdentityHex);
  EXPECT_EQ(page.substr(80, 4008), std::string(4008, '\0'));
  EXPECT_EQ(hex(page.substr(4088)), "245a2c90159cc02e");
}

TEST(GroupFormat, FooterPageHasGoldenBytes) {
  std::string page(kRowBytes, 'x');
  encode_footer(footer(), {reinterpret_cast<uint8_t*>(page.data()), page.size()});
  EXPECT_EQ(hex(page.substr(0, 80)), hex("stvSEGft") + kIdentityHex);
  EXPECT_EQ(hex(page.substr(80, 48)),
            "0102030405060728"  // sealed
            "0200000000000000"  // missing
            "e8030000"          // end row
            "02000000"          // parts
            "000000000000000000000000000000000000000000000000");
  EXPECT_EQ(hex(page.substr(128, 64)),
            "e8030000"
            "4004"
            "0000"
            "00001000"
            "00000000"
            "33221100ddccbbaa"
            "3412000000000000"
            "28040000"
            "0201"
            "0000"
            "88130000"
            "00000000"
            "9900000000000000"
            "0000000000000000");
  EXPECT_EQ(page.substr(192, 4088 - 192), std::string(4088 - 192, '\0'));
  EXPECT_EQ(hex(page.substr(4088)), "6bcc380e2752ae60");
}

TEST(GroupFormat, PagesReadBack) {
  std::string page(kRowBytes, 'x');
  const std::span bytes{reinterpret_cast<uint8_t*>(page.data()), page.size()};
  encode_header(identity(), bytes);
  auto header = decode_header(bytes);
  ASSERT_TRUE(header);
  EXPECT_EQ(*header, identity());
  EXPECT_FALSE(decode_footer(bytes)) << "a header is no footer";
  encode_footer(footer(), bytes);
  auto read = decode_footer(bytes);
  ASSERT_TRUE(read) << read.error().to_text();
  EXPECT_EQ(*read, footer());
  EXPECT_FALSE(decode_header(bytes)) << "a footer is no header";
}

TEST(GroupFormat, APageWithAnyFlippedBitIsRefused) {
  std::string page(kRowBytes, 'x');
  const std::span bytes{reinterpret_cast<uint8_t*>(page.data()), page.size()};
  for (const bool is_footer : {false, true}) {
    if (is_footer) {
      encode_footer(footer(), bytes);
    } else {
      encode_header(identity(), bytes);
    }
    for (size_t bit = 0; bit < kRowBytes * 8; ++bit) {
      page[bit / 8] = static_cast<char>(page[bit / 8] ^ (1 << bit % 8));
      EXPECT_FALSE(is_footer ? decode_footer(bytes).has_value() : decode_header(bytes).has_value())
          << "bit " << bit;
      page[bit / 8] = static_cast<char>(page[bit / 8] ^ (1 << bit % 8));
    }
  }
}

TEST(GroupFormat, APageWithAValidChecksumButImpossibleFieldsIsRefused) {
  std::string page(kRowBytes, 'x');
  const std::span bytes{reinterpret_cast<uint8_t*>(page.data()), page.size()};
  const auto refused = [&](size_t offset, uint8_t value, bool is_footer) {
    if (is_footer) {
      encode_footer(footer(), bytes);
    } else {
      encode_header(identity(), bytes);
    }
    page[offset] = static_cast<char>(value);
    const uint64_t sum = xxh3_64(page.data(), 4088);
    std::memcpy(page.data() + 4088, &sum, sizeof sum);
    return is_footer ? !decode_footer(bytes) : !decode_header(bytes);
  };
  EXPECT_FALSE(refused(16, 0x10, false)) << "the same byte: nothing is wrong";
  EXPECT_TRUE(refused(8, 2, false)) << "version";
  EXPECT_TRUE(refused(74, 6, false)) << "shard";
  EXPECT_TRUE(refused(75, 0, false)) << "k";
  EXPECT_TRUE(refused(77, 3, false)) << "temperature";
  EXPECT_TRUE(refused(78, 1, false)) << "reserved";
  EXPECT_TRUE(refused(100, 1, false)) << "reserved";
  EXPECT_TRUE(refused(88, 0x40, true)) << "missing bit beyond the shards";
  EXPECT_TRUE(refused(100, 65, true)) << "parts";
  EXPECT_TRUE(refused(100, 1, true)) << "a part behind the last one";
  EXPECT_TRUE(refused(110, 1, true)) << "reserved";
  EXPECT_TRUE(refused(134, 1, true)) << "reserved of a part";
  EXPECT_TRUE(refused(133, 5, true)) << "more used units than k";
  EXPECT_TRUE(refused(4087, 1, true)) << "reserved";
}

TEST(GroupFormat, GroupRecordHasGoldenBytes) {
  EXPECT_EQ(hex(open_group().encode()),
            "01"  // version
            "01"  // open
            "02"  // cold
            "0201"
            "00"
            "0000"              // parts
            "0400000000000000"  // missing
            "7700000000000000"  // created
            "00000000"          // end row
            "0100"
            "02000000"
            "03000000"
            "0401"
            "05000000"
            "06000000"
            "ffff"
            "00000000"
            "00000000");
  EXPECT_EQ(hex(sealed_group().encode()),
            "01030202010001000400000000000000770000000000000084030000"
            "01000200000003000000040105000000"
            "06000000"
            "ffff0000000000000000"
            "84030000"
            "03"
            "02"
            "0000"
            "28230000"
            "0102030405060708");
}

TEST(GroupFormat, SegmentAndStripeRecordsHaveGoldenBytes) {
  EXPECT_EQ(hex(SegmentRecord{Generation(0x01020304)}.encode()), "0104030201");
  EXPECT_EQ(hex(stripe().encode()),
            "01"
            "02"
            "01"
            "00"
            "44100000"
            "0102030405060708"
            "0000000000000000"
            "ff00000000000000"
            "02"
            "ac02"
            "8020"
            "64"
            "00"
            "00"
            "02"
            "00"
            "c41f"
            "02"
            "00");
}

TEST(GroupFormat, MalformedValuesAreRefused) {
  const auto group = [](std::string_view v) {
    const auto r = GroupRecord::decode(v);
    return r ? r->encode() : std::string();
  };
  expect_strict(open_group().encode(), group);
  expect_strict(sealed_group().encode(), group);
  expect_survives_garbage(5, 120, [&](std::string_view v) { group(v); });
  const auto segment = [](std::string_view v) {
    const auto r = SegmentRecord::decode(v);
    return r ? r->encode() : std::string();
  };
  expect_strict(SegmentRecord{Generation(9)}.encode(), segment);
  const auto stripes = [](std::string_view v) {
    const auto r = StripeRecord::decode(v, {2, 1});
    return r ? r->encode() : std::string();
  };
  expect_strict(stripe().encode(), stripes);
  expect_survives_garbage(6, 120, [&](std::string_view v) { stripes(v); });
}

TEST(GroupFormat, SummaryGivesBackTheStripes) {
  SummaryWriter writer(GroupId(9), {2, 1});
  std::vector<StripeEntry> entries;
  for (uint32_t i = 0; i < 5; ++i) {
    StripeRecord r = stripe();
    r.owners[0].inode = InodeId(i);
    entries.push_back({Row(1 + 2 * i), r});
    writer.add(entries.back().row, r.encode());
  }
  const std::string blob = writer.finish();
  EXPECT_EQ(hex(blob.substr(0, 38)), hex("stvSUMRY") +
                                         "01000000"
                                         "0201"
                                         "0000"
                                         "0900000000000000"
                                         "0500000000000000"
                                         "01000000"
                                         "2d"
                                         "01");
  const auto read = decode_summary(blob, GroupId(9), {2, 1});
  ASSERT_TRUE(read) << read.error().to_text();
  EXPECT_EQ(*read, entries);
  EXPECT_FALSE(decode_summary(blob, GroupId(8), {2, 1}));
  EXPECT_FALSE(decode_summary(blob, GroupId(9), {1, 2}));
  for (size_t n = 0; n < blob.size(); ++n) {
    const std::string prefix = blob.substr(0, n);
    EXPECT_FALSE(decode_summary(prefix, GroupId(9), {2, 1})) << n;
  }
  EXPECT_FALSE(decode_summary(blob + '\0', GroupId(9), {2, 1}));
}

TEST(GroupFormat, SummaryEntryIsNeverLargerThanAccounted) {
  for (const size_t owners : {1u, 10u, 100u, 3000u}) {
    StripeRecord r;
    r.unit_rows = 64;
    r.used_units = 2;
    r.unit_checksums.resize(3);
    for (uint32_t i = 0; i < owners; ++i) r.owners.push_back({InodeId(1), 0, 1, i * 64});
    r.data_bytes = static_cast<uint32_t>((owners - 1) * 64 + 1);
    SummaryWriter writer(GroupId(1), {2, 1});
    const std::string value = r.encode();
    writer.add(Row(0xffffffff), value);
    EXPECT_LE(writer.finish().size(), kSummaryHeadBytes + summary_entry_bytes(value.size()));
  }
}

}  // namespace
}  // namespace stavefs::test
