// The witness decides whether a minority of disks is the present: it must come back exactly, and a damaged
// one must be an error, never "no witness".

#include <fmt/core.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "pool/witness_format.h"
#include "tests/unit/pool/sim_pool.h"

namespace stavefs {
namespace {

Witness::Value example() {
  Witness::Value value;
  value.epoch = Epoch(0x0102030405060708);
  value.ticket = 0x1112131415161718;
  for (size_t i = 0; i < 16; ++i) value.fork.bytes[i] = static_cast<uint8_t>(0x20 + i);
  return value;
}

class TemporaryDirectory {
 public:
  TemporaryDirectory() {
    std::string name = (std::filesystem::temp_directory_path() / "witness-XXXXXX").string();
    path = mkdtemp(name.data());
  }
  ~TemporaryDirectory() { std::filesystem::remove_all(path); }
  std::string path;
};

TEST(WitnessFormat, BytesOnDiskHaveNotChanged) {
  const WitnessFields fields = encode_witness(example());
  std::string hex;
  for (const char c : bytes_of(fields)) hex += fmt::format("{:02x}", static_cast<uint8_t>(c));
  EXPECT_EQ(hex,
            "535441564557490a010000000000000008070605040302011817161514131211"
            "202122232425262728292a2b2c2d2e2f7fd294e81cdb07a6e80c9abfd5a8bfdf");
}

TEST(WitnessFormat, DamageIsAnErrorAndNewerSoftwareIsNamed) {
  WitnessFields fields = encode_witness(example());
  EXPECT_EQ(*decode_witness(bytes_of(fields)), example());
  std::string bytes(bytes_of(fields));
  for (size_t i = 0; i < bytes.size(); ++i) {
    std::string bad = bytes;
    bad[i] = static_cast<char>(bad[i] ^ 0x10);
    EXPECT_CODE(decode_witness(bad), ErrorCode::kCorrupt);
  }
  EXPECT_CODE(decode_witness(""), ErrorCode::kCorrupt);
  EXPECT_CODE(decode_witness(bytes + "x"), ErrorCode::kCorrupt);
  const auto rehash = [](WitnessFields& f) {
    const Hash128 hash = xxh3_128(&f, offsetof(WitnessFields, hash));
    f.hash[0] = hash.low;
    f.hash[1] = hash.high;
  };
  fields.version = 2;
  rehash(fields);
  EXPECT_CODE(decode_witness(bytes_of(fields)), ErrorCode::kUnsupported);
  fields.version = 1;
  fields.reserved[2] = 1;
  rehash(fields);
  EXPECT_CODE(decode_witness(bytes_of(fields)), ErrorCode::kCorrupt);
}

TEST(FileWitness, SurvivesItsObjectAndMakesItsDirectory) {
  TemporaryDirectory directory;
  const std::string path = directory.path + "/a/b/tank.witness";
  const auto first = make_file_witness(path);
  const auto none = first->load();
  ASSERT_OK(none);
  EXPECT_FALSE(none->has_value());
  ASSERT_OK(first->store(example()));
  Witness::Value next = example();
  next.epoch = next.epoch.next();
  ASSERT_OK(first->store(next));
  const auto back = make_file_witness(path)->load();
  ASSERT_OK(back);
  EXPECT_EQ(**back, next);
  EXPECT_FALSE(std::filesystem::exists(path + ".new"));
}

TEST(FileWitness, DamagedFileIsAnErrorThatNamesIt) {
  TemporaryDirectory directory;
  const std::string path = directory.path + "/tank.witness";
  std::ofstream(path) << "hello";
  const auto loaded = make_file_witness(path)->load();
  EXPECT_CODE(loaded, ErrorCode::kCorrupt);
  EXPECT_NE(loaded.error().message().find(path), std::string::npos);
}

TEST(FileWitness, AFileInTheWayOfItsDirectoryIsAnError) {
  TemporaryDirectory directory;
  std::ofstream(directory.path + "/a") << "x";
  EXPECT_FALSE(make_file_witness(directory.path + "/a/tank.witness")->store(example()));
}

}  // namespace
}  // namespace stavefs
