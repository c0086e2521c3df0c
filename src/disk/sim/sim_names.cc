#include "disk/sim/sim_names.h"

#include <algorithm>

namespace stavefs::sim {

SimNames::SimNames(NameMap files, std::set<std::string, std::less<>> directories)
    : view_(files), media_(std::move(files)), directories_(directories), stable_directories_(directories) {}

InodePtr SimNames::find(std::string_view name) const {
  const auto it = view_.find(name);
  return it == view_.end() ? nullptr : it->second;
}

std::vector<std::string> SimNames::list(std::string_view directory) const {
  std::vector<std::string> names;
  if (directory.empty()) names.assign(directories_.begin(), directories_.end());
  for (const auto& [name, inode] : view_) {
    if (directory_of_name(name) != directory) continue;
    names.push_back(directory.empty() ? name : name.substr(directory.size() + 1));
  }
  std::sort(names.begin(), names.end());
  return names;
}

void SimNames::apply(NameMap& to, const PendingName& change) {
  if (!change.from.empty()) to.erase(change.from);
  if (!change.to.empty()) to[change.to] = change.inode;
}

InodePtr SimNames::change(PendingName change) {
  InodePtr unnamed = change.to.empty() ? find(change.from) : find(change.to);
  if (!change.to.empty() && !directory_of_name(change.to).empty())
    directories_.emplace(directory_of_name(change.to));
  apply(view_, change);
  pending_.push_back(std::move(change));
  return unnamed;
}

std::vector<size_t> SimNames::closure(size_t index) const {
  std::set<std::string, std::less<>> names;
  std::vector<size_t> members;
  for (size_t i = index + 1; i-- > 0;) {
    const PendingName& c = pending_[i];
    if (i != index && !names.contains(c.from) && !names.contains(c.to)) continue;
    members.push_back(i);
    if (!c.from.empty()) names.insert(c.from);
    if (!c.to.empty()) names.insert(c.to);
  }
  std::reverse(members.begin(), members.end());
  return members;
}

void SimNames::sync(std::string_view directory) {
  std::vector<bool> lands(pending_.size(), false);
  for (size_t i = 0; i < pending_.size(); ++i) {
    if (!pending_[i].touches_directory(directory)) continue;
    for (const size_t member : closure(i)) lands[member] = true;
  }
  std::vector<PendingName> left;
  for (size_t i = 0; i < pending_.size(); ++i) {
    if (lands[i]) {
      apply(media_, pending_[i]);
    } else {
      left.push_back(std::move(pending_[i]));
    }
  }
  pending_ = std::move(left);
  if (directory.empty()) {
    stable_directories_ = directories_;
  } else if (directories_.contains(directory)) {
    stable_directories_.emplace(directory);
  }
}

NameMap SimNames::after_crash(const std::vector<bool>& keep) const {
  NameMap names = media_;
  for (size_t i = 0; i < pending_.size(); ++i) {
    if (keep[i]) apply(names, pending_[i]);
  }
  return names;
}

std::set<std::string, std::less<>> SimNames::directories_after_crash(const NameMap& files) const {
  auto directories = stable_directories_;
  for (const auto& [name, inode] : files) {
    if (!directory_of_name(name).empty()) directories.emplace(directory_of_name(name));
  }
  return directories;
}

}  // namespace stavefs::sim
