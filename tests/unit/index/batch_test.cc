#include "index/batch.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "base/rng.h"
#include "index/keys.h"

namespace stavefs {
namespace {

IndexBatch::Visitor recorder(std::string& out) {
  return {[&](std::string_view k, std::string_view v) {
            out.append("put ").append(k).append("=").append(v).append(";");
          },
          [&](std::string_view k) { out.append("erase ").append(k).append(";"); },
          [&](std::string_view f, std::string_view t) {
            out.append("range ").append(f).append("-").append(t).append(";");
          }};
}

// The journal carries these bytes.
TEST(IndexBatch, GoldenBytes) {
  IndexBatch batch;
  batch.put("key", "value");
  batch.erase("k");
  batch.erase_range("a", "bb");
  batch.put("e", "");
  EXPECT_EQ(std::string_view("\1\3key\5value\2\1k\3\1a\2bb\1\1e\0", 24), batch.encoded());
  EXPECT_EQ(4u, batch.count());
  IndexBatch longer;
  longer.put("k", std::string(300, 'v'));
  EXPECT_EQ(std::string("\1\1k\xac\2", 5) + std::string(300, 'v'), longer.encoded());
}

TEST(IndexBatch, VisitsInOrder) {
  IndexBatch batch;
  batch.put("a", "1");
  IndexBatch more;
  more.erase("b");
  more.erase_range("c", "d");
  more.erase_range("d", "c");  // covers nothing
  more.erase_range("d", "d");
  batch.append(more);
  EXPECT_EQ(3u, batch.count());
  std::string seen;
  ASSERT_TRUE(IndexBatch::visit(batch.encoded(), recorder(seen)));
  EXPECT_EQ("put a=1;erase b;range c-d;", seen);
  batch.clear();
  EXPECT_TRUE(batch.empty());
  EXPECT_EQ(0u, batch.count());
}

TEST(IndexBatch, MalformedInputIsRefused) {
  std::string seen;
  const auto refused = [&](std::string_view bytes) {
    const Status s = IndexBatch::visit(bytes, recorder(seen));
    return !s && s.error().code() == ErrorCode::kCorrupt;
  };
  using namespace std::string_view_literals;
  EXPECT_FALSE(refused(""));
  EXPECT_TRUE(refused("\0\1k"sv));                                       // unknown operation
  EXPECT_TRUE(refused("\4\1k"sv));                                       // unknown operation
  EXPECT_TRUE(refused("\2\0"sv));                                        // empty key
  EXPECT_TRUE(refused("\1\1k\2v"sv));                                    // value cut short
  EXPECT_TRUE(refused("\3\1b\1b"sv));                                    // empty range
  EXPECT_TRUE(refused("\3\1b\1a"sv));                                    // range from its end to its start
  EXPECT_TRUE(refused("\2\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f"sv));  // a length beyond 64 bits
  EXPECT_TRUE(refused("\2\xff\xff\xff\xff\xff\xff\xff\xff\xff\1k"sv));   // a length beyond the input
}

// A batch cut at any byte is either refused or a shorter batch that ends with a whole operation; nothing is
// read beyond.
TEST(IndexBatch, EveryTruncationIsRefusedOrWhole) {
  IndexBatch batch;
  std::vector<size_t> ends{0};
  for (int i = 0; i < 20; ++i) {
    if (i % 3 == 0) batch.put(fmt::format("key{}", i), "value");
    if (i % 3 == 1) batch.erase(fmt::format("key{}", i));
    if (i % 3 == 2) batch.erase_range("a", fmt::format("b{}", i));
    ends.push_back(batch.encoded().size());
  }
  for (size_t cut = 0; cut < batch.encoded().size(); ++cut) {
    const std::string shorter = batch.encoded().substr(0, cut);
    std::string seen;
    const bool whole = std::ranges::find(ends, cut) != ends.end();
    EXPECT_EQ(whole, IndexBatch::visit(shorter, recorder(seen)).has_value()) << cut;
  }
}

// Random bytes never crash the walk.
TEST(IndexBatch, NoiseIsSurvived) {
  for (uint64_t seed = 1; seed <= 2000; ++seed) {
    Rng rng(seed);
    std::string noise(rng.below(64), '\0');
    for (char& c : noise) c = static_cast<char>(rng.below(4) ? rng.below(5) : rng.next());
    std::string seen;
    (void)IndexBatch::visit(noise, recorder(seen));
  }
}

TEST(Keys, PrefixEndIsTheSmallestKeyBehindThePrefix) {
  using keys::prefix_end;
  EXPECT_EQ("b", prefix_end("a"));
  EXPECT_EQ(std::string("a\x01", 2), prefix_end(std::string("a\0", 2)));
  EXPECT_EQ("b", prefix_end("a\xff\xff"));
  EXPECT_EQ("\x80", prefix_end("\x7f"));
  const InodeId last{~uint64_t{0}};
  EXPECT_EQ("Y", prefix_end(keys::extent_prefix(last)));
  EXPECT_LT(keys::extent(last, ~uint64_t{0}), prefix_end(keys::extent_prefix(last)));
}

TEST(Keys, NumbersSortAsNumbers) {
  EXPECT_LT(keys::inode(InodeId{255}), keys::inode(InodeId{256}));
  EXPECT_LT(keys::extent(InodeId{1}, 255), keys::extent(InodeId{1}, 256));
  EXPECT_LT(keys::segment(DiskSlot{1}, SegmentNumber{0xffffffff}),
            keys::segment(DiskSlot{2}, SegmentNumber{0}));
  EXPECT_EQ(77u, keys::first_number(keys::extent(InodeId{77}, 88)));
  EXPECT_EQ(88u, keys::second_number(keys::extent(InodeId{77}, 88)));
}

}  // namespace
}  // namespace stavefs
