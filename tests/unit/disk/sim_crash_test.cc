// What a simulated crash may and may not do.

#include <algorithm>
#include <map>
#include <set>
#include <vector>

#include "base/rng.h"
#include "disk/sim/sim_disk.h"
#include "rig.h"

namespace stavefs::test {
namespace {

using sim::CrashMode;
using sim::SimWorld;

constexpr CrashMode kAllModes[] = {CrashMode::kDropAll, CrashMode::kKeepAll, CrashMode::kRandom,
                                   CrashMode::kPrefix, CrashMode::kSingle};
constexpr uint64_t kDiskBytes = 64 << 20;

/// A file whose name and content are durable.
std::unique_ptr<DiskFile> stable_file(SimWorld& world, std::string_view name, std::string_view bytes,
                                      int disk = 0) {
  auto file = must_open(world.disk(disk), name, {.create = true});
  EXPECT_OK(write(world.engine(), *file, 0, bytes));
  EXPECT_OK(sync(world.engine(), *file));
  EXPECT_OK(world.disk(disk).sync_names(name.find('/') == name.npos ? "" : name.substr(0, name.find('/'))));
  return file;
}

std::string contents_after(const SimWorld& world, uint64_t seed, CrashMode mode, const std::string& name,
                           int disk = 0) {
  const auto bytes = world.fork(seed, mode)->contents(disk, name);
  return bytes ? *bytes : "(missing)";
}

// Goal: the two certain modes are certain, and the original is untouched by a fork.
TEST(SimCrash, UnsyncedWriteIsDroppedOrKeptByMode) {
  SimWorld world(1, 1, kDiskBytes);
  auto file = stable_file(world, "f", "old");
  EXPECT_OK(write(world.engine(), *file, 0, "new"));
  EXPECT_EQ(contents_after(world, 1, CrashMode::kDropAll, "f"), "old");
  EXPECT_EQ(contents_after(world, 1, CrashMode::kKeepAll, "f"), "new");
  EXPECT_EQ(*world.contents(0, "f"), "new");
  EXPECT_OK(sync(world.engine(), *file));
  for (const CrashMode mode : kAllModes) EXPECT_EQ(contents_after(world, 1, mode, "f"), "new");
}

// Goal: a sync in the same batch covers nothing of that batch; one in the next batch does.
TEST(SimCrash, SyncCoversEarlierBatchesOnly) {
  SimWorld world(1, 1, kDiskBytes);
  auto file = stable_file(world, "f", "old");
  for (int i = 0; i < 20; ++i) {
    AlignedBuffer buffer = aligned_copy("new");
    IoRequest batch[] = {{.file = file.get(), .kind = IoKind::kWrite, .data = buffer.data(), .bytes = 3},
                         {.file = file.get(), .kind = IoKind::kSync}};
    world.engine().run(batch);
    EXPECT_EQ(contents_after(world, 1, CrashMode::kDropAll, "f"), i == 0 ? "old" : "new");
  }
}

// Goal: whatever is pending before it, a durable write stays.  Method: older overlapping writes, a
// truncation and a hole are pending; every mode, many seeds.
TEST(SimCrash, OlderPendingChangesNeverUndoADurableWrite) {
  SimWorld world(1, 1, kDiskBytes);
  auto file = stable_file(world, "f", std::string(16384, 'a'));
  EXPECT_OK(write(world.engine(), *file, 0, std::string(16384, 'b')));
  EXPECT_OK(file->punch(4096, 4096));
  EXPECT_OK(file->truncate(8192));
  EXPECT_OK(write(world.engine(), *file, 2048, std::string(4096, 'c')));
  EXPECT_OK(write(world.engine(), *file, 3072, std::string(4096, 'D'), true));
  for (const CrashMode mode : kAllModes) {
    for (uint64_t seed = 1; seed <= 200; ++seed) {
      const std::string bytes = contents_after(world, seed, mode, "f");
      ASSERT_GE(bytes.size(), 7168u) << "seed " << seed;
      ASSERT_EQ(bytes.substr(3072, 4096), std::string(4096, 'D')) << "seed " << seed;
    }
  }
  EXPECT_EQ(contents_after(world, 1, CrashMode::kKeepAll, "f"), *world.contents(0, "f"));
}

// Goal: durable bytes under a name that was never synced may be gone, and are not once it was.
TEST(SimCrash, FileWithoutSyncedNameVanishes) {
  SimWorld world(1, 1, kDiskBytes);
  auto file = must_open(world.disk(0), "segments/1", {.create = true});
  EXPECT_OK(write(world.engine(), *file, 0, "durable", true));
  EXPECT_EQ(contents_after(world, 1, CrashMode::kDropAll, "segments/1"), "(missing)");
  EXPECT_EQ(contents_after(world, 1, CrashMode::kKeepAll, "segments/1"), "durable");
  EXPECT_OK(world.disk(0).sync_names(""));  // the wrong directory
  EXPECT_EQ(contents_after(world, 1, CrashMode::kDropAll, "segments/1"), "(missing)");
  EXPECT_OK(world.disk(0).sync_names("segments"));
  for (const CrashMode mode : kAllModes) {
    EXPECT_EQ(contents_after(world, 1, mode, "segments/1"), "durable");
  }
}

// Goal: a removal that was not synced may come undone, with the old content.
TEST(SimCrash, UnsyncedRemovalComesBack) {
  SimWorld world(1, 1, kDiskBytes);
  stable_file(world, "f", "content");
  EXPECT_OK(world.disk(0).remove("f"));
  EXPECT_EQ(contents_after(world, 1, CrashMode::kDropAll, "f"), "content");
  EXPECT_EQ(contents_after(world, 1, CrashMode::kKeepAll, "f"), "(missing)");
  EXPECT_OK(world.disk(0).sync_names(""));
  EXPECT_EQ(contents_after(world, 1, CrashMode::kDropAll, "f"), "(missing)");
}

// Goal: write-temporary, sync, rename is atomic: the old or the new content, never neither; both outcomes
// occur.
TEST(SimCrash, RenameOverIsOldOrNew) {
  SimWorld world(1, 1, kDiskBytes);
  stable_file(world, "current", "old");
  auto fresh = must_open(world.disk(0), "temporary", {.create = true});
  EXPECT_OK(write(world.engine(), *fresh, 0, "new"));
  EXPECT_OK(sync(world.engine(), *fresh));
  EXPECT_OK(world.disk(0).rename("temporary", "current"));
  std::set<std::string> seen;
  for (const CrashMode mode : kAllModes) {
    for (uint64_t seed = 1; seed <= 200; ++seed) {
      const std::string now = contents_after(world, seed, mode, "current");
      seen.insert(now);
      if (now == "new") {
        EXPECT_EQ(contents_after(world, seed, mode, "temporary"), "(missing)");
      }
    }
  }
  EXPECT_EQ(seen, (std::set<std::string>{"new", "old"}));
  EXPECT_OK(world.disk(0).sync_names(""));
  EXPECT_EQ(contents_after(world, 1, CrashMode::kDropAll, "current"), "new");
}

// Goal: the random mode reaches each thing that real disks do: drop, keep, reorder, tear by 512 and by 4096.
TEST(SimCrash, RandomModeDropsKeepsReordersAndTears) {
  SimWorld world(1, 1, kDiskBytes);
  auto file = stable_file(world, "f", std::string(32768, '.'));
  EXPECT_OK(write(world.engine(), *file, 0, std::string(16384, '1')));
  EXPECT_OK(write(world.engine(), *file, 16384, std::string(16384, '2')));
  std::map<std::string, int> seen;
  for (uint64_t seed = 1; seed <= 1000; ++seed) {
    const std::string bytes = contents_after(world, seed, CrashMode::kRandom, "f");
    ASSERT_EQ(bytes.size(), 32768u);
    bool whole[2];
    bool none[2];
    for (int w = 0; w < 2; ++w) {
      const std::string part = bytes.substr(static_cast<size_t>(w) * 16384, 16384);
      const auto fresh =
          static_cast<size_t>(std::count(part.begin(), part.end(), static_cast<char>('1' + w)));
      const auto stale = static_cast<size_t>(std::count(part.begin(), part.end(), '.'));
      ASSERT_EQ(fresh + stale, part.size()) << "seed " << seed;
      ASSERT_EQ(fresh % 512, 0u) << "seed " << seed;
      whole[w] = stale == 0;
      none[w] = fresh == 0;
      if (!whole[w] && !none[w]) ++seen[fresh % 4096 == 0 ? "torn by 4096" : "torn by 512"];
    }
    seen["both kept"] += whole[0] && whole[1];
    seen["both dropped"] += none[0] && none[1];
    seen["only the later one"] += none[0] && whole[1];
  }
  for (const char* what :
       {"torn by 4096", "torn by 512", "both kept", "both dropped", "only the later one"}) {
    EXPECT_GT(seen[what], 10) << what;
  }
}

/// Ten pending one-byte writes on two disks; the letters that survived, in issue order.
std::string survivors(CrashMode mode, uint64_t seed) {
  SimWorld world(1, 2, kDiskBytes);
  auto f0 = stable_file(world, "f", std::string(10, '.'), 0);
  auto f1 = stable_file(world, "f", std::string(10, '.'), 1);
  for (uint64_t i = 0; i < 10; ++i) {
    EXPECT_OK(write(world.engine(), i % 2 == 0 ? *f0 : *f1, i, std::string(1, static_cast<char>('0' + i))));
  }
  const auto after = world.fork(seed, mode);
  std::string both;
  for (uint64_t i = 0; i < 10; ++i) {
    const char c = (*after->contents(static_cast<int>(i % 2), "f"))[i];
    if (c != '.') both += c;
  }
  return both;
}

TEST(SimCrash, PrefixModeKeepsAPrefixOverAllDisks) {
  std::set<size_t> lengths;
  for (uint64_t seed = 1; seed <= 200; ++seed) {
    const std::string kept = survivors(CrashMode::kPrefix, seed);
    EXPECT_EQ(kept, std::string("0123456789").substr(0, kept.size())) << "seed " << seed;
    lengths.insert(kept.size());
  }
  EXPECT_EQ(lengths.size(), 11u);
}

TEST(SimCrash, SingleModeKeepsAtMostOneWrite) {
  std::set<std::string> kept;
  for (uint64_t seed = 1; seed <= 300; ++seed) kept.insert(survivors(CrashMode::kSingle, seed));
  for (const std::string& k : kept) EXPECT_LE(k.size(), 1u);
  EXPECT_GE(kept.size(), 10u);
}

// Goal: the one surviving write is of use although its file's name was pending too.
TEST(SimCrash, SingleModeKeepsTheNameOfItsFile) {
  SimWorld world(1, 1, kDiskBytes);
  auto file = must_open(world.disk(0), "d/f", {.create = true});
  EXPECT_OK(write(world.engine(), *file, 0, "x"));
  std::set<std::string> seen;
  for (uint64_t seed = 1; seed <= 50; ++seed) {
    seen.insert(contents_after(world, seed, CrashMode::kSingle, "d/f"));
  }
  EXPECT_TRUE(seen.contains("x"));
  EXPECT_FALSE(seen.contains("(missing)"));
}

// Goal: from the crash step on nothing reaches any disk, what was stable stays, and the power comes back.
TEST(SimCrash, NothingLandsFromTheCrashStepOn) {
  SimWorld world(1, 2, kDiskBytes);
  auto f0 = stable_file(world, "f", "old", 0);
  auto f1 = stable_file(world, "f", "old", 1);
  const uint64_t before = world.step_count();
  EXPECT_OK(read(world.engine(), *f0, 0, 3));
  EXPECT_EQ(world.step_count(), before) << "a read is no step";
  world.crash_at(before + 2);
  EXPECT_OK(write(world.engine(), *f0, 0, "one", true));
  EXPECT_FALSE(world.crashed());
  EXPECT_CODE(write(world.engine(), *f1, 0, "two", true), ErrorCode::kIo);
  EXPECT_TRUE(world.crashed());
  EXPECT_CODE(write(world.engine(), *f0, 0, "six", true), ErrorCode::kIo);
  EXPECT_CODE(read(world.engine(), *f0, 0, 3), ErrorCode::kIo);
  EXPECT_CODE(sync(world.engine(), *f0), ErrorCode::kIo);
  EXPECT_CODE(world.disk(0).open("g", {.create = true}), ErrorCode::kIo);
  EXPECT_CODE(world.disk(0).sync_names(""), ErrorCode::kIo);
  EXPECT_CODE(world.disk(0).probe(), ErrorCode::kIo);
  EXPECT_EQ(world.step_count(), before + 2);

  world.restart(CrashMode::kDropAll);
  EXPECT_FALSE(world.crashed());
  EXPECT_EQ(*world.contents(0, "f"), "one");
  EXPECT_EQ(*world.contents(1, "f"), "old");
  EXPECT_CODE(read(world.engine(), *f0, 0, 3), ErrorCode::kIo);
  EXPECT_CODE(f0->size(), ErrorCode::kIo);
  EXPECT_CODE(f0->truncate(0), ErrorCode::kIo);
  EXPECT_EQ(*read(world.engine(), *must_open(world.disk(0), "f", {}), 0, 3), "one");
}

// Goal: the interrupted durable write is absent, whole or torn, each at times.
TEST(SimCrash, InterruptedDurableWriteMayBeTorn) {
  std::map<std::string, int> seen;
  for (uint64_t seed = 1; seed <= 300; ++seed) {
    SimWorld world(seed, 1, kDiskBytes);
    auto file = stable_file(world, "f", std::string(8192, '.'));
    world.crash_at(world.step_count() + 1);
    EXPECT_FALSE(write(world.engine(), *file, 0, std::string(8192, 'x'), true));
    world.restart(CrashMode::kRandom);
    const std::string bytes = *world.contents(0, "f");
    const auto fresh = std::count(bytes.begin(), bytes.end(), 'x');
    ++seen[fresh == 0 ? "absent" : fresh == 8192 ? "whole" : "torn"];
  }
  for (const char* what : {"absent", "whole", "torn"}) EXPECT_GT(seen[what], 20) << what;
}

// Goal: of a batch of durable writes to several disks any subset may have landed when power fails.
TEST(SimCrash, BatchOverSeveralDisksLandsInAnyOrder) {
  std::set<std::string> landed;
  for (uint64_t seed = 1; seed <= 200; ++seed) {
    SimWorld world(seed, 3, kDiskBytes);
    std::vector<std::unique_ptr<DiskFile>> files;
    for (int d = 0; d < 3; ++d) files.push_back(stable_file(world, "f", ".", d));
    AlignedBuffer buffer = aligned_copy("x");
    std::vector<IoRequest> batch;
    for (const auto& file : files) {
      batch.push_back(
          {.file = file.get(), .kind = IoKind::kWrite, .data = buffer.data(), .bytes = 1, .durable = true});
    }
    world.crash_at(world.step_count() + 2);
    world.engine().run(batch);
    EXPECT_EQ(std::count_if(batch.begin(), batch.end(), [](const IoRequest& r) { return r.error == 0; }), 1);
    const auto after = world.fork(seed, CrashMode::kDropAll);
    std::string row;
    for (int d = 0; d < 3; ++d) {
      row += *after->contents(d, "f");
      EXPECT_EQ(row.back() == 'x', batch[static_cast<size_t>(d)].error == 0);
    }
    landed.insert(row);
  }
  EXPECT_EQ(landed, (std::set<std::string>{"x..", ".x.", "..x"}));
}

// Goal: the seed decides everything.
TEST(SimCrash, SameSeedSameOutcome) {
  const auto outcome = [](uint64_t seed) {
    SimWorld world(seed, 1, kDiskBytes);
    auto file = stable_file(world, "f", std::string(65536, '.'));
    for (uint64_t i = 0; i < 16; ++i) {
      EXPECT_OK(write(world.engine(), *file, i * 4096, pattern(i, 4096)));
    }
    world.restart(CrashMode::kRandom);
    return *world.contents(0, "f");
  };
  EXPECT_EQ(outcome(5), outcome(5));
  EXPECT_NE(outcome(5), outcome(6));
}

// Goal: a large disk costs what is written to it and forks by the thousand.
TEST(SimCrash, ManyForksOfALargeDisk) {
  SimWorld world(1, 6, uint64_t{1} << 40);
  std::vector<std::unique_ptr<DiskFile>> files;
  for (int d = 0; d < 6; ++d) {
    files.push_back(must_open(world.disk(d), "segments/1", {.create = true}));
    EXPECT_OK(files.back()->allocate(1 << 30));
    EXPECT_OK(write(world.engine(), *files.back(), 512 << 20, pattern(1, 1 << 20), true));
    EXPECT_OK(world.disk(d).sync_names("segments"));
  }
  EXPECT_OK(write(world.engine(), *files[0], 4096, pattern(2, 4096)));
  for (uint64_t seed = 1; seed <= 3000; ++seed) {
    auto fork = world.fork(seed, CrashMode::kRandom);
    auto file = must_open(fork->disk(0), "segments/1", {});
    ASSERT_EQ(*read(fork->engine(), *file, 512 << 20, 4096), pattern(1, 1 << 20).substr(0, 4096));
    EXPECT_OK(write(fork->engine(), *file, 512 << 20, pattern(seed, 4096)));
  }
  EXPECT_EQ(*read(world.engine(), *files[0], 512 << 20, 1 << 20), pattern(1, 1 << 20));
}

/// What each sector of one file may hold after a crash.
class SectorModel {
 public:
  static constexpr uint64_t kSector = 512;
  static constexpr uint64_t kSectors = 64;

  void write(uint64_t first, uint64_t count, char content, bool durable) {
    for (uint64_t s = first; s < first + count; ++s) {
      now_[s] = content;
      if (durable) allowed_[s].clear();
      allowed_[s].insert(content);
    }
  }
  void sync() {
    for (uint64_t s = 0; s < kSectors; ++s) allowed_[s] = {now_[s]};
  }
  void check(const std::string& bytes, CrashMode mode) const {
    ASSERT_EQ(bytes.size(), kSector * kSectors);
    for (uint64_t s = 0; s < kSectors; ++s) {
      const std::string sector = bytes.substr(s * kSector, kSector);
      ASSERT_EQ(sector, std::string(kSector, sector[0])) << "a sector was torn: " << s;
      ASSERT_TRUE(allowed_[s].contains(sector[0])) << "sector " << s << " holds " << sector[0];
      if (mode == CrashMode::kKeepAll) {
        ASSERT_EQ(sector[0], now_[s]) << s;
      }
    }
  }

 private:
  char now_[kSectors] = {};
  std::set<char> allowed_[kSectors] = {};
};

// Goal: after any crash each sector holds its stable content or one that was written since.
// Method: random writes, durable writes and syncs against a model that knows the set for each sector.
TEST(SimCrash, EverySectorHoldsSomethingThatWasWritten) {
  for (uint64_t seed = 1; seed <= 60; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Rng rng(seed);
    SimWorld world(seed, 1, kDiskBytes);
    SectorModel model;
    model.write(0, SectorModel::kSectors, '.', true);
    auto file = stable_file(world, "f", std::string(SectorModel::kSector * SectorModel::kSectors, '.'));
    for (int step = 0; step < 40; ++step) {
      if (rng.one_in(8)) {
        EXPECT_OK(sync(world.engine(), *file));
        model.sync();
      } else {
        const uint64_t first = rng.below(SectorModel::kSectors);
        const uint64_t count = 1 + rng.below(SectorModel::kSectors - first);
        const char content = static_cast<char>('A' + step);
        const bool durable = rng.one_in(4);
        EXPECT_OK(write(world.engine(), *file, first * SectorModel::kSector,
                        std::string(count * SectorModel::kSector, content), durable));
        model.write(first, count, content, durable);
      }
      for (const CrashMode mode : kAllModes) {
        model.check(contents_after(world, rng.next(), mode, "f"), mode);
        if (HasFatalFailure()) return;
      }
    }
  }
}

}  // namespace
}  // namespace stavefs::test
