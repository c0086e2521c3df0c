#include "pool/pool.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <utility>

#include "base/check.h"
#include "base/log.h"
#include "pool/pool_slot.h"
#include "pool/superblock_io.h"

namespace stavefs {

uint32_t choose_segment_bytes(std::span<const uint64_t> disk_bytes) {
  constexpr uint64_t kLeast = uint64_t{4} << 20;
  constexpr uint64_t kMost = uint64_t{256} << 20;
  std::vector<uint64_t> sorted(disk_bytes.begin(), disk_bytes.end());
  std::sort(sorted.begin(), sorted.end());
  const uint64_t median = sorted.empty() ? 0 : sorted[sorted.size() / 2];
  return static_cast<uint32_t>(std::bit_floor(std::clamp(median / 4096, kLeast, kMost)));
}

std::string_view to_string(DiskState state) {
  switch (state) {
    case DiskState::kActive: return "active";
    case DiskState::kAbsent: return "absent";
    case DiskState::kFailed: return "failed";
    case DiskState::kRemoved: return "removed";
  }
  return "unknown";
}

SuperblockEpoch to_superblock(const EpochRecord& record) {
  SuperblockEpoch epoch;
  epoch.epoch = record.epoch.value;
  epoch.ticket = record.ticket;
  epoch.fork = record.fork;
  epoch.start_lsn = record.start_lsn.value;
  epoch.chain_hash = record.chain_hash;
  epoch.clean = record.clean;
  for (const DiskSlot slot : record.members) epoch.members.push_back(slot.value);
  return epoch;
}

EpochRecord from_superblock(const SuperblockEpoch& epoch) {
  EpochRecord record;
  record.epoch = Epoch(epoch.epoch);
  record.ticket = epoch.ticket;
  record.fork = epoch.fork;
  record.start_lsn = Lsn(epoch.start_lsn);
  record.chain_hash = epoch.chain_hash;
  record.clean = epoch.clean;
  for (const uint16_t slot : epoch.members) record.members.push_back(DiskSlot(slot));
  return record;
}

PoolConfig config_of(const Superblock& s) {
  PoolConfig config;
  config.id = s.pool;
  config.name = s.name;
  config.geometry = {s.data, s.parity};
  config.checksum = static_cast<ChecksumKind>(s.checksum);
  config.segment_bytes = s.segment_bytes;
  config.ring_bytes = s.ring_bytes;
  config.metadata_copies = s.metadata_copies;
  config.created_ns = s.created_ns;
  return config;
}

Member member_of(const Superblock& s, uint16_t slot) {
  const SuperblockMember& m = s.members[slot];
  return {DiskSlot(slot), m.uuid, m.name, m.set, m.segments, m.removed};
}

Pool::Pool(IoEngine& engine, Witness& witness, uint64_t seed)
    : engine_(engine), witness_(witness), rng_(seed) {}
Pool::~Pool() = default;

Pool::Slot* Pool::slot_at(DiskSlot slot) const {
  return slot.value < slots_.size() ? slots_[slot.value].get() : nullptr;
}

Disk* Pool::disk(DiskSlot slot) const {
  const Slot* s = slot_at(slot);
  return s == nullptr ? nullptr : s->disk.get();
}

bool Pool::usable(DiskSlot slot) const {
  const Slot* s = slot_at(slot);
  return s != nullptr && s->state.load(std::memory_order_acquire) == DiskState::kActive;
}

bool Pool::writable(DiskSlot slot) const {
  return usable(slot) && !slot_at(slot)->full.load(std::memory_order_relaxed);
}

EpochRecord Pool::epoch() const {
  std::lock_guard lock(mutex_);
  return epoch_;
}

/// Takes `epoch` as the newest.
void Pool::accept(const SuperblockEpoch& epoch) {
  current_ = epoch;
  std::lock_guard lock(mutex_);
  epoch_ = from_superblock(epoch);
}

Status Pool::publish(const EpochRecord& next) {
  std::vector<DiskSlot> fenced;
  Status status;
  {
    std::lock_guard serial(publish_mutex_);
    if (read_only_) return Error(ErrorCode::kFenced, EROFS, "the pool was opened for reading only");
    if (next.epoch.value == current_.epoch) {
      status = publish_clean(next, fenced);
    } else {
      status = publish_next(to_superblock(next), fenced);
    }
  }
  for (const DiskSlot slot : fenced)
    if (on_fenced_) on_fenced_(slot);
  return status;
}

Status Pool::publish_clean(const EpochRecord& next, std::vector<DiskSlot>& fenced) {
  SuperblockEpoch target = current_;
  target.clean = next.clean;
  const EpochRecord same = from_superblock(target);
  if (next.fork != same.fork || next.members != same.members || next.start_lsn != same.start_lsn ||
      next.chain_hash != same.chain_hash || next.ticket != same.ticket || minted_fork_)
    return Error(ErrorCode::kInvalid, EINVAL, "an epoch that was published cannot be changed");
  accept(target);
  return write_superblocks(target, nullptr, target.members, fenced);
}

Status Pool::publish_next(SuperblockEpoch target, std::vector<DiskSlot>& fenced) {
  if (target.epoch < current_.epoch)
    return Error(ErrorCode::kInvalid, EINVAL, fmt::format("epoch {} is over", target.epoch));
  target.epoch = std::max(target.epoch, last_tried_ + 1);
  last_tried_ = target.epoch;
  target.ticket = rng_.next();
  target.fork = minted_fork_.value_or(current_.fork);
  target.parent_fork = minted_fork_ ? current_.fork : current_.parent_fork;
  target.fork_base = minted_fork_ ? current_.epoch : current_.fork_base;
  if (target.members.empty()) return Error(ErrorCode::kInvalid, EINVAL, "an epoch without members");
  for (const uint16_t slot : target.members)
    if (!usable(DiskSlot(slot)))
      return Error(ErrorCode::kIo, EIO, fmt::format("disk in slot {} is not usable", slot));

  TRY(write_superblocks(current_, &target, target.members, fenced));
  TRY(witness_.store({Epoch(target.epoch), target.fork, target.ticket}));
  // From here on the epoch counts as published, whatever happens to the second step (see mount_rule.h); a
  // later publication must build on it.
  accept(target);
  minted_fork_.reset();
  TRY(write_superblocks(target, nullptr, target.members, fenced));
  log_info("pool {}: epoch {} with {} metadata members", config_.name, target.epoch, target.members.size());
  return ok();
}

Status Pool::write_superblocks(const SuperblockEpoch& epoch, const SuperblockEpoch* pending,
                               std::span<const uint16_t> required, std::vector<DiskSlot>& fenced) {
  Superblock base;
  base.compat = compat_;
  base.ro_compat = ro_compat_;
  base.pool = config_.id;
  base.name = config_.name;
  base.data = config_.geometry.data;
  base.parity = config_.geometry.parity;
  base.checksum = static_cast<uint8_t>(config_.checksum);
  base.metadata_copies = config_.metadata_copies;
  base.segment_bytes = config_.segment_bytes;
  base.ring_bytes = config_.ring_bytes;
  base.created_ns = config_.created_ns;
  base.journal_key = journal_key_;
  base.epoch = epoch;
  if (pending != nullptr) base.pending = *pending;
  for (const Member& m : members_) base.members.push_back({m.uuid, m.set, m.segments, m.removed, m.name});

  bool wrote_one = false;
  std::vector<uint16_t> slots;
  for (uint16_t slot = 0; slot < slots_.size(); ++slot)
    if (usable(DiskSlot(slot))) slots.push_back(slot);
  for (size_t first = 0; first < slots.size(); first += kDisksPerRound) {
    const size_t count = std::min(kDisksPerRound, slots.size() - first);
    std::vector<Superblock> superblocks(count, base);
    std::vector<SuperblockWrite> writes(count);
    for (size_t i = 0; i < count; ++i) {
      const uint16_t slot = slots[first + i];
      superblocks[i].slot = slot;
      superblocks[i].disk = members_[slot].uuid;
      superblocks[i].sequence = slots_[slot]->sequence + 1;
      writes[i] = {slots_[slot]->superblock.get(), &superblocks[i]};
    }
    if (first == 0) TRY(validate(superblocks[0]));
    stavefs::write_superblocks(writes, engine_);
    for (size_t i = 0; i < count; ++i) {
      const uint16_t slot = slots[first + i];
      if (writes[i].error == 0) {
        slots_[slot]->sequence = superblocks[i].sequence;
        wrote_one = true;
        continue;
      }
      slots_[slot]->write_errors.fetch_add(1, std::memory_order_relaxed);
      const std::string reason =
          errno_error(writes[i].error, "its superblock could not be written").to_text();
      if (mark_failed(DiskSlot(slot), reason)) fenced.push_back(DiskSlot(slot));
    }
  }
  for (const uint16_t slot : required)
    if (!usable(DiskSlot(slot)))
      return Error(ErrorCode::kIo, EIO,
                   "metadata member " + members_[slot].name + " failed while the epoch moved");
  if (!wrote_one) return Error(ErrorCode::kIo, EIO, "no superblock could be written");
  return ok();
}

}  // namespace stavefs
