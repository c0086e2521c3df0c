// Opening must recognise what a disk is, accept what may be missing, and refuse the rest in words that help.
// Method: pools on simulated disks, with superblocks damaged, copied, put back or exchanged.

#include <gtest/gtest.h>

#include "base/buffer.h"
#include "disk/superblock_format.h"
#include "pool/superblock_io.h"
#include "tests/unit/pool/sim_pool.h"

namespace stavefs {
namespace {

using sim::SimWorld;

constexpr uint64_t kWorldBytes = uint64_t{64} << 20;

/// Overwrites [offset, offset + bytes) of a disk's superblock file with `value`.
void scribble(SimWorld& world, int disk, uint64_t offset, uint64_t bytes, uint8_t value) {
  auto file = world.disk(disk).open(kSuperblockFile, {.create = true});
  ASSERT_OK(file);
  std::vector<uint8_t> data(bytes, value);
  ASSERT_OK(run_one(world.engine(), {.file = file->get(),
                                     .kind = IoKind::kWrite,
                                     .offset = offset,
                                     .data = data.data(),
                                     .bytes = static_cast<uint32_t>(bytes),
                                     .durable = true}));
}

Superblock read_superblock(SimWorld& world, int disk) {
  Disk* const disks[] = {&world.disk(disk)};
  auto reads = read_superblocks(disks, world.engine());
  EXPECT_OK(reads[0].superblock);
  return reads[0].superblock && *reads[0].superblock ? **reads[0].superblock : Superblock();
}

void write_superblock(SimWorld& world, int disk, const Superblock& superblock) {
  auto file = world.disk(disk).open(kSuperblockFile, {.create = true, .direct = true});
  ASSERT_OK(file);
  SuperblockWrite write{file->get(), &superblock};
  write_superblocks({&write, 1}, world.engine());
  ASSERT_EQ(write.error, 0);
}

class PoolOpen : public ::testing::Test {
 protected:
  PoolOpen() { silence_log(); }
  void make(Geometry geometry, int disks) {
    world = std::make_unique<SimWorld>(1, disks, kWorldBytes);
    ASSERT_OK(format_test_pool(*world, test_config(geometry), 42));
  }
  Result<std::unique_ptr<Pool>> open(const std::set<int>& without = {},
                                     const Pool::OpenOptions& options = {}) {
    return open_test_pool(*world, witness, ++seed, without, options);
  }
  std::unique_ptr<SimWorld> world;
  TestWitness witness;
  uint64_t seed = 100;
};

TEST_F(PoolOpen, FreshPoolHasWhatWasAskedFor) {
  make({4, 2}, 6);
  const auto pool = open();
  ASSERT_OK(pool);
  const PoolConfig& config = (*pool)->config();
  EXPECT_EQ(config.name, "tank");
  EXPECT_EQ(config.geometry.to_text(), "4+2");
  EXPECT_EQ(config.created_ns, test_config({4, 2}).created_ns);
  EXPECT_NE((*pool)->journal_key(), 0u);
  ASSERT_EQ((*pool)->members().size(), 6u);
  for (uint16_t i = 0; i < 6; ++i) {
    const Member& member = (*pool)->members()[i];
    EXPECT_EQ(member.name, "d" + std::to_string(i + 1));
    EXPECT_EQ(member.slot, DiskSlot(i));
    EXPECT_EQ(member.segments, kTestDiskBytes / (4 << 20));
    EXPECT_TRUE((*pool)->usable(DiskSlot(i)));
    EXPECT_TRUE((*pool)->writable(DiskSlot(i)));
    EXPECT_NE((*pool)->disk(DiskSlot(i)), nullptr);
  }
  EXPECT_FALSE((*pool)->usable(DiskSlot(6)));
  EXPECT_FALSE((*pool)->usable(kNoDisk));
  const EpochRecord epoch = (*pool)->epoch();
  EXPECT_EQ(epoch.epoch, Epoch(1));
  EXPECT_TRUE(epoch.clean);
  EXPECT_EQ(epoch.members, (std::vector<DiskSlot>{DiskSlot(0), DiskSlot(1), DiskSlot(2)}));
  for (const DiskReport& report : (*pool)->reports()) {
    EXPECT_EQ(to_string(report.state), "active");
    EXPECT_EQ(report.metadata_member, report.member.slot.value < 3);
    EXPECT_FALSE(report.stale);
    EXPECT_GT(report.space.total_bytes, 0u);
    EXPECT_EQ(report.path, path_of(report.member.slot.value));
  }
}

TEST_F(PoolOpen, OpeningWritesNothing) {
  make({2, 1}, 3);
  const uint64_t steps = world->step_count();
  ASSERT_OK(open());
  EXPECT_EQ(world->step_count(), steps);
  EXPECT_EQ(witness.stores, 0);
}

TEST_F(PoolOpen, ManyDisksMakeBalancedSets) {
  make({4, 2}, 130);
  const auto pool = open();
  ASSERT_OK(pool);
  std::map<uint16_t, int> sets;
  for (const Member& member : (*pool)->members()) ++sets[member.set];
  ASSERT_EQ(sets.size(), 3u);
  for (const auto& [set, count] : sets) EXPECT_GE(count, 43) << set;
  for (const DiskSlot slot : (*pool)->epoch().members) EXPECT_EQ((*pool)->members()[slot.value].set, 0);
  ASSERT_OK((*pool)->publish(next_epoch(**pool)));
  EXPECT_OK(open());
}

TEST_F(PoolOpen, ImpossiblePoolsAreRefusedAndNothingIsWritten) {
  const auto format = [&](int disks, auto change) {
    SimWorld fresh(1, disks, kWorldBytes);
    PoolConfig config = test_config({4, 2});
    change(config);
    const Status status = format_test_pool(fresh, config, 1);
    EXPECT_CODE(status, ErrorCode::kInvalid);
    EXPECT_EQ(fresh.step_count(), 0u);
  };
  format(5, [](PoolConfig&) {});
  format(6, [](PoolConfig& c) { c.name = "a/b"; });
  format(6, [](PoolConfig& c) { c.name = ""; });
  format(6, [](PoolConfig& c) { c.segment_bytes = 0; });
  format(6, [](PoolConfig& c) { c.segment_bytes = 3 << 20; });
  format(6, [](PoolConfig& c) { c.ring_bytes = 100; });
  format(6, [](PoolConfig& c) { c.geometry = {0, 2}; });
  format(6, [](PoolConfig& c) { c.metadata_copies = 1; });
  format(6, [](PoolConfig& c) { c.id = {}; });
  format(6, [](PoolConfig& c) { c.segment_bytes = 256 << 20, c.geometry = {4, 2}, c.ring_bytes = 1; });
  format(65, [](PoolConfig& c) { c.geometry = {60, 4}, c.metadata_copies = 5; });
}

TEST_F(PoolOpen, ProbeTellsBlankFromOursFromDamagedFromNewer) {
  make({2, 1}, 4);
  SimWorld blank(2, 1, kWorldBytes);
  auto probe = probe_disk(blank.disk(0), blank.engine());
  ASSERT_OK(probe);
  EXPECT_FALSE(probe->has_superblock);

  probe = probe_disk(world->disk(1), world->engine());
  ASSERT_OK(probe);
  EXPECT_TRUE(probe->has_superblock);
  EXPECT_FALSE(probe->formatting);
  EXPECT_EQ(probe->member.name, "d2");
  EXPECT_EQ(probe->config.id, test_config({2, 1}).id);
  EXPECT_EQ(probe->epoch, Epoch(1));

  for (int place = 0; place < 4; ++place) scribble(*world, 0, static_cast<uint64_t>(place) << 18, 1536, 0x5a);
  EXPECT_CODE(probe_disk(world->disk(0), world->engine()), ErrorCode::kCorrupt);

  Superblock newer = read_superblock(*world, 2);
  newer.sequence += 1;
  newer.incompat = 1;
  write_superblock(*world, 2, newer);
  EXPECT_CODE(probe_disk(world->disk(2), world->engine()), ErrorCode::kUnsupported);

  world->set_vanished(3, true);
  EXPECT_CODE(probe_disk(world->disk(3), world->engine()), ErrorCode::kIo);
}

TEST_F(PoolOpen, OddFilesInPlaceOfASuperblockAreHandled) {
  // An empty file, a file of zeros and a hole are blank; a few stray bytes are damage.
  SimWorld fresh(2, 1, kWorldBytes);
  auto file = fresh.disk(0).open(kSuperblockFile, {.create = true});
  ASSERT_OK(file);
  EXPECT_FALSE(probe_disk(fresh.disk(0), fresh.engine())->has_superblock);
  ASSERT_OK((*file)->truncate(1 << 20));
  EXPECT_FALSE(probe_disk(fresh.disk(0), fresh.engine())->has_superblock);
  ASSERT_OK((*file)->truncate(100));
  EXPECT_CODE(probe_disk(fresh.disk(0), fresh.engine()), ErrorCode::kCorrupt);
}

TEST_F(PoolOpen, AnyOneGoodCopyIsEnough) {
  for (int good = 0; good < 4; ++good) {
    make({1, 1}, 2);
    const auto pool = open();
    ASSERT_OK(pool);
    // Fills all four places: versions 3 to 6.
    ASSERT_OK((*pool)->publish(next_epoch(**pool)));
    ASSERT_OK((*pool)->publish(next_epoch(**pool)));
    for (int place = 0; place < 4; ++place)
      if (place != good) scribble(*world, 0, static_cast<uint64_t>(place) << 18, 4096, 0xff);
    const auto probe = probe_disk(world->disk(0), world->engine());
    ASSERT_OK(probe);
    EXPECT_TRUE(probe->has_superblock);
    EXPECT_GE(probe->epoch, Epoch(2)) << "place " << good;
    witness.value.reset();
  }
}

TEST_F(PoolOpen, ReadOnlyFeaturesAllowLookingOnly) {
  make({2, 1}, 3);
  for (int i = 0; i < 3; ++i) {
    Superblock s = read_superblock(*world, i);
    s.sequence += 1;
    s.ro_compat = 8;
    s.compat = 2;
    write_superblock(*world, i, s);
  }
  EXPECT_CODE(open(), ErrorCode::kUnsupported);
  const auto looking = open({}, {.read_only = true});
  ASSERT_OK(looking);
  EXPECT_CODE((*looking)->publish(next_epoch(**looking)), ErrorCode::kFenced);
}

TEST_F(PoolOpen, UnknownCompatibleFeaturesAreKept) {
  make({1, 1}, 2);
  for (int i = 0; i < 2; ++i) {
    Superblock s = read_superblock(*world, i);
    s.sequence += 1;
    s.compat = 2;
    write_superblock(*world, i, s);
  }
  const auto pool = open();
  ASSERT_OK(pool);
  ASSERT_OK((*pool)->publish(next_epoch(**pool)));
  EXPECT_EQ(read_superblock(*world, 0).compat, 2u);
}

TEST_F(PoolOpen, UpToParityMissingDisksAreFineAndMoreAreNamed) {
  make({4, 2}, 7);
  EXPECT_OK(open({3}));
  EXPECT_OK(open({3, 6}));
  EXPECT_OK(open({0, 6}));
  const auto refused = open({3, 4, 6});
  EXPECT_CODE(refused, ErrorCode::kDegraded);
  EXPECT_NE(refused.error().message().find("d4 d5 d7"), std::string::npos) << refused.error().message();
  EXPECT_NE(refused.error().message().find("--force-degraded"), std::string::npos);
  // Two of three metadata members missing: only with the witness.
  EXPECT_CODE(open({0, 1}), ErrorCode::kDegraded);
  {
    const auto pool = open();
    ASSERT_OK(pool);
    ASSERT_OK((*pool)->publish(next_epoch(**pool)));
  }
  const auto degraded = open({0, 1});
  ASSERT_OK(degraded);
  const auto reports = (*degraded)->reports();
  EXPECT_EQ(to_string(reports[0].state), "absent");
  EXPECT_FALSE(reports[0].reason.empty());
  EXPECT_FALSE((*degraded)->usable(DiskSlot(0)));
  EXPECT_EQ((*degraded)->disk(DiskSlot(0)), nullptr);
  EXPECT_CODE(open({0, 1, 2}), ErrorCode::kDegraded);
  EXPECT_CODE(open({0, 1, 2}, {.force_degraded = true}), ErrorCode::kDegraded);  // no metadata at all
}

TEST_F(PoolOpen, BlankDamagedAndVanishedDisksCountAsMissing) {
  make({4, 2}, 6);
  ASSERT_OK(world->disk(5).remove(kSuperblockFile));
  for (int place = 0; place < 4; ++place) scribble(*world, 4, static_cast<uint64_t>(place) << 18, 4096, 0x5a);
  {
    const auto pool = open();
    ASSERT_OK(pool);
    EXPECT_FALSE((*pool)->usable(DiskSlot(4)));
    EXPECT_FALSE((*pool)->usable(DiskSlot(5)));
  }
  world->set_vanished(3, true);
  const auto refused = open();
  EXPECT_CODE(refused, ErrorCode::kDegraded);
  EXPECT_NE(refused.error().message().find("/disk5: has no superblock"), std::string::npos)
      << refused.error().message();
  EXPECT_CODE(open({0, 1, 2, 3, 4}), ErrorCode::kNotFound);
}

TEST_F(PoolOpen, ForeignDisksAreRefusedAndBothPoolsNamed) {
  make({1, 1}, 2);
  SimWorld other(9, 2, kWorldBytes);
  PoolConfig config = test_config({1, 1});
  Rng rng(1234);
  config.id = Uuid::random(rng);
  config.name = "pond";
  ASSERT_OK(format_test_pool(other, config, 43));
  put_image(*world, 1, take_image(other, 0, {kSuperblockFile}));
  const auto refused = open();
  EXPECT_CODE(refused, ErrorCode::kForeign);
  EXPECT_NE(refused.error().message().find("tank"), std::string::npos);
  EXPECT_NE(refused.error().message().find("pond"), std::string::npos);
}

TEST_F(PoolOpen, ClonedDiskIsRefused) {
  make({2, 1}, 3);
  put_image(*world, 1, take_image(*world, 0, {kSuperblockFile}));
  const auto refused = open();
  EXPECT_CODE(refused, ErrorCode::kInvalid);
  EXPECT_NE(refused.error().message().find("/disk0 and /disk1"), std::string::npos)
      << refused.error().message();
}

TEST_F(PoolOpen, SwappedDisksAreRecognisedByTheirIdentity) {
  make({2, 1}, 3);
  const DiskImage first = take_image(*world, 0, {kSuperblockFile});
  put_image(*world, 0, take_image(*world, 2, {kSuperblockFile}));
  put_image(*world, 2, first);
  const auto pool = open();
  ASSERT_OK(pool);
  EXPECT_EQ((*pool)->reports()[0].path, "/disk2");
  EXPECT_EQ((*pool)->reports()[2].path, "/disk0");
}

TEST_F(PoolOpen, ReturningDataDiskIsTakenAndMarkedStale) {
  make({2, 1}, 4);
  {
    const auto pool = open({3});
    ASSERT_OK(pool);
    ASSERT_OK((*pool)->publish(next_epoch(**pool)));
  }
  const auto pool = open();
  ASSERT_OK(pool);
  EXPECT_EQ((*pool)->epoch().epoch, Epoch(2));
  EXPECT_TRUE((*pool)->usable(DiskSlot(3)));
  for (const DiskReport& report : (*pool)->reports())
    EXPECT_EQ(report.stale, report.member.slot == DiskSlot(3));
  // It takes part from the next epoch on.
  ASSERT_OK((*pool)->publish(next_epoch(**pool)));
  EXPECT_FALSE((*open())->reports()[3].stale);
}

TEST_F(PoolOpen, DroppedMemberNeverOutvotesTheOnesThatWentOn) {
  // d1 fails, d2 goes on alone; then d1 is back.  With both here d2 counts; d1 alone is refused where the
  // witness is, and as a minority everywhere else.
  make({1, 1}, 2);
  {
    const auto pool = open();
    ASSERT_OK(pool);
    ASSERT_OK((*pool)->publish(next_epoch(**pool)));
    world->fail_writes(0, true);
    EXPECT_CODE((*pool)->publish(next_epoch(**pool)), ErrorCode::kIo);
    EXPECT_FALSE((*pool)->usable(DiskSlot(0)));
    ASSERT_OK((*pool)->publish(next_epoch(**pool, {0})));
  }
  world->fail_writes(0, false);
  const auto both = open();
  ASSERT_OK(both);
  EXPECT_EQ((*both)->epoch().members, std::vector<DiskSlot>{DiskSlot(1)});
  EXPECT_TRUE((*both)->reports()[0].stale);
  EXPECT_CODE(open({1}), ErrorCode::kDegraded);
  TestWitness elsewhere;
  EXPECT_CODE(open_test_pool(*world, elsewhere, 5, {1}), ErrorCode::kDegraded);
  EXPECT_OK(open_test_pool(*world, elsewhere, 5, {0}));
}

TEST_F(PoolOpen, MemberPutBackFromAnOldImageIsNoMemberAnyMore) {
  make({2, 2}, 5);
  const DiskImage old = take_image(*world, 0, {kSuperblockFile});
  {
    const auto pool = open();
    ASSERT_OK(pool);
    ASSERT_OK((*pool)->publish(next_epoch(**pool)));
    ASSERT_OK((*pool)->publish(next_epoch(**pool)));
  }
  put_image(*world, 0, old);
  const auto pool = open();
  ASSERT_OK(pool);
  EXPECT_EQ((*pool)->epoch().members, (std::vector<DiskSlot>{DiskSlot(1), DiskSlot(2)}));
  EXPECT_TRUE((*pool)->reports()[0].stale);
  // It counts as missing: with another member away no majority is left on a host without the witness.
  TestWitness elsewhere;
  EXPECT_CODE(open_test_pool(*world, elsewhere, 5, {1}), ErrorCode::kDegraded);
  EXPECT_OK(open_test_pool(*world, witness, 5, {1}));
}

TEST_F(PoolOpen, AllDisksPutBackAreOlderThanTheWitness) {
  make({1, 1}, 2);
  std::vector<DiskImage> old;
  for (int i = 0; i < 2; ++i) old.push_back(take_image(*world, i, {kSuperblockFile}));
  {
    const auto pool = open();
    ASSERT_OK(pool);
    ASSERT_OK((*pool)->publish(next_epoch(**pool)));
  }
  for (int i = 0; i < 2; ++i) put_image(*world, i, old[static_cast<size_t>(i)]);
  const auto refused = open();
  EXPECT_CODE(refused, ErrorCode::kDegraded);
  EXPECT_NE(refused.error().message().find("has seen epoch 2"), std::string::npos)
      << refused.error().message();
  const auto forced = open({}, {.force_degraded = true});
  ASSERT_OK(forced);
  ASSERT_OK((*forced)->publish(next_epoch(**forced)));
  EXPECT_GT((*forced)->epoch().epoch, Epoch(2)) << "numbers that the witness has seen are not used again";
  EXPECT_OK(open());
}

TEST_F(PoolOpen, ForcedMountMintsAForkThatTheOtherSideCannotRejoin) {
  make({1, 2}, 3);
  {
    const auto pool = open();
    ASSERT_OK(pool);
    ASSERT_OK((*pool)->publish(next_epoch(**pool)));
  }
  TestWitness elsewhere;
  EXPECT_CODE(open_test_pool(*world, elsewhere, 7, {0, 1}), ErrorCode::kDegraded);
  Uuid old_fork;
  {
    const auto forced = open_test_pool(*world, elsewhere, 7, {0, 1}, {.force_degraded = true});
    ASSERT_OK(forced);
    old_fork = read_superblock(*world, 0).epoch.fork;
    EXPECT_NE((*forced)->epoch().fork, old_fork);
    ASSERT_OK((*forced)->publish(next_epoch(**forced, {0, 1})));
  }
  // The others stood still: they are merely stale.
  {
    const auto pool = open_test_pool(*world, elsewhere, 8);
    ASSERT_OK(pool);
    EXPECT_EQ((*pool)->epoch().members, std::vector<DiskSlot>{DiskSlot(2)});
    EXPECT_TRUE((*pool)->reports()[0].stale);
    EXPECT_FALSE((*pool)->reports()[2].stale);
  }
  // They go on by themselves: now there are two histories.
  {
    const auto pool = open({2});
    ASSERT_OK(pool);
    ASSERT_OK((*pool)->publish(next_epoch(**pool, {2})));
  }
  const auto refused = open();
  EXPECT_CODE(refused, ErrorCode::kInvalid);
  EXPECT_NE(refused.error().message().find("split"), std::string::npos);
  EXPECT_OK(open({2}));
  EXPECT_OK(open_test_pool(*world, elsewhere, 9, {0, 1}));
}

TEST_F(PoolOpen, ForceIsNotUsedWhereItIsNotNeeded) {
  make({1, 1}, 2);
  const auto pool = open({}, {.force_degraded = true});
  ASSERT_OK(pool);
  EXPECT_EQ((*pool)->epoch().fork, read_superblock(*world, 0).epoch.fork);
}

TEST_F(PoolOpen, HugeAndHostileSuperblocksAreRefused) {
  // Right checksums, impossible contents, in all four places of every disk.
  make({1, 1}, 2);
  for (int disk = 0; disk < 2; ++disk) {
    std::vector<uint8_t> copy(kSuperblockStride, 0xff);
    disk_format::SuperblockFields fields{};
    std::memcpy(fields.magic, disk_format::kSuperblockMagic, 8);
    fields.version = 1;
    fields.total_bytes = static_cast<uint32_t>(kSuperblockStride);
    fields.member_count = 0xffffffff;
    std::memcpy(copy.data(), &fields, sizeof fields);
    const Hash128 hash = xxh3_128(copy.data(), copy.size());
    fields.hash[0] = hash.low;
    fields.hash[1] = hash.high;
    std::memcpy(copy.data(), &fields, sizeof fields);
    auto file = world->disk(disk).open(kSuperblockFile, {});
    ASSERT_OK(file);
    for (uint64_t place = 0; place < 4; ++place)
      ASSERT_OK(run_one(world->engine(), {.file = file->get(),
                                          .kind = IoKind::kWrite,
                                          .offset = place * kSuperblockStride,
                                          .data = copy.data(),
                                          .bytes = static_cast<uint32_t>(copy.size())}));
  }
  EXPECT_CODE(probe_disk(world->disk(0), world->engine()), ErrorCode::kCorrupt);
  EXPECT_CODE(open(), ErrorCode::kNotFound);
}

}  // namespace
}  // namespace stavefs
