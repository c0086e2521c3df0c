// Golden bytes and refusals of the namespace's on-disk values, and the rules of names.

#include "fs/dentry_format.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

#include "fs/bucket_format.h"
#include "fs/names.h"

namespace stavefs {
namespace {

using namespace std::string_literals;

TEST(DentryFormat, GoldenBytes) {
  // Goal: the encoding never changes by accident.  Method: bytes written down by hand.
  const Dentry dentry{InodeId(0x0102030405060708), 8};
  EXPECT_EQ(dentry.encode(), "\x08\x07\x06\x05\x04\x03\x02\x01\x08"s);
  const auto back = Dentry::decode(dentry.encode());
  ASSERT_TRUE(back);
  EXPECT_EQ(*back, dentry);
  EXPECT_EQ(dentry.to_text(), "inode=72623859790382856 type=file");
}

TEST(DentryFormat, RefusesWhatNoWriterMakes) {
  // Goal: damage is an error, not a strange entry.  Method: every length but the right one, inode 0, every
  // type byte.
  const std::string good = Dentry{InodeId(7), 4}.encode();
  for (size_t n = 0; n < 20; ++n) {
    std::string bytes = good;
    bytes.resize(n);
    EXPECT_EQ(Dentry::decode(bytes).has_value(), n == good.size()) << n;
  }
  EXPECT_FALSE(Dentry::decode(Dentry{InodeId(0), 4}.encode()));
  const std::set<int> types = {1, 2, 4, 6, 8, 10, 12};
  for (int type = 0; type < 256; ++type) {
    const auto decoded = Dentry::decode(Dentry{InodeId(7), static_cast<uint8_t>(type)}.encode());
    EXPECT_EQ(decoded.has_value(), types.contains(type)) << type;
    if (decoded) continue;
    EXPECT_EQ(decoded.error().code(), ErrorCode::kCorrupt);
  }
}

TEST(DentryFormat, TypeOfModeIsThatOfDirent) {
  // Goal: the type bits of st_mode become DT_*.  Method: all seven.
  EXPECT_EQ(dentry_type(0010644), 1);
  EXPECT_EQ(dentry_type(0020644), 2);
  EXPECT_EQ(dentry_type(0040755), 4);
  EXPECT_EQ(dentry_type(0060644), 6);
  EXPECT_EQ(dentry_type(0104755), 8);
  EXPECT_EQ(dentry_type(0120777), 10);
  EXPECT_EQ(dentry_type(0140644), 12);
}

BucketRecord some_bucket() {
  BucketRecord record;
  record.id = BucketId(0x01020304);
  record.root = InodeId(0x1112131415161718);
  record.policy.geometry = Geometry{4, 2};
  record.policy.checksum = ChecksumKind::kXxh3;
  record.created = -2;
  return record;
}

TEST(BucketFormat, GoldenBytes) {
  // Goal: the encoding never changes by accident.  Method: bytes written down by hand; a time before 1970
  // comes back.
  const std::string golden =
      "\x04\x03\x02\x01\x04\x02\x01\x00"
      "\x18\x17\x16\x15\x14\x13\x12\x11"
      "\xfe\xff\xff\xff\xff\xff\xff\xff"s +
      std::string(40, '\0');
  EXPECT_EQ(some_bucket().encode(), golden);
  const auto back = BucketRecord::decode(golden);
  ASSERT_TRUE(back);
  EXPECT_EQ(back->encode(), golden);
  EXPECT_EQ(back->created, -2);
  EXPECT_EQ(back->to_text(), "id=16909060 root=1230066625199609624 class=4+2 checksum=xxh3 created=-2");
}

TEST(BucketFormat, RefusesWhatNoWriterMakes) {
  // Goal: fields out of range and reserved bytes are errors.  Method: one wrong byte after the other.
  const std::string good = some_bucket().encode();
  ASSERT_EQ(good.size(), 64u);
  EXPECT_FALSE(BucketRecord::decode(good.substr(0, 63)));
  EXPECT_FALSE(BucketRecord::decode(good + '\0'));
  for (const size_t at : {4, 5, 6}) {  // k, m, checksum
    std::string bad = good;
    bad[at] = 0;
    EXPECT_FALSE(BucketRecord::decode(bad)) << at;
    bad[at] = '\x7f';
    EXPECT_FALSE(BucketRecord::decode(bad)) << at;
  }
  for (size_t at = 24; at < 64; ++at) {
    std::string bad = good;
    bad[at] = 1;
    EXPECT_FALSE(BucketRecord::decode(bad)) << at;
  }
  std::string reserved = good;
  reserved[7] = 1;
  EXPECT_FALSE(BucketRecord::decode(reserved));
  EXPECT_FALSE(BucketRecord::decode(std::string(4, '\0') + good.substr(4)));
  EXPECT_FALSE(BucketRecord::decode(good.substr(0, 8) + std::string(8, '\0') + good.substr(16)));
}

TEST(Names, OnlySlashNulAndDotsAreRefused) {
  // Goal: names of any other bytes are fine.  Method: every byte value, the lengths around the limit.
  for (int byte = 0; byte < 256; ++byte) {
    const std::string name = "a"s + static_cast<char>(byte);
    EXPECT_EQ(check_name(name).has_value(), byte != 0 && byte != '/') << byte;
  }
  EXPECT_TRUE(check_name(std::string(255, 'x')));
  const Status longer = check_name(std::string(256, 'x'));
  ASSERT_FALSE(longer);
  EXPECT_EQ(longer.error().errno_value(), ENAMETOOLONG);
  for (const char* name : {"", ".", ".."}) {
    const Status refused = check_name(name);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().errno_value(), EINVAL);
  }
  EXPECT_TRUE(check_name("..."));
}

TEST(Names, HashesAreCookiesAndPartOfTheFormat) {
  // Goal: in the range of cookies, dependent on the seed, and never changed.  Method: many names; golden
  // values.
  for (uint64_t i = 0; i < 100000; ++i) {
    const uint64_t hash = hash_name(std::to_string(i), i % 7);
    ASSERT_GE(hash, kFirstNameHash);
    ASSERT_LT(hash, uint64_t{1} << 63);
  }
  EXPECT_NE(hash_name("name", 1), hash_name("name", 2));
  EXPECT_EQ(hash_name("name", 0), xxh3_64("name", 4) >> 1);
  EXPECT_EQ(hash_name("name", 42), xxh3_64("name", 4, 42) >> 1);
}

}  // namespace
}  // namespace stavefs
