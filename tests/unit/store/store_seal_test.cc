// Goal: a sealed group tells its stripes by itself; a dead group gives its space back, when that is durable
// and nobody reads it, again and again, and never leaks old bytes. Method: small pools are filled, sealed,
// emptied and filled again, with disks failing or power going at every step.

#include <gtest/gtest.h>

#include <cstring>

#include "store_bed.h"

namespace stavefs::test {
namespace {

/// Fills the open group of `temperature` and some more.
void fill_group(StoreBed& bed, Temperature temperature = Temperature::kLarge) {
  for (int i = 0; i < 5; ++i) {
    const Status put = bed.put(bed.random_pieces(4 << 20), temperature);
    ASSERT_TRUE(put) << put.error().to_text();
  }
}

std::map<GroupId, std::vector<StripeEntry>> all_stripes(StoreBed& bed) {
  std::map<GroupId, std::vector<StripeEntry>> all;
  for (const GroupId id : bed.groups()) {
    auto stripes = bed.store().stripes(id);
    EXPECT_TRUE(stripes) << stripes.error().to_text();
    if (stripes) all[id] = std::move(*stripes);
  }
  return all;
}

std::set<GroupId> in_state(StoreBed& bed, const std::string& state) {
  std::set<GroupId> groups;
  for (const GroupId id : bed.groups()) {
    if (bed.store().group(id)->state == state) groups.insert(id);
  }
  return groups;
}

/// Each extent of the model must lie in exactly one owner of its stripe.
void expect_owned(StoreBed& bed, const std::map<GroupId, std::vector<StripeEntry>>& stripes) {
  for (const Stored& stored : bed.stored()) {
    const ExtentAddress& a = stored.extent.address;
    int owners = 0;
    for (const StripeEntry& entry : stripes.at(a.group)) {
      if (entry.row != a.row) continue;
      EXPECT_EQ(entry.record.unit_rows, a.unit_rows);
      EXPECT_EQ(entry.record.used_units, a.used_units);
      for (const StripeOwner& owner : entry.record.owners) {
        owners += owner == StripeOwner{stored.inode, stored.offset, a.length, a.offset} ? 1 : 0;
      }
    }
    ASSERT_EQ(owners, 1) << stored.extent.to_text();
  }
}

TEST(StoreSeal, TheSummaryTellsWhatTheIndexTold) {
  for (const Geometry geometry : {Geometry{4, 2}, Geometry{1, 1}, Geometry{8, 8}}) {
    SCOPED_TRACE(geometry.to_text());
    BedOptions options;
    options.geometry = geometry;
    options.disks = geometry.total();
    StoreBed bed(1, options);
    ASSERT_TRUE(bed.start());
    ASSERT_NO_FATAL_FAILURE(fill_group(bed));
    if (geometry.data == 8) {
      ASSERT_NO_FATAL_FAILURE(fill_group(bed));
    }
    const auto before = all_stripes(bed);
    ASSERT_NO_FATAL_FAILURE(expect_owned(bed, before));
    ASSERT_TRUE(bed.store().maintain());
    const auto sealed = in_state(bed, "sealed");
    ASSERT_FALSE(sealed.empty());
    for (const GroupId id : sealed) {
      EXPECT_TRUE(bed.index_entries(keys::stripe_prefix(id)).empty())
          << "records of a sealed group stay in the index";
    }
    EXPECT_EQ(all_stripes(bed), before);
    ASSERT_NO_FATAL_FAILURE(bed.check_all("sealed"));
    ASSERT_TRUE(bed.ledger().sync_all());
    ASSERT_TRUE(bed.restart());
    EXPECT_EQ(in_state(bed, "sealed"), sealed);
    EXPECT_EQ(all_stripes(bed), before);
    ASSERT_NO_FATAL_FAILURE(bed.check_all("after a restart"));
  }
}

TEST(StoreSeal, TheSummaryStandsTheLossAndRotOfAnyParityShards) {
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    StoreBed bed(seed);
    ASSERT_TRUE(bed.start());
    ASSERT_NO_FATAL_FAILURE(fill_group(bed));
    const auto before = all_stripes(bed);
    ASSERT_TRUE(bed.store().maintain());
    const GroupId sealed = *in_state(bed, "sealed").begin();
    const GroupReport report = *bed.store().group(sealed);
    const auto record = GroupRecord::decode(bed.index_entries(keys::group(sealed)).at(0).second);
    ASSERT_TRUE(record);
    // One shard's disk is away; of another one the footer, or a unit of the summary, is rotten.
    const uint64_t first = bed.rng().below(6);
    const uint64_t second = (first + 1 + bed.rng().below(5)) % 6;
    bed.world().set_vanished(report.shards[first].disk.value, true);
    const ShardReport& rotten = report.shards[second];
    const uint64_t row =
        seed % 2 == 0 ? StoreBed::kSegmentBytes / kRowBytes - 1 : record->summary[0].row.value;
    ASSERT_TRUE(
        bed.world().flip_bit(rotten.disk.value, segment_file_name(rotten.segment), row * kRowBytes + 77, 1));
    const auto stripes = bed.store().stripes(sealed);
    ASSERT_TRUE(stripes) << stripes.error().to_text();
    EXPECT_EQ(*stripes, before.at(sealed));
    // One more is too many, and is said so.
    for (const ShardReport& shard : report.shards) {
      if (shard.disk == rotten.disk || shard.disk == report.shards[first].disk) continue;
      bed.world().set_vanished(shard.disk.value, true);
      break;
    }
    const auto lost = bed.store().stripes(sealed);
    if (record->summary[0].used_units >= 4) {
      EXPECT_FALSE(lost);
    } else if (lost) {
      EXPECT_EQ(*lost, before.at(sealed)) << "zero units still count";
    }
  }
}

TEST(StoreSeal, ADiskThatFailsWhileSealingCostsItsShardOnly) {
  for (uint64_t step = 1; step <= 30; ++step) {
    const uint64_t seed = 300 + step;
    SCOPED_TRACE("seed " + std::to_string(seed));
    StoreBed bed(seed);
    ASSERT_TRUE(bed.start());
    ASSERT_NO_FATAL_FAILURE(fill_group(bed));
    const auto before = all_stripes(bed);
    ASSERT_TRUE(bed.ledger().sync_all());
    const int victim = static_cast<int>(bed.rng().below(6));
    bed.world().vanish_at(victim, bed.world().step_count() + step);
    ASSERT_TRUE(bed.store().maintain());
    EXPECT_EQ(all_stripes(bed), before);
    ASSERT_NO_FATAL_FAILURE(bed.check_all("sealed with a disk gone"));
    ASSERT_TRUE(bed.ledger().sync_all());
    ASSERT_TRUE(bed.restart({victim, (victim + 1) % 6}));
    EXPECT_EQ(all_stripes(bed), before);
    ASSERT_NO_FATAL_FAILURE(bed.check_all("and another one absent"));
  }
}

TEST(StoreSeal, PowerMayGoAtAnyStepOfSealing) {
  for (uint64_t step = 1; step <= 40; ++step) {
    const uint64_t seed = 400 + step;
    SCOPED_TRACE("seed " + std::to_string(seed));
    StoreBed bed(seed);
    ASSERT_TRUE(bed.start());
    ASSERT_NO_FATAL_FAILURE(fill_group(bed));
    const auto before = all_stripes(bed);
    ASSERT_TRUE(bed.ledger().sync_all());
    const Lsn durable = bed.ledger().durable();
    bed.world().crash_at(bed.world().step_count() + step);
    if (bed.store().maintain()) (void)bed.ledger().sync_all();
    for (const sim::CrashMode mode : {sim::CrashMode::kDropAll, sim::CrashMode::kRandom}) {
      StoreBed after(bed, seed, mode);
      const Status started = after.start();
      ASSERT_TRUE(started) << started.error().to_text();
      ASSERT_NO_FATAL_FAILURE(after.adopt_index(durable));
      EXPECT_EQ(all_stripes(after), before);
      ASSERT_TRUE(after.put(after.random_pieces(6 << 20)));
      ASSERT_TRUE(after.store().maintain());
      ASSERT_NO_FATAL_FAILURE(after.check_all("sealed again"));
      ASSERT_NO_FATAL_FAILURE(expect_owned(after, all_stripes(after)));
    }
  }
}

TEST(StoreFree, ADeadGroupGivesItsSegmentsBackWhenThatIsDurable) {
  StoreBed bed(1);
  ASSERT_TRUE(bed.start());
  const SpaceReport empty = bed.store().space();
  ASSERT_NO_FATAL_FAILURE(fill_group(bed));
  ASSERT_TRUE(bed.store().maintain());
  const GroupId dead = *in_state(bed, "sealed").begin();
  const GroupReport report = *bed.store().group(dead);
  for (size_t i = bed.stored().size(); i-- > 0;) {
    if (bed.stored()[i].extent.address.group == dead) {
      ASSERT_TRUE(bed.drop(i));
    }
  }
  EXPECT_EQ(bed.store().group(dead)->live_bytes, 0);
  const auto exists = [&](const ShardReport& shard) {
    return bed.world().contents(shard.disk.value, segment_file_name(shard.segment)).has_value();
  };
  ASSERT_TRUE(bed.store().maintain());
  EXPECT_FALSE(bed.store().group(dead)) << "it is freed";
  EXPECT_EQ(bed.store().pin(dead), nullptr);
  EXPECT_TRUE(bed.index_entries(keys::group(dead)).empty());
  EXPECT_TRUE(bed.index_entries(keys::live_bytes(dead)).empty());
  for (const ShardReport& shard : report.shards)
    EXPECT_TRUE(exists(shard)) << "removed before the FREE was durable";
  ASSERT_TRUE(bed.ledger().sync_all());
  ASSERT_TRUE(bed.store().maintain());
  for (const ShardReport& shard : report.shards) EXPECT_FALSE(exists(shard)) << "still takes space";
  ASSERT_NO_FATAL_FAILURE(bed.check_all("the others"));
  while (!bed.stored().empty()) ASSERT_TRUE(bed.drop(0));
  ASSERT_TRUE(bed.store().maintain());
  ASSERT_TRUE(bed.ledger().sync_all());
  ASSERT_TRUE(bed.store().maintain());
  const SpaceReport again = bed.store().space();
  EXPECT_EQ(again.live_bytes, 0u);
  EXPECT_GE(again.free_bytes + StoreBed::kSegmentBytes * 4, empty.free_bytes) << "space was lost";
}

TEST(StoreFree, APinnedGroupStaysReadable) {
  StoreBed bed(2);
  ASSERT_TRUE(bed.start());
  ASSERT_NO_FATAL_FAILURE(fill_group(bed));
  const Stored kept = bed.stored().front();
  const GroupId id = kept.extent.address.group;
  ASSERT_NE(bed.store().group(id)->state, "open");
  GroupPin pin = bed.store().pin(id);
  for (size_t i = bed.stored().size(); i-- > 0;) {
    if (bed.stored()[i].extent.address.group == id) {
      ASSERT_TRUE(bed.drop(i));
    }
  }
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(bed.store().maintain());
    ASSERT_TRUE(bed.ledger().sync_all());
  }
  EXPECT_FALSE(bed.store().group(id));
  std::vector<uint8_t> out(kept.bytes.size());
  const ExtentRead read{&kept.extent, 0, out, false};
  const Status status = bed.store().read({&read, 1});
  ASSERT_TRUE(status) << status.error().to_text();
  EXPECT_EQ(std::memcmp(out.data(), kept.bytes.data(), out.size()), 0);
  pin.reset();
  ASSERT_TRUE(bed.store().maintain());
  EXPECT_FALSE(bed.store().read({&read, 1})) << "nothing keeps it now";
}

TEST(StoreFree, ASmallPoolIsFilledAndEmptiedManyTimes) {
  // Goal: segments come back with raised generations, space neither leaks nor runs out, old bytes never show.
  BedOptions options;
  options.segments = 12;
  StoreBed bed(3, options);
  ASSERT_TRUE(bed.start());
  uint64_t written = 0;
  for (int round = 0; round < 60; ++round) {
    SCOPED_TRACE("round " + std::to_string(round));
    ASSERT_TRUE(bed.ledger().maintain());
    const Status put = bed.put(bed.random_pieces(12 << 20), static_cast<Temperature>(bed.rng().below(2)));
    ASSERT_TRUE(put) << put.error().to_text();
    written += 12;
    if (bed.rng().one_in(2)) {
      ASSERT_TRUE(bed.store().maintain());
    }
    if (bed.rng().one_in(6)) {
      ASSERT_TRUE(bed.ledger().sync_all());
      ASSERT_TRUE(bed.restart());
    }
    if (round % 5 == 0) {
      ASSERT_NO_FATAL_FAILURE(bed.check_all("full"));
    }
    while (bed.stored().size() > (round % 3 == 0 ? 0u : 40u)) ASSERT_TRUE(bed.drop(0));
  }
  ASSERT_GT(written, 4 * 12 * 4u) << "the pool was never written through";
  uint32_t most = 0;
  for (const auto& [key, value] : bed.index_entries("E"))
    most = std::max(most, SegmentRecord::decode(value)->generation.value);
  EXPECT_GT(most, 3u);
  ASSERT_NO_FATAL_FAILURE(bed.check_all("at the end"));
}

TEST(StoreFree, AFullPoolSaysSoAndCanBeEmptied) {
  for (const Geometry geometry : {Geometry{4, 2}, Geometry{2, 1}}) {
    BedOptions options;
    options.geometry = geometry;
    options.disks = geometry.total();
    options.segments = 8;
    StoreBed bed(4, options);
    ASSERT_TRUE(bed.start());
    const Geometry& g = options.geometry;
    const uint64_t promise = bed.store().space().free_bytes;
    ASSERT_GT(promise, 0u);
    constexpr uint64_t kPiece = 100000;
    uint64_t kept = 0;
    Status reserved = ok();
    while (true) {
      reserved = bed.store().reserve(g, kPiece);
      if (!reserved) break;
      // What was promised must never be refused.
      const Status put = bed.put({bed.random_bytes(kPiece)}, static_cast<Temperature>(bed.rng().below(3)));
      ASSERT_TRUE(put) << put.error().to_text();
      bed.store().release(g, kPiece);
      kept += kPiece;
    }
    EXPECT_EQ(reserved.error().code(), ErrorCode::kNoSpace);
    EXPECT_EQ(reserved.error().errno_value(), ENOSPC);
    EXPECT_GT(kept, promise * 7 / 10) << "much was promised, little taken";
    ASSERT_NO_FATAL_FAILURE(bed.check_all("full"));
    while (!bed.stored().empty()) ASSERT_TRUE(bed.drop(0));
    EXPECT_TRUE(bed.store().reserve(g, promise / 2)) << "deleting gives room at once";
    bed.store().release(g, promise / 2);
    ASSERT_TRUE(bed.put(bed.random_pieces(8 << 20)));
    ASSERT_NO_FATAL_FAILURE(bed.check_all("used again"));
  }
}

TEST(StoreFree, ReservationsAreHonouredTogether) {
  BedOptions options;
  options.segments = 8;
  StoreBed bed(5, options);
  ASSERT_TRUE(bed.start());
  const Geometry& g = options.geometry;
  uint64_t reserved = 0;
  constexpr uint64_t kPiece = 200000;
  while (bed.store().reserve(g, kPiece)) reserved += kPiece;
  EXPECT_FALSE(bed.store().reserve({2, 1}, kPiece * 2)) << "another class uses the same disks";
  EXPECT_LT(bed.store().space().free_bytes, 2 * kPiece);
  std::vector<std::string> pieces;
  for (uint64_t left = reserved; left > 0; left -= kPiece) pieces.push_back(bed.random_bytes(kPiece));
  const Status put = bed.put(pieces);
  ASSERT_TRUE(put) << "promised, but refused: " << put.error().to_text();
  bed.store().release(g, reserved);
}

}  // namespace
}  // namespace stavefs::test
