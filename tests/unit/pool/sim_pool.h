// A pool on a simulated machine, for the tests of pool and journal.

#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <set>
#include <string>
#include <vector>

#include "base/log.h"
#include "disk/sim/sim_disk.h"
#include "pool/pool.h"

namespace stavefs {

/// The faults of these tests would fill the log.
inline void silence_log() { log_to_file("/dev/null"); }

/// Lends a disk of a SimWorld to a pool.
class BorrowedDisk final : public Disk {
 public:
  explicit BorrowedDisk(Disk& disk) : disk_(disk) {}
  Result<std::unique_ptr<DiskFile>> open(std::string_view name, const OpenOptions& options) override {
    return disk_.open(name, options);
  }
  Status remove(std::string_view name) override { return disk_.remove(name); }
  Status rename(std::string_view from, std::string_view to) override { return disk_.rename(from, to); }
  Result<std::vector<std::string>> list(std::string_view directory) override { return disk_.list(directory); }
  Status sync_names(std::string_view directory) override { return disk_.sync_names(directory); }
  Result<DiskSpace> space() override { return disk_.space(); }
  std::string describe() const override { return disk_.describe(); }
  Status probe() override { return disk_.probe(); }

 private:
  Disk& disk_;
};

/// A witness whose store can be made to fail.
class TestWitness final : public Witness {
 public:
  Result<std::optional<Value>> load() override { return value; }
  Status store(const Value& next) override {
    if (fail) return Error(ErrorCode::kNoSpace, ENOSPC, "witness");
    value = next;
    ++stores;
    return ok();
  }
  std::optional<Value> value;
  bool fail = false;
  int stores = 0;
};

constexpr uint64_t kTestDiskBytes = uint64_t{256} << 20;

inline PoolConfig test_config(Geometry geometry, uint64_t ring_bytes = 64 << 10) {
  Rng rng(99);
  PoolConfig config;
  config.id = Uuid::random(rng);
  config.name = "tank";
  config.geometry = geometry;
  config.segment_bytes = 4 << 20;
  config.ring_bytes = ring_bytes;
  config.metadata_copies = static_cast<uint8_t>(geometry.parity + 1);
  config.created_ns = 1'700'000'000'000'000'000;
  return config;
}

inline std::string path_of(int disk) { return "/disk" + std::to_string(disk); }

inline Status format_test_pool(sim::SimWorld& world, const PoolConfig& config, uint64_t seed) {
  std::vector<Pool::NewDisk> disks;
  for (int i = 0; i < world.disk_count(); ++i) disks.push_back({&world.disk(i), path_of(i), kTestDiskBytes});
  Rng rng(seed);
  return Pool::format(config, disks, world.engine(), rng);
}

/// Opens a pool on the disks of `world` that are not in `without`.
inline Result<std::unique_ptr<Pool>> open_test_pool(sim::SimWorld& world, Witness& witness, uint64_t seed,
                                                    const std::set<int>& without = {},
                                                    const Pool::OpenOptions& options = {}) {
  std::vector<Pool::Attached> disks;
  for (int i = 0; i < world.disk_count(); ++i)
    if (!without.contains(i)) disks.push_back({std::make_unique<BorrowedDisk>(world.disk(i)), path_of(i)});
  Rng rng(seed);
  return Pool::open(std::move(disks), world.engine(), witness, rng, options);
}

/// The epoch after the newest, with the same members less `without`.
inline EpochRecord next_epoch(const Pool& pool, const std::set<uint16_t>& without = {}) {
  EpochRecord next = pool.epoch();
  next.epoch = next.epoch.next();
  next.clean = false;
  std::erase_if(next.members, [&](DiskSlot slot) { return without.contains(slot.value); });
  return next;
}

/// The bytes of some files of a disk, to be put back later.
struct DiskImage {
  std::vector<std::pair<std::string, std::string>> files;
};

inline DiskImage take_image(sim::SimWorld& world, int disk, const std::vector<std::string>& names) {
  DiskImage image;
  for (const std::string& name : names) {
    Result<std::string> bytes = world.contents(disk, name);
    EXPECT_TRUE(bytes) << name;
    if (bytes) image.files.emplace_back(name, std::move(*bytes));
  }
  return image;
}

inline void put_image(sim::SimWorld& world, int disk, const DiskImage& image) {
  for (const auto& [name, bytes] : image.files) {
    auto file = world.disk(disk).open(name, {.create = true, .truncate = true});
    ASSERT_TRUE(file) << file.error().to_text();
    std::string copy = bytes;
    IoRequest write{.file = file->get(),
                    .kind = IoKind::kWrite,
                    .data = reinterpret_cast<uint8_t*>(copy.data()),
                    .bytes = static_cast<uint32_t>(copy.size()),
                    .durable = true};
    ASSERT_TRUE(run_one(world.engine(), write));
    ASSERT_TRUE(run_one(world.engine(), {.file = file->get(), .kind = IoKind::kSync}));
  }
  ASSERT_TRUE(world.disk(disk).sync_names(""));
}

constexpr sim::CrashMode kCrashModes[] = {sim::CrashMode::kDropAll, sim::CrashMode::kKeepAll,
                                          sim::CrashMode::kRandom, sim::CrashMode::kPrefix,
                                          sim::CrashMode::kSingle};

/// EXPECT_OK(status): shows the error.
#define EXPECT_OK(expr)                                                  \
  do {                                                                   \
    const auto& expect_ok_result = (expr);                               \
    EXPECT_TRUE(expect_ok_result) << expect_ok_result.error().to_text(); \
  } while (false)
#define ASSERT_OK(expr)                                                  \
  do {                                                                   \
    const auto& assert_ok_result = (expr);                               \
    ASSERT_TRUE(assert_ok_result) << assert_ok_result.error().to_text(); \
  } while (false)
#define EXPECT_CODE(expr, expected)                                                \
  do {                                                                             \
    const auto& expect_code_result = (expr);                                       \
    if (expect_code_result) {                                                      \
      ADD_FAILURE() << #expr " succeeded";                                         \
    } else {                                                                       \
      EXPECT_EQ(to_string(expect_code_result.error().code()), to_string(expected)) \
          << expect_code_result.error().to_text();                                 \
    }                                                                              \
  } while (false)

}  // namespace stavefs
