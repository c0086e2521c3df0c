// Compressed frames: what goes in comes out; whatever a disk hands back instead is kCorrupt or decodes within
// its bounds, which inaccessible pages behind input and output watch.

#include "codec/compress.h"

#include <gtest/gtest.h>
#include <zstd.h>

#include <cstring>
#include <thread>
#include <vector>

#include "base/rng.h"
#include "tests/unit/base/guarded_bytes.h"

namespace stavefs {
namespace {

using Bytes = std::vector<uint8_t>;

/// Words of a small vocabulary with a share of noise: compresses to somewhere between nothing and everything.
Bytes text_like(size_t bytes, unsigned noise_percent, Rng& rng) {
  Bytes out(bytes);
  for (size_t i = 0; i < bytes; ++i) {
    out[i] = rng.below(100) < noise_percent ? static_cast<uint8_t>(rng.next())
                                            : static_cast<uint8_t>('a' + i / 5 % 7);
  }
  return out;
}

/// The frame, or nothing when the data is best stored as it is.
Bytes compressed(const Bytes& in, int level = 3) {
  Bytes out(compress_bound(in.size()));
  out.resize(compress_frame(in, level, out).value());
  return out;
}

/// Decodes between inaccessible pages.
Status decode(std::span<const uint8_t> frame, size_t bytes, Bytes* out = nullptr) {
  test::GuardedBytes in(frame.size()), expanded(bytes);
  if (!frame.empty()) std::memcpy(in.data(), frame.data(), frame.size());
  Status status = decompress_frame(in.span(), expanded.span());
  if (out != nullptr) out->assign(expanded.span().begin(), expanded.span().end());
  return status;
}

void expect_corrupt(std::span<const uint8_t> frame, size_t bytes, const std::string& what) {
  const Status status = decode(frame, bytes);
  ASSERT_FALSE(status) << what;
  EXPECT_EQ(status.error().code(), ErrorCode::kCorrupt) << what;
  EXPECT_EQ(status.error().errno_value(), EIO) << what;
}

TEST(Compress, RoundTripsEverySizeAndLevel) {
  for (uint64_t seed = 1; seed <= 300; ++seed) {
    SCOPED_TRACE(seed);
    Rng rng(seed);
    const size_t bytes = seed == 1 ? kCompressedFrameBytes : 1 + rng.below(kCompressedFrameBytes);
    const Bytes in = text_like(bytes, static_cast<unsigned>(rng.below(101)), rng);
    const int level = static_cast<int>(rng.below(24)) - 5;
    const Bytes frame = compressed(in, level);
    if (frame.empty()) continue;
    ASSERT_LT(frame.size() * 8, in.size() * 7);
    Bytes out;
    ASSERT_TRUE(decode(frame, in.size(), &out));
    ASSERT_EQ(out, in);
  }
}

TEST(Compress, GivesUpWhenTheFrameIsNotSmallerThanSevenEighths) {
  Rng rng(2);
  bool kept = false, given_up = false;
  for (unsigned noise = 0; noise <= 100; noise += 4) {
    const Bytes in = text_like(32768, noise, rng);
    Bytes plain(ZSTD_compressBound(in.size()));
    plain.resize(ZSTD_compress(plain.data(), plain.size(), in.data(), in.size(), 3));
    const bool worth_it = plain.size() * 8 < in.size() * 7;
    EXPECT_EQ(compressed(in).empty(), !worth_it) << noise;
    (worth_it ? kept : given_up) = true;
  }
  EXPECT_TRUE(kept && given_up) << "the inputs must lie on both sides of the limit";
  EXPECT_TRUE(compressed({}).empty());
}

TEST(Compress, RefusesTooMuchInputAndUnknownLevels) {
  const Bytes in(kCompressedFrameBytes + 1);
  Bytes out(compress_bound(in.size()));
  EXPECT_EQ(compress_frame(in, 3, out).error().code(), ErrorCode::kInvalid);
  const Bytes small(100);
  for (const int level : {23, 1000, INT32_MIN}) {
    EXPECT_EQ(compress_frame(small, level, out).error().code(), ErrorCode::kInvalid) << level;
  }
}

TEST(CompressDeathTest, RefusesAnOutputThatMayBeTooShort) {
  const Bytes in(1000);
  Bytes out(compress_bound(in.size()) - 1);
  EXPECT_DEATH((void)compress_frame(in, 3, out), "internal check failed");
}

TEST(Decompress, ReadsAGoldenFrame) {
  // RFC 8878: magic, single segment with a one-byte content size, one last raw block of five bytes.
  const Bytes golden = {0x28, 0xb5, 0x2f, 0xfd, 0x20, 0x05, 0x29, 0x00, 0x00, 'h', 'e', 'l', 'l', 'o'};
  Bytes out;
  ASSERT_TRUE(decode(golden, 5, &out));
  EXPECT_EQ(out, (Bytes{'h', 'e', 'l', 'l', 'o'}));
}

TEST(Decompress, EveryTruncationAndEveryOtherSizeIsCorrupt) {
  Rng rng(3);
  const Bytes in = text_like(3000, 20, rng);
  const Bytes frame = compressed(in);
  ASSERT_FALSE(frame.empty());
  for (size_t cut = 0; cut < frame.size(); ++cut) {
    expect_corrupt(std::span(frame).first(cut), in.size(), "cut at " + std::to_string(cut));
  }
  for (const size_t bytes : {size_t{0}, size_t{1}, in.size() - 1, in.size() + 1, kCompressedFrameBytes}) {
    expect_corrupt(frame, bytes, "expected " + std::to_string(bytes));
  }
}

TEST(Decompress, AnythingButOneWholeFrameOfOursIsCorrupt) {
  Rng rng(4);
  const Bytes in = text_like(3000, 20, rng);
  const Bytes frame = compressed(in);
  Bytes trailing = frame;
  trailing.push_back(0);
  expect_corrupt(trailing, in.size(), "a byte behind it");
  Bytes twice = frame;
  twice.insert(twice.end(), frame.begin(), frame.end());
  expect_corrupt(twice, in.size(), "two frames, size of one");
  expect_corrupt(twice, 2 * in.size(), "two frames, size of both");
  const Bytes skippable = {0x50, 0x2a, 0x4d, 0x18, 0x02, 0x00, 0x00, 0x00, 1, 2};
  expect_corrupt(skippable, 2, "a skippable frame");
  Bytes skipped = skippable;
  skipped.insert(skipped.end(), frame.begin(), frame.end());
  expect_corrupt(skipped, in.size(), "a skippable frame before it");
  Bytes then_skipped = frame;
  then_skipped.insert(then_skipped.end(), skippable.begin(), skippable.end());
  expect_corrupt(then_skipped, in.size(), "a skippable frame behind it");
  const Bytes empty = {0x28, 0xb5, 0x2f, 0xfd, 0x20, 0x00, 0x01, 0x00, 0x00};
  Bytes then_empty = frame;
  then_empty.insert(then_empty.end(), empty.begin(), empty.end());
  expect_corrupt(then_empty, in.size(), "an empty frame behind it");
  // The golden frame above without its content size.
  const Bytes unsized = {0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x50, 0x29, 0x00, 0x00, 'h', 'e', 'l', 'l', 'o'};
  expect_corrupt(unsized, 5, "a frame that does not tell its size");
  const Bytes large(kCompressedFrameBytes + 1, 0);
  Bytes large_frame(ZSTD_compressBound(large.size()));
  large_frame.resize(ZSTD_compress(large_frame.data(), large_frame.size(), large.data(), large.size(), 3));
  expect_corrupt(large_frame, large.size(), "more data than a frame may have");
}

TEST(Decompress, DamagedFramesNeverCrashOrLeaveTheirBounds) {
  uint64_t corrupt = 0, all = 0;
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE(seed);
    Rng rng(seed);
    const Bytes in = text_like(200 + rng.below(4000), static_cast<unsigned>(rng.below(60)), rng);
    const Bytes frame = compressed(in, 1 + static_cast<int>(rng.below(19)));
    if (frame.empty()) continue;
    for (size_t i = 0; i < frame.size(); i += 1 + frame.size() / 300) {
      Bytes bad = frame;
      bad[i] ^= static_cast<uint8_t>(1 + rng.below(255));
      for (uint64_t more = rng.below(3); more > 0; --more)
        bad[rng.below(bad.size())] = static_cast<uint8_t>(rng.next());
      const Status status = decode(bad, in.size());
      if (!status) {
        ASSERT_EQ(status.error().code(), ErrorCode::kCorrupt);
      }
      corrupt += !status;
      ++all;
    }
  }
  EXPECT_GT(all, 1000u);
  EXPECT_GT(corrupt, all / 10) << "the damage must reach the structure of the frames";
}

TEST(Decompress, GarbageIsCorrupt) {
  for (uint64_t seed = 1; seed <= 3000; ++seed) {
    SCOPED_TRACE(seed);
    Rng rng(seed);
    Bytes garbage(rng.below(200));
    for (uint8_t& b : garbage) b = static_cast<uint8_t>(rng.next());
    expect_corrupt(garbage, 1 + rng.below(5000), "no magic");
    if (garbage.size() < 4) continue;
    const uint8_t magic[4] = {0x28, 0xb5, 0x2f, 0xfd};
    std::memcpy(garbage.data(), magic, sizeof magic);
    const Status status = decode(garbage, rng.below(5000));
    if (!status) {
      ASSERT_EQ(status.error().code(), ErrorCode::kCorrupt);
    }
  }
}

TEST(Compress, ThreadsHaveContextsOfTheirOwn) {
  std::vector<std::thread> threads;
  for (uint64_t t = 1; t <= 4; ++t) {
    threads.emplace_back([t] {
      Rng rng(t);
      for (int i = 0; i < 60; ++i) {
        const Bytes in = text_like(1000 + rng.below(30000), 10, rng);
        const Bytes frame = compressed(in, 1 + static_cast<int>(rng.below(9)));
        Bytes out(in.size());
        ASSERT_TRUE(decompress_frame(frame, out));
        ASSERT_EQ(out, in);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

}  // namespace
}  // namespace stavefs
