// Disk health: what errors lead to, and reports of it.

#include <fmt/format.h>

#include "base/check.h"
#include "base/log.h"
#include "pool/pool.h"
#include "pool/pool_slot.h"

namespace stavefs {
namespace {

std::string_view verb(IoKind kind) {
  switch (kind) {
    case IoKind::kRead: return "read";
    case IoKind::kWrite: return "write";
    case IoKind::kSync: return "sync";
  }
  return "I/O";
}

}  // namespace

/// True when the disk was active until now.
bool Pool::mark_failed(DiskSlot slot, std::string_view reason) {
  Slot* s = slot_at(slot);
  if (s == nullptr) return false;
  {
    std::lock_guard lock(mutex_);
    DiskState expected = DiskState::kActive;
    if (!s->state.compare_exchange_strong(expected, DiskState::kFailed, std::memory_order_acq_rel))
      return false;
    s->reason = reason;
  }
  state_version_.fetch_add(1, std::memory_order_acq_rel);
  log_error("pool {}: disk {} ({}) is fenced: {}", config_.name, members_[slot.value].name, s->path, reason);
  return true;
}

void Pool::fence(DiskSlot slot, std::string_view reason) {
  if (mark_failed(slot, reason) && on_fenced_) on_fenced_(slot);
}

void Pool::report(DiskSlot slot, IoKind kind, int error, std::string_view what) {
  Slot* s = slot_at(slot);
  if (s == nullptr) return;
  if (error == 0) {
    if (kind == IoKind::kRead) s->reads_failed_in_a_row.store(0, std::memory_order_relaxed);
    return;
  }
  const std::string text = errno_error(error, fmt::format("{} of {}", verb(kind), what)).to_text();
  if (kind == IoKind::kRead) {
    if (s->read_errors.fetch_add(1, std::memory_order_relaxed) == 0)
      log_warning("pool {}: disk {} ({}): {}", config_.name, members_[slot.value].name, s->path, text);
    if (s->reads_failed_in_a_row.fetch_add(1, std::memory_order_relaxed) + 1 >= kReadErrorsToFence)
      fence(slot, fmt::format("{} reads failed in a row, the last one: {}", kReadErrorsToFence, text));
    return;
  }
  // The host ran out of descriptors or memory before the disk was asked; a sync that fails for want of memory
  // may have lost pages, and counts.
  if (error == EMFILE || error == ENFILE || (error == ENOMEM && kind != IoKind::kSync)) {
    log_warning("pool {}: disk {} ({}): {}", config_.name, members_[slot.value].name, s->path, text);
    return;
  }
  s->write_errors.fetch_add(1, std::memory_order_relaxed);
  if (kind == IoKind::kWrite && (error == ENOSPC || error == EDQUOT)) {
    if (s->full.exchange(true, std::memory_order_acq_rel)) return;
    state_version_.fetch_add(1, std::memory_order_acq_rel);
    log_warning("pool {}: disk {} ({}) is full: {}", config_.name, members_[slot.value].name, s->path, text);
    return;
  }
  fence(slot, text);
}

void Pool::report_corrupt(DiskSlot slot, std::string_view what) {
  Slot* s = slot_at(slot);
  if (s == nullptr) return;
  const uint64_t before = s->checksum_errors.fetch_add(1, std::memory_order_relaxed);
  if (before == 0)
    log_warning("pool {}: disk {} ({}): wrong bytes were read: {}", config_.name, members_[slot.value].name,
                s->path, what);
}

void Pool::probe_disks() {
  for (const Member& member : members_) {
    if (!usable(member.slot)) continue;
    const Status status = slot_at(member.slot)->disk->probe();
    if (!status) fence(member.slot, "it has vanished: " + status.error().to_text());
  }
}

std::vector<DiskReport> Pool::reports() const {
  const EpochRecord newest = epoch();
  std::vector<DiskReport> reports;
  reports.reserve(members_.size());
  for (const Member& member : members_) {
    DiskReport report;
    report.member = member;
    for (const DiskSlot slot : newest.members) report.metadata_member |= slot == member.slot;
    const Slot* s = slot_at(member.slot);
    if (member.removed) {
      report.state = DiskState::kRemoved;
      report.reason = "was taken out of the pool";
    } else if (s == nullptr) {
      report.state = DiskState::kAbsent;
      report.reason = "was not found when the pool was opened";
    } else {
      report.path = s->path;
      report.full = s->full.load(std::memory_order_relaxed);
      report.stale = s->stale;
      report.read_errors = s->read_errors.load(std::memory_order_relaxed);
      report.write_errors = s->write_errors.load(std::memory_order_relaxed);
      report.checksum_errors = s->checksum_errors.load(std::memory_order_relaxed);
      {
        std::lock_guard lock(mutex_);
        report.state = s->state.load(std::memory_order_acquire);
        report.reason = s->reason;
      }
      if (report.state == DiskState::kActive)
        if (const Result<DiskSpace> space = s->disk->space()) report.space = *space;
    }
    reports.push_back(std::move(report));
  }
  return reports;
}

}  // namespace stavefs
