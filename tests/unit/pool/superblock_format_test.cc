// The superblock's bytes are the pool's identity: they must not drift, a damaged copy must never be believed,
// and a hostile one must be refused without harm.  Method: golden bytes, exhaustive byte flips, and mutations
// with the checksum made right again.

#include "disk/superblock_format.h"

#include <fmt/core.h>
#include <gtest/gtest.h>

#include <cstring>

#include "base/buffer.h"
#include "base/rng.h"

namespace stavefs {
namespace {

Uuid uuid_of(uint8_t first) {
  Uuid uuid;
  for (size_t i = 0; i < 16; ++i) uuid.bytes[i] = static_cast<uint8_t>(first + i);
  return uuid;
}

Superblock example() {
  Superblock s;
  s.compat = 0x0102;
  s.ro_compat = 0x0304;
  s.sequence = 0x1122334455667788;
  s.pool = uuid_of(0x10);
  s.disk = uuid_of(0x51);
  s.slot = 1;
  s.formatting = true;
  s.data = 1;
  s.parity = 1;
  s.checksum = 1;
  s.metadata_copies = 2;
  s.segment_bytes = 4 << 20;
  s.ring_bytes = 64 << 20;
  s.created_ns = -2;
  s.journal_key = 0xa1a2a3a4a5a6a7a8;
  s.name = "tank";
  s.epoch.epoch = 7;
  s.epoch.ticket = 0xb1b2b3b4b5b6b7b8;
  s.epoch.fork = uuid_of(0x20);
  s.epoch.parent_fork = uuid_of(0x30);
  s.epoch.fork_base = 5;
  s.epoch.start_lsn = 0xc1c2;
  s.epoch.chain_hash = {0xd1d2, 0xe1e2};
  s.epoch.clean = true;
  s.epoch.members = {1, 0};
  s.pending = s.epoch;
  s.pending->epoch = 8;
  s.pending->clean = false;
  s.pending->members = {1};
  s.members = {{.uuid = uuid_of(0x40), .set = 3, .segments = 0xf1f2f3, .name = "d1"},
               {.uuid = uuid_of(0x51), .set = 3, .segments = 77, .name = "d2"},
               {.uuid = uuid_of(0x60), .set = 0, .segments = 1, .removed = true, .name = "old"}};
  return s;
}

std::vector<uint8_t> encode(const Superblock& s) {
  std::vector<uint8_t> bytes(superblock_bytes(s));
  encode_superblock(s, bytes);
  return bytes;
}

/// Makes the checksum right again.
void rehash(std::vector<uint8_t>& bytes) {
  using disk_format::SuperblockFields;
  uint32_t total = 0;
  std::memcpy(&total, bytes.data() + offsetof(SuperblockFields, total_bytes), sizeof total);
  if (total > bytes.size() || total < sizeof(SuperblockFields)) return;
  uint8_t* hash_field = bytes.data() + offsetof(SuperblockFields, hash);
  std::memset(hash_field, 0, 16);
  const Hash128 hash = xxh3_128(bytes.data(), total);
  std::memcpy(hash_field, &hash.low, 8);
  std::memcpy(hash_field + 8, &hash.high, 8);
}

/// The rows of 16 bytes that are not zero.
std::string dump(std::span<const uint8_t> bytes) {
  std::string text;
  for (size_t row = 0; row < bytes.size(); row += 16) {
    bool zero = true;
    for (size_t i = row; i < row + 16; ++i) zero &= bytes[i] == 0;
    if (zero) continue;
    text += fmt::format("{:04x}:", row);
    for (size_t i = row; i < row + 16; ++i) text += fmt::format(" {:02x}", bytes[i]);
    text += '\n';
  }
  return text;
}

constexpr const char* kGolden = R"(0000: 53 54 41 56 45 53 42 0a 01 00 00 00 c0 04 00 00
0010: e6 bb 90 99 61 4e 00 f6 7d 8b 99 4c ff 4d 7b d3
0020: 02 01 00 00 00 00 00 00 04 03 00 00 00 00 00 00
0030: 00 00 00 00 00 00 00 00 88 77 66 55 44 33 22 11
0040: 10 11 12 13 14 15 16 17 18 19 1a 1b 1c 1d 1e 1f
0050: 51 52 53 54 55 56 57 58 59 5a 5b 5c 5d 5e 5f 60
0060: 01 00 01 00 03 00 00 00 01 01 01 02 00 00 40 00
0070: 00 00 00 04 00 00 00 00 fe ff ff ff ff ff ff ff
0080: a8 a7 a6 a5 a4 a3 a2 a1 00 00 00 00 00 00 00 00
0090: 04 74 61 6e 6b 00 00 00 00 00 00 00 00 00 00 00
00d0: 07 00 00 00 00 00 00 00 b8 b7 b6 b5 b4 b3 b2 b1
00e0: 20 21 22 23 24 25 26 27 28 29 2a 2b 2c 2d 2e 2f
00f0: 30 31 32 33 34 35 36 37 38 39 3a 3b 3c 3d 3e 3f
0100: 05 00 00 00 00 00 00 00 c2 c1 00 00 00 00 00 00
0110: d2 d1 00 00 00 00 00 00 e2 e1 00 00 00 00 00 00
0120: 02 03 00 00 00 00 00 00 01 00 00 00 00 00 00 00
01a0: 00 00 00 00 00 00 00 00 08 00 00 00 00 00 00 00
01b0: b8 b7 b6 b5 b4 b3 b2 b1 20 21 22 23 24 25 26 27
01c0: 28 29 2a 2b 2c 2d 2e 2f 30 31 32 33 34 35 36 37
01d0: 38 39 3a 3b 3c 3d 3e 3f 05 00 00 00 00 00 00 00
01e0: c2 c1 00 00 00 00 00 00 d2 d1 00 00 00 00 00 00
01f0: e2 e1 00 00 00 00 00 00 01 01 00 00 00 00 00 00
0200: 01 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00
0400: 40 41 42 43 44 45 46 47 48 49 4a 4b 4c 4d 4e 4f
0410: 00 00 03 00 f3 f2 f1 00 00 00 00 00 02 64 31 00
0440: 51 52 53 54 55 56 57 58 59 5a 5b 5c 5d 5e 5f 60
0450: 01 00 03 00 4d 00 00 00 00 00 00 00 02 64 32 00
0480: 60 61 62 63 64 65 66 67 68 69 6a 6b 6c 6d 6e 6f
0490: 02 00 00 00 01 00 00 00 01 00 00 00 03 6f 6c 64
)";

TEST(SuperblockFormat, BytesOnDiskHaveNotChanged) { EXPECT_EQ(dump(encode(example())), kGolden); }

TEST(SuperblockFormat, EverythingComesBack) {
  const Superblock s = example();
  const Result<Superblock> back = decode_superblock(encode(s));
  ASSERT_TRUE(back) << back.error().to_text();
  EXPECT_EQ(*back, s);
  EXPECT_NE(to_text(*back).find("epoch 7"), std::string::npos);
}

TEST(SuperblockFormat, LargestTableFillsItsPlaceExactly) {
  Superblock s = example();
  s.members.clear();
  Rng rng(1);
  for (size_t i = 0; i < kMaxPoolDisks; ++i)
    s.members.push_back({.uuid = Uuid::random(rng),
                         .set = static_cast<uint16_t>(i / kMaxSetDisks),
                         .segments = 9,
                         .name = fmt::format("d{}", i)});
  s.disk = s.members[1].uuid;
  const std::vector<uint8_t> bytes = encode(s);
  EXPECT_EQ(bytes.size(), kSuperblockStride);
  const Result<Superblock> back = decode_superblock(bytes);
  ASSERT_TRUE(back) << back.error().to_text();
  EXPECT_EQ(*back, s);
}

TEST(SuperblockFormat, NoFlippedByteIsBelieved) {
  const std::vector<uint8_t> good = encode(example());
  const size_t content = sizeof(disk_format::SuperblockFields) + 3 * sizeof(disk_format::MemberFields);
  for (size_t i = 0; i < content; ++i) {
    std::vector<uint8_t> bad = good;
    bad[i] ^= 0x41;
    EXPECT_FALSE(decode_superblock(bad)) << "byte " << i;
    EXPECT_FALSE(superblock_sequence(bad)) << "byte " << i;
  }
}

TEST(SuperblockFormat, TornCopyIsNotBelieved) {
  // The new copy's first n sectors over an older copy's rest.
  const std::vector<uint8_t> old_copy = encode(example());
  Superblock next = example();
  next.sequence += 2;
  next.members[2].segments = 5;
  const std::vector<uint8_t> new_copy = encode(next);
  for (size_t n = 512; n < 1024 + 3 * 64; n += 512) {
    std::vector<uint8_t> torn = old_copy;
    std::memcpy(torn.data(), new_copy.data(), n);
    EXPECT_FALSE(decode_superblock(torn)) << n;
  }
}

TEST(SuperblockFormat, ZerosAreNoCopyAndGarbageIsDamage) {
  const std::vector<uint8_t> zeros(kPageBytes);
  const Result<uint32_t> none = superblock_extent(zeros);
  ASSERT_TRUE(none);
  EXPECT_EQ(*none, 0u);
  std::vector<uint8_t> garbage(kPageBytes);
  garbage[kPageBytes - 1] = 1;
  EXPECT_FALSE(superblock_extent(garbage));
  EXPECT_FALSE(superblock_extent(std::span(zeros).first(512)));
  std::vector<uint8_t> copy = encode(example());
  EXPECT_EQ(*superblock_extent(copy), kPageBytes);
  const Le32 huge = uint32_t{0xffffffff};
  std::memcpy(copy.data() + 12, &huge, sizeof huge);
  EXPECT_FALSE(superblock_extent(copy));
  EXPECT_FALSE(decode_superblock(copy));
}

TEST(SuperblockFormat, UnknownFeaturesAreRefusedByTheirMeaning) {
  // Compat and read-only bits must be readable; incompatible bits and newer versions must be told from
  // damage, even when the rest is laid out in a way that we do not know.
  Superblock s = example();
  s.compat = ~uint64_t{0};
  s.ro_compat = ~uint64_t{0};
  EXPECT_TRUE(decode_superblock(encode(s)));
  s.incompat = 4;
  std::vector<uint8_t> bytes = encode(s);
  bytes[700] = 1;  // reserved today
  rehash(bytes);
  const Result<Superblock> incompat = decode_superblock(bytes);
  ASSERT_FALSE(incompat);
  EXPECT_EQ(incompat.error().code(), ErrorCode::kUnsupported);
  EXPECT_NE(incompat.error().message().find("0x4"), std::string::npos);
  EXPECT_TRUE(superblock_sequence(bytes));
  bytes = encode(example());
  bytes[8] = 2;
  rehash(bytes);
  const Result<Superblock> newer = decode_superblock(bytes);
  ASSERT_FALSE(newer);
  EXPECT_EQ(newer.error().code(), ErrorCode::kUnsupported);
}

TEST(SuperblockFormat, ImpossibleFieldsWithRightChecksumsAreCorrupt) {
  const auto refuse = [](const char* what, auto change) {
    Superblock s = example();
    change(s);
    EXPECT_FALSE(validate(s)) << what;
    const Result<Superblock> back = decode_superblock(encode(s));
    ASSERT_FALSE(back) << what;
    EXPECT_EQ(back.error().code(), ErrorCode::kCorrupt) << what;
  };
  refuse("sequence 0", [](Superblock& s) { s.sequence = 0; });
  refuse("nil pool", [](Superblock& s) { s.pool = {}; });
  refuse("empty name", [](Superblock& s) { s.name = ""; });
  refuse("name with a slash", [](Superblock& s) { s.name = "../x"; });
  refuse("name with a control character", [](Superblock& s) { s.name = "a\x1b[2J"; });
  refuse("no data shards", [](Superblock& s) { s.data = 0; });
  refuse("no parity", [](Superblock& s) { s.parity = 0; });
  refuse("65 shards", [](Superblock& s) { s.data = 64; });
  refuse("unknown checksum", [](Superblock& s) { s.checksum = 200; });
  refuse("no metadata copy", [](Superblock& s) { s.metadata_copies = 0; });
  refuse("65 metadata copies", [](Superblock& s) { s.metadata_copies = 65; });
  refuse("odd segment size", [](Superblock& s) { s.segment_bytes = 5 << 20; });
  refuse("tiny segments", [](Superblock& s) { s.segment_bytes = 4096; });
  refuse("huge segments", [](Superblock& s) { s.segment_bytes = 512 << 20; });
  refuse("no ring", [](Superblock& s) { s.ring_bytes = 0; });
  refuse("huge ring", [](Superblock& s) { s.ring_bytes = uint64_t{1} << 40; });
  refuse("unaligned ring", [](Superblock& s) { s.ring_bytes = (64 << 20) + 512; });
  refuse("no members", [](Superblock& s) { s.members.clear(); });
  refuse("not in its own table", [](Superblock& s) { s.slot = 0; });
  refuse("slot beyond the table", [](Superblock& s) { s.slot = 3; });
  refuse("two disks with one name", [](Superblock& s) { s.members[0].name = "d2"; });
  refuse("two disks with one identity", [](Superblock& s) { s.members[2].uuid = s.members[0].uuid; });
  refuse("epoch 0", [](Superblock& s) { s.epoch.epoch = 0; });
  refuse("no fork", [](Superblock& s) { s.epoch.fork = {}; });
  refuse("epoch without members", [](Superblock& s) { s.epoch.members.clear(); });
  refuse("member twice", [](Superblock& s) { s.epoch.members = {0, 0}; });
  refuse("unknown member", [](Superblock& s) { s.epoch.members = {0, 9}; });
  refuse("removed member", [](Superblock& s) { s.epoch.members = {2}; });
  refuse("bad pending", [](Superblock& s) { s.pending->members = {2}; });
}

TEST(SuperblockFormat, MutationsNeverCrashAndNeverDecodeToSomethingInvalid) {
  for (uint64_t seed = 1; seed <= 20000; ++seed) {
    Rng rng(seed);
    std::vector<uint8_t> bytes = encode(example());
    const uint64_t changes = 1 + rng.below(6);
    for (uint64_t i = 0; i < changes; ++i)
      bytes[rng.below(1024 + 3 * 64)] = static_cast<uint8_t>(rng.one_in(3) ? 0xff : rng.next());
    rehash(bytes);
    const Result<Superblock> back = decode_superblock(bytes);
    if (!back) continue;
    EXPECT_TRUE(validate(*back)) << "seed " << seed;
    std::vector<uint8_t> again = encode(*back);
    EXPECT_EQ(again, bytes) << "seed " << seed;
  }
}

}  // namespace
}  // namespace stavefs
