#include <gtest/gtest.h>

#include "base/rng.h"
#include "fs/inode.h"

namespace stavefs {
namespace {

InodeRecord sample() {
  InodeRecord r;
  r.mode = 0100644;
  r.nlink = 2;
  r.uid = 1000;
  r.gid = 100;
  r.size = 5;
  r.mtime = 0x0102030405060708;
  r.atime = r.mtime + 1;
  r.ctime = r.mtime;
  r.btime = r.mtime - 1;
  r.generation = 1;
  r.version = VersionId(300);
  r.bucket = BucketId(3);
  r.parent = InodeId(1);
  r.has_inline = true;
  r.inline_data = "hello";
  return r;
}

/// Goal: the format does not change by accident.  Method: bytes written down by hand from the document.
TEST(InodeRecord, GoldenBytesOfAFileWithInlineData) {
  const unsigned char golden[] = {
      1,    1,                                         // version, presence: inline
      0xa4, 0x83, 0x02,                                // mode 0100644
      2,    0xe8, 0x07, 0x64,                          // nlink, uid, gid
      5,    0,                                         // size, stored bytes
      0x08, 0x07, 0x06, 0x05, 0x04, 0x03, 0x02, 0x01,  // mtime
      2,    0,    1,                                   // atime, ctime, btime as zigzag differences
      1,    0xac, 0x02, 3,    1,    0,                 // generation, version, bucket, parent, flags
      5,    'h',  'e',  'l',  'l',  'o'};
  const std::string expected(reinterpret_cast<const char*>(golden), sizeof golden);
  EXPECT_EQ(sample().encode(), expected);
  const auto decoded = InodeRecord::decode(expected);
  ASSERT_TRUE(decoded) << decoded.error().to_text();
  EXPECT_EQ(*decoded, sample());
}

TEST(InodeRecord, GoldenBytesOfADevice) {
  InodeRecord r;
  r.mode = 0020600;
  r.nlink = 1;
  r.rdev = 0x103;
  const std::string expected("\x01\x02\x80\x43\x01\x00\x00\x83\x02", 9);
  const std::string encoded = r.encode();
  EXPECT_EQ(encoded, expected + std::string("\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 18));
  const auto decoded = InodeRecord::decode(encoded);
  ASSERT_TRUE(decoded) << decoded.error().to_text();
  EXPECT_EQ(*decoded, r);
}

/// Goal: every value survives.  Method: random records with extreme times and numbers.
TEST(InodeRecord, RandomRecordsSurviveEncoding) {
  Rng rng(7);
  const TimeNs times[] = {0, -1, 1, INT64_MIN, INT64_MAX, 1'700'000'000'000'000'000};
  for (int i = 0; i < 2000; ++i) {
    InodeRecord r;
    r.mode = 0100000 | static_cast<uint32_t>(rng.below(010000));
    r.nlink = static_cast<uint32_t>(rng.next());
    r.uid = static_cast<uint32_t>(rng.next());
    r.gid = static_cast<uint32_t>(rng.next());
    r.size = rng.below(kMaxFileBytes + 1);
    r.mtime = times[rng.below(6)];
    r.atime = times[rng.below(6)];
    r.ctime = times[rng.below(6)];
    r.btime = static_cast<TimeNs>(rng.next());
    r.generation = rng.next();
    r.version = VersionId(rng.next());
    r.bucket = BucketId(static_cast<uint32_t>(rng.next()));
    r.parent = InodeId(rng.next());
    if (rng.one_in(2)) {
      r.has_inline = true;
      r.inline_data.assign(rng.below(std::min<uint64_t>(kInlineBytes, r.size) + 1), 'x');
    } else {
      r.stored_bytes = rng.below(r.size + 1);
    }
    const auto decoded = InodeRecord::decode(r.encode());
    ASSERT_TRUE(decoded) << decoded.error().to_text() << ": " << r.to_text();
    ASSERT_EQ(*decoded, r);
  }
}

/// Goal: a damaged or hostile value is an error, never a crash nor an impossible inode.  Method: every
/// truncation, every byte changed in every bit, trailing bytes, and impossible fields.
TEST(InodeRecord, DamageIsFoundOrHarmless) {
  const std::string good = sample().encode();
  for (size_t n = 0; n < good.size(); ++n) EXPECT_FALSE(InodeRecord::decode(good.substr(0, n))) << n;
  EXPECT_FALSE(InodeRecord::decode(good + '\0'));
  for (size_t i = 0; i < good.size(); ++i) {
    for (int bit = 0; bit < 8; ++bit) {
      std::string bad = good;
      bad[i] = static_cast<char>(bad[i] ^ (1 << bit));
      const auto decoded = InodeRecord::decode(bad);
      if (decoded) {
        EXPECT_EQ(InodeRecord::decode(decoded->encode()).value(), *decoded);
      }
    }
  }
}

TEST(InodeRecord, ImpossibleFieldsAreRefused) {
  const auto refused = [](auto&& change) {
    InodeRecord r = sample();
    change(r);
    const auto decoded = InodeRecord::decode(r.encode());
    return !decoded && decoded.error().code() == ErrorCode::kCorrupt;
  };
  EXPECT_FALSE(refused([](InodeRecord&) {}));
  EXPECT_TRUE(refused([](InodeRecord& r) { r.mode = 0170644; }));
  EXPECT_TRUE(refused([](InodeRecord& r) { r.mode |= 1u << 20; }));
  EXPECT_TRUE(refused([](InodeRecord& r) { r.rdev = 5; }));
  EXPECT_TRUE(refused([](InodeRecord& r) { r.flags = 1; }));
  EXPECT_TRUE(refused([](InodeRecord& r) { r.size = kMaxFileBytes + 1; }));
  EXPECT_TRUE(refused([](InodeRecord& r) { r.size = 4; }));
  EXPECT_TRUE(refused([](InodeRecord& r) { r.stored_bytes = 1; }));
  EXPECT_TRUE(refused([](InodeRecord& r) { r.size = 5000, r.inline_data.assign(kInlineBytes + 1, 'x'); }));
  EXPECT_TRUE(refused([](InodeRecord& r) { r.has_inline = false, r.stored_bytes = 6; }));
  EXPECT_TRUE(refused([](InodeRecord& r) { r.mode = 0040755; }));
  EXPECT_TRUE(refused([](InodeRecord& r) { r.mode = 0120777, r.size = 6; }));
  EXPECT_FALSE(refused([](InodeRecord& r) { r.mode = 0120777; }));
  EXPECT_TRUE(refused([](InodeRecord& r) { r.mode = 0120777, r.has_inline = false; }));
}

/// Goal: locks are taken once each, whatever is passed.
TEST(InodeLocks, DuplicatesAndNullsAreFine) {
  Inode a(InodeId(1));
  Inode b(InodeId(2));
  {
    const InodeLocks locks({&b, nullptr, &a, &b});
    EXPECT_FALSE(a.mutex.try_lock());
    EXPECT_FALSE(b.mutex.try_lock());
  }
  EXPECT_TRUE(a.mutex.try_lock());
  EXPECT_TRUE(b.mutex.try_lock());
  a.mutex.unlock();
  b.mutex.unlock();
}

}  // namespace
}  // namespace stavefs
