// The names of a simulated disk: in view, on stable media, and the changes between.
//
// Theory: every creation, removal and rename is noted as pending in the directories that it touches, until
// one of them is synced.  A change reaches the media only together with the older pending changes of the same
// names (a rename of a file whose creation was lost cannot have happened).  A file whose name was
// never synced is gone after a crash that drops the name, however durable its bytes are.
//
// Threads: guarded by the machine's mutex.

#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "disk/names.h"
#include "disk/sim/sim_inode.h"

namespace stavefs::sim {

using InodePtr = std::shared_ptr<SimInode>;
using NameMap = std::map<std::string, InodePtr, std::less<>>;

struct PendingName {
  uint64_t sequence = 0;
  std::string from;  ///< the name that goes away; empty for a creation
  std::string to;    ///< the name that `inode` gets; empty for a removal
  InodePtr inode;

  bool touches_name(std::string_view name) const { return !name.empty() && (from == name || to == name); }
  bool touches_directory(std::string_view directory) const {
    return (!from.empty() && directory_of_name(from) == directory) ||
           (!to.empty() && directory_of_name(to) == directory);
  }
};

class SimNames {
 public:
  SimNames() = default;
  /// What a crash left.
  SimNames(NameMap files, std::set<std::string, std::less<>> directories);

  const NameMap& view() const { return view_; }
  const NameMap& media() const { return media_; }
  const std::vector<PendingName>& pending() const { return pending_; }
  const std::set<std::string, std::less<>>& directories() const { return directories_; }
  /// nullptr when there is no such file in view.
  InodePtr find(std::string_view name) const;
  std::vector<std::string> list(std::string_view directory) const;

  /// Applies `change` to the view and notes it.  Returns the inode that lost its name, if any.
  InodePtr change(PendingName change);
  /// Notes a change that power failure interrupted; not in the view.
  void interrupt(PendingName change) { pending_.push_back(std::move(change)); }
  /// Makes the pending changes of `directory`, and all that they rest on, stable.
  void sync(std::string_view directory);

  /// The changes that pending()[index] rests on, itself included, oldest first.
  std::vector<size_t> closure(size_t index) const;
  /// The names on media when of pending() only those with keep[i] land.
  NameMap after_crash(const std::vector<bool>& keep) const;
  /// The directories that certainly exist after a crash that leaves `files`.
  std::set<std::string, std::less<>> directories_after_crash(const NameMap& files) const;

 private:
  static void apply(NameMap& to, const PendingName& change);

  NameMap view_;
  NameMap media_;
  std::set<std::string, std::less<>> directories_;
  std::set<std::string, std::less<>> stable_directories_;
  std::vector<PendingName> pending_;
};

}  // namespace stavefs::sim
