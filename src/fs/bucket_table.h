// The buckets in memory: by name, and by number for the policy of their files.
//
// The table follows the index: it is changed right after the commit, under the root's lock.  The policy of a
// deleted bucket stays, because open files may outlive it and what was reserved under a policy is given back
// under it.
//
// Threads: self-synchronised; the lock is a leaf.

#pragma once

#include <map>
#include <optional>
#include <shared_mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "fs/bucket_format.h"

namespace stavefs {

class BucketTable {
 public:
  struct Entry {
    std::string name;
    BucketRecord record;
  };
  explicit BucketTable(const BucketPolicy& default_policy) : default_policy_(default_policy) {}

  /// Enters or replaces the bucket of that name.
  void put(std::string_view name, const BucketRecord& record);
  void erase(std::string_view name);

  std::optional<Entry> find(std::string_view name) const;
  std::optional<Entry> find(BucketId id) const;
  /// By name.
  std::vector<Entry> list() const;
  /// The default policy for a number that was never seen (the root's 0).
  BucketPolicy policy(BucketId id) const;

 private:
  const BucketPolicy default_policy_;
  mutable std::shared_mutex mutex_;
  // Guarded by mutex_.
  std::map<std::string, BucketRecord, std::less<>> by_name_;
  std::unordered_map<BucketId, BucketPolicy> policies_;
};

}  // namespace stavefs
