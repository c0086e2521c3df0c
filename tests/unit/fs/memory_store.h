// A store without disks: stripes in memory, for tests of what stands above the store.
//
// What was flushed survives the store (it lies in the Media, which a test keeps over a crash); what was only
// written is lost with it.  Every read is verified against the extent's checksums, as the real store does.

#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "store/store.h"

namespace stavefs::test {

class MemoryStore final : public Store {
 public:
  /// What a crash leaves.
  struct Media {
    std::mutex mutex;
    std::map<std::pair<GroupId, Row>, std::string> stripes;
    uint32_t next_row = 1;
    uint64_t capacity = uint64_t{1} << 30;
    std::set<GroupId> degraded;  ///< reported with a missing shard
  };
  explicit MemoryStore(std::shared_ptr<Media> media) : media_(std::move(media)) {}

  std::unique_ptr<WriteSession> begin_write(const Geometry& geometry, ChecksumKind checksum,
                                            Temperature temperature) override;
  GroupPin pin(GroupId group) override;
  Status read(std::span<const ExtentRead> reads) override;
  Status reserve(const Geometry& geometry, uint64_t bytes) override;
  void release(const Geometry& geometry, uint64_t bytes) override;
  SpaceReport space() const override;
  std::optional<GroupReport> group(GroupId id) const override;
  std::vector<std::pair<DiskSlot, uint64_t>> missing_by_disk() const override { return {}; }
  Status maintain() override { return ok(); }

 private:
  class Session;
  uint64_t used() const;

  const std::shared_ptr<Media> media_;
  std::atomic<uint64_t> reserved_{0};
};

}  // namespace stavefs::test
