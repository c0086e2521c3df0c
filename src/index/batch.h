// A set of index changes that take effect together, in the form in which the journal carries it.
//
// Encoding: for each operation a byte (1 put, 2 delete, 3 delete range), then the key and, for 1, the value,
// for 3, the excluded end key, each as a varint length and bytes.

#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace stavefs {

/// One owner.
class IndexBatch {
 public:
  void put(std::string_view key, std::string_view value);
  void erase(std::string_view key);
  /// Erases every key in [from, to).
  void erase_range(std::string_view from, std::string_view to);
  void append(const IndexBatch& other) {
    encoded_.append(other.encoded_);
    count_ += other.count_;
  }

  bool empty() const { return encoded_.empty(); }
  size_t count() const { return count_; }
  const std::string& encoded() const { return encoded_; }
  void clear() {
    encoded_.clear();
    count_ = 0;
  }

  struct Visitor {
    std::function<void(std::string_view key, std::string_view value)> put;
    std::function<void(std::string_view key)> erase;
    std::function<void(std::string_view from, std::string_view to)> erase_range;
  };
  /// Visits an encoded batch in order; kCorrupt when it is malformed.
  static Status visit(std::string_view encoded, const Visitor& visitor);

 private:
  std::string encoded_;
  size_t count_ = 0;
};

}  // namespace stavefs
