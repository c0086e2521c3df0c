// After any power cut, with up to m members failing in any way, what was acknowledged is there, in order and
// whole; what was not is a prefix; and the next cut, in the middle of recovery, changes nothing of that.
//
// Method: a model (what was appended, what was acknowledged) beside a journal on a simulated machine.  First
// every step of a script is cut, in every crash mode; then long random lives: appends, syncs, trims, members
// that fail, vanish, lose or misplace writes, come back old or damaged, and are added again, with power cuts
// in between and during recovery.  One random member at a time is spared: that is the fault budget.

#include <gtest/gtest.h>

#include <algorithm>

#include "disk/superblock_format.h"
#include "tests/unit/journal/sim_journal.h"

namespace stavefs {
namespace {

using sim::CrashMode;
using sim::SimWorld;

/// What must and what may be found.
struct Model {
  Records appended;      // of the history that goes on, from its beginning
  uint64_t synced = 0;   // acknowledged up to here
  uint64_t trimmed = 0;  // not needed up to here

  /// Checks what was replayed to an index that has everything up to `after`; it then is the history.
  void recovered(const Records& replayed, Lsn head, Lsn after) {
    const uint64_t end = head.value;
    EXPECT_GE(end, synced) << "acknowledged records are lost";
    if (end > trimmed) {
      ASSERT_FALSE(replayed.empty());
      EXPECT_EQ(replayed.rbegin()->first, end);
      EXPECT_LE(replayed.begin()->first, std::min(trimmed, after.value) + 1) << "needed records are missing";
    }
    for (const auto& [lsn, record] : replayed) {
      const auto it = appended.find(lsn);
      ASSERT_TRUE(it != appended.end()) << "record " << lsn << " was never written";
      ASSERT_TRUE(it->second == record) << "record " << lsn << " differs";
    }
    appended.erase(appended.upper_bound(end), appended.end());
    synced = end;
  }
};

/// Does random things to a journal until the power fails or `most` things are done.
class Life {
 public:
  Life(SimWorld& world, OpenJournal& open, Model& model, Rng& rng)
      : world_(world), open_(open), model_(model), rng_(rng) {}

  void append(uint64_t bytes) {
    std::string record = std::to_string(rng_.next());
    record.resize(bytes, static_cast<char>('a' + rng_.below(26)));
    const auto lsn = open_.journal->append(record);
    if (lsn) {
      model_.appended[lsn->value] = std::move(record);
    } else if (lsn.error().code() == ErrorCode::kNoSpace) {
      sync();
      trim();
      const auto marker = open_.journal->append({});
      if (marker) model_.appended[marker->value] = {};
      sync();
    }
  }
  void sync() {
    const Lsn head = open_.journal->head();
    if (open_.journal->sync(head)) model_.synced = std::max(model_.synced, head.value);
  }
  void trim() {
    if (model_.synced == model_.trimmed) return;
    model_.trimmed += 1 + rng_.below(model_.synced - model_.trimmed);
    open_.journal->trim(Lsn(model_.trimmed));
  }
  /// Disks other than `spared` may fail openly; those in `victims` may also lie.
  void run(int most, int spared, const std::vector<int>& victims) {
    for (int i = 0; i < most && !world_.crashed(); ++i) {
      const uint64_t what = rng_.below(100);
      if (what < 45) {
        append(rng_.one_in(8) ? rng_.below(open_.journal->max_record_bytes() + 1) : rng_.below(300));
      } else if (what < 80) {
        sync();
      } else if (what < 88) {
        trim();
      } else if (what < 92) {
        change_members(spared);
      } else if (what < 96) {
        break_something(spared, victims);
      }
    }
  }

 private:
  int other_disk(int spared) {
    const auto n = static_cast<uint64_t>(world_.disk_count());
    return static_cast<int>((static_cast<uint64_t>(spared) + 1 + rng_.below(n - 1)) % n);
  }
  void change_members(int spared) {
    const DiskSlot slot(static_cast<uint16_t>(other_disk(spared)));
    // Twice as often in as out, so that there are usually several.
    if (rng_.below(3) > 0) {
      static_cast<void>(open_.journal->add_member(slot));
    } else {
      static_cast<void>(open_.journal->drop_member(slot));
    }
  }
  void break_something(int spared, const std::vector<int>& victims) {
    const int disk = other_disk(spared);
    const int victim = victims[rng_.below(victims.size())];
    switch (rng_.below(5)) {
      case 0: world_.fail_next_write(disk); break;
      case 1: world_.lose_next_write(victim); break;
      case 2: world_.misdirect_next_write(victim); break;
      case 3: world_.vanish_at(disk, world_.step_count() + 1 + rng_.below(10)); break;
      case 4: world_.fail_next_sync(disk); break;
    }
  }

  SimWorld& world_;
  OpenJournal& open_;
  Model& model_;
  Rng& rng_;
};

class JournalCrash : public ::testing::Test {
 protected:
  JournalCrash() { silence_log(); }
};

/// A fixed life that passes through everything once.
void script(OpenJournal& open, Model& model) {
  const auto append = [&](std::string record) {
    const auto lsn = open.journal->append(record);
    if (lsn) model.appended[lsn->value] = std::move(record);
  };
  const auto sync = [&] {
    const Lsn head = open.journal->head();
    if (open.journal->sync(head)) model.synced = std::max(model.synced, head.value);
  };
  append("one");
  append(std::string(5000, '2'));
  sync();
  append(std::string(8000, '3'));
  append(std::string(8000, '4'));
  append(std::string(8000, '5'));
  sync();
  static_cast<void>(open.journal->drop_member(DiskSlot(1)));
  append("six");
  sync();
  static_cast<void>(open.journal->add_member(DiskSlot(3)));
  model.trimmed = std::min<uint64_t>(model.synced, 2);
  open.journal->trim(Lsn(model.trimmed));
  append(std::string(8000, '7'));
  sync();
  append(std::string(8000, '8'));
  append(std::string(8000, '9'));
  sync();
  append("never synced by the script");
  static_cast<void>(open.journal->mark_clean());
  if (open.pool->epoch().clean) model.synced = open.journal->durable().value;
}

TEST_F(JournalCrash, EveryStepOfAScriptInEveryMode) {
  SimWorld start(1, 5, uint64_t{64} << 20);
  format_journal_pool(start, {3, 2});
  TestWitness first_mount;
  ASSERT_OK(open_journal(start, first_mount, 9));
  uint64_t steps = 0;
  {
    const auto world = start.fork(1, CrashMode::kKeepAll);
    TestWitness witness;
    witness.value = first_mount.value;
    auto open = open_journal(*world, witness, 1);
    ASSERT_OK(open);
    Model model;
    script(*open, model);
    EXPECT_EQ(model.synced, 10u);
    steps = world->step_count();
  }
  ASSERT_GT(steps, 60u);
  int states = 0;
  for (uint64_t step = 1; step <= steps; ++step) {
    for (const CrashMode mode : kCrashModes) {
      SCOPED_TRACE(testing::Message() << "step " << step << " mode " << static_cast<int>(mode));
      const auto world = start.fork(step, CrashMode::kKeepAll);
      TestWitness witness;
      witness.value = first_mount.value;
      Model model;
      world->crash_at(step);
      if (auto open = open_journal(*world, witness, step)) script(*open, model);
      world->restart(mode);
      // All here; then each pair of disks away, but not all of the current members.
      const auto check = [&](const std::set<int>& without) {
        const auto copy = world->fork(step, CrashMode::kKeepAll);
        TestWitness same;
        same.value = witness.value;
        const auto pool = open_test_pool(*copy, same, 3);
        ASSERT_OK(pool);
        size_t left = 0;
        for (const DiskSlot slot : (*pool)->epoch().members) left += without.contains(slot.value) ? 0 : 1;
        if (left == 0) return;
        Model expected = model;
        const auto again = open_journal(*copy, same, 3, Lsn(expected.trimmed), without);
        ASSERT_OK(again);
        expected.recovered(again->replayed, again->journal->head(), Lsn(expected.trimmed));
        ++states;
      };
      check({});
      check({0, 1});
      check({0, 2});
      check({1, 2});
      check({2, 3});
      check({0, 3});
      if (HasFatalFailure()) return;
    }
  }
  EXPECT_GT(states, 1500);
}

/// Lets faults that wait for a write or a sync have one, so that they do not hit whoever is spared next.
void use_up_faults(SimWorld& world) {
  std::vector<uint8_t> page(kPageBytes);
  for (int disk = 0; disk < world.disk_count(); ++disk) {
    world.vanish_at(disk, 0);
    world.set_vanished(disk, false);
    for (int i = 0; i < 4; ++i) {
      auto file = world.disk(disk).open("scratch", {.create = true});
      if (!file) continue;
      IoRequest write{.file = file->get(), .kind = IoKind::kWrite, .data = page.data(), .bytes = kPageBytes};
      static_cast<void>(run_one(world.engine(), write));
      static_cast<void>(run_one(world.engine(), {.file = file->get(), .kind = IoKind::kSync}));
    }
  }
}

/// Lives of one pool: each ends with a power cut; before the next one the members that are not spared may be
/// damaged.
void live(uint64_t seed, Geometry geometry, int disks, int* opens, int* interrupted) {
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  Rng rng(seed);
  SimWorld world(seed, disks, uint64_t{64} << 20);
  format_journal_pool(world, geometry);
  TestWitness witness;
  Model model;
  ASSERT_OK(open_journal(world, witness, seed));  // so that this host's witness counts
  int spared = 0;
  std::map<int, DiskImage> old_images;
  std::set<int> away;
  std::map<int, DiskImage> scratched;
  // The fault budget: m disks that may lie, be damaged or be away until the next successful open.
  std::vector<int> victims;
  const auto draw_victims = [&] {
    victims.clear();
    while (victims.size() < geometry.parity) {
      const int disk = static_cast<int>(rng.below(static_cast<uint64_t>(disks)));
      if (disk != spared && std::find(victims.begin(), victims.end(), disk) == victims.end())
        victims.push_back(disk);
    }
  };
  draw_victims();
  for (int round = 0; round < 14; ++round) {
    SCOPED_TRACE(testing::Message() << "round " << round);
    if (rng.one_in(3)) world.crash_at(world.step_count() + 1 + rng.below(60));
    // The index has at least what was trimmed, and nothing that was not durable.
    const Lsn after(model.trimmed + rng.below(model.synced - model.trimmed + 1));
    auto open = open_journal(world, witness, seed * 1000 + static_cast<uint64_t>(round), after, away);
    if (!open && !world.crashed()) {
      // A cable that flips bits may spoil every attempt at the only copy of a tail; that passes with the
      // cable.
      for (int disk = 0; disk < disks; ++disk) world.set_read_flip_rate(disk, 0);
      open = open_journal(world, witness, seed, after, away);
    }
    if (!open) {
      ASSERT_TRUE(world.crashed()) << open.error().to_text();
      ++*interrupted;
    } else {
      ++*opens;
      model.recovered(open->replayed, open->journal->head(), after);
      if (testing::Test::HasFatalFailure()) return;
      // All members are good now, so another one may be the lucky one.
      const auto members = open->pool->epoch().members;
      spared = members[rng.below(members.size())].value;
      draw_victims();
      if (rng.one_in(2)) {
        const int disk = members[rng.below(members.size())].value;
        old_images[disk] = take_image(world, disk, {kJournalFile, kSuperblockFile});
      }
      if (!world.crashed() && rng.below(4) > 0) world.crash_at(world.step_count() + 1 + rng.below(80));
      Life(world, *open, model, rng).run(80, spared, victims);
    }
    world.restart(kCrashModes[rng.below(5)]);
    use_up_faults(world);
    // A disk whose superblock was destroyed is for a person to deal with; here it is healed.
    for (const auto& [disk, image] : scratched) {
      const auto probe = probe_disk(world.disk(disk), world.engine());
      if (!probe || !probe->has_superblock) put_image(world, disk, image);
    }
    scratched.clear();
    // Damage to at most m disks, never to the spared one.
    away.clear();
    for (int disk = 0; disk < disks; ++disk) world.set_read_flip_rate(disk, 0);
    for (const int disk : victims) {
      switch (rng.below(6)) {
        case 0: away.insert(disk); break;
        case 1:
          if (const auto image = old_images.find(disk); image != old_images.end())
            put_image(world, disk, image->second);
          break;
        case 2:
          for (int flips = 0; flips < 20; ++flips)
            static_cast<void>(world.flip_bit(disk, kJournalFile, rng.below(kTestRingBytes),
                                             static_cast<int>(rng.below(8))));
          break;
        case 3:
          scratched.try_emplace(disk, take_image(world, disk, {kSuperblockFile}));
          for (int flips = 0; flips < 8; ++flips)
            static_cast<void>(world.flip_bit(disk, kSuperblockFile, (rng.below(4) << 18) + rng.below(1024),
                                             static_cast<int>(rng.below(8))));
          break;
        case 4: world.set_read_flip_rate(disk, 5); break;
        default: break;
      }
    }
  }
}

TEST_F(JournalCrash, RandomLivesWithOneParityDisk) {
  int opens = 0;
  int interrupted = 0;
  for (uint64_t seed = 1; seed <= 250; ++seed) {
    live(seed, {2, 1}, 4, &opens, &interrupted);
    if (HasFailure()) FAIL() << "seed " << seed;
  }
  EXPECT_GT(opens, 2500);
  EXPECT_GT(interrupted, 100);
}

TEST_F(JournalCrash, RandomLivesWithTwoParityDisks) {
  int opens = 0;
  int interrupted = 0;
  for (uint64_t seed = 10001; seed <= 10250; ++seed) {
    live(seed, {3, 2}, 6, &opens, &interrupted);
    if (HasFailure()) FAIL() << "seed " << seed;
  }
  EXPECT_GT(opens, 2500);
  EXPECT_GT(interrupted, 100);
}

}  // namespace
}  // namespace stavefs
