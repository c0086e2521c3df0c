// The verdict that `stavefs status` opens with.

#include <algorithm>

#include "engine/engine.h"

namespace stavefs {
namespace {

std::string list_names(const std::vector<std::string>& names) {
  std::string text;
  for (size_t i = 0; i < names.size(); ++i) {
    if (i > 0) text += i + 1 == names.size() ? " and " : ", ";
    text += names[i];
  }
  return text;
}

std::string count_groups(uint64_t n) { return std::to_string(n) + (n == 1 ? " group" : " groups"); }

void judge(StatusReport& report, bool fenced) {
  std::vector<std::string> gone;
  std::vector<std::string> behind;
  for (const DiskReport& disk : report.disks) {
    if (disk.state == DiskState::kAbsent || disk.state == DiskState::kFailed)
      gone.push_back(disk.member.name);
    if (disk.state != DiskState::kActive) continue;
    for (const auto& [slot, groups] : report.missing_groups) {
      if (slot == disk.member.slot && groups > 0) behind.push_back(disk.member.name);
    }
  }
  if (fenced) {
    report.verdict = "FENCED";
    report.exit_code = 4;
    report.explanation =
        "The daemon stopped writing to protect the pool, because no trustworthy copy of the metadata "
        "could be written.";
  } else if (report.space.lost_groups > 0) {
    report.verdict = "DAMAGED";
    report.exit_code = 3;
    report.explanation = count_groups(report.space.lost_groups) + " of data cannot be read now: too few of " +
                         "the shards are here; files in them give EIO.";
  } else if (!gone.empty()) {
    report.verdict = "DEGRADED";
    report.exit_code = 4;
    report.explanation = (gone.size() == 1 ? "Disk " : "Disks ") + list_names(gone) +
                         (gone.size() == 1 ? " is" : " are") +
                         " out of use; all data can be read and written.";
  } else if (report.space.degraded_groups > 0 || !behind.empty()) {
    report.verdict = "DEGRADED";
    report.exit_code = 4;
    report.explanation = "All disks are here, but " + count_groups(report.space.degraded_groups) +
                         (report.space.degraded_groups == 1 ? " lacks" : " lack") +
                         " shards that were written while some were not" +
                         (behind.empty() ? std::string() : "; behind: " + list_names(behind)) + ".";
  } else if (report.metadata_copies < report.metadata_copies_wanted) {
    report.verdict = "DEGRADED";
    report.exit_code = 4;
    report.explanation = "Only " + std::to_string(report.metadata_copies) + " of " +
                         std::to_string(report.metadata_copies_wanted) + " copies of the metadata exist.";
  } else {
    report.verdict = "HEALTHY";
    report.explanation = "All " + std::to_string(report.disks.size()) + " disks are in use; any " +
                         std::to_string(report.geometry.parity) + " may fail.";
  }
}

}  // namespace

StatusReport Engine::status() const {
  StatusReport report;
  const PoolConfig& config = pool_->config();
  report.pool = config.name;
  report.id = config.id;
  report.geometry = config.geometry;
  report.epoch = pool_->epoch().epoch;
  report.disks = pool_->reports();
  std::erase_if(report.disks, [](const DiskReport& disk) { return disk.state == DiskState::kRemoved; });
  report.missing_groups = store_->missing_by_disk();
  report.space = store_->space();
  report.dirty_bytes = fs_->dirty_bytes();
  const Journal::Stats journal = ledger_->journal_stats();
  report.journal_live_bytes = journal.live_bytes;
  report.journal_ring_bytes = journal.ring_bytes;
  report.index_bytes = ledger_->index_stats().file_bytes;
  report.metadata_copies = pool_->epoch().members.size();
  report.metadata_copies_wanted = config.metadata_copies;
  {
    const std::lock_guard lock(mutex_);
    report.events.assign(events_.begin(), events_.end());
  }
  judge(report, ledger_->fenced());
  return report;
}

}  // namespace stavefs
