// The host's file of a pool: what is saved is read back; what a person mistypes is refused with line, column
// and the word that was meant; a failed save leaves the old file.

#include "control/host_config.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "tests/unit/control/scratch_directory.h"

namespace stavefs {
namespace {

using testing_support::ScopedVariable;
using testing_support::ScratchDirectory;

constexpr const char* kId = "01234567-89ab-4def-8123-456789abcdef";

HostConfig example() {
  HostConfig config;
  config.name = "tank";
  config.id = Uuid::parse(kId).value();
  config.disks = {"/disks/1", "/disks/with space", "/disks/\"quoted\" \\ back", "/disks/Grün"};
  config.mount_point = "/tank";
  return config;
}

std::string error_of(const std::string& text) {
  const auto parsed = parse_host_config(text, "tank.toml");
  if (parsed) return "";
  EXPECT_EQ(parsed.error().code(), ErrorCode::kInvalid);
  return parsed.error().message();
}

TEST(HostConfig, WhatIsFormattedIsReadBack) {
  HostConfig config = example();
  for (const uint64_t memory : {kMinMemoryBytes, kMinMemoryBytes + 1, uint64_t{300'000} << 10,
                                uint64_t{2} << 30, uint64_t{1} << 40}) {
    config.memory_bytes = memory;
    const auto back = parse_host_config(format_host_config(config), "x");
    ASSERT_TRUE(back) << back.error().message();
    EXPECT_EQ(*back, config);
  }
  config.mount_point.clear();
  EXPECT_EQ(parse_host_config(format_host_config(config), "x").value(), config);
}

TEST(HostConfig, MistakesAreNamedWithLineAndColumn) {
  const std::string good = "name = \"tank\"\ndisks = [\"/d\"]\n";
  EXPECT_EQ(error_of(good), "");
  EXPECT_EQ(error_of(good + "mount_piont = \"/m\"\n"),
            "tank.toml:3:1: unknown key \"mount_piont\"; did you mean \"mount_point\"?");
  EXPECT_EQ(error_of(good + "frobnicate = 1\n"), "tank.toml:3:1: unknown key \"frobnicate\"");
  EXPECT_EQ(error_of(good + "memory = \"1M\"\n"), "tank.toml:3:10: memory must be at least 256 MiB");
  EXPECT_EQ(error_of(good + "memory = 5\n"), "tank.toml:3:10: memory must be a string");
  EXPECT_EQ(error_of("name = \"tank\"\ndisks = []\n"), "tank.toml:2:9: disks must be a list of directories");
  EXPECT_EQ(error_of("name = \"tank\"\ndisks = [\"/d\", 7]\n"),
            "tank.toml:2:16: a disk must be the path of a directory");
  EXPECT_EQ(error_of("name = \"tank\"\ndisks = [\"d\"]\n"),
            "tank.toml:2:10: the path of a disk must start with \"/\"");
  EXPECT_EQ(error_of(good + "mount_point = \"tank\"\n"), "tank.toml:3:15: mount_point must start with \"/\"");
  EXPECT_EQ(error_of("name = \"tank\"\n"), "tank.toml: name and disks are required");
  EXPECT_TRUE(error_of(good + "id = \"7\"\n").starts_with("tank.toml:3:6: "));
  EXPECT_TRUE(error_of("name = \n").starts_with("tank.toml:1:"));
  EXPECT_TRUE(error_of("name = \"tank\"\nname = \"tank\"\n").starts_with("tank.toml:2:"));
}

TEST(HostConfig, LoadNamesTheNearestPoolAndRefusesAFileOfAnotherOne) {
  const ScratchDirectory scratch;
  const ScopedVariable config("STAVEFS_CONFIG_DIR", scratch.path().c_str());
  ASSERT_TRUE(save_host_config(example()));
  EXPECT_EQ(load_host_config("tank").value(), example());

  const auto misspelt = load_host_config("tnak");
  ASSERT_FALSE(misspelt);
  EXPECT_EQ(misspelt.error().code(), ErrorCode::kNotFound);
  EXPECT_NE(misspelt.error().message().find("did you mean \"tank\"?"), std::string::npos);
  const auto unknown = load_host_config("archive");
  ASSERT_FALSE(unknown);
  EXPECT_NE(unknown.error().message().find("stavefs create archive"), std::string::npos);

  std::filesystem::copy_file(scratch / "tank.toml", scratch / "other.toml");
  const auto renamed = load_host_config("other");
  ASSERT_FALSE(renamed);
  EXPECT_EQ(renamed.error().code(), ErrorCode::kInvalid);
}

TEST(HostConfig, SaveReplacesWholeAndLeavesNothingBeside) {
  const ScratchDirectory scratch;
  const ScopedVariable config("STAVEFS_CONFIG_DIR", (scratch / "made/on demand").c_str());
  HostConfig saved = example();
  ASSERT_TRUE(save_host_config(saved));
  saved.disks.resize(1);
  saved.mount_point = "/elsewhere";
  ASSERT_TRUE(save_host_config(saved));
  EXPECT_EQ(load_host_config("tank").value(), saved);
  int files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(scratch / "made/on demand")) {
    (void)entry;
    ++files;
  }
  EXPECT_EQ(files, 1);
}

TEST(HostConfig, WhatCannotBeReadBackIsNotSaved) {
  const ScratchDirectory scratch;
  const ScopedVariable config("STAVEFS_CONFIG_DIR", scratch.path().c_str());
  ASSERT_TRUE(save_host_config(example()));
  HostConfig bad = example();
  bad.disks.push_back("/disks/\xff\xfe");
  EXPECT_EQ(check_host_config(bad).error().code(), ErrorCode::kInvalid);
  EXPECT_FALSE(save_host_config(bad));
  bad = example();
  bad.disks.push_back("relative");
  EXPECT_FALSE(save_host_config(bad));
  EXPECT_EQ(load_host_config("tank").value(), example()) << "the old file must stay";
}

TEST(HostConfig, FailedSaveKeepsTheOldFile) {
  const ScratchDirectory scratch;
  const ScopedVariable config("STAVEFS_CONFIG_DIR", scratch.path().c_str());
  ASSERT_TRUE(save_host_config(example()));
  // The temporary file cannot be made: a directory stands in its place.
  std::filesystem::create_directory(scratch / "tank.toml.new");
  HostConfig next = example();
  next.mount_point = "/elsewhere";
  EXPECT_FALSE(save_host_config(next));
  EXPECT_EQ(load_host_config("tank").value(), example());
}

TEST(Bytes, SizesArePowersOf1024AndOverflowIsRefused) {
  const std::pair<const char*, uint64_t> good[] = {
      {"1", 1},
      {"512K", 512u << 10},
      {"50M", 50u << 20},
      {"50m", 50u << 20},
      {"2G", uint64_t{2} << 30},
      {"2GiB", uint64_t{2} << 30},
      {"2GB", uint64_t{2} << 30},
      {"1T", uint64_t{1} << 40},
      {"4194304T", uint64_t{1} << 62},
  };
  for (const auto& [text, bytes] : good) EXPECT_EQ(parse_bytes(text).value_or(0), bytes) << text;
  for (const char* text : {"", "0", "-1", "M", "1X", "1 G", "1.5G", "2Gi", "1MM", "0x10", "4194305T",
                           "18446744073709551616", "9223372036854775807K"}) {
    EXPECT_FALSE(parse_bytes(text)) << text;
  }
}

TEST(Bytes, FormattedWithOneDecimalBelowAHundred) {
  EXPECT_EQ(format_bytes(0), "0 B");
  EXPECT_EQ(format_bytes(1023), "1023 B");
  EXPECT_EQ(format_bytes(1024), "1.0 KiB");
  EXPECT_EQ(format_bytes(1536), "1.5 KiB");
  EXPECT_EQ(format_bytes(uint64_t{100} << 20), "100 MiB");
  EXPECT_EQ(format_bytes(uint64_t{3} << 40), "3.0 TiB");
  EXPECT_EQ(format_bytes(UINT64_MAX), "16384 PiB");
}

}  // namespace
}  // namespace stavefs
