// Where a host's files are, and the "did you mean" of every command: the right place for each kind of user, a
// place that stays when the daemon changes its directory, and suggestions that are near and never wild.

#include "control/paths.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

#include "tests/unit/control/scratch_directory.h"

namespace stavefs {
namespace {

using testing_support::ScopedVariable;
using testing_support::ScratchDirectory;

TEST(Paths, OverridesWinForEveryUser) {
  const ScopedVariable config("STAVEFS_CONFIG_DIR", "/a/config");
  const ScopedVariable state("STAVEFS_STATE_DIR", "/a/state");
  const ScopedVariable run("STAVEFS_RUN_DIR", "/a/run");
  EXPECT_EQ(config_path("tank"), "/a/config/tank.toml");
  EXPECT_EQ(witness_path("tank"), "/a/state/tank.witness");
  EXPECT_EQ(socket_path("tank"), "/a/run/tank.sock");
}

TEST(Paths, DefaultsAreTheSystemsForRootAndTheUsersOwnOtherwise) {
  const ScopedVariable config("STAVEFS_CONFIG_DIR", nullptr);
  const ScopedVariable state("STAVEFS_STATE_DIR", nullptr);
  const ScopedVariable run("STAVEFS_RUN_DIR", nullptr);
  const ScopedVariable home("HOME", "/home/u");
  const ScopedVariable xdg_config("XDG_CONFIG_HOME", nullptr);
  const ScopedVariable xdg_state("XDG_STATE_HOME", "relative/is/ignored");
  const ScopedVariable xdg_run("XDG_RUNTIME_DIR", "/run/user/7");
  const bool root = geteuid() == 0;
  EXPECT_EQ(config_directory(), root ? "/etc/stavefs" : "/home/u/.config/stavefs");
  EXPECT_EQ(state_directory(), root ? "/var/lib/stavefs" : "/home/u/.local/state/stavefs");
  EXPECT_EQ(run_directory(), root ? "/run/stavefs" : "/run/user/7/stavefs");
}

// A daemon leaves the directory in which it was started; relative overrides must not move with it.
TEST(Paths, RelativeOverrideStaysWhereItWasAfterChdir) {
  const ScratchDirectory scratch;
  const std::string old = std::filesystem::current_path().string();
  const ScopedVariable config("STAVEFS_CONFIG_DIR", "c");
  const ScopedVariable state("STAVEFS_STATE_DIR", "./s/../s");
  const ScopedVariable run("STAVEFS_RUN_DIR", "r");
  std::filesystem::current_path(scratch.path());
  const std::string here = std::filesystem::current_path().string();
  EXPECT_EQ(config_directory(), here + "/c");
  pin_directories();
  std::filesystem::current_path("/");
  EXPECT_EQ(config_directory(), here + "/c");
  EXPECT_EQ(state_directory(), here + "/s");
  EXPECT_EQ(run_directory(), here + "/r");
  std::filesystem::current_path(old);
}

TEST(Paths, KnownPoolsAreTheTomlFilesSorted) {
  const ScratchDirectory scratch;
  const ScopedVariable config("STAVEFS_CONFIG_DIR", scratch.path().c_str());
  EXPECT_TRUE(known_pools().empty());
  for (const char* name : {"zebra.toml", "ant.toml", "ant.toml.new", "notes.txt"}) scratch.write(name, "");
  EXPECT_EQ(known_pools(), (std::vector<std::string>{"ant", "zebra"}));
  const ScopedVariable missing("STAVEFS_CONFIG_DIR", (scratch / "missing").c_str());
  EXPECT_TRUE(known_pools().empty());
}

TEST(Paths, MakeDirectoriesMakesParentsAndSaysWhatIsInTheWay) {
  const ScratchDirectory scratch;
  EXPECT_TRUE(make_directories(scratch / "a/b/c"));
  EXPECT_TRUE(std::filesystem::is_directory(scratch / "a/b/c"));
  EXPECT_TRUE(make_directories(scratch / "a/b/c"));
  scratch.write("file", "x");
  const auto failed = make_directories(scratch / "file/below");
  ASSERT_FALSE(failed);
  EXPECT_NE(failed.error().message().find("file/below"), std::string::npos);
}

TEST(Nearest, FindsWhatIsNearAndNothingElse) {
  const std::vector<std::string> commands = {"create", "mount", "umount", "status", "disk", "bucket", "info"};
  const std::pair<const char*, const char*> cases[] = {
      {"create", "create"},
      {"craete", "create"},
      {"statsu", "status"},
      {"stat", ""},
      {"mont", "mount"},
      {"unmount", "umount"},
      {"dsk", "disk"},
      {"buckets", "bucket"},
      {"frobnicate", ""},
      {"x", ""},
      {"", ""},
      {"zzzz", ""},
  };
  for (const auto& [word, expected] : cases) {
    EXPECT_EQ(nearest(word, commands), expected) << word;
  }
  EXPECT_EQ(nearest("tank", {}), "");
}

}  // namespace
}  // namespace stavefs
