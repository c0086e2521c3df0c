// A change: what one operation does to the pool's metadata, all or nothing.
//
// Besides index operations it carries deferred data (a small fsync's bytes, which live in the journal until
// they are written into a stripe), discards that end the life of deferred data, and differences of live bytes
// per group and of usage per bucket, which the ledger turns into absolute values at commit.
//
// One owner.

#pragma once

#include <cstdint>
#include <limits>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "base/ids.h"
#include "index/batch.h"

namespace stavefs {

inline constexpr uint64_t kToEnd = std::numeric_limits<uint64_t>::max();

class Change {
 public:
  IndexBatch& index() { return index_; }
  const IndexBatch& index() const { return index_; }

  /// Bytes [offset, offset + bytes.size()) of `inode` as of this change.  `bytes` must stay until commit.
  void add_data(InodeId inode, uint64_t offset, std::span<const uint8_t> bytes) {
    data_.push_back({inode, offset, bytes});
  }
  /// Deferred data of [offset, offset + length) logged at or before `upto` (by default: before this change)
  /// is superseded: it is in an extent now, or was cut off.
  void discard(InodeId inode, uint64_t offset, uint64_t length = kToEnd, Lsn upto = Lsn(kToEnd)) {
    discards_.push_back({inode, offset, length, upto});
  }
  /// `bytes` more (or, negative, fewer) bytes of the group's data space are referenced.
  void add_live(GroupId group, int64_t bytes) { live_[group] += bytes; }
  void add_usage(BucketId bucket, int64_t bytes, int64_t files) {
    usage_[bucket].bytes += bytes;
    usage_[bucket].files += files;
  }

  /// The caller's memory does not depend on this commit: when the journal has no room for it, nothing has
  /// happened. Without it such a refusal fences the pool, because memory may be ahead of what can be
  /// committed.
  void set_retryable() { retryable_ = true; }
  bool retryable() const { return retryable_; }

  bool empty() const {
    return index_.empty() && data_.empty() && discards_.empty() && live_.empty() && usage_.empty();
  }

  struct Data {
    InodeId inode;
    uint64_t offset;
    std::span<const uint8_t> bytes;
  };
  struct Discard {
    InodeId inode;
    uint64_t offset;
    uint64_t length;
    Lsn upto;
  };
  struct Usage {
    int64_t bytes = 0;
    int64_t files = 0;
  };
  const std::vector<Data>& data() const { return data_; }
  const std::vector<Discard>& discards() const { return discards_; }
  const std::map<GroupId, int64_t>& live() const { return live_; }
  const std::map<BucketId, Usage>& usage() const { return usage_; }

 private:
  IndexBatch index_;
  std::vector<Data> data_;
  std::vector<Discard> discards_;
  std::map<GroupId, int64_t> live_;
  std::map<BucketId, Usage> usage_;
  bool retryable_ = false;
};

}  // namespace stavefs
