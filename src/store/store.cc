#include "store/store.h"

#include <map>

#include "base/log.h"
#include "store/extent_reader.h"
#include "store/sealer.h"
#include "store/space_account.h"
#include "store/stripe_list.h"
#include "store/stripe_writer.h"

namespace stavefs {
namespace {

class StoreImpl final : public Store {
 public:
  StoreImpl(Pool& pool, Ledger& ledger, BufferPool& buffers, Clock& clock, Rng& rng, const Options& options)
      : context_(pool, ledger, buffers, clock, rng, options),
        files_(context_),
        table_(context_, files_),
        open_(context_, table_, files_),
        reader_(context_, files_),
        choice_(context_, files_),
        sealer_(context_, table_, files_),
        space_(context_, table_, open_),
        budget_(options.stripe_buffer_bytes) {}

  Status load() {
    TRY(table_.load());
    if (context_.options.read_only) return ok();
    remove_unused_files();
    open_.refresh_host_limits();
    return open_.resume();
  }

  std::unique_ptr<WriteSession> begin_write(const Geometry& geometry, ChecksumKind checksum,
                                            Temperature temperature) override {
    return std::make_unique<StripeWriter>(context_, table_, open_, budget_, geometry, checksum, temperature);
  }

  GroupPin pin(GroupId group) override { return table_.find(group); }

  Status read(std::span<const ExtentRead> reads) override {
    std::vector<GroupPin> pins;
    std::vector<Group*> groups;
    pins.reserve(reads.size());
    groups.reserve(reads.size());
    for (const ExtentRead& read : reads) {
      const GroupId id = read.extent->address.group;
      if (!pins.empty() && pins.back()->id() == id) {
        pins.push_back(pins.back());
      } else {
        pins.push_back(table_.find_pinned(id));
      }
      if (pins.back() == nullptr) {
        return Error(ErrorCode::kCorrupt, EIO, "group " + std::to_string(id.value) + " does not exist");
      }
      groups.push_back(pins.back().get());
    }
    return reader_.read(reads, groups);
  }

  Status reserve(const Geometry& geometry, uint64_t bytes) override {
    if (space_.reserve(geometry, bytes)) [[likely]]
      return ok();
    if (!context_.options.read_only && !context_.ledger.fenced()) {
      TRY(open_.reclaim());
      if (space_.reserve(geometry, bytes)) return ok();
    }
    return Error(ErrorCode::kNoSpace, ENOSPC, "no room for " + std::to_string(bytes) + " more bytes");
  }
  void release(const Geometry& geometry, uint64_t bytes) override { space_.release(geometry, bytes); }

  SpaceReport space() const override { return space_.report(); }

  std::optional<GroupReport> group(GroupId id) const override {
    const GroupPin group = table_.find(id);
    if (group == nullptr) return std::nullopt;
    GroupReport report;
    report.id = id;
    report.geometry = group->geometry();
    report.state = to_string(group->state());
    report.live_bytes = context_.ledger.live_bytes(id);
    for (uint32_t shard = 0; shard < group->total(); ++shard) {
      const ShardPlace& place = group->shards()[shard];
      report.shards.push_back(
          {place.disk, place.segment, place.generation, (group->missing() >> shard & 1) != 0});
    }
    return report;
  }

  Result<std::vector<StripeEntry>> stripes(GroupId id) override {
    const GroupPin group = table_.find(id);
    if (group == nullptr) return Error(ErrorCode::kNotFound, ENOENT, "no group " + std::to_string(id.value));
    return load_stripes(context_, choice_, *group);
  }

  std::vector<std::pair<DiskSlot, uint64_t>> missing_by_disk() const override {
    std::map<DiskSlot, uint64_t> counts;
    for (const GroupPin& group : table_.all()) {
      for (uint32_t shard = 0; shard < group->total(); ++shard) {
        if ((group->missing() >> shard & 1) != 0) ++counts[group->shards()[shard].disk];
      }
    }
    return {counts.begin(), counts.end()};
  }

  Status maintain() override {
    if (context_.options.read_only) return ok();
    TRY(open_.check_all());
    TRY(table_.free_dead());
    TRY(sealer_.seal(table_.all()));
    table_.release_durable();
    open_.refresh_host_limits();
    if (files_.crowded()) files_.evict(table_.all());
    return ok();
  }

 private:
  /// Segments that no group uses: left by a group whose FREE or whose opening was the last thing before a
  /// stop.
  void remove_unused_files() {
    for (const Member& member : context_.pool.members()) {
      if (member.removed || !context_.pool.usable(member.slot)) continue;
      Disk& disk = *context_.pool.disk(member.slot);
      const auto names = disk.list(kSegmentDirectory);
      if (!names) continue;
      for (const std::string& name : *names) {
        const std::string path = std::string(kSegmentDirectory) + "/" + name;
        const SegmentNumber segment(static_cast<uint32_t>(std::strtoul(name.c_str(), nullptr, 16)));
        if (path != segment_file_name(segment) || context_.segments.in_use(member.slot, segment)) continue;
        if (const Status removed = disk.remove(path); !removed) {
          log_warning("disk {}: unused segment {} stays: {}", member.name, name, removed.error().to_text());
        }
      }
    }
  }

  StoreContext context_;
  SegmentFiles files_;
  GroupTable table_;
  OpenGroups open_;
  ExtentReader reader_;
  ShardChoice choice_;
  Sealer sealer_;
  SpaceAccount space_;
  ByteBudget budget_;
};

}  // namespace

Result<std::vector<StripeEntry>> Store::stripes(GroupId) {
  return Error(ErrorCode::kUnsupported, EOPNOTSUPP, "this store has no stripes");
}

Result<std::unique_ptr<Store>> Store::open(Pool& pool, Ledger& ledger, BufferPool& buffers, Clock& clock,
                                           Rng& rng, const Options& options) {
  auto store = std::make_unique<StoreImpl>(pool, ledger, buffers, clock, rng, options);
  TRY(store->load());
  return std::unique_ptr<Store>(std::move(store));
}

}  // namespace stavefs
