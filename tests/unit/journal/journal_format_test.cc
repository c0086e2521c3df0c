// A frame must keep its bytes, and whatever is not exactly a frame of this ring at this place must be
// refused. Method: golden bytes, exhaustive byte flips, wrong places and pools, hostile headers, and user
// data that imitates a frame.

#include "journal/journal_format.h"

#include <fmt/core.h>
#include <gtest/gtest.h>

#include <cstring>

#include "base/rng.h"

namespace stavefs {
namespace {

RingFormat test_format() {
  RingFormat format;
  for (size_t i = 0; i < 16; ++i) format.pool.bytes[i] = static_cast<uint8_t>(0x10 + i);
  format.key = 0x0807060504030201;
  format.ring_bytes = 64 << 10;
  return format;
}

/// A frame of three records.
std::vector<uint8_t> example(FrameHeader& header, const RingFormat& format) {
  std::vector<uint8_t> frame(kPageBytes, 0xee);
  std::string payload;
  ByteWriter writer(payload);
  for (const std::string_view record : {"one", "", "three"}) {
    writer.u32(static_cast<uint32_t>(record.size()));
    writer.bytes(record);
  }
  std::memcpy(frame.data() + kFrameHeaderBytes, payload.data(), payload.size());
  header.ring_offset = 8192;
  header.epoch = Epoch(0x21);
  header.ticket = 0x3132333435363738;
  header.first_lsn = Lsn(0x41);
  header.last_lsn = Lsn(0x43);
  header.durable_lsn = Lsn(0x40);
  header.trim_lsn = Lsn(0x12);
  header.prev_hash = {0x51, 0x61};
  header.payload_bytes = static_cast<uint32_t>(payload.size());
  seal_frame(format, header, frame);
  return frame;
}

TEST(JournalFormat, BytesOnDiskHaveNotChanged) {
  FrameHeader header;
  const std::vector<uint8_t> frame = example(header, test_format());
  std::string text;
  for (size_t i = 0; i < 192; ++i) text += fmt::format("{:02x}{}", frame[i], i % 16 == 15 ? "\n" : "");
  EXPECT_EQ(text, R"(53544156454a460a0100000000000000
4df746711be36fa36e70ff3b65bdf2c9
bfaa42e934bfebe90020000000000000
101112131415161718191a1b1c1d1e1f
21000000000000003837363534333231
41000000000000004300000000000000
40000000000000001200000000000000
51000000000000006100000000000000
00100000140000000300000000000000
00000000000000000000000000000000
030000006f6e65000000000500000074
68726565000000000000000000000000
)");
  for (size_t i = 192; i < kPageBytes; ++i) ASSERT_EQ(frame[i], 0) << "padding at " << i;
}

TEST(JournalFormat, HeaderAndRecordsComeBack) {
  FrameHeader header;
  std::vector<uint8_t> frame = example(header, test_format());
  const auto back = decode_frame_header(test_format(), 8192, frame);
  ASSERT_TRUE(back) << back.error().to_text();
  EXPECT_EQ(*back, header);
  ASSERT_TRUE(verify_frame(*back, frame));
  FrameRecords records(*back, frame);
  Lsn lsn;
  std::string_view record;
  std::vector<std::pair<uint64_t, std::string>> got;
  while (records.next(lsn, record)) got.emplace_back(lsn.value, record);
  EXPECT_EQ(got, (std::vector<std::pair<uint64_t, std::string>>{{0x41, "one"}, {0x42, ""}, {0x43, "three"}}));
  EXPECT_NE(to_text(header).find("LSN 65-67"), std::string::npos);
}

TEST(JournalFormat, NoFlippedByteIsBelieved) {
  FrameHeader header;
  const std::vector<uint8_t> good = example(header, test_format());
  for (size_t i = 0; i < good.size(); ++i) {
    std::vector<uint8_t> bad = good;
    bad[i] ^= 0x04;
    const auto back = decode_frame_header(test_format(), 8192, bad);
    EXPECT_FALSE(back && verify_frame(*back, bad)) << "byte " << i;
  }
}

TEST(JournalFormat, FrameInAWrongPlacePoolOrRingIsRefused) {
  FrameHeader header;
  const std::vector<uint8_t> frame = example(header, test_format());
  EXPECT_FALSE(decode_frame_header(test_format(), 12288, frame));
  RingFormat other = test_format();
  other.pool.bytes[3] ^= 1;
  EXPECT_FALSE(decode_frame_header(other, 8192, frame));
  other = test_format();
  other.key ^= 1;
  EXPECT_FALSE(decode_frame_header(other, 8192, frame))
      << "whoever does not know the key cannot make a frame";
  other = test_format();
  other.ring_bytes = 8192;
  EXPECT_FALSE(decode_frame_header(other, 8192, frame)) << "beyond the end of the ring";
  EXPECT_FALSE(decode_frame_header(test_format(), 8192, std::span(frame).first(100)));
}

TEST(JournalFormat, HostileHeadersWithRightChecksumsAreRefused) {
  // Whoever can write the disk can make the checksums right; sizes and counts must be checked all the same.
  using journal_format::FrameFields;
  FrameHeader header;
  const std::vector<uint8_t> good = example(header, test_format());
  const auto refuse = [&](const char* what, auto change) {
    FrameFields f;
    std::memcpy(&f, good.data(), sizeof f);
    change(f);
    FrameFields zeroed = f;
    zeroed.hash[0] = zeroed.hash[1] = zeroed.header_check = 0;
    f.header_check = xxh3_64(&zeroed, sizeof zeroed, test_format().key);
    std::vector<uint8_t> bad = good;
    std::memcpy(bad.data(), &f, sizeof f);
    EXPECT_FALSE(decode_frame_header(test_format(), 8192, bad)) << what;
  };
  refuse("huge payload", [](FrameFields& f) { f.payload_bytes = 0xffffff00; });
  refuse("huge frame",
         [](FrameFields& f) { f.frame_bytes = 0xfffff000, f.payload_bytes = 0xfffff000 - 160; });
  refuse("longer than a frame may be",
         [](FrameFields& f) { f.payload_bytes = 20000, f.frame_bytes = 20480; });
  refuse("size and payload differ", [](FrameFields& f) { f.frame_bytes = 8192; });
  refuse("no frame", [](FrameFields& f) { f.frame_bytes = 0, f.payload_bytes = 0; });
  refuse("LSN 0", [](FrameFields& f) { f.first_lsn = 0, f.last_lsn = 2; });
  refuse("backwards", [](FrameFields& f) { f.last_lsn = 0x40; });
  refuse("count", [](FrameFields& f) { f.record_count = 4; });
  refuse("more records than bytes", [](FrameFields& f) { f.last_lsn = 0x41 + 999, f.record_count = 1000; });
  refuse("durable includes itself", [](FrameFields& f) { f.durable_lsn = 0x41; });
  refuse("wraps around",
         [](FrameFields& f) { f.last_lsn = ~uint64_t{0}, f.first_lsn = 1, f.record_count = 0xffffffff; });
  refuse("newer version", [](FrameFields& f) { f.version = 2; });
  refuse("reserved", [](FrameFields& f) { f.reserved1[19] = 1; });
}

TEST(JournalFormat, RecordsThatDoNotFitTheirFrameAreCorrupt) {
  // The frame's checksum is right, the records are not.
  const RingFormat format = test_format();
  for (uint64_t seed = 1; seed <= 2000; ++seed) {
    Rng rng(seed);
    std::vector<uint8_t> frame(2 * kPageBytes);
    for (size_t i = kFrameHeaderBytes; i < frame.size(); ++i)
      frame[i] = static_cast<uint8_t>(rng.one_in(4) ? rng.next() : 0);
    FrameHeader header;
    header.first_lsn = Lsn(1);
    header.payload_bytes = static_cast<uint32_t>(400 + rng.below(4000));
    header.last_lsn = Lsn(1 + rng.below(100));
    seal_frame(format, header, frame);
    const auto back = decode_frame_header(format, 0, frame);
    ASSERT_TRUE(back);
    const Status verified = verify_frame(*back, frame);
    FrameRecords records(*back, frame);
    Lsn lsn;
    std::string_view record;
    uint64_t bytes = 0;
    uint64_t count = 0;
    while (records.next(lsn, record)) {
      bytes += 4 + record.size();
      ++count;
    }
    EXPECT_LE(bytes, header.payload_bytes);
    EXPECT_EQ(verified.has_value(), bytes == header.payload_bytes && count == header.last_lsn.value) << seed;
  }
}

TEST(JournalFormat, SizesFollowTheRing) {
  RingFormat format = test_format();
  EXPECT_EQ(format.max_record_bytes(), 8192u);
  EXPECT_EQ(format.target_frame_bytes(), 16384u);
  EXPECT_EQ(format.max_frame_bytes(), 16384u);
  format.ring_bytes = uint64_t{64} << 20;
  EXPECT_EQ(format.max_record_bytes(), 8u << 20);
  EXPECT_EQ(format.target_frame_bytes(), 4u << 20);
  EXPECT_EQ(format.max_frame_bytes(), (8u << 20) + 4096);
  format.ring_bytes = uint64_t{1} << 30;
  EXPECT_EQ(format.max_record_bytes(), 8u << 20);
  EXPECT_EQ(frame_bytes_for(4096 - 160), 4096u);
  EXPECT_EQ(frame_bytes_for(4096 - 159), 8192u);
}

}  // namespace
}  // namespace stavefs
