// Goal: sessions, readers, upkeep and a failing disk do not disturb each other.
// Method: threads that write, read back, drop and maintain at once; run it under the thread sanitizer too.

#include <gtest/gtest.h>

#include <atomic>
#include <cstring>
#include <thread>

#include "store_bed.h"

namespace stavefs::test {
namespace {

constexpr Geometry kGeometry{4, 2};

/// One writer: keeps some extents of its own and checks them.
class Worker {
 public:
  Worker(StoreBed& bed, uint64_t seed) : bed_(bed), rng_(seed), inode_(seed << 32) {}

  void run(int rounds) {
    for (int i = 0; i < rounds && fault_.empty(); ++i) {
      put();
      check();
      if (mine_.size() > 12) drop();
    }
  }
  const std::string& fault() const { return fault_; }

 private:
  void put() {
    std::vector<std::string> pieces(1 + rng_.below(4));
    std::vector<DataPiece> data;
    for (std::string& piece : pieces) {
      piece.assign(1 + rng_.below(rng_.one_in(4) ? 1500000 : 60000), static_cast<char>('a' + rng_.below(26)));
      std::memcpy(piece.data(), &inode_, std::min(piece.size(), sizeof inode_));
      data.push_back({InodeId(++inode_), 0, {reinterpret_cast<const uint8_t*>(piece.data()), piece.size()}});
    }
    const auto session =
        bed_.store().begin_write(kGeometry, ChecksumKind::kXxh3, static_cast<Temperature>(rng_.below(2)));
    std::vector<PlacedExtent> placed;
    Status status = session->write(data, placed);
    if (status) status = session->flush();
    if (!status) return fail(status.error());
    Change change;
    session->add_to(change);
    std::vector<Stored> stored;
    for (const PlacedExtent& extent : placed) {
      Stored& s = stored.emplace_back();
      s.inode = data[extent.piece].inode;
      s.offset = extent.piece_offset;
      s.extent.address = extent.address;
      s.extent.length = s.extent.expanded_length = extent.address.length;
      s.extent.checksums = extent.checksums;
      s.bytes = pieces[extent.piece].substr(extent.piece_offset, extent.address.length);
      change.index().put(keys::extent(s.inode, s.offset), s.extent.encode());
    }
    const auto committed = bed_.ledger().commit(change);
    if (!committed) return fail(committed.error());
    session->committed();
    for (Stored& s : stored) mine_.push_back(std::move(s));
  }

  void check() {
    for (const Stored& s : mine_) {
      const GroupPin pin = bed_.store().pin(s.extent.address.group);
      std::vector<uint8_t> out(s.bytes.size());
      const ExtentRead read{&s.extent, 0, out, false};
      const Status status = bed_.store().read({&read, 1});
      if (!status) return fail(status.error());
      if (std::memcmp(out.data(), s.bytes.data(), out.size()) != 0) fault_ = "wrong bytes";
    }
  }

  void drop() {
    Change change;
    while (mine_.size() > 3) {
      const Stored& s = mine_.back();
      change.index().erase(keys::extent(s.inode, s.offset));
      change.add_live(s.extent.address.group, -static_cast<int64_t>(s.extent.address.length));
      mine_.pop_back();
    }
    const auto committed = bed_.ledger().commit(change);
    if (!committed) fail(committed.error());
  }

  void fail(const Error& error) { fault_ = error.to_text(); }

  StoreBed& bed_;
  Rng rng_;
  uint64_t inode_;
  std::vector<Stored> mine_;
  std::string fault_;
};

void run_workers(StoreBed& bed, uint64_t seed, int rounds, const std::function<void(int)>& meanwhile) {
  std::vector<Worker> workers;
  for (uint64_t i = 1; i <= 4; ++i) workers.emplace_back(bed, seed * 100 + i);
  std::vector<std::thread> threads;
  std::atomic<int> running{4};
  for (Worker& worker : workers) {
    threads.emplace_back([&] {
      worker.run(rounds);
      --running;
    });
  }
  for (int i = 0; running > 0; ++i) {
    meanwhile(i);
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  for (std::thread& thread : threads) thread.join();
  for (const Worker& worker : workers) EXPECT_EQ(worker.fault(), "");
}

TEST(StoreThreads, WritersReadersAndUpkeepGoOnTogether) {
  for (uint64_t seed = 1; seed <= 3; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    StoreBed bed(seed);
    ASSERT_TRUE(bed.start());
    run_workers(bed, seed, 25, [&](int i) {
      EXPECT_TRUE(bed.store().maintain());
      if (i % 3 == 0) {
        EXPECT_TRUE(bed.ledger().sync_all());
      }
      (void)bed.store().space();
      EXPECT_TRUE(bed.ledger().maintain());
    });
  }
}

TEST(StoreThreads, DisksMayFailMeanwhile) {
  for (uint64_t seed = 11; seed <= 14; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    StoreBed bed(seed);
    ASSERT_TRUE(bed.start());
    run_workers(bed, seed, 15, [&](int i) {
      if (i == 3) bed.world().fail_next_sync(static_cast<int>(seed % 6));
      if (i == 6) bed.world().set_vanished(static_cast<int>((seed + 2) % 6), true);
      EXPECT_TRUE(bed.store().maintain());
      if (i % 3 == 0) {
        EXPECT_TRUE(bed.ledger().sync_all());
      }
      EXPECT_TRUE(bed.ledger().maintain());
    });
  }
}

}  // namespace
}  // namespace stavefs::test
