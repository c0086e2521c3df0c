// Everything under FileDataManager for a test: simulated disks, a pool, a ledger and a store, which is the
// real one or a fake; opened, crashed and opened again at will.

#pragma once

#include <gtest/gtest.h>

#include <atomic>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "disk/sim/sim_disk.h"
#include "fake_store.h"
#include "fs/extent_map.h"
#include "fs/file_data.h"
#include "index/keys.h"
#include "journal/journal.h"
#include "pool/pool.h"

namespace stavefs {

/// A Disk of a simulated world seen as one that a pool may own.
class BorrowedDisk final : public Disk {
 public:
  explicit BorrowedDisk(Disk& inner) : inner_(inner) {}
  Result<std::unique_ptr<DiskFile>> open(std::string_view name, const OpenOptions& options) override {
    return inner_.open(name, options);
  }
  Status remove(std::string_view name) override { return inner_.remove(name); }
  Status rename(std::string_view from, std::string_view to) override { return inner_.rename(from, to); }
  Result<std::vector<std::string>> list(std::string_view directory) override {
    return inner_.list(directory);
  }
  Status sync_names(std::string_view directory) override { return inner_.sync_names(directory); }
  Result<DiskSpace> space() override { return inner_.space(); }
  std::string describe() const override { return inner_.describe(); }
  Status probe() override { return inner_.probe(); }

 private:
  Disk& inner_;
};

/// Time that the test moves; each look is a nanosecond later.
class ManualClock final : public Clock {
 public:
  int64_t realtime_ns() const override { return 1'700'000'000'000'000'000 + now_.fetch_add(1); }
  int64_t monotonic_ns() const override { return now_.fetch_add(1); }
  void advance(int64_t ns) { now_ += ns; }

 private:
  mutable std::atomic<int64_t> now_{1};
};

class DataBed {
 public:
  static constexpr int kDisks = 3;
  static constexpr BucketId kBucket{7};

  enum class Backing { kFake, kReal };

  explicit DataBed(uint64_t seed, FileDataManager::Options options = quiet(),
                   Backing backing = Backing::kFake)
      : options_(options),
        backing_(backing),
        rng_(seed),
        world_(seed, kDisks, uint64_t{256} << 20),
        store_(seed) {}
  ~DataBed() {
    if (data_) power_off();
  }

  /// Nothing happens by itself.
  static FileDataManager::Options quiet() {
    FileDataManager::Options options;
    options.threads = 0;
    options.max_dirty_bytes = uint64_t{8} << 20;
    options.flush_above_bytes = uint64_t{4} << 20;
    return options;
  }

  void format() {
    PoolConfig config;
    config.id = Uuid::random(rng_);
    config.name = "sim";
    config.geometry = {2, 1};
    config.segment_bytes = 4u << 20;
    config.ring_bytes = 4u << 20;
    config.metadata_copies = 2;
    std::vector<Pool::NewDisk> disks;
    for (int i = 0; i < kDisks; ++i) {
      disks.push_back({&world_.disk(i), "sim" + std::to_string(i), uint64_t{200} << 20});
      if (i < config.metadata_copies) {
        ASSERT_TRUE(Journal::format(world_.disk(i), world_.engine(), config.ring_bytes));
      }
    }
    const Status formatted = Pool::format(config, disks, world_.engine(), rng_);
    ASSERT_TRUE(formatted) << formatted.error().to_text();
  }

  void open() {
    std::vector<Pool::Attached> disks;
    for (int i = 0; i < kDisks; ++i) {
      disks.push_back({std::make_unique<BorrowedDisk>(world_.disk(i)), "sim" + std::to_string(i)});
    }
    auto pool = Pool::open(std::move(disks), world_.engine(), *witness_, rng_, {});
    ASSERT_TRUE(pool) << pool.error().to_text();
    pool_ = std::move(*pool);
    Ledger::Options ledger_options;
    ledger_options.index_cache_bytes = 8u << 20;
    ledger_options.memtable_bytes = 1u << 20;
    auto ledger = Ledger::open(*pool_, ledger_options);
    ASSERT_TRUE(ledger) << ledger.error().to_text();
    ledger_ = std::move(*ledger);
    if (backing_ == Backing::kReal) {
      Store::Options store_options;
      store_options.stripe_buffer_bytes = 8u << 20;
      auto store = Store::open(*pool_, *ledger_, buffers_, clock_, rng_, store_options);
      ASSERT_TRUE(store) << store.error().to_text();
      real_store_ = std::move(*store);
    }
    inodes_ = std::make_unique<InodeCache>(*ledger_, 1000);
    data_ = std::make_unique<FileDataManager>(
        *ledger_, real_store_ ? *real_store_ : store_, *inodes_, buffers_, clock_,
        [](BucketId) {
          return BucketPolicy{{2, 1}, ChecksumKind::kXxh3};
        },
        options_);
    const Status adopted = data_->adopt(ledger_->take_recovered_data());
    ASSERT_TRUE(adopted) << adopted.error().to_text();
    data_->start();
  }

  /// Stops cleanly.
  void close() {
    const Status flushed = data_->flush_all();
    ASSERT_TRUE(flushed) << flushed.error().to_text();
    data_->stop();
    EXPECT_EQ(store_.reserved(), 0U);
    EXPECT_EQ(data_->dirty_bytes(), 0U);
    data_.reset();
    inodes_.reset();
    real_store_.reset();
    const Status closed = ledger_->close();
    ASSERT_TRUE(closed) << closed.error().to_text();
    ledger_.reset();
    pool_.reset();
  }

  /// The machine loses power now, at the latest; opened again with open().
  void crash(sim::CrashMode mode) {
    world_.crash_at(world_.step_count() + 1);
    power_off();
    world_.restart(mode);
    store_.crash();
  }

  /// The store frees what is dead.
  void upkeep() {
    if (real_store_ == nullptr) return store_.free_dead(*ledger_);
    const Status kept = real_store_->maintain();
    ASSERT_TRUE(kept) << kept.error().to_text();
  }

  /// A regular, empty file without a name, durable.
  InodeRef make_file(uint64_t number) {
    const auto inode = std::make_shared<Inode>(InodeId(number));
    inode->record.mode = 0100644;
    inode->record.nlink = 1;
    inode->record.bucket = kBucket;
    inode->record.mtime = clock_.realtime_ns();
    Change change;
    change.index().put(keys::inode(inode->id), inode->record_to_store().encode());
    const auto lsn = ledger_->commit(change);
    EXPECT_TRUE(lsn);
    EXPECT_TRUE(ledger_->sync(*lsn));
    inode->last_lsn = *lsn;
    inodes_->insert(inode);
    return inode;
  }

  InodeRef file(uint64_t number) {
    auto inode = inodes_->get(InodeId(number));
    EXPECT_TRUE(inode) << inode.error().to_text();
    return inode ? *inode : nullptr;
  }

  /// As setattr does it.
  Status truncate(const InodeRef& inode, uint64_t size) {
    for (;;) {
      TRY(ledger_->admit());
      {
        const InodeLocks locks({inode.get()});
        Change change;
        ASSIGN_OR_RETURN(const bool done, data_->truncate(*inode, size, change));
        if (done) {
          if (change.empty()) return ok();
          ASSIGN_OR_RETURN(const Lsn lsn, ledger_->commit(change));
          data_->committed(*inode, lsn);
          return ok();
        }
      }
      TRY(data_->flush(inode));
    }
  }

  /// As the last unlink does it.
  Status remove(const InodeRef& inode) {
    TRY(ledger_->admit());
    const InodeLocks locks({inode.get()});
    Change change;
    TRY(data_->remove_all(*inode, change));
    change.index().erase(keys::inode(inode->id));
    inode->deleted = true;
    ASSIGN_OR_RETURN(const Lsn lsn, ledger_->commit(change));
    data_->committed(*inode, lsn);
    inodes_->erase(inode->id);
    return ok();
  }

  Status write(const InodeRef& inode, uint64_t offset, const std::string& bytes) {
    ASSIGN_OR_RETURN(
        const uint64_t at,
        data_->write(inode, offset, {reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()}));
    EXPECT_EQ(at, offset);
    return ok();
  }

  /// The whole file, read in one go, in place when `aligned`.
  Result<std::string> content(const InodeRef& inode, bool aligned = false) {
    AlignedBuffer buffer((uint64_t{1} << 20) + 2 * kPageBytes);
    std::string text;
    for (;;) {
      std::memset(buffer.data(), 0xee, buffer.size());
      const auto out = aligned ? buffer.span() : buffer.span().subspan(13, buffer.size() - 100);
      ASSIGN_OR_RETURN(const size_t n, data_->read(inode, text.size(), out, aligned));
      text.append(reinterpret_cast<const char*>(out.data()), n);
      if (n < out.size()) return text;
    }
  }

  std::vector<ExtentEntry> extents(InodeId inode) {
    const FileRange all{0, kToEnd};
    auto entries = load_extents(*ledger_, inode, {&all, 1});
    EXPECT_TRUE(entries) << entries.error().to_text();
    return entries ? *entries : std::vector<ExtentEntry>();
  }

  /// Counts kept by deltas equal what a scan of everything gives; `sizes` are the files' committed sizes.
  void check_counts(const std::vector<uint64_t>& numbers) {
    std::map<GroupId, int64_t> live;
    int64_t bytes = 0;
    for (const uint64_t number : numbers) {
      const InodeRef inode = file(number);
      ASSERT_NE(inode, nullptr);
      uint64_t covered = 0;
      uint64_t end = 0;
      for (const ExtentEntry& entry : extents(inode->id)) {
        ASSERT_GE(entry.offset, end) << "overlapping extents";
        end = entry.end();
        covered += entry.extent.length;
        live[entry.extent.address.group] += static_cast<int64_t>(entry.extent.length);
      }
      ASSERT_LE(end, inode->stored_size);
      ASSERT_EQ(covered, inode->record.stored_bytes) << "inode " << number;
      bytes += static_cast<int64_t>(inode->stored_size);
    }
    for (uint64_t group = 1; group < 4000; ++group) {
      const auto found = live.find(GroupId(group));
      ASSERT_EQ(ledger_->live_bytes(GroupId(group)), found == live.end() ? 0 : found->second)
          << "group " << group;
    }
    ASSERT_EQ(ledger_->usage(kBucket).bytes, bytes);
  }

  FileDataManager& data() { return *data_; }
  FakeStore& store() { return store_; }
  Ledger& ledger() { return *ledger_; }
  InodeCache& inodes() { return *inodes_; }
  ManualClock& clock() { return clock_; }
  BufferPool& buffers() { return buffers_; }
  sim::SimWorld& world() { return world_; }
  bool running() const { return data_ != nullptr; }

 private:
  void power_off() {
    data_->stop();
    data_.reset();
    inodes_.reset();
    real_store_.reset();
    ledger_.reset();
    pool_.reset();
  }

  const FileDataManager::Options options_;
  const Backing backing_;
  Rng rng_;
  sim::SimWorld world_;
  FakeStore store_;
  BufferPool buffers_{uint64_t{64} << 20};
  ManualClock clock_;
  std::unique_ptr<Witness> witness_ = make_memory_witness();
  std::unique_ptr<Pool> pool_;
  std::unique_ptr<Ledger> ledger_;
  std::unique_ptr<Store> real_store_;
  std::unique_ptr<InodeCache> inodes_;
  std::unique_ptr<FileDataManager> data_;
};

}  // namespace stavefs
