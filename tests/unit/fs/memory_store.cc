#include "memory_store.h"

#include <algorithm>
#include <cstring>

namespace stavefs::test {
namespace {

constexpr GroupId kOnlyGroup{1};
constexpr uint64_t kStripeBytes = kMaxUnitBytes;  // one unit: an extent never crosses one

std::string checksums_of(ChecksumKind kind, std::span<const uint8_t> bytes) {
  std::string sums;
  for (size_t at = 0; at < bytes.size(); at += kChecksumChunk) {
    uint8_t sum[kMaxChecksumBytes];
    compute_checksum(kind, bytes.subspan(at, std::min<size_t>(kChecksumChunk, bytes.size() - at)), sum);
    sums.append(reinterpret_cast<const char*>(sum), checksum_bytes(kind));
  }
  return sums;
}

}  // namespace

class MemoryStore::Session final : public WriteSession {
 public:
  Session(MemoryStore& store, ChecksumKind checksum) : store_(store), checksum_(checksum) {}

  Status write(std::span<const DataPiece> pieces, std::vector<PlacedExtent>& out) override {
    for (size_t i = 0; i < pieces.size(); ++i) {
      const std::span<const uint8_t> bytes = pieces[i].bytes;
      for (size_t at = 0; at < bytes.size(); at += kStripeBytes) {
        const auto part = bytes.subspan(at, std::min<size_t>(kStripeBytes, bytes.size() - at));
        TRY(place(i, at, part, out));
      }
    }
    return ok();
  }
  Status flush() override {
    std::lock_guard lock(store_.media_->mutex);
    for (auto& [place, bytes] : written_) store_.media_->stripes[place] = std::move(bytes);
    written_.clear();
    return ok();
  }
  void add_to(Change& change) override {
    change.add_live(kOnlyGroup, live_);
    live_ = 0;
  }
  void committed() override {}

 private:
  Status place(size_t piece, size_t at, std::span<const uint8_t> part, std::vector<PlacedExtent>& out) {
    Row row;
    {
      std::lock_guard lock(store_.media_->mutex);
      row = Row(store_.media_->next_row);
      store_.media_->next_row += kMaxUnitRows;
    }
    ExtentAddress address;
    address.group = kOnlyGroup;
    address.row = row;
    address.unit_rows = kMaxUnitRows;
    address.used_units = 1;
    address.length = static_cast<uint32_t>(part.size());
    out.push_back({piece, at, address, checksums_of(checksum_, part)});
    written_[{kOnlyGroup, row}].assign(reinterpret_cast<const char*>(part.data()), part.size());
    live_ += static_cast<int64_t>(part.size());
    return ok();
  }

  MemoryStore& store_;
  const ChecksumKind checksum_;
  std::map<std::pair<GroupId, Row>, std::string> written_;
  int64_t live_ = 0;
};

std::unique_ptr<WriteSession> MemoryStore::begin_write(const Geometry&, ChecksumKind checksum, Temperature) {
  return std::make_unique<Session>(*this, checksum);
}

GroupPin MemoryStore::pin(GroupId group) {
  // A Group is only ever held, never looked into, above the store.
  if (group != kOnlyGroup) return nullptr;
  return {media_, reinterpret_cast<Group*>(media_.get())};
}

Status MemoryStore::read(std::span<const ExtentRead> reads) {
  std::lock_guard lock(media_->mutex);
  for (const ExtentRead& read : reads) {
    const Extent& extent = *read.extent;
    const auto it = media_->stripes.find({extent.address.group, extent.address.row});
    if (it == media_->stripes.end()) return Error(ErrorCode::kCorrupt, EIO, "no such stripe");
    const std::span<const uint8_t> bytes(reinterpret_cast<const uint8_t*>(it->second.data()),
                                         it->second.size());
    if (bytes.size() != extent.address.length || checksums_of(extent.checksum, bytes) != extent.checksums ||
        read.offset > bytes.size() || read.out.size() > bytes.size() - read.offset) {
      return Error(ErrorCode::kCorrupt, EIO, "an extent that does not match its stripe");
    }
    std::memcpy(read.out.data(), bytes.data() + read.offset, read.out.size());
  }
  return ok();
}

uint64_t MemoryStore::used() const {
  std::lock_guard lock(media_->mutex);
  uint64_t sum = 0;
  for (const auto& [place, bytes] : media_->stripes) sum += bytes.size();
  return sum;
}

Status MemoryStore::reserve(const Geometry&, uint64_t bytes) {
  if (used() + reserved_ + bytes > media_->capacity) {
    return Error(ErrorCode::kNoSpace, ENOSPC, "the store is full");
  }
  reserved_ += bytes;
  return ok();
}

void MemoryStore::release(const Geometry&, uint64_t bytes) { reserved_ -= bytes; }

SpaceReport MemoryStore::space() const {
  SpaceReport report;
  report.total_bytes = report.raw_total_bytes = media_->capacity;
  report.free_bytes = report.raw_free_bytes =
      media_->capacity - std::min(media_->capacity, used() + reserved_);
  return report;
}

std::optional<GroupReport> MemoryStore::group(GroupId id) const {
  if (id != kOnlyGroup) return std::nullopt;
  std::lock_guard lock(media_->mutex);
  GroupReport report;
  report.id = id;
  report.geometry = Geometry{2, 1};
  report.state = "open";
  for (uint16_t i = 0; i < 3; ++i) {
    report.shards.push_back(
        {DiskSlot(i), SegmentNumber(i), Generation(1), i == 1 && media_->degraded.contains(id)});
  }
  return report;
}

}  // namespace stavefs::test
