// The index on a real pool: members come from the epoch, and a copy that fails is out of the epoch in time.

#include <gtest/gtest.h>

#include "../pool/sim_pool.h"
#include "index/index.h"
#include "index_bed.h"

namespace stavefs {
namespace {

/// A mounted pool of three disks with an index on two of them.
struct Mounted {
  Mounted(sim::SimWorld& world, Witness& witness) {
    auto opened = open_test_pool(world, witness, 5);
    EXPECT_OK(opened);
    pool = std::move(*opened);
    Index::Options options;
    options.memtable_bytes = 64 << 10;
    options.cache_bytes = 1 << 20;
    options.copy_failed = [this](DiskSlot slot) { return leave(slot); };
    options.fenced = [this] { fenced = true; };
    // As the engine does: the epoch first, then the index is told.
    pool->on_fenced([this](DiskSlot slot) {
      if (leave(slot) && index) index->drop_copy(slot);
    });
    auto made = Index::open(*pool, std::move(options));
    EXPECT_OK(made);
    if (made) index = std::move(*made);
  }
  Status leave(DiskSlot slot) {
    const EpochRecord now = pool->epoch();
    if (std::ranges::find(now.members, slot) == now.members.end()) return ok();
    return pool->publish(next_epoch(*pool, {slot.value}));
  }

  std::unique_ptr<Pool> pool;
  std::unique_ptr<Index> index;
  std::atomic<bool> fenced{false};
};

IndexBatch one(const std::string& key, const std::string& value) {
  IndexBatch batch;
  batch.put(key, value);
  return batch;
}

TEST(IndexPool, MemberThatFailsLeavesTheEpochBeforeAFlushSucceeds) {
  sim::SimWorld world(1, 3, kTestDiskBytes);
  TestWitness witness;
  ASSERT_OK(format_test_pool(world, test_config({2, 1}), 1));
  Mounted first(world, witness);
  ASSERT_TRUE(first.index);
  EXPECT_EQ(slots({0, 1}), first.index->copies());
  ASSERT_OK(first.index->apply(one("I1", "before").encoded(), Lsn(1)));
  ASSERT_OK(first.index->flush());

  world.set_vanished(1, true);
  ASSERT_OK(first.index->apply(one("I1", "after").encoded(), Lsn(2)));
  ASSERT_OK(first.index->flush());
  EXPECT_EQ(slots({0}), first.index->copies());
  EXPECT_EQ(slots({0}), first.pool->epoch().members);
  EXPECT_FALSE(first.pool->usable(DiskSlot(1)));
  EXPECT_EQ(1u, first.index->stats().failed_copies);
  EXPECT_FALSE(first.fenced);
}

// The disk that was away comes back with its old files: they are not the index, and a new copy takes their
// place.
TEST(IndexPool, FormerMemberIsIgnoredUntilItIsAddedAgain) {
  sim::SimWorld world(2, 3, kTestDiskBytes);
  TestWitness witness;
  ASSERT_OK(format_test_pool(world, test_config({2, 1}), 2));
  {
    Mounted first(world, witness);
    ASSERT_OK(first.index->apply(one("I1", "old").encoded(), Lsn(1)));
    ASSERT_OK(first.index->flush());
    world.set_vanished(1, true);
    ASSERT_OK(first.index->apply(one("I1", "new").encoded(), Lsn(2)));
    ASSERT_OK(first.index->flush());
  }
  world.set_vanished(1, false);
  {
    Mounted second(world, witness);
    EXPECT_EQ(slots({0}), second.index->copies());
    EXPECT_EQ("new", *second.index->get("I1"));
    ASSERT_OK(second.index->add_copy(DiskSlot(1)));
    EpochRecord next = next_epoch(*second.pool);
    next.members = slots({0, 1});
    ASSERT_OK(second.pool->publish(next));
    second.index->drop_copy(DiskSlot(0));
  }
  EpochRecord last;
  {
    auto pool = open_test_pool(world, witness, 9);
    ASSERT_OK(pool);
    last = next_epoch(**pool, {0});
    ASSERT_OK((*pool)->publish(last));
  }
  Mounted third(world, witness);
  EXPECT_EQ(slots({1}), third.index->copies());
  EXPECT_EQ("new", *third.index->get("I1"));
  EXPECT_EQ(Lsn(2), third.index->applied());
}

TEST(IndexPool, NoUsableMemberIsAnError) {
  sim::SimWorld world(3, 3, kTestDiskBytes);
  TestWitness witness;
  ASSERT_OK(format_test_pool(world, test_config({2, 1}), 3));
  auto pool = open_test_pool(world, witness, 5);
  ASSERT_OK(pool);
  (*pool)->fence(DiskSlot(0), "test");
  (*pool)->fence(DiskSlot(1), "test");
  EXPECT_CODE(Index::open(**pool, {}), ErrorCode::kIo);
}

}  // namespace
}  // namespace stavefs
