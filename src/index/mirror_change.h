// One change to the files of a mirrored directory: which copies it goes to, which of them failed, and when it
// is done.

#pragma once

#include <algorithm>
#include <shared_mutex>
#include <string>
#include <utility>
#include <vector>

#include "index/mirror_set.h"

namespace stavefs {

/// Holds the gate until finish() (or destruction).  One thread.
class MirrorSet::Change {
 public:
  /// `verb` and `object` ("write", "000012.sst") are for people.
  Change(MirrorSet& set, std::string_view verb, std::string_view object)
      : set_(set), verb_(verb), object_(object), gate_(set.gate_), copies_(set.live_copies()) {}

  /// The copies that have taken everything so far.
  const std::vector<CopyPtr>& copies() const { return copies_; }

  /// Runs `operation(copy)` on each copy; an error makes the copy fail.
  template <class Operation>
  void on_each(IoKind kind, Operation operation) {
    for (const CopyPtr& copy : std::vector(copies_))
      if (Status s = operation(copy); !s) fail(copy, kind, std::move(s.error()));
  }
  /// Runs one request per copy, made by `request(copy)`.
  template <class MakeRequest>
  void run(MakeRequest request) {
    const std::vector<CopyPtr> targets = copies_;
    std::vector<IoRequest> batch;
    for (const CopyPtr& copy : targets) batch.push_back(request(copy));
    if (!batch.empty()) set_.options_.engine->run(batch);
    for (size_t i = 0; i < batch.size(); ++i)
      if (batch[i].error != 0) fail(targets[i], batch[i].kind, errno_error(batch[i].error, what()));
  }
  void fail(const CopyPtr& copy, IoKind kind, Error error) {
    std::erase(copies_, copy);
    failures_.push_back({copy, kind, std::move(error)});
  }

  /// Opens the gate and gives up the copies that failed.  Success when the change is on every copy that still
  /// counts.
  Status finish() {
    gate_.unlock();
    if (set_.is_fenced()) return set_.fenced_error();
    if (copies_.empty()) {
      for (const Failure& f : failures_)
        if (set_.options_.report) set_.options_.report(f.copy->slot, f.kind, f.error.errno_value(), object_);
      set_.fence(what() + " failed on every copy");
      return set_.fenced_error();
    }
    for (const Failure& f : failures_) set_.give_up(f.copy, f.kind, f.error, object_);
    return set_.settle();
  }

 private:
  std::string what() const { return std::string(verb_).append(" ").append(object_); }

  struct Failure {
    CopyPtr copy;
    IoKind kind;
    Error error;
  };
  MirrorSet& set_;
  const std::string_view verb_;
  const std::string object_;
  std::shared_lock<std::shared_mutex> gate_;
  std::vector<CopyPtr> copies_;
  std::vector<Failure> failures_;
};

}  // namespace stavefs
