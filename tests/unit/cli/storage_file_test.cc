// The [storage] table of `create --storage`: every key of the interface is either obeyed or refused with its
// place and reason; nothing is silently ignored.

#include "tools/stavefs/storage_file.h"

#include <gtest/gtest.h>

namespace stavefs::cli {
namespace {

std::string error_of(const std::string& text, ErrorCode code = ErrorCode::kInvalid) {
  const auto parsed = parse_storage(text, "s.toml");
  if (parsed) return "(accepted)";
  EXPECT_EQ(parsed.error().code(), code) << text;
  return parsed.error().message();
}
std::string shape_of(const std::string& text) {
  const auto parsed = parse_storage("[storage]\n" + text, "s.toml");
  if (!parsed) return parsed.error().message();
  return parsed->geometry ? parsed->geometry->to_text() : "default";
}

TEST(StorageFile, ShapeFollowsFromAnySufficientKeys) {
  EXPECT_EQ(shape_of(""), "default");
  EXPECT_EQ(shape_of("data_drives = 4\nparity_drives = 2"), "4+2");
  EXPECT_EQ(shape_of("erasure_set_size = 12\ndata_drives = 8"), "8+4");
  EXPECT_EQ(shape_of("erasure_set_size = 12\nparity_drives = 4"), "8+4");
  EXPECT_EQ(shape_of("erasure_set_size = 6\ndata_drives = 4\nparity_drives = 2\nread_quorum = 4\n"
                     "write_quorum = 4"),
            "4+2");
  EXPECT_EQ(shape_of("data_drives = 8\nparity_drives = 8\nwrite_quorum = 9"), "8+8");
}

TEST(StorageFile, ImpossibleCombinationsSayWhy) {
  EXPECT_EQ(error_of("[storage]\ndata_drives = 8\nparity_drives = 4\nread_quorum = 6\n"),
            "s.toml:4:15: 8 data drives cannot be read from a quorum of 6: exactly 8 are needed");
  EXPECT_EQ(error_of("[storage]\ndata_drives = 8\nparity_drives = 8\nwrite_quorum = 8\n"),
            "s.toml:4:16: a write quorum of 8 is not offered for 8+8: it is always 9");
  EXPECT_EQ(error_of("[storage]\nerasure_set_size = 12\ndata_drives = 8\nparity_drives = 2\n"),
            "s.toml:2:20: erasure_set_size 12 is not data_drives 8 + parity_drives 2");
  EXPECT_EQ(error_of("[storage]\ndata_drives = 60\nparity_drives = 5\n"),
            "s.toml:2:15: data_drives and parity_drives are at most 64 together");
  EXPECT_NE(error_of("[storage]\ndata_drives = 4\n").find("go together"), std::string::npos);
  EXPECT_NE(error_of("[storage]\nerasure_set_size = 4\ndata_drives = 4\n").find("at least 1"),
            std::string::npos);
  EXPECT_NE(error_of("[storage]\nread_quorum = 4\n").find("are needed"), std::string::npos);
}

TEST(StorageFile, ValuesOutOfRangeAreRefusedWithTheirPlace) {
  EXPECT_EQ(error_of("[storage]\ndata_drives = 0\nparity_drives = 2\n"),
            "s.toml:2:15: data_drives must be a whole number from 1 to 63");
  for (const char* value : {"-1", "64", "4.0", "\"4\"", "true", "[4]"}) {
    EXPECT_TRUE(error_of(std::string("[storage]\ndata_drives = ") + value + "\nparity_drives = 2\n")
                    .starts_with("s.toml:2:15: data_drives must be"))
        << value;
  }
  EXPECT_TRUE(error_of("[storage]\nchecksum_algorithm = \"crc32\"\n").starts_with("s.toml:2:22: "));
  EXPECT_TRUE(error_of("[storage]\nbitrot_protection = 1\n").starts_with("s.toml:2:21: "));
}

TEST(StorageFile, ChecksumIsTaken) {
  EXPECT_EQ(parse_storage("[storage]\nchecksum_algorithm = \"sha256\"\n", "s")->checksum,
            ChecksumKind::kSha256);
  EXPECT_FALSE(parse_storage("[storage]\n", "s")->checksum.has_value());
}

// A promise that cannot be kept is an error, not a comment.
TEST(StorageFile, KeysThatThisVersionCannotObeyAreRefused) {
  for (const char* line :
       {"compression = \"zstd\"", "compression_level = 3", "healing_enabled = true",
        "automatic_healing = true", "healing_interval = \"1d\"", "bitrot_protection = false",
        "bitrot_check_interval = \"30d\"", "parallel_reads = 4", "read_buffer_size = 65536",
        "write_buffer_size = 65536", "concurrent_operations = 8", "small_object_threshold = 4096",
        "large_object_threshold = 1048576"}) {
    const std::string message = error_of(std::string("[storage]\n") + line + "\n", ErrorCode::kUnsupported);
    EXPECT_TRUE(message.starts_with("s.toml:2:")) << message;
  }
  for (const char* line : {"compression = \"none\"", "healing_enabled = false", "automatic_healing = false",
                           "bitrot_protection = true"}) {
    EXPECT_EQ(shape_of(line), "default");
  }
}

TEST(StorageFile, UnknownKeysNameTheNearest) {
  EXPECT_EQ(error_of("[storage]\ndata_drive = 4\n"),
            "s.toml:2:1: unknown key \"data_drive\"; did you mean \"data_drives\"?");
  EXPECT_EQ(error_of("[storage]\n\nfrobnicate = 4\n"), "s.toml:3:1: unknown key \"frobnicate\"");
  EXPECT_EQ(error_of("data_drives = 4\n"),
            "s.toml:1:1: unknown key \"data_drives\": everything stands in [storage]");
  EXPECT_TRUE(error_of("[storage]\n[network]\n").starts_with("s.toml:2:"));
  EXPECT_EQ(error_of(""), "s.toml: there is no [storage] table");
  EXPECT_TRUE(error_of("storage = 4\n").starts_with("s.toml:1:1: "));
  EXPECT_TRUE(error_of("[storage\n").starts_with("s.toml:1:"));
}

TEST(StorageFile, MissingFileIsAnError) {
  const auto missing = load_storage("/nonexistent/storage.toml");
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().errno_value(), ENOENT);
}

}  // namespace
}  // namespace stavefs::cli
