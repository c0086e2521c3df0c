// Checksums are on disk: published vectors fix their bytes, and the fast paths of the library must agree with
// its portable one at every length.

#include "codec/checksum.h"

#include <gtest/gtest.h>

#define XXH_INLINE_ALL
#define XXH_VECTOR 0 /* XXH_SCALAR: the portable code */
#include <xxhash.h>

#include <string>
#include <thread>
#include <vector>

#include "base/rng.h"
#include "tests/unit/base/guarded_bytes.h"

namespace stavefs {
namespace {

std::string hex(ChecksumKind kind, std::string_view text) {
  std::vector<uint8_t> out(checksum_bytes(kind) + 1, 0xee);
  compute_checksum(kind, {reinterpret_cast<const uint8_t*>(text.data()), text.size()}, out.data());
  EXPECT_EQ(out.back(), 0xee) << "wrote beyond the checksum";
  std::string digits;
  for (size_t i = 0; i + 1 < out.size(); ++i) {
    digits += "0123456789abcdef"[out[i] >> 4];
    digits += "0123456789abcdef"[out[i] & 15];
  }
  return digits;
}

TEST(Checksum, HasPublishedVectors) {
  EXPECT_EQ(hex(ChecksumKind::kSha256, ""),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(hex(ChecksumKind::kSha256, "abc"),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(hex(ChecksumKind::kMd5, ""), "d41d8cd98f00b204e9800998ecf8427e");
  EXPECT_EQ(hex(ChecksumKind::kMd5, "abc"), "900150983cd24fb0d6963f7d28e17f72");
  EXPECT_EQ(xxh3_64("", 0), 0x2d06800538d394c2u);
  EXPECT_EQ(hex(ChecksumKind::kXxh3, ""), "c294d3380580062d") << "little-endian on disk";
  EXPECT_EQ(xxh3_64("abc", 3), 0x78af5f94892f3950u);
  EXPECT_EQ(xxh3_128("", 0), (Hash128{.low = 0x6001c324468d497f, .high = 0x99aa06d3014798d8}));
  EXPECT_EQ(xxh3_128("abc", 3), (Hash128{.low = 0x78af5f94892f3950, .high = 0x06b05ab6733a6185}));
}

TEST(Checksum, FastPathsEqualThePortableCodeAtEveryLength) {
  Rng rng(4);
  std::vector<size_t> lengths;
  for (size_t n = 0; n <= 1200; ++n) lengths.push_back(n);
  for (const size_t n : {4096, 32768, 131072, 262144, 262145}) lengths.push_back(n);
  for (const size_t n : lengths) {
    test::GuardedBytes in(n);
    for (uint8_t& b : in.span()) b = static_cast<uint8_t>(rng.next());
    const uint64_t seed = rng.next();
    ASSERT_EQ(xxh3_64(in.data(), n), XXH3_64bits(in.data(), n)) << n;
    ASSERT_EQ(xxh3_64(in.data(), n, seed), XXH3_64bits_withSeed(in.data(), n, seed)) << n;
    const XXH128_hash_t portable = XXH3_128bits(in.data(), n);
    ASSERT_EQ(xxh3_128(in.data(), n), (Hash128{portable.low64, portable.high64})) << n;
  }
}

TEST(Checksum, EveryKindNoticesEveryFlippedBit) {
  Rng rng(6);
  std::string text(100, '\0');
  for (char& c : text) c = static_cast<char>(rng.next());
  for (const ChecksumKind kind : {ChecksumKind::kXxh3, ChecksumKind::kSha256, ChecksumKind::kMd5}) {
    const std::string good = hex(kind, text);
    EXPECT_EQ(hex(kind, text), good) << "a reused context must start afresh";
    for (size_t bit = 0; bit < text.size() * 8; ++bit) {
      std::string bad = text;
      bad[bit / 8] = static_cast<char>(bad[bit / 8] ^ (1 << bit % 8));
      ASSERT_NE(hex(kind, bad), good) << to_string(kind) << " bit " << bit;
    }
  }
}

TEST(Checksum, ThreadsHaveContextsOfTheirOwn) {
  std::vector<std::string> texts, expected;
  for (int i = 0; i < 8; ++i) {
    texts.push_back(std::string(static_cast<size_t>(1000 * i), static_cast<char>('a' + i)));
    expected.push_back(hex(ChecksumKind::kSha256, texts.back()) + hex(ChecksumKind::kMd5, texts.back()));
  }
  std::vector<std::thread> threads;
  for (size_t t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (size_t i = 0; i < 400; ++i) {
        const size_t n = (i + t) % texts.size();
        ASSERT_EQ(hex(ChecksumKind::kSha256, texts[n]) + hex(ChecksumKind::kMd5, texts[n]), expected[n]);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

TEST(ChecksumKind, NamesNumbersAndSizesAreFixed) {
  const std::tuple<ChecksumKind, uint8_t, const char*, size_t> golden[] = {
      {ChecksumKind::kXxh3, 1, "xxh3", 8},
      {ChecksumKind::kSha256, 2, "sha256", 32},
      {ChecksumKind::kMd5, 3, "md5", 16},
  };
  for (const auto& [kind, number, name, bytes] : golden) {
    EXPECT_EQ(static_cast<uint8_t>(kind), number);
    EXPECT_EQ(to_string(kind), name);
    EXPECT_EQ(checksum_bytes(kind), bytes);
    EXPECT_LE(bytes, kMaxChecksumBytes);
    EXPECT_EQ(parse_checksum_kind(name).value(), kind);
    EXPECT_EQ(decode_checksum_kind(number).value(), kind);
  }
}

TEST(ChecksumKind, RefusesWhatItDoesNotKnow) {
  for (const char* name : {"", "XXH3", "sha-256", "sha", "crc32", "md5 "}) {
    const auto kind = parse_checksum_kind(name);
    ASSERT_FALSE(kind) << name;
    EXPECT_EQ(kind.error().code(), ErrorCode::kInvalid);
    EXPECT_NE(kind.error().message().find("xxh3, sha256 or md5"), std::string::npos);
  }
  for (int number = 0; number < 256; ++number) {
    const auto kind = decode_checksum_kind(static_cast<uint8_t>(number));
    ASSERT_EQ(kind.has_value(), number >= 1 && number <= 3) << number;
    if (!kind) {
      EXPECT_EQ(kind.error().code(), ErrorCode::kCorrupt);
    }
  }
}

}  // namespace
}  // namespace stavefs
