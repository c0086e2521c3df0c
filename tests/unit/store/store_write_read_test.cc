// Goal: what was written reads back, whatever its size, place and geometry, however it is read, and with any
// m shards gone or rotten. Method: random pieces through sessions on simulated disks, compared with a copy
// kept beside.

#include <gtest/gtest.h>

#include <cstring>
#include <map>

#include "codec/compress.h"
#include "store_bed.h"

namespace stavefs::test {
namespace {

struct Shape {
  Geometry geometry;
  int disks;
};

class StoreReadWrite : public testing::TestWithParam<Shape> {
 protected:
  BedOptions options() const {
    BedOptions options;
    options.geometry = GetParam().geometry;
    options.disks = GetParam().disks;
    return options;
  }
};

INSTANTIATE_TEST_SUITE_P(Geometries, StoreReadWrite,
                         testing::Values(Shape{{4, 2}, 6}, Shape{{2, 1}, 3}, Shape{{1, 1}, 2},
                                         Shape{{8, 4}, 12}, Shape{{8, 8}, 16}, Shape{{16, 4}, 20},
                                         Shape{{4, 2}, 9}),
                         [](const auto& info) {
                           const Geometry g = info.param.geometry;
                           return "g" + std::to_string(g.data) + "p" + std::to_string(g.parity) + "d" +
                                  std::to_string(info.param.disks);
                         });

TEST_P(StoreReadWrite, WhatWasWrittenReadsBack) {
  for (uint64_t seed = 1; seed <= 3; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    StoreBed bed(seed, options());
    ASSERT_TRUE(bed.start());
    for (int i = 0; i < 6; ++i) {
      const Status put = bed.put(bed.random_pieces(4 << 20), static_cast<Temperature>(bed.rng().below(3)));
      ASSERT_TRUE(put) << put.error().to_text();
    }
    ASSERT_NO_FATAL_FAILURE(bed.check_all("as written"));
    ASSERT_TRUE(bed.ledger().sync_all());
    const Status restarted = bed.restart();
    ASSERT_TRUE(restarted) << restarted.error().to_text();
    ASSERT_NO_FATAL_FAILURE(bed.check_all("after a restart"));
    ASSERT_TRUE(bed.put(bed.random_pieces(2 << 20)));
    ASSERT_NO_FATAL_FAILURE(bed.check_all("with more"));
  }
}

/// Calls f(set) for every set of `size` disks of `disks`, or for `most` random ones when there are more.
template <class F>
void for_disk_sets(int disks, int size, uint64_t most, Rng& rng, F f) {
  std::vector<std::set<int>> sets;
  for (uint64_t mask = 0; mask < uint64_t{1} << disks; ++mask) {
    if (__builtin_popcountll(mask) != size) continue;
    std::set<int> set;
    for (int i = 0; i < disks; ++i) {
      if ((mask >> i & 1) != 0) set.insert(i);
    }
    sets.push_back(set);
  }
  while (sets.size() > most) {
    std::swap(sets[rng.below(sets.size())], sets.back());
    sets.pop_back();
  }
  for (const auto& set : sets) f(set);
}

TEST_P(StoreReadWrite, AnyDisksWithinTheParityMayBeAbsent) {
  const uint64_t seed = 4;
  StoreBed bed(seed, options());
  ASSERT_TRUE(bed.start());
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(bed.put(bed.random_pieces(1 << 20)));
  ASSERT_TRUE(bed.ledger().sync_all());
  bed.stop();
  for_disk_sets(GetParam().disks, GetParam().geometry.parity, 16, bed.rng(), [&](const std::set<int>& gone) {
    // A copy each time: mounting without disks changes the pool.
    StoreBed copy(bed, seed, sim::CrashMode::kKeepAll);
    const Status started = copy.start(gone);
    ASSERT_TRUE(started) << started.error().to_text();
    ASSERT_NO_FATAL_FAILURE(copy.check_all("with disks absent"));
    const Geometry g = GetParam().geometry;
    const bool writable = GetParam().disks - g.parity >= g.write_quorum();
    ASSERT_EQ(copy.put(copy.random_pieces(500000)).has_value(), writable)
        << "writable with a quorum, and only then";
    ASSERT_NO_FATAL_FAILURE(copy.check_all("what was written degraded"));
    ASSERT_TRUE(copy.ledger().sync_all());
    copy.stop();
    const Status again = copy.start();
    ASSERT_TRUE(again) << again.error().to_text();
    ASSERT_NO_FATAL_FAILURE(copy.check_all("with the disks back"));
  });
}

TEST_P(StoreReadWrite, AnyDisksWithinTheParityMayVanishWhileMounted) {
  const uint64_t seed = 5;
  StoreBed bed(seed, options());
  ASSERT_TRUE(bed.start());
  ASSERT_TRUE(bed.put(bed.random_pieces(2 << 20)));
  for_disk_sets(GetParam().disks, GetParam().geometry.parity, 16, bed.rng(), [&](const std::set<int>& gone) {
    for (const int disk : gone) bed.world().set_vanished(disk, true);
    ASSERT_NO_FATAL_FAILURE(bed.check_all("with disks vanished"));
    for (const int disk : gone) bed.world().set_vanished(disk, false);
  });
}

TEST_P(StoreReadWrite, RottenUnitsAreDecodedAroundAndNeverReturned) {
  int refused = 0;
  for (uint64_t seed = 6; seed < 9; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    StoreBed bed(seed, options());
    ASSERT_TRUE(bed.start());
    ASSERT_TRUE(bed.put(bed.random_pieces(2 << 20)));
    const Geometry g = GetParam().geometry;
    for (int round = 0; round < 12; ++round) {
      const Stored victim = bed.stored()[bed.rng().below(bed.stored().size())];
      const ExtentAddress& a = victim.extent.address;
      // Rots the same bytes of some shards, so that a chunk meets all of them.
      const uint32_t at = a.offset + static_cast<uint32_t>(bed.rng().below(a.length));
      const uint32_t in_unit = at % a.unit_bytes();
      const auto damaged = 1 + static_cast<uint32_t>(bed.rng().below(g.parity + 2u));
      std::vector<uint32_t> written;
      for (uint32_t shard = 0; shard < static_cast<uint32_t>(g.total()); ++shard) {
        if (shard < a.used_units || shard >= g.data) written.push_back(shard);
      }
      std::set<uint32_t> shards{at / a.unit_bytes()};
      while (shards.size() < std::min<size_t>(damaged, written.size())) {
        shards.insert(written[bed.rng().below(written.size())]);
      }
      // One bit, or all of the chunk's rows (so that wrong bytes cannot cancel out in the code by chance).
      const bool one_bit = bed.rng().one_in(2);
      std::map<uint32_t, std::string> before;
      for (const uint32_t shard : shards) {
        const auto place = bed.place(a, shard);
        before[shard] = bed.world().contents(place.disk, place.file)->substr(place.offset, a.unit_bytes());
        std::string rotten = bed.random_bytes(a.unit_bytes());
        if (one_bit) {
          rotten = before[shard];
          rotten[in_unit] = static_cast<char>(rotten[in_unit] ^ (1 << bed.rng().below(8)));
        }
        bed.overwrite(place.disk, place.file, place.offset, rotten);
      }
      const uint64_t errors = bed.checksum_errors();
      std::vector<uint8_t> all(victim.bytes.size());
      const Status status = bed.read(victim, 0, all);
      const bool right = std::memcmp(all.data(), victim.bytes.data(), all.size()) == 0;
      if (shards.size() <= g.parity) {
        ASSERT_TRUE(status) << status.error().to_text();
        ASSERT_TRUE(right);
        ASSERT_GT(bed.checksum_errors(), errors);
        ASSERT_GT(bed.checksum_errors(bed.place(a, at / a.unit_bytes()).disk), 0u)
            << "the guilty one was not told of";
      } else {
        // A chunk of a few bytes may decode right by chance.
        ASSERT_TRUE(!status || right);
        if (!status) {
          ASSERT_EQ(status.error().code(), ErrorCode::kCorrupt);
          ASSERT_EQ(status.error().errno_value(), EIO);
          ++refused;
        }
      }
      for (const auto& [shard, bytes] : before) {
        const auto place = bed.place(a, shard);
        bed.overwrite(place.disk, place.file, place.offset, bytes);
      }
    }
    ASSERT_NO_FATAL_FAILURE(bed.check_all("restored"));
  }
  EXPECT_GT(refused, 0) << "damage beyond the parity was never met";
}

TEST(StoreRead, OnlyTheGuiltyShardIsAccused) {
  for (uint64_t seed = 1; seed <= 5; ++seed) {
    StoreBed bed(seed);
    ASSERT_TRUE(bed.start());
    ASSERT_TRUE(bed.put({bed.random_bytes(1 << 20)}));
    const Stored victim = bed.stored()[0];
    const auto shard = static_cast<uint32_t>(bed.rng().below(4));
    const auto place = bed.place(victim.extent.address, shard);
    ASSERT_TRUE(bed.world().flip_bit(place.disk, place.file, place.offset + bed.rng().below(262144), 3));
    std::vector<uint8_t> all(victim.bytes.size());
    ASSERT_TRUE(bed.read(victim, 0, all));
    for (int disk = 0; disk < 6; ++disk) {
      EXPECT_EQ(bed.checksum_errors(disk), disk == place.disk ? 1u : 0u)
          << "seed " << seed << " disk " << disk;
    }
  }
}

TEST(StoreRead, FlippedBitsOnTheWayAreNotReturned) {
  for (uint64_t seed = 1; seed <= 3; ++seed) {
    StoreBed bed(seed);
    ASSERT_TRUE(bed.start());
    ASSERT_TRUE(bed.put(bed.random_pieces(3 << 20)));
    for (int disk = 0; disk < 6; ++disk) bed.world().set_read_flip_rate(disk, 20);
    int failures = 0;
    for (int i = 0; i < 20; ++i) {
      for (const Stored& stored : bed.stored()) {
        const std::string fault = bed.check(stored);
        ASSERT_TRUE(fault.find("WRONG") == std::string::npos) << "seed " << seed << ": " << fault;
        failures += fault.empty() ? 0 : 1;
      }
    }
    // One read in twenty is hit; more than two of the six shards of one chunk hardly ever.
    EXPECT_LT(failures, 5) << "seed " << seed;
  }
}

TEST(StoreRead, GarbageInUnitsThatWereNeverWrittenDoesNotLeak) {
  // Goal: units of zero padding count as zeros, whatever the segment holds there (an older group's bytes,
  // say). Method: put garbage there, lose the unit that was written, read.
  for (uint64_t seed = 1; seed <= 4; ++seed) {
    StoreBed bed(seed);
    ASSERT_TRUE(bed.start());
    ASSERT_TRUE(bed.put({bed.random_bytes(3000)}));
    const Stored stored = bed.stored()[0];
    const ExtentAddress& a = stored.extent.address;
    ASSERT_EQ(a.used_units, 1);
    for (uint32_t shard = 1; shard < 4; ++shard) {
      const auto place = bed.place(a, shard);
      const auto bytes = bed.world().contents(place.disk, place.file);
      ASSERT_EQ(bytes->substr(place.offset, a.unit_bytes()), std::string(a.unit_bytes(), '\0'))
          << "was written";
      bed.overwrite(place.disk, place.file, place.offset, bed.random_bytes(a.unit_bytes()));
    }
    bed.world().set_vanished(bed.place(a, 0).disk, true);
    ASSERT_EQ(bed.check(stored), "");
    bed.world().set_vanished(bed.place(a, 4).disk, true);
    ASSERT_EQ(bed.check(stored), "");
  }
}

TEST(StoreRead, ASegmentOfSomethingElseIsAMissingShard) {
  // Method: after a restart, give one shard's file the content of another segment, and take another one's
  // file away.
  for (uint64_t seed = 1; seed <= 4; ++seed) {
    StoreBed bed(seed);
    ASSERT_TRUE(bed.start());
    ASSERT_TRUE(bed.put(bed.random_pieces(2 << 20), Temperature::kHot));
    ASSERT_TRUE(bed.put(bed.random_pieces(2 << 20), Temperature::kLarge));
    ASSERT_TRUE(bed.ledger().sync_all());
    const auto one = bed.place(bed.stored().front().extent.address, 0);
    const auto removed = bed.place(bed.stored().back().extent.address, 1);
    StoreBed::Place other;
    for (uint32_t shard = 0; shard < 6; ++shard) {
      const auto place = bed.place(bed.stored().back().extent.address, shard);
      if (place.disk == one.disk) other = place;
    }
    ASSERT_EQ(other.disk, one.disk);
    const std::string bytes = *bed.world().contents(other.disk, other.file);
    bed.stop();
    bed.overwrite(one.disk, one.file, 0, bytes);
    ASSERT_TRUE(bed.world().disk(removed.disk).remove(removed.file));
    const Status started = bed.start();
    ASSERT_TRUE(started) << started.error().to_text();
    ASSERT_NO_FATAL_FAILURE(bed.check_all("with a foreign segment"));
    EXPECT_GT(bed.checksum_errors(one.disk), 0u);
    EXPECT_GT(bed.checksum_errors(removed.disk), 0u);
    ASSERT_TRUE(bed.put(bed.random_pieces(1 << 20)));
    ASSERT_NO_FATAL_FAILURE(bed.check_all("with more"));
  }
}

TEST(StoreRead, EveryChecksumKindVerifies) {
  for (const ChecksumKind kind : {ChecksumKind::kXxh3, ChecksumKind::kSha256, ChecksumKind::kMd5}) {
    BedOptions options;
    options.checksum = kind;
    StoreBed bed(3, options);
    ASSERT_TRUE(bed.start());
    ASSERT_TRUE(bed.put(bed.random_pieces(1 << 20)));
    ASSERT_NO_FATAL_FAILURE(bed.check_all("as written"));
    Stored wrong = bed.stored()[0];
    wrong.extent.checksums[0] = static_cast<char>(wrong.extent.checksums[0] ^ 1);
    std::vector<uint8_t> out(wrong.bytes.size());
    EXPECT_FALSE(bed.read(wrong, 0, out)) << "bytes that do not match were returned";
  }
}

TEST(StoreRead, CompressedExtentsAreExpanded) {
  StoreBed bed(1);
  ASSERT_TRUE(bed.start());
  std::string text;
  while (text.size() < kCompressedFrameBytes) text += "line " + std::to_string(text.size()) + "\n";
  text.resize(kCompressedFrameBytes);
  std::string frame(compress_bound(text.size()), '\0');
  const auto size = compress_frame({reinterpret_cast<const uint8_t*>(text.data()), text.size()}, 1,
                                   {reinterpret_cast<uint8_t*>(frame.data()), frame.size()});
  ASSERT_TRUE(size);
  frame.resize(*size);
  ASSERT_TRUE(bed.put({frame}));
  Stored stored = bed.stored()[0];
  stored.extent.compression = 1;
  stored.extent.expanded_length = static_cast<uint32_t>(text.size());
  stored.extent.length = text.size();
  stored.bytes = text;
  for (int i = 0; i < 20; ++i) ASSERT_EQ(bed.check(stored), "");
  stored.extent.expanded_length += 1;
  std::vector<uint8_t> out(10);
  EXPECT_FALSE(bed.read(stored, 0, out)) << "a frame of another size";
}

TEST(StoreRead, RangesOutsideTheExtentAreRefused) {
  StoreBed bed(1);
  ASSERT_TRUE(bed.start());
  ASSERT_TRUE(bed.put({bed.random_bytes(5000)}));
  std::vector<uint8_t> out(5000);
  EXPECT_TRUE(bed.read(bed.stored()[0], 0, out));
  EXPECT_FALSE(bed.read(bed.stored()[0], 1, out));
  EXPECT_FALSE(bed.read(bed.stored()[0], 5001, {out.data(), 1}));
  EXPECT_FALSE(bed.read(bed.stored()[0], UINT64_MAX, {out.data(), 2}));
  Stored beyond = bed.stored()[0];
  beyond.extent.address.row = Row(100000);
  EXPECT_FALSE(bed.read(beyond, 0, out));
  beyond = bed.stored()[0];
  beyond.extent.checksums.clear();
  EXPECT_FALSE(bed.read(beyond, 0, out));
}

TEST(StoreRead, ManyRangesInOneCall) {
  StoreBed bed(8);
  ASSERT_TRUE(bed.start());
  ASSERT_TRUE(bed.put(bed.random_pieces(16 << 20)));
  ASSERT_TRUE(bed.put(bed.random_pieces(16 << 20)));
  for (const bool degraded : {false, true}) {
    if (degraded) bed.world().set_vanished(2, true);
    std::vector<ExtentRead> reads;
    std::vector<AlignedBuffer> memory;
    for (const Stored& stored : bed.stored()) {
      memory.emplace_back(stored.bytes.size());
      reads.push_back(
          {&stored.extent, 0, memory.back().span().first(stored.bytes.size()), bed.rng().one_in(2)});
    }
    const Status status = bed.store().read(reads);
    ASSERT_TRUE(status) << status.error().to_text();
    for (size_t i = 0; i < reads.size(); ++i) {
      ASSERT_EQ(std::memcmp(reads[i].out.data(), bed.stored()[i].bytes.data(), reads[i].out.size()), 0) << i;
    }
  }
}

}  // namespace
}  // namespace stavefs::test
