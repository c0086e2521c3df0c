#include "fs/bucket_table.h"

#include <mutex>

namespace stavefs {

void BucketTable::put(std::string_view name, const BucketRecord& record) {
  std::unique_lock lock(mutex_);
  by_name_.insert_or_assign(std::string(name), record);
  policies_.insert_or_assign(record.id, record.policy);
}

void BucketTable::erase(std::string_view name) {
  std::unique_lock lock(mutex_);
  if (const auto it = by_name_.find(name); it != by_name_.end()) by_name_.erase(it);
}

std::optional<BucketTable::Entry> BucketTable::find(std::string_view name) const {
  std::shared_lock lock(mutex_);
  const auto it = by_name_.find(name);
  if (it == by_name_.end()) return std::nullopt;
  return Entry{it->first, it->second};
}

std::optional<BucketTable::Entry> BucketTable::find(BucketId id) const {
  std::shared_lock lock(mutex_);
  for (const auto& [name, record] : by_name_) {
    if (record.id == id) return Entry{name, record};
  }
  return std::nullopt;
}

std::vector<BucketTable::Entry> BucketTable::list() const {
  std::shared_lock lock(mutex_);
  std::vector<Entry> entries;
  entries.reserve(by_name_.size());
  for (const auto& [name, record] : by_name_) entries.push_back({name, record});
  return entries;
}

BucketPolicy BucketTable::policy(BucketId id) const {
  std::shared_lock lock(mutex_);
  const auto it = policies_.find(id);
  return it == policies_.end() ? default_policy_ : it->second;
}

}  // namespace stavefs
