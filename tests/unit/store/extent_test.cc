// Goal: an extent's value is what FORMAT says, byte for byte, and nothing malformed is taken for one.
// Method: golden bytes; every prefix and every single flipped bit of valid values; garbage.

#include "store/extent.h"

#include <gtest/gtest.h>

#include "format_helpers.h"

namespace stavefs::test {
namespace {

Extent sample() {
  Extent e;
  e.address = {GroupId(0x100000002), Row(300), 64, 4, 64 * 5, 40000};
  e.length = 39000;
  e.skip = 1000;
  e.birth = Lsn(77);
  e.captured = Lsn(76);
  e.expanded_length = 40000;
  e.checksums = "01234567ABCDEFGH";
  return e;
}

Extent compressed() {
  Extent e = sample();
  e.compression = 1;
  e.expanded_length = 131072;
  e.length = 131072;
  e.skip = 0;
  return e;
}

std::string reencode(std::string_view value) {
  const auto e = Extent::decode(value);
  return e ? e->encode() : std::string();
}

TEST(Extent, EncodesToGoldenBytes) {
  EXPECT_EQ(hex(sample().encode()),
            "01"          // version
            "01"          // XXH3
            "00"          // not compressed
            "40"          // unit rows
            "04"          // used units
            "8280808010"  // group
            "ac02"        // row
            "05"          // offset / 64
            "c0b802"      // stored length
            "d8b002"      // length
            "e807"        // skip
            "4d"          // birth
            "4c"          // captured
            "30313233343536374142434445464748");
  EXPECT_EQ(hex(compressed().encode()),
            "0101014004"
            "8280808010"
            "ac0205c0b802"
            "808008"  // length
            "00"      // skip
            "4d4c"
            "808008"  // expanded length
            "30313233343536374142434445464748");
}

TEST(Extent, DecodesWhatItEncoded) {
  for (const Extent& e : {sample(), compressed()}) {
    const auto decoded = Extent::decode(e.encode());
    ASSERT_TRUE(decoded) << decoded.error().to_text();
    EXPECT_EQ(*decoded, e);
  }
}

TEST(Extent, RefusesMalformedValues) {
  expect_strict(sample().encode(), reencode);
  expect_strict(compressed().encode(), reencode);
  expect_survives_garbage(11, 80, [](std::string_view v) { (void)Extent::decode(v); });
}

TEST(Extent, RefusesImpossibleAddresses) {
  const auto refused = [](const std::function<void(Extent&)>& edit) {
    Extent e = sample();
    edit(e);
    return !Extent::decode(e.encode());
  };
  EXPECT_FALSE(refused([](Extent&) {}));
  EXPECT_TRUE(refused([](Extent& e) { e.address.group = GroupId(0); }));
  EXPECT_TRUE(refused([](Extent& e) { e.address.row = Row(0); })) << "the header row";
  EXPECT_TRUE(refused([](Extent& e) { e.address.unit_rows = 0; }));
  EXPECT_TRUE(refused([](Extent& e) { e.address.unit_rows = 65; }));
  EXPECT_TRUE(refused([](Extent& e) { e.address.used_units = 0; }));
  EXPECT_TRUE(refused([](Extent& e) { e.address.unit_rows = e.address.used_units = 1; }))
      << "outside the stripe";
  EXPECT_TRUE(refused([](Extent& e) { e.length = 39001; })) << "covers more than it holds";
  EXPECT_TRUE(refused([](Extent& e) { e.skip = 40001; }));
  EXPECT_TRUE(refused([](Extent& e) { e.length = 0; }));
  EXPECT_TRUE(refused([](Extent& e) { e.checksums.pop_back(); }));
  EXPECT_TRUE(refused([](Extent& e) {
    e.address.offset = 262144 - 64;
    e.address.length = e.expanded_length = 128;
    e.length = 1;
    e.skip = 0;
    e.checksums.resize(8);
  })) << "a short extent across a unit";
}

}  // namespace
}  // namespace stavefs::test
