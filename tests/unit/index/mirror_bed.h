// A simulated machine with a mirrored directory on it, and what its callbacks were told.

#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "base/log.h"
#include "disk/sim/sim_disk.h"
#include "index/mirror_set.h"

namespace stavefs {

inline std::vector<DiskSlot> slots(std::initializer_list<int> numbers) {
  std::vector<DiskSlot> out;
  for (const int n : numbers) out.push_back(DiskSlot(static_cast<uint16_t>(n)));
  return out;
}

/// Slot n is disk n.  The callbacks behave like an epoch that can always be moved while power is on.
class MirrorBed {
 public:
  MirrorBed(uint64_t seed, int disks) : MirrorBed(std::make_unique<sim::SimWorld>(seed, disks, kDiskBytes)) {}
  explicit MirrorBed(std::unique_ptr<sim::SimWorld> world) : owned_(std::move(world)) {
    static const bool silent = log_to_file("/dev/null");  // the faults of these tests would fill the log
    EXPECT_TRUE(silent);
  }

  sim::SimWorld& world() { return *owned_; }

  MirrorOptions options(bool read_only = false) {
    MirrorOptions o;
    o.engine = &world().engine();
    o.seed = 7;
    o.read_only = read_only;
    o.disk = [this](DiskSlot slot) { return &world().disk(slot.value); };
    o.report = [this](DiskSlot, IoKind, int error, std::string_view) { io_errors += error != 0; };
    o.report_corrupt = [this](DiskSlot, std::string_view) { ++corrupt; };
    o.copy_failed = [this](DiskSlot slot) { return copy_failed(slot); };
    o.fenced = [this] { ++fenced; };
    return o;
  }
  Status copy_failed(DiskSlot slot) {
    if (world().crashed()) return Error(ErrorCode::kIo, EIO, "no power");
    std::lock_guard lock(mutex_);
    failed_.push_back(slot);
    return ok();
  }
  std::vector<DiskSlot> failed() const {
    std::lock_guard lock(mutex_);
    return failed_;
  }
  bool has_failed(DiskSlot slot) const { return std::ranges::count(failed(), slot) > 0; }

  std::atomic<int> io_errors{0};
  std::atomic<int> corrupt{0};
  std::atomic<int> fenced{0};

 private:
  static constexpr uint64_t kDiskBytes = uint64_t{1} << 30;
  std::unique_ptr<sim::SimWorld> owned_;
  mutable std::mutex mutex_;
  std::vector<DiskSlot> failed_;
};

inline std::unique_ptr<MirrorSet> open_set(MirrorBed& bed, const std::vector<DiskSlot>& members,
                                           bool read_only = false) {
  Result<std::unique_ptr<MirrorSet>> set = MirrorSet::open(bed.options(read_only), members);
  EXPECT_TRUE(set) << set.error().to_text();
  return set ? std::move(*set) : nullptr;
}

/// The whole file; empty optional when it cannot be read.
inline std::optional<std::string> contents(MirrorSet& set, const std::string& name) {
  Result<std::unique_ptr<MirrorReader>> reader = set.open_file(name);
  if (!reader) return std::nullopt;
  std::string bytes((*reader)->size(), '\0');
  const Result<size_t> got = (*reader)->read(0, bytes.size(), bytes.data());
  if (!got) return std::nullopt;
  bytes.resize(*got);
  return bytes;
}

inline std::string random_bytes(Rng& rng, size_t n) {
  std::string out(n, '\0');
  for (char& c : out) c = static_cast<char>(rng.next());
  return out;
}

inline void write_file(MirrorSet& set, const std::string& name, const std::string& bytes) {
  Result<std::unique_ptr<MirrorWriter>> writer = set.create(name);
  ASSERT_TRUE(writer);
  ASSERT_TRUE((*writer)->append(bytes));
  ASSERT_TRUE((*writer)->sync());
  ASSERT_TRUE((*writer)->close());
}

}  // namespace stavefs
