// The mount rule decides between "go on" and "stop before damage".  Method: a table of cases for each rule,
// with the reason in the name.

#include "pool/mount_rule.h"

#include <fmt/core.h>
#include <gtest/gtest.h>

namespace stavefs {
namespace {

Uuid fork_of(uint8_t n) {
  Uuid uuid;
  uuid.bytes[0] = n;
  return uuid;
}

SuperblockEpoch epoch_of(uint64_t number, uint8_t fork = 1, std::vector<uint16_t> members = {0, 1, 2}) {
  SuperblockEpoch epoch;
  epoch.epoch = number;
  epoch.ticket = 1000 + number;
  epoch.fork = fork_of(fork);
  epoch.members = std::move(members);
  return epoch;
}

Witness::Value witness_of(uint64_t number, uint8_t fork = 1) {
  return {Epoch(number), fork_of(fork), 1000 + number};
}

struct Case {
  const char* why;
  size_t total, here;
  int parity;
  size_t set_missing;
  std::optional<Witness::Value> witness;
  MountVerdict verdict;
};

TEST(MountRule, Table) {
  using enum MountVerdict;
  const SuperblockEpoch newest = epoch_of(10);
  const Witness::Value other_ticket{Epoch(10), fork_of(1), 5};
  const Case cases[] = {
      {"all here, never mounted here", 3, 3, 2, 0, {}, kAllowed},
      {"all here, witness equal", 3, 3, 2, 0, witness_of(10), kAllowed},
      {"all here, witness older", 3, 3, 2, 0, witness_of(3), kAllowed},
      {"all here, but the witness has seen newer", 3, 3, 2, 0, witness_of(11), kNeedsForce},
      {"same number, another publication", 3, 3, 2, 0, other_ticket, kNeedsForce},
      {"majority, no witness", 3, 2, 2, 1, {}, kAllowed},
      {"majority, witness older", 3, 2, 2, 1, witness_of(9), kAllowed},
      {"majority, witness newer", 3, 2, 2, 1, witness_of(11), kNeedsForce},
      {"minority, witness equal", 3, 1, 2, 2, witness_of(10), kAllowed},
      {"minority, witness older", 3, 1, 2, 2, witness_of(9), kNeedsForce},
      {"minority, no witness", 3, 1, 2, 2, {}, kNeedsForce},
      {"half is no majority", 2, 1, 1, 1, {}, kNeedsForce},
      {"half with the witness", 2, 1, 1, 1, witness_of(10), kAllowed},
      {"more than m members missing", 3, 1, 1, 1, witness_of(10), kNeedsForce},
      {"more than m disks missing, members all here", 3, 3, 2, 3, witness_of(10), kNeedsForce},
      {"m data disks missing", 3, 3, 2, 2, {}, kAllowed},
      {"no metadata at all", 3, 0, 3, 3, witness_of(10), kImpossible},
      {"the only member", 1, 1, 2, 0, {}, kAllowed},
      {"witness of an unknown fork", 3, 3, 2, 0, witness_of(4, 9), kNeedsForce},
  };
  for (const Case& c : cases) {
    MountFacts facts;
    facts.newest = newest;
    facts.newest.members.clear();
    for (uint16_t i = 0; i < c.total; ++i) facts.newest.members.push_back(i);
    facts.members_here = c.here;
    facts.parity = c.parity;
    facts.worst_set_missing = c.set_missing;
    facts.witness = c.witness;
    const MountDecision decision = decide_mount(facts);
    EXPECT_EQ(static_cast<int>(decision.verdict), static_cast<int>(c.verdict))
        << c.why << ": " << decision.reason;
    EXPECT_EQ(decision.reason.empty(), c.verdict == kAllowed) << c.why;
  }
}

TEST(MountRule, WitnessOfTheParentForkCountsUpToTheSplit) {
  MountFacts facts;
  facts.newest = epoch_of(20, 2);
  facts.newest.parent_fork = fork_of(1);
  facts.newest.fork_base = 15;
  facts.members_here = 3;
  facts.parity = 2;
  facts.witness = witness_of(15, 1);
  EXPECT_EQ(decide_mount(facts).verdict, MountVerdict::kAllowed);
  facts.witness = witness_of(16, 1);
  EXPECT_EQ(decide_mount(facts).verdict, MountVerdict::kNeedsForce);
}

/// Superblocks by epoch, for settle_epoch.
class Views {
 public:
  void add(SuperblockEpoch epoch, std::optional<SuperblockEpoch> pending = {}) {
    auto s = std::make_unique<Superblock>();
    s->epoch = std::move(epoch);
    s->pending = std::move(pending);
    owned_.push_back(std::move(s));
    views_.push_back({owned_.back().get(), fmt::format("d{}", owned_.size())});
  }
  Result<Settlement> settle(std::optional<Witness::Value> witness = {}) const {
    return settle_epoch(views_, witness);
  }

 private:
  std::vector<std::unique_ptr<Superblock>> owned_;
  std::vector<EpochView> views_;
};

TEST(SettleEpoch, NewestWinsWhateverTheOrderAndOthersAreStale) {
  for (int rotation = 0; rotation < 4; ++rotation) {
    const uint64_t numbers[] = {7, 9, 8, 9};
    Views views;
    for (int i = 0; i < 4; ++i) views.add(epoch_of(numbers[(i + rotation) % 4]));
    const auto settled = views.settle();
    ASSERT_TRUE(settled);
    EXPECT_EQ(settled->newest.epoch, 9u);
    EXPECT_EQ(settled->highest_number, 9u);
    for (int i = 0; i < 4; ++i)
      EXPECT_EQ(settled->current[static_cast<size_t>(i)], numbers[(i + rotation) % 4] == 9);
  }
}

TEST(SettleEpoch, PendingCountsOnlyWhenTheWitnessHasIt) {
  Views views;
  views.add(epoch_of(7), epoch_of(8, 1, {1}));
  views.add(epoch_of(7));
  const auto forgotten = views.settle(witness_of(7));
  ASSERT_TRUE(forgotten);
  EXPECT_EQ(forgotten->newest.epoch, 7u);
  EXPECT_EQ(forgotten->highest_number, 8u) << "its number must not be used again";
  EXPECT_EQ(forgotten->current, (std::vector<bool>{true, true}));
  const auto published = views.settle(witness_of(8));
  ASSERT_TRUE(published);
  EXPECT_EQ(published->newest.epoch, 8u);
  EXPECT_EQ(published->newest.members, std::vector<uint16_t>{1});
  EXPECT_EQ(published->current, (std::vector<bool>{true, false}));
  // The same number from another attempt is not what the witness has seen.
  const auto other = views.settle(Witness::Value{Epoch(8), fork_of(1), 4});
  ASSERT_TRUE(other);
  EXPECT_EQ(other->newest.epoch, 7u);
}

TEST(SettleEpoch, InterruptedSecondStepLeavesNobodyStale) {
  Views views;
  views.add(epoch_of(8));
  views.add(epoch_of(7), epoch_of(8));
  views.add(epoch_of(7));
  const auto settled = views.settle();
  ASSERT_TRUE(settled);
  EXPECT_EQ(settled->newest.epoch, 8u);
  EXPECT_EQ(settled->current, (std::vector<bool>{true, true, false}));
}

TEST(SettleEpoch, CleanMarkIsFound) {
  Views views;
  SuperblockEpoch clean = epoch_of(7);
  clean.clean = true;
  views.add(epoch_of(7));
  views.add(clean);
  const auto settled = views.settle();
  ASSERT_TRUE(settled);
  EXPECT_TRUE(settled->newest.clean);
  EXPECT_EQ(settled->current, (std::vector<bool>{true, true}));
}

TEST(SettleEpoch, ChildForkWinsOverItsParentUpToTheSplit) {
  SuperblockEpoch child = epoch_of(20, 2);
  child.parent_fork = fork_of(1);
  child.fork_base = 15;
  {
    Views views;
    views.add(epoch_of(15, 1));
    views.add(child);
    views.add(epoch_of(3, 1));
    const auto settled = views.settle();
    ASSERT_TRUE(settled);
    EXPECT_EQ(settled->newest.epoch, 20u);
    EXPECT_EQ(settled->current, (std::vector<bool>{false, true, false}));
  }
  for (const bool child_first : {false, true}) {
    Views views;
    if (child_first) views.add(child);
    views.add(epoch_of(16, 1));
    if (!child_first) views.add(child);
    const auto settled = views.settle();
    ASSERT_FALSE(settled) << "the parent went on after the split";
    EXPECT_EQ(settled.error().code(), ErrorCode::kInvalid);
    EXPECT_NE(settled.error().message().find("split"), std::string::npos);
  }
}

TEST(SettleEpoch, TwoPublicationsWithOneNumberAreASplit) {
  Views views;
  SuperblockEpoch other = epoch_of(9);
  other.ticket = 4;
  views.add(epoch_of(9));
  views.add(other);
  EXPECT_FALSE(views.settle());
}

}  // namespace
}  // namespace stavefs
