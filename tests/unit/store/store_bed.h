// A store on a simulated machine, with a naive model of what it must hold: every piece that was committed,
// byte for byte.

#pragma once

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "base/log.h"
#include "disk/sim/sim_disk.h"
#include "index/keys.h"
#include "store/store.h"

namespace stavefs::test {

/// Lends a disk of a SimWorld to a pool.
class LentDisk final : public Disk {
 public:
  explicit LentDisk(Disk& disk) : disk_(disk) {}
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

/// A stored range of a file and what it must read as.
struct Stored {
  InodeId inode;
  uint64_t offset = 0;
  Extent extent;
  std::string bytes;
  Lsn lsn;  ///< of the commit that brought it
};

struct BedOptions {
  Geometry geometry{4, 2};
  int disks = 6;
  uint32_t segments = 24;  ///< per disk
  uint64_t host_bytes = uint64_t{512} << 20;
  ChecksumKind checksum = ChecksumKind::kXxh3;
};

class StoreBed {
 public:
  using Options = BedOptions;
  explicit StoreBed(uint64_t seed, const Options& options = {});
  /// After a power cut: the disks of `other` resolved by `mode`.  The model is `other`'s; forget_undurable()
  /// cuts it.
  StoreBed(StoreBed& other, uint64_t seed, sim::CrashMode mode);
  ~StoreBed() { stop(); }

  static constexpr uint32_t kSegmentBytes = 4u << 20;

  Status start(const std::set<int>& without = {});
  void stop();
  /// Stops as a killed process does and starts again.
  Status restart(const std::set<int>& without = {}) {
    stop();
    return start(without);
  }

  sim::SimWorld& world() { return *world_; }
  Pool& pool() { return *pool_; }
  Ledger& ledger() { return *ledger_; }
  Store& store() { return *store_; }
  Rng& rng() { return rng_; }
  const Options& options() const { return options_; }
  std::vector<Stored>& stored() { return stored_; }

  std::string random_bytes(size_t size);
  /// Pieces of random sizes around the interesting ones, at most `total` bytes together.
  std::vector<std::string> random_pieces(size_t total);

  /// Writes, flushes and commits the pieces as one session, and notes them in the model.
  Status put(const std::vector<std::string>& pieces, Temperature temperature = Temperature::kLarge);
  /// The steps of put(), for tests that stop between them.
  Status write(WriteSession& session, const std::vector<std::string>& pieces, std::vector<Stored>& out);
  Status commit(WriteSession& session, std::vector<Stored> pieces);
  /// Drops stored()[index] from the store and the model.
  Status drop(size_t index);

  Status read(const Stored& stored, uint64_t offset, std::span<uint8_t> out, bool zero_copy = false);
  /// Reads all of it in one of several ways; "" when it is right.
  std::string check(const Stored& stored);
  /// Checks everything in the model.
  void check_all(const char* when);

  /// Makes the index's extents the model: after a crash, what is there must be right, byte for byte.  A
  /// failure when one of them was never written, or one of the model committed at or before `durable` (and
  /// not dropped) is not there.
  void adopt_index(Lsn durable);

  /// Where the unit of `shard` of a stripe lies: disk, file, offset.  disk is -1 for an unplaced shard.
  struct Place {
    int disk = -1;
    std::string file;
    uint64_t offset = 0;
  };
  Place place(const ExtentAddress& address, uint32_t shard);
  /// Overwrites bytes on a disk behind the store's back.
  void overwrite(int disk, const std::string& file, uint64_t offset, const std::string& bytes);
  uint64_t checksum_errors(int disk);
  uint64_t checksum_errors();

  DiskSlot slot(int disk) const { return DiskSlot(static_cast<uint16_t>(disk)); }
  /// All groups named by the model.
  std::set<GroupId> groups() const;
  std::vector<std::pair<std::string, std::string>> index_entries(const std::string& prefix);

 private:
  Options options_;
  Rng rng_;
  Rng store_rng_{1};
  SystemClock clock_;
  BufferPool buffers_{size_t{64} << 20};
  std::unique_ptr<sim::SimWorld> world_;
  std::unique_ptr<Witness> witness_ = make_memory_witness();
  std::unique_ptr<Pool> pool_;
  std::unique_ptr<Ledger> ledger_;
  std::unique_ptr<Store> store_;
  std::vector<Stored> stored_;
  std::map<std::string, Stored> history_;  // everything ever committed or about to be, by key
  uint64_t next_inode_ = 100;
};

}  // namespace stavefs::test
