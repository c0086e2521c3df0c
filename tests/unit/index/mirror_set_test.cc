// The mirrored directory against a naive model: what was written is what is read, whatever happened in
// between.

#include "index/mirror_set.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "index/mirror_limits.h"
#include "mirror_bed.h"

namespace stavefs {
namespace {

using sim::CrashMode;

/// A file as the user of the directory sees it.
struct ModelFile {
  std::string bytes;
  size_t synced = 0;     ///< bytes that must survive a crash
  bool durable = false;  ///< its name must survive a crash
};
using Model = std::map<std::string, ModelFile>;

/// Random operations on a set and on the model.
class Script {
 public:
  Script(MirrorSet& set, Rng& rng, Model& model, int& next_name)
      : set_(set), rng_(rng), model_(model), next_name_(next_name) {}

  /// One operation; false when the set refused it.
  bool step() {
    switch (rng_.below(10)) {
      case 0: return create();
      case 1: return writers_.empty() || close();
      case 2: return remove();
      case 3: return rename();
      case 4:
      case 5: return writers_.empty() || sync();
      default: return writers_.empty() ? create() : append();
    }
  }
  /// Closes all writers.
  bool finish() {
    while (!writers_.empty())
      if (!close()) return false;
    return true;
  }
  void check() {
    for (const auto& [name, file] : model_) {
      if (writers_.contains(name)) continue;
      ASSERT_EQ(file.bytes.size(), set_.size(name).value_or(0)) << name;
      ASSERT_EQ(file.bytes, contents(set_, name)) << name;
    }
  }

 private:
  bool create() {
    const std::string name = fmt::format("f{}", next_name_++);
    Result<std::unique_ptr<MirrorWriter>> writer = set_.create(name);
    if (!writer) return false;
    model_[name] = {};
    writers_[name] = std::move(*writer);
    return true;
  }
  std::string pick() {
    return std::next(writers_.begin(), static_cast<long>(rng_.below(writers_.size())))->first;
  }
  bool append() {
    const std::string name = pick();
    static constexpr size_t kSizes[] = {1, 100, kPagePayloadBytes - 1, kPagePayloadBytes, 9000, 300000};
    const std::string bytes = random_bytes(rng_, 1 + rng_.below(kSizes[rng_.below(6)]));
    model_[name].bytes += bytes;  // also when it fails: some of it may be on the disks
    return writers_[name]->append(bytes).has_value();
  }
  bool sync() {
    const std::string name = pick();
    if (!writers_[name]->sync()) return false;
    model_[name].synced = model_[name].bytes.size();
    model_[name].durable = true;
    return true;
  }
  bool close() {
    const std::string name = pick();
    const bool good = writers_[name]->close().has_value();
    writers_.erase(name);
    if (model_[name].bytes.empty() && !model_[name].durable) {
      // A file that got neither a byte nor a sync is on no disk.
      if (good) good_removes_ += set_.remove(name).has_value();
      model_.erase(name);
    }
    return good;
  }
  std::optional<std::string> pick_closed() {
    std::vector<std::string> names;
    for (const auto& [name, file] : model_)
      if (!writers_.contains(name)) names.push_back(name);
    if (names.empty()) return std::nullopt;
    return names[rng_.below(names.size())];
  }
  bool remove() {
    const std::optional<std::string> name = pick_closed();
    if (!name) return true;
    model_.erase(*name);  // also when it fails: it may be gone
    return set_.remove(*name).has_value() && (rng_.one_in(2) || set_.sync_names().has_value());
  }
  bool rename() {
    const std::optional<std::string> name = pick_closed();
    if (!name || *name == "CURRENT") return true;
    const ModelFile moved = model_[*name];
    const bool good = set_.rename(*name, "CURRENT").has_value();
    model_.erase(*name);
    if (good) {
      model_["CURRENT"] = {moved.bytes, moved.bytes.size(), true};
      before_.reset();
    } else {
      before_ = moved.bytes;
    }
    return good;
  }

 public:
  /// What a rename that did not finish was about to put at CURRENT.
  std::optional<std::string> before_;
  int good_removes_ = 0;

 private:
  MirrorSet& set_;
  Rng& rng_;
  Model& model_;
  int& next_name_;
  std::map<std::string, std::unique_ptr<MirrorWriter>> writers_;
};

TEST(MirrorSet, RandomWorkIsReadBackAndSurvivesReopening) {
  for (uint64_t seed = 1; seed <= 30; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    MirrorBed bed(seed, 3);
    Rng rng(seed);
    Model model;
    int next_name = 0;
    for (int round = 0; round < 3; ++round) {
      const auto set = open_set(bed, slots({0, 1, 2}));
      ASSERT_TRUE(set);
      Script script(*set, rng, model, next_name);
      script.check();
      for (int i = 0; i < 40; ++i) ASSERT_TRUE(script.step());
      ASSERT_TRUE(script.finish());
      script.check();
      ASSERT_EQ(model.size(), set->list().size());
    }
    EXPECT_TRUE(bed.failed().empty());
    EXPECT_EQ(0, bed.fenced);
  }
}

/// What must hold of `set` after a crash.
void check_after_crash(MirrorSet& set, const Model& model, const std::optional<std::string>& maybe_current) {
  for (const auto& [name, file] : model) {
    if (!file.durable) continue;
    const std::optional<std::string> found = contents(set, name);
    ASSERT_TRUE(found) << name;
    if (name == "CURRENT" && maybe_current && *found == *maybe_current) continue;
    ASSERT_GE(found->size(), file.synced) << name;
    ASSERT_EQ(file.bytes.substr(0, found->size()), *found) << name;
  }
}

// Power fails after a random number of steps, in every way a crash can treat what was not synced.  Synced
// bytes are there; what else is there is a prefix of what was appended; and all copies are alike afterwards,
// so that each alone serves.
TEST(MirrorSet, CrashKeepsEverythingThatWasSynced) {
  for (uint64_t seed = 1; seed <= 60; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    MirrorBed bed(seed, 2);
    Rng rng(seed);
    Model model;
    std::optional<std::string> maybe_current;
    {
      const auto set = open_set(bed, slots({0, 1}));
      ASSERT_TRUE(set);
      bed.world().crash_at(bed.world().step_count() + 1 + rng.below(150));
      int next_name = 0;
      Script script(*set, rng, model, next_name);
      for (int i = 0; i < 120 && script.step(); ++i) {
      }
      maybe_current = script.before_;
    }
    for (const CrashMode mode : {CrashMode::kDropAll, CrashMode::kKeepAll, CrashMode::kRandom,
                                 CrashMode::kPrefix, CrashMode::kSingle}) {
      SCOPED_TRACE(testing::Message() << "mode " << static_cast<int>(mode));
      MirrorBed after(bed.world().fork(seed, mode));
      {
        const auto set = open_set(after, slots({0, 1}));
        ASSERT_TRUE(set);
        check_after_crash(*set, model, maybe_current);
      }
      for (const int only : {0, 1}) {
        SCOPED_TRACE(testing::Message() << "slot " << only);
        const auto set = open_set(after, slots({only}), true);
        ASSERT_TRUE(set);
        check_after_crash(*set, model, maybe_current);
      }
    }
  }
}

// A long file whose last pages one copy has lost, and one of which another copy never got the name: both are
// whole afterwards.
TEST(MirrorSet, CopyThatLagsIsRebuiltAtOpen) {
  MirrorBed bed(1, 3);
  Rng rng(1);
  const std::string bytes = random_bytes(rng, 3 << 20);
  {
    const auto set = open_set(bed, slots({0, 1, 2}));
    write_file(*set, "000001.sst", bytes);
  }
  {
    const auto file = *bed.world().disk(1).open("index/000001.sst", {});
    ASSERT_TRUE(file->truncate(2 << 20));
    ASSERT_TRUE(bed.world().disk(2).remove("index/000001.sst"));
  }
  const auto set = open_set(bed, slots({0, 1, 2}));
  EXPECT_GT(set->stats().repaired_pages, 0u);
  for (const int only : {0, 1, 2}) {
    const auto alone = open_set(bed, slots({only}), true);
    EXPECT_EQ(bytes, contents(*alone, "000001.sst")) << only;
  }
}

// Of two copies each lacks another page: the file is put together from both.
TEST(MirrorSet, PagesAreMergedFromSeveralCopies) {
  MirrorBed bed(1, 2);
  Rng rng(1);
  const std::string bytes = random_bytes(rng, 40000);
  {
    const auto set = open_set(bed, slots({0, 1}));
    write_file(*set, "MANIFEST-000001", bytes);
  }
  ASSERT_TRUE(bed.world().flip_bit(0, "index/MANIFEST-000001", 3 * kPageBytes + 99, 1));
  ASSERT_TRUE(bed.world().flip_bit(1, "index/MANIFEST-000001", 5 * kPageBytes + 99, 1));
  {
    const auto set = open_set(bed, slots({0, 1}));
    EXPECT_EQ(bytes, contents(*set, "MANIFEST-000001"));
  }
  for (const int only : {0, 1}) {
    const auto alone = open_set(bed, slots({only}), true);
    EXPECT_EQ(bytes, contents(*alone, "MANIFEST-000001")) << only;
  }
}

// An older file of the same name on one copy, longer than the new one, is not mistaken for it.
TEST(MirrorSet, StaleFileOfTheSameNameLoses) {
  MirrorBed bed(1, 2);
  Rng rng(1);
  const std::string fresh = random_bytes(rng, 5000);
  {
    const auto set = open_set(bed, slots({0, 1}));
    write_file(*set, "000001.sst", random_bytes(rng, 100000));
    // Disk 1 keeps the old file under the name.
    ASSERT_TRUE(bed.world().disk(1).rename("index/000001.sst", "index/kept"));
    ASSERT_TRUE(set->remove("000001.sst"));
    write_file(*set, "000001.sst", fresh);
    ASSERT_TRUE(bed.world().disk(1).rename("index/kept", "index/000001.sst"));
    EXPECT_EQ(fresh, contents(*set, "000001.sst"));  // whichever copy is asked first
  }
  const auto set = open_set(bed, slots({0, 1}));
  EXPECT_EQ(fresh, contents(*set, "000001.sst"));
  const auto alone = open_set(bed, slots({1}), true);
  EXPECT_EQ(fresh, contents(*alone, "000001.sst"));
}

// Bytes that a later page proves to have been synced are gone on all copies: the rest must not pass for the
// whole.
TEST(MirrorSet, HoleInSyncedPagesIsAnErrorAndNotAnEarlierState) {
  MirrorBed bed(1, 2);
  {
    const auto set = open_set(bed, slots({0, 1}));
    const auto writer = *set->create("MANIFEST-000001");
    for (int i = 0; i < 6; ++i) {
      ASSERT_TRUE(writer->append("record"));
      ASSERT_TRUE(writer->sync());
    }
  }
  for (const int disk : {0, 1})
    ASSERT_TRUE(bed.world().flip_bit(disk, "index/MANIFEST-000001", 3 * kPageBytes + 50, 0));
  const auto set = open_set(bed, slots({0, 1}));
  ASSERT_TRUE(set);
  EXPECT_TRUE(set->exists("MANIFEST-000001"));
  EXPECT_FALSE(contents(*set, "MANIFEST-000001"));
  EXPECT_EQ(1, bed.fenced);
}

TEST(MirrorSet, EmptyFileThatWasSyncedExists) {
  MirrorBed bed(1, 2);
  {
    const auto set = open_set(bed, slots({0, 1}));
    const auto synced = *set->create("synced");
    ASSERT_TRUE(synced->sync());
    const auto other = *set->create("other");
  }
  bed.world().restart(CrashMode::kDropAll);
  const auto set = open_set(bed, slots({0, 1}));
  EXPECT_EQ(std::vector<std::string>{"synced"}, set->list());
  EXPECT_EQ("", contents(*set, "synced"));
}

TEST(MirrorSet, ReadOnlyWritesNothing) {
  MirrorBed bed(1, 2);
  {
    const auto set = open_set(bed, slots({0, 1}));
    write_file(*set, "file", "bytes");
    write_file(*set, "other", "more");
  }
  ASSERT_TRUE(bed.world().flip_bit(0, "index/file", 100, 0));
  ASSERT_TRUE(bed.world().disk(1).remove("index/other"));
  const uint64_t steps = bed.world().step_count();
  const auto set = open_set(bed, slots({0, 1}), true);
  EXPECT_EQ("bytes", contents(*set, "file"));
  EXPECT_EQ("more", contents(*set, "other"));
  EXPECT_FALSE(set->create("new"));
  EXPECT_FALSE(set->remove("file"));
  EXPECT_FALSE(set->add_copy(DiskSlot(1)));
  set->wait_for_repairs();
  EXPECT_EQ(steps, bed.world().step_count());
}

}  // namespace
}  // namespace stavefs
