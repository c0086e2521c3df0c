// What a crash leaves on the disks.
//
// Theory: pending changes carry one order of issue over all disks, so a mode is a rule from that order to a
// fate.  Names are decided first, since they decide which files exist.  Length changes and holes of one file
// are metadata of its inode and land in order: in kRandom a prefix of them does, independently of the writes.

#include <algorithm>
#include <tuple>
#include <unordered_set>
#include <utility>

#include "disk/sim/sim_machine.h"

namespace stavefs::sim {

namespace {

/// Every file of a disk that may exist after a crash, once, in a fixed order.
std::vector<InodePtr> inodes_of(const SimDiskState& disk) {
  std::vector<InodePtr> inodes;
  std::unordered_set<const SimInode*> seen;
  const auto add = [&](const InodePtr& inode) {
    if (inode && seen.insert(inode.get()).second) inodes.push_back(inode);
  };
  for (const auto& [name, inode] : disk.names.media()) add(inode);
  for (const PendingName& c : disk.names.pending()) add(c.inode);
  return inodes;
}

class Crash {
 public:
  Crash(const std::vector<SimDiskState>& disks, CrashMode mode, Rng& rng) : mode_(mode), rng_(rng) {
    if (mode == CrashMode::kPrefix || mode == CrashMode::kSingle) choose(disks);
  }

  std::vector<bool> keep_names(const SimNames& names) {
    const size_t count = names.pending().size();
    std::vector<bool> keep(count, false);
    // Half of the random crashes keep a prefix, as a host with a journal does; the others any subset.
    const bool in_order = rng_.one_in(2);
    const size_t prefix = rng_.below(count + 1);
    for (size_t i = 0; i < count; ++i) {
      if (!keep_name(names.pending()[i], in_order ? i < prefix : rng_.one_in(2))) continue;
      const std::vector<size_t> closure = names.closure(i);
      if (mode_ == CrashMode::kRandom) {
        // It lands only if all that it rests on did.
        keep[i] = std::all_of(closure.begin(), closure.end(), [&](size_t m) { return m == i || keep[m]; });
      } else {
        for (const size_t m : closure) keep[m] = true;
      }
    }
    return keep;
  }

  SparseBytes media_after(const SimInode& inode) {
    size_t reshapes_left = rng_.below(inode.pending().size() + 1);
    return inode.after_crash(
        [&](const PendingChange& c) {
          if (mode_ != CrashMode::kRandom) return fate(c);
          if (c.is_write()) return static_cast<Fate>(rng_.below(3));
          if (reshapes_left == 0) return Fate::kDropped;
          --reshapes_left;
          return Fate::kKept;
        },
        rng_);
  }

 private:
  /// Draws the sequence at which kPrefix cuts, or the one change that kSingle keeps.
  void choose(const std::vector<SimDiskState>& disks) {
    std::vector<std::pair<uint64_t, const SimInode*>> writes;  // with the file written to
    std::vector<uint64_t> others;
    for (const SimDiskState& disk : disks) {
      for (const InodePtr& inode : inodes_of(disk)) {
        for (const PendingChange& c : inode->pending()) {
          if (c.is_write()) {
            writes.emplace_back(c.sequence, inode.get());
          } else {
            others.push_back(c.sequence);
          }
        }
      }
      for (const PendingName& c : disk.names.pending()) others.push_back(c.sequence);
    }
    if (mode_ == CrashMode::kSingle && !writes.empty()) {
      std::sort(writes.begin(), writes.end());
      std::tie(chosen_, chosen_file_) = writes[rng_.below(writes.size())];
      return;
    }
    for (const auto& [sequence, inode] : writes) others.push_back(sequence);
    std::sort(others.begin(), others.end());
    if (mode_ == CrashMode::kSingle) {
      chosen_ = others.empty() ? 0 : others[rng_.below(others.size())];
    } else {
      const uint64_t kept = rng_.below(others.size() + 1);
      chosen_ = kept == 0 ? 0 : others[kept - 1];
    }
  }

  bool keep_name(const PendingName& c, bool drawn) {
    switch (mode_) {
      case CrashMode::kDropAll: return false;
      case CrashMode::kKeepAll: return true;
      case CrashMode::kRandom: return drawn;
      case CrashMode::kPrefix: return c.sequence <= chosen_;
      // The one write that survives has a file to be seen in.
      case CrashMode::kSingle:
        return c.sequence == chosen_ || (chosen_file_ != nullptr && c.inode.get() == chosen_file_ &&
                                         !c.to.empty() && c.sequence < chosen_);
    }
    return false;
  }

  Fate fate(const PendingChange& c) {
    bool kept = false;
    switch (mode_) {
      case CrashMode::kDropAll: return Fate::kDropped;
      // A killed process: the kernel finishes what it was given, or never saw it.
      case CrashMode::kKeepAll: return c.in_flight && rng_.one_in(2) ? Fate::kDropped : Fate::kKept;
      case CrashMode::kRandom: break;  // decided by media_after
      case CrashMode::kPrefix: kept = c.sequence <= chosen_; break;
      case CrashMode::kSingle: kept = c.sequence == chosen_; break;
    }
    if (!kept) return Fate::kDropped;
    return c.in_flight || (mode_ == CrashMode::kSingle && rng_.one_in(3)) ? Fate::kTorn : Fate::kKept;
  }

  const CrashMode mode_;
  Rng& rng_;
  uint64_t chosen_ = 0;
  const SimInode* chosen_file_ = nullptr;
};

}  // namespace

std::vector<SimDiskState> resolve_crash(const std::vector<SimDiskState>& disks, CrashMode mode, Rng& rng) {
  Crash crash(disks, mode, rng);
  std::vector<SimDiskState> after;
  for (const SimDiskState& disk : disks) {
    NameMap files = disk.names.after_crash(crash.keep_names(disk.names));
    SimDiskState& left = after.emplace_back();
    left.faults = disk.faults;
    left.total_bytes = disk.total_bytes;
    left.limit_bytes = disk.limit_bytes;
    for (auto& [name, inode] : files) {
      SparseBytes media = crash.media_after(*inode);
      BlockMap blocks = inode->blocks;
      blocks.remove(media.size(), UINT64_MAX);
      inode = std::make_shared<SimInode>(std::move(media), std::move(blocks));
      inode->links = 1;
      left.used_bytes += inode->blocks.held() * BlockMap::kBlockBytes;
    }
    auto directories = disk.names.directories_after_crash(files);
    left.names = SimNames(std::move(files), std::move(directories));
  }
  return after;
}

}  // namespace stavefs::sim
