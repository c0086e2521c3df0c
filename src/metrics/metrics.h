// Counters, gauges and latency histograms, and the registry that names them.
//
// Theory of the histogram: values below 16 have a bucket each; above, every power of two is cut into 16 equal
// buckets, so that a bucket is never wider than 1/16 of its lower edge (the layout of HdrHistogram with 4
// significant bits).  976 buckets cover all 64-bit values; a percentile is at most 6.25 % too high, never too
// low.
//
// Invariants: a recorded value is never lost or counted twice; a Counter never goes down; metrics live as
// long as their registry, so a reference taken once at start stays good.
//
// Threads: recording and reading are lock-free from any thread.  Readings taken while others record are a
// moment's view of each field, not one cut through all of them.  The registry locks only to look up and to
// list: take references once, not on hot paths.

#pragma once

#include <array>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/clock.h"

namespace stavefs {

/// Counts events or bytes since start.
class Counter {
 public:
  void add(uint64_t n = 1) { value_.fetch_add(n, std::memory_order_relaxed); }
  uint64_t value() const { return value_.load(std::memory_order_relaxed); }

 private:
  alignas(64) std::atomic<uint64_t> value_{
      0};  // a cache line of its own: neighbours are bumped by other threads
};

/// A level that goes up and down.
class Gauge {
 public:
  void set(int64_t v) { value_.store(v, std::memory_order_relaxed); }
  void add(int64_t n) { value_.fetch_add(n, std::memory_order_relaxed); }
  int64_t value() const { return value_.load(std::memory_order_relaxed); }

 private:
  alignas(64) std::atomic<int64_t> value_{0};
};

/// Buckets of a histogram, as pure functions.
struct HistogramBuckets {
  static constexpr int kSubBits = 4;
  static constexpr size_t kSub = size_t{1} << kSubBits;
  static constexpr size_t kCount = (64 - kSubBits + 1) * kSub;

  static constexpr size_t index_of(uint64_t value) {
    if (value < kSub) return value;
    const int shift = std::bit_width(value) - 1 - kSubBits;
    return static_cast<size_t>(shift) * kSub + (value >> shift);
  }
  /// Smallest and largest value of a bucket.
  static constexpr uint64_t lower_edge(size_t index) {
    if (index < kSub) return index;
    const size_t shift = index / kSub - 1;
    return (kSub + index % kSub) << shift;
  }
  static constexpr uint64_t upper_edge(size_t index) {
    if (index < kSub) return index;
    const size_t shift = index / kSub - 1;
    return lower_edge(index) + ((uint64_t{1} << shift) - 1);
  }
};

/// What a histogram held at one moment; a plain value.
struct HistogramSnapshot {
  uint64_t count = 0;
  uint64_t sum = 0;  ///< modulo 2^64
  uint64_t max = 0;
  std::array<uint64_t, HistogramBuckets::kCount> buckets{};

  /// The upper edge of the bucket in which the `percent`-th percentile lies, no more than `max`; 0 when
  /// empty. `percent` in [0, 100]; outside it is taken as the nearest end.
  uint64_t percentile(double percent) const;
  double mean() const { return count == 0 ? 0.0 : static_cast<double>(sum) / static_cast<double>(count); }
  /// Adds another snapshot, as if all its values had been recorded here.
  void merge(const HistogramSnapshot& other);
};

/// A distribution of latencies (nanoseconds) or sizes.
class Histogram {
 public:
  void record(uint64_t value);
  HistogramSnapshot snapshot() const;

 private:
  std::atomic<uint64_t> sum_{0};
  std::atomic<uint64_t> max_{0};
  std::array<std::atomic<uint64_t>, HistogramBuckets::kCount> buckets_{};
};

/// Records the time from its construction to its end.  REQUIRES: both arguments outlive it.
class LatencyTimer {
 public:
  LatencyTimer(Histogram& histogram, const Clock& clock)
      : histogram_(histogram), clock_(clock), start_ns_(clock.monotonic_ns()) {}
  LatencyTimer(const LatencyTimer&) = delete;
  LatencyTimer& operator=(const LatencyTimer&) = delete;
  ~LatencyTimer() { histogram_.record(static_cast<uint64_t>(clock_.monotonic_ns() - start_ns_)); }

 private:
  Histogram& histogram_;
  const Clock& clock_;
  const int64_t start_ns_;
};

/// One line of a listing.
struct MetricValue {
  std::string name;
  int64_t value = 0;
  bool operator==(const MetricValue&) const = default;
};

/// Names metrics: words of [a-z0-9_] joined by dots, e.g. "disk.read_latency_ns".  Self-synchronised.
class MetricRegistry {
 public:
  /// The metric of that name, made at its first mention.  It lives as long as the registry.
  /// REQUIRES: a well-formed name that has always meant the same kind.
  Counter& counter(std::string_view name);
  Gauge& gauge(std::string_view name);
  Histogram& histogram(std::string_view name);

  /// All metrics by name, ascending.  A histogram gives NAME.count, .max, .mean, .p50, .p90, .p99 and .p999.
  std::vector<MetricValue> list() const;

 private:
  using Metric = std::variant<std::unique_ptr<Counter>, std::unique_ptr<Gauge>, std::unique_ptr<Histogram>>;
  template <class T>
  T& find_or_make(std::string_view name);

  mutable std::mutex mutex_;  // a leaf: nothing else is locked under it
  std::map<std::string, Metric, std::less<>> metrics_;
};

}  // namespace stavefs
