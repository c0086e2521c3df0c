// A store in memory for tests of the floor above: places pieces as the real one may (aligned, packed, split),
// knows what a crash leaves, and fails on request.
//
// What it checks by itself: reservations never go below zero, add_to() comes after flush(), a read lies
// inside a stripe that exists and was verified by its checksums, zero-copy targets may be spilled over (and
// are, with garbage), and a group whose live bytes reach zero is really gone after free_dead().

#pragma once

#include <gtest/gtest.h>

#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/rng.h"
#include "store/store.h"

namespace stavefs {

class FakeStore final : public Store {
 public:
  static constexpr uint32_t kStripeBytes = 4 * kMaxUnitBytes;
  static constexpr int kStripesPerGroup = 4;

  explicit FakeStore(uint64_t seed) : rng_(seed) {}

  // Faults and observation.
  int fail_writes = 0;                    ///< the next sessions' writes fail with kIo
  int fail_flushes = 0;                   ///< likewise flushes
  uint64_t capacity = uint64_t{1} << 40;  ///< of reservations
  std::function<void()> during_write;     ///< called once, from within the next write, with no lock held
  uint64_t write_calls = 0;
  uint64_t read_bytes = 0;

  uint64_t reserved() const {
    const std::lock_guard lock(mutex_);
    return reserved_;
  }
  size_t stripes() const {
    const std::lock_guard lock(mutex_);
    return stripes_.size();
  }
  /// Power is lost: what was not flushed is gone; so are reservations, which are memory of the process.
  void crash() {
    const std::lock_guard lock(mutex_);
    std::erase_if(stripes_, [](const auto& entry) { return !entry.second.durable; });
    reserved_ = 0;
    group_ = GroupId(group_.value + 1);
    in_group_ = 0;
  }
  void forget_reservations() {
    const std::lock_guard lock(mutex_);
    reserved_ = 0;
  }
  /// Frees every group without live bytes, as the store does once that state is durable.
  void free_dead(Ledger& ledger) {
    ASSERT_TRUE(ledger.sync_all());
    const std::lock_guard lock(mutex_);
    std::set<GroupId> dead;
    for (const auto& [key, stripe] : stripes_) {
      if (key.first != group_ && stripe.committed && ledger.live_bytes(key.first) == 0)
        dead.insert(key.first);
    }
    std::erase_if(stripes_, [&](const auto& entry) { return dead.contains(entry.first.first); });
    freed_.merge(dead);
  }

  std::unique_ptr<WriteSession> begin_write(const Geometry&, ChecksumKind checksum, Temperature) override {
    return std::make_unique<Session>(*this, checksum);
  }
  GroupPin pin(GroupId group) override {
    const std::lock_guard lock(mutex_);
    if (freed_.contains(group)) return nullptr;
    const auto owner = std::make_shared<int>(0);
    return GroupPin(owner, reinterpret_cast<Group*>(owner.get()));
  }
  Status read(std::span<const ExtentRead> reads) override {
    const std::lock_guard lock(mutex_);
    for (const ExtentRead& r : reads) {
      const ExtentAddress& a = r.extent->address;
      const auto found = stripes_.find({a.group, a.row});
      if (found == stripes_.end() || r.offset + r.out.size() > a.length) {
        return Error(ErrorCode::kCorrupt, EIO, "fake store: no such stripe or range");
      }
      const std::string& bytes = found->second.bytes;
      if (checksums_of(r.extent->checksum, bytes.data() + a.offset, a.length) != r.extent->checksums) {
        return Error(ErrorCode::kCorrupt, EIO, "fake store: checksums do not match the extent");
      }
      read_bytes += r.out.size();
      std::memcpy(r.out.data(), bytes.data() + a.offset + r.offset, r.out.size());
    }
    for (const ExtentRead& r : reads) {
      if (!r.zero_copy) continue;
      EXPECT_EQ(reinterpret_cast<uintptr_t>(r.out.data()) % kPageBytes, 0U);
      uint8_t* end = r.out.data() + r.out.size();
      std::memset(end, 0xdb, round_up(r.out.size(), kPageBytes) - r.out.size());
    }
    return ok();
  }
  Status reserve(const Geometry&, uint64_t bytes) override {
    const std::lock_guard lock(mutex_);
    if (reserved_ + bytes > capacity) return Error(ErrorCode::kNoSpace, ENOSPC, "fake store: full");
    reserved_ += bytes;
    return ok();
  }
  void release(const Geometry&, uint64_t bytes) override {
    const std::lock_guard lock(mutex_);
    EXPECT_LE(bytes, reserved_) << "more released than reserved";
    reserved_ -= std::min(bytes, reserved_);
  }
  SpaceReport space() const override { return {}; }
  std::optional<GroupReport> group(GroupId) const override { return std::nullopt; }
  std::vector<std::pair<DiskSlot, uint64_t>> missing_by_disk() const override { return {}; }
  Status maintain() override { return ok(); }

 private:
  struct Stripe {
    std::string bytes;
    bool durable = false;
    bool committed = false;
  };
  using Key = std::pair<GroupId, Row>;

  static std::string checksums_of(ChecksumKind kind, const char* data, size_t n) {
    std::string out;
    for (size_t at = 0; at < n; at += kChecksumChunk) {
      uint8_t sum[kMaxChecksumBytes];
      const size_t part = std::min<size_t>(kChecksumChunk, n - at);
      compute_checksum(kind, {reinterpret_cast<const uint8_t*>(data) + at, part}, sum);
      out.append(reinterpret_cast<const char*>(sum), checksum_bytes(kind));
    }
    return out;
  }

  class Session final : public WriteSession {
   public:
    Session(FakeStore& store, ChecksumKind checksum) : store_(store), checksum_(checksum) {}

    Status write(std::span<const DataPiece> pieces, std::vector<PlacedExtent>& out) override {
      if (auto hook = std::exchange(store_.during_write, nullptr)) hook();
      const std::lock_guard lock(store_.mutex_);
      ++store_.write_calls;
      if (store_.fail_writes > 0) {
        --store_.fail_writes;
        return Error(ErrorCode::kIo, EIO, "fake store: write fails as asked");
      }
      flushed_ = false;
      Key key = store_.open_stripe(keys_);
      for (size_t i = 0; i < pieces.size(); ++i) {
        for (size_t done = 0; done < pieces[i].bytes.size();) {
          std::string* bytes = &store_.stripes_[key].bytes;
          size_t at = round_up(bytes->size(), kExtentAlignment);
          size_t n = pieces[i].bytes.size() - done;
          if (n <= kChecksumChunk && at / kMaxUnitBytes != (at + n - 1) / kMaxUnitBytes) {
            at = round_up(at, kMaxUnitBytes);
          }
          if (at >= kStripeBytes) {
            key = store_.open_stripe(keys_);
            continue;
          }
          n = std::min<size_t>(n, kStripeBytes - at);
          if (n > 100'000 && store_.rng_.one_in(8)) n -= store_.rng_.below(n / 2);
          bytes->resize(at);
          bytes->append(reinterpret_cast<const char*>(pieces[i].bytes.data()) + done, n);
          PlacedExtent placed;
          placed.piece = i;
          placed.piece_offset = done;
          placed.address = {
              key.first, key.second, kMaxUnitRows, 4, static_cast<uint32_t>(at), static_cast<uint32_t>(n)};
          placed.checksums = checksums_of(checksum_, bytes->data() + at, n);
          live_[key.first] += static_cast<int64_t>(n);
          out.push_back(std::move(placed));
          done += n;
        }
      }
      return ok();
    }
    Status flush() override {
      const std::lock_guard lock(store_.mutex_);
      if (store_.fail_flushes > 0) {
        --store_.fail_flushes;
        return Error(ErrorCode::kIo, EIO, "fake store: flush fails as asked");
      }
      for (const Key& key : keys_) store_.stripes_[key].durable = true;
      flushed_ = true;
      return ok();
    }
    void add_to(Change& change) override {
      EXPECT_TRUE(flushed_);
      for (const auto& [group, bytes] : live_) change.add_live(group, bytes);
    }
    void committed() override {
      const std::lock_guard lock(store_.mutex_);
      for (const Key& key : keys_) store_.stripes_[key].committed = true;
    }

   private:
    FakeStore& store_;
    const ChecksumKind checksum_;
    std::vector<Key> keys_;
    std::map<GroupId, int64_t> live_;
    bool flushed_ = true;
  };

  Key open_stripe(std::vector<Key>& keys) {
    if (++in_group_ > kStripesPerGroup) {
      group_ = GroupId(group_.value + 1);
      in_group_ = 1;
    }
    const Key key{group_, Row(1 + (in_group_ - 1) * kMaxUnitRows)};
    stripes_[key];
    keys.push_back(key);
    return key;
  }

  mutable std::mutex mutex_;
  Rng rng_;
  std::map<Key, Stripe> stripes_;
  std::set<GroupId> freed_;
  GroupId group_{1};
  uint32_t in_group_ = 0;
  uint64_t reserved_ = 0;
};

}  // namespace stavefs
