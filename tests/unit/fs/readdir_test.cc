// readdir: order, cookies, stability while the directory changes, names whose hashes collide.

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>

#include "base/rng.h"
#include "fs_world.h"

namespace stavefs::test {
namespace {

struct Seen {
  std::string name;
  uint64_t cookie;
  uint64_t inode;
  uint8_t type;
};

/// At most `count` entries after `cookie`.
std::vector<Seen> some(FsWorld& w, InodeId directory, uint64_t cookie, size_t count) {
  std::vector<Seen> seen;
  const Status listed = w.fs().readdir(directory, cookie, [&](const DirectoryEntry& entry) {
    if (seen.size() == count) return false;
    seen.push_back({std::string(entry.name), entry.cookie, entry.inode.value, entry.type});
    return true;
  });
  EXPECT_TRUE(listed);
  return seen;
}

/// Names that share one of five hashes.
uint64_t weak_hash(std::string_view name, uint64_t) {
  uint64_t sum = 0;
  for (const char c : name) sum += static_cast<uint8_t>(c);
  return kFirstNameHash + sum % 5;
}

TEST(Readdir, ListsDotsFirstThenEveryNameOnce) {
  // Goal: complete listings with types and numbers, whatever the size of a step.  Method: 200 entries in
  // steps of 1 to 300.
  FsWorld w;
  ASSERT_EQ(w.mkdir("b"), 0);
  ASSERT_EQ(w.mkdir("b/d"), 0);
  std::set<std::string> names;
  for (int i = 0; i < 200; ++i) {
    const std::string name = "n" + std::to_string(i);
    names.insert(name);
    ASSERT_EQ(i % 3 == 0 ? w.mkdir("b/d/" + name) : w.create("b/d/" + name), 0);
  }
  const InodeId d = w.at("b/d");
  for (const size_t step : {1, 2, 7, 100, 300}) {
    std::vector<Seen> all;
    for (uint64_t cookie = 0;;) {
      const auto part = some(w, d, cookie, step);
      if (part.empty()) break;
      all.insert(all.end(), part.begin(), part.end());
      cookie = part.back().cookie;
    }
    ASSERT_EQ(all.size(), 202u) << step;
    EXPECT_EQ(all[0].name, ".");
    EXPECT_EQ(all[0].inode, d.value);
    EXPECT_EQ(all[0].cookie, 1u);
    EXPECT_EQ(all[1].name, "..");
    EXPECT_EQ(all[1].inode, w.at("b").value);
    EXPECT_EQ(all[1].cookie, 2u);
    std::set<std::string> listed;
    for (size_t i = 2; i < all.size(); ++i) {
      EXPECT_TRUE(listed.insert(all[i].name).second) << all[i].name;
      const auto attributes = w.fs().lookup(d, all[i].name);
      ASSERT_TRUE(attributes);
      EXPECT_EQ(attributes->id.value, all[i].inode);
      EXPECT_EQ((attributes->mode >> 12) & 15, all[i].type);
      EXPECT_GT(all[i].cookie, all[i - 1].cookie);
    }
    EXPECT_EQ(listed, names);
  }
}

TEST(Readdir, CookiesAtAndBeyondTheEndGiveNothing) {
  // Goal: any 64-bit cookie is legal.  Method: the extremes.
  FsWorld w;
  ASSERT_EQ(w.mkdir("b"), 0);
  ASSERT_EQ(w.create("b/f"), 0);
  for (const uint64_t cookie : {(uint64_t{1} << 63) - 1, uint64_t{1} << 63, ~uint64_t{0}}) {
    EXPECT_TRUE(some(w, w.at("b"), cookie, 10).empty());
  }
  EXPECT_EQ(some(w, w.at("b"), 3, 10).size(), 1u);
}

TEST(Readdir, ChangesMeanwhileNeitherRepeatNorSkip) {
  // Goal: an entry that was there throughout is seen exactly once.  Method: listings in small steps with
  // random inserts and removals of other names between the steps, and a remount in the middle.
  for (uint64_t seed = 1; seed <= 5; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Rng rng(seed);
    FsWorld w(seed);
    ASSERT_EQ(w.mkdir("b"), 0);
    std::set<std::string> stable, passing;
    for (int i = 0; i < 100; ++i) {
      stable.insert("stable" + std::to_string(i));
      ASSERT_EQ(w.create("b/stable" + std::to_string(i)), 0);
    }
    std::map<std::string, int> seen;
    int next = 0;
    for (uint64_t cookie = 0;;) {
      const auto part = some(w, w.at("b"), cookie, 1 + rng.below(5));
      if (part.empty()) break;
      for (const Seen& entry : part) ++seen[entry.name];
      cookie = part.back().cookie;
      for (int i = 0; i < 5; ++i) {
        const std::string name = "passing" + std::to_string(next++);
        ASSERT_EQ(w.create("b/" + name), 0);
        passing.insert(name);
        if (rng.one_in(2)) {
          const auto victim = std::next(passing.begin(), static_cast<long>(rng.below(passing.size())));
          ASSERT_EQ(w.unlink("b/" + *victim), 0);
          passing.erase(victim);
        }
      }
      if (rng.one_in(20)) w.remount();
    }
    for (const std::string& name : stable) EXPECT_EQ(seen[name], 1) << name;
    for (const auto& [name, times] : seen) EXPECT_EQ(times, 1) << name;
  }
}

TEST(Readdir, EntriesJustDeliveredMayBeRemoved) {
  // Goal: rm -r, which deletes what it has listed and goes on.  Method: list in steps of three and remove
  // each step at once.
  FsWorld w;
  ASSERT_EQ(w.mkdir("b"), 0);
  for (int i = 0; i < 500; ++i) ASSERT_EQ(w.create("b/" + std::to_string(i)), 0);
  for (uint64_t cookie = 0;;) {
    const auto part = some(w, w.at("b"), cookie, 3);
    if (part.empty()) break;
    cookie = part.back().cookie;
    for (const Seen& entry : part) {
      if (entry.name == "." || entry.name == "..") continue;
      ASSERT_EQ(w.unlink("b/" + entry.name), 0);
    }
  }
  EXPECT_EQ(w.list("b").size(), 2u);
}

TEST(Readdir, CollidingNamesAreListedTogether) {
  // Goal: names with one hash are all found, and a listing that stops among them starts again at the first.
  // Method: a hash with five values; what a stopped step delivered of an unfinished group is thrown away, as
  // the cookies say.
  FileSystem::Options options = FsWorld::small_options();
  options.name_hash = &weak_hash;
  FsWorld w(1, options);
  ASSERT_EQ(w.mkdir("b"), 0);
  std::set<std::string> names;
  for (int i = 0; i < 40; ++i) {
    names.insert("name" + std::to_string(i));
    ASSERT_EQ(w.create("b/name" + std::to_string(i)), 0);
  }
  for (const std::string& name : names) {
    EXPECT_TRUE(w.stat("b/" + name)) << name;
    EXPECT_EQ(w.create("b/" + name), EEXIST);
  }
  const InodeId b = w.at("b");
  std::vector<std::string> listed;
  size_t repeated = 0;
  for (uint64_t cookie = 0;;) {
    const auto part = some(w, b, cookie, 20);
    if (part.empty()) break;
    ASSERT_GT(part.back().cookie, cookie) << "a step must get on";
    cookie = part.back().cookie;
    for (const Seen& entry : part) {
      // The hash of an entry that the next step repeats is above the cookie.
      if (entry.name != "." && entry.name != ".." && weak_hash(entry.name, 0) > cookie) {
        ++repeated;
        continue;
      }
      listed.push_back(entry.name);
    }
  }
  EXPECT_EQ(listed.size(), names.size() + 2);
  EXPECT_EQ(std::set<std::string>(listed.begin() + 2, listed.end()), names);
  EXPECT_GT(repeated, 0u) << "no step stopped inside a group: the test saw nothing";
  ASSERT_EQ(w.unlink("b/name7"), 0);
  EXPECT_EQ(error_of(w.stat("b/name7")), ENOENT);
  EXPECT_TRUE(w.stat("b/name8"));
  EXPECT_EQ(w.check_index(), "");
}

TEST(Readdir, ALargeDirectoryIsLinear) {
  // Goal: listing by small steps does not look at the same entries again and again.  Method: 20,000 names in
  // steps of 50; a quadratic listing would look at four million entries, which takes far longer than the
  // limit of 10 s.
  FsWorld w;
  ASSERT_EQ(w.mkdir("b"), 0);
  const InodeId b = w.at("b");
  for (int i = 0; i < 20'000; ++i) ASSERT_TRUE(w.fs().mknod(b, std::to_string(i), 0100644, 0, w.caller));
  w.remount();
  size_t count = 0;
  SystemClock clock;
  const int64_t start = clock.monotonic_ns();
  for (uint64_t cookie = 0;;) {
    const auto part = some(w, b, cookie, 50);
    if (part.empty()) break;
    count += part.size();
    cookie = part.back().cookie;
  }
  EXPECT_EQ(count, 20'002u);
  EXPECT_LT(clock.monotonic_ns() - start, 10'000'000'000);
}

}  // namespace
}  // namespace stavefs::test
