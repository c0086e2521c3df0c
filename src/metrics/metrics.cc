#include "metrics/metrics.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"

namespace stavefs {
namespace {

bool well_formed(std::string_view name) {
  if (name.empty() || name.front() == '.' || name.back() == '.') return false;
  if (name.find("..") != std::string_view::npos) return false;
  return name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789_.") == std::string_view::npos;
}

void append_values(std::vector<MetricValue>& list, const std::string& name,
                   const HistogramSnapshot& snapshot) {
  const auto line = [&](const char* suffix, uint64_t v) {
    list.push_back({name + suffix, static_cast<int64_t>(v)});
  };
  line(".count", snapshot.count);
  line(".max", snapshot.max);
  line(".mean", static_cast<uint64_t>(snapshot.mean()));
  line(".p50", snapshot.percentile(50));
  line(".p90", snapshot.percentile(90));
  line(".p99", snapshot.percentile(99));
  line(".p999", snapshot.percentile(99.9));
}

}  // namespace

uint64_t HistogramSnapshot::percentile(double percent) const {
  if (count == 0) return 0;
  const double share = std::clamp(percent, 0.0, 100.0) / 100.0;
  const auto rank = static_cast<uint64_t>(std::ceil(share * static_cast<double>(count)));
  const uint64_t wanted = std::clamp<uint64_t>(rank, 1, count);
  uint64_t seen = 0;
  for (size_t i = 0; i < buckets.size(); ++i) {
    seen += buckets[i];
    if (seen >= wanted) return std::min(HistogramBuckets::upper_edge(i), max);
  }
  return max;
}

void HistogramSnapshot::merge(const HistogramSnapshot& other) {
  count += other.count;
  sum += other.sum;
  max = std::max(max, other.max);
  for (size_t i = 0; i < buckets.size(); ++i) buckets[i] += other.buckets[i];
}

void Histogram::record(uint64_t value) {
  // The bucket goes last and with release: a snapshot that counts this value also sees it in sum and maximum.
  uint64_t seen = max_.load(std::memory_order_relaxed);
  while (seen < value && !max_.compare_exchange_weak(seen, value, std::memory_order_relaxed)) {
  }
  sum_.fetch_add(value, std::memory_order_relaxed);
  buckets_[HistogramBuckets::index_of(value)].fetch_add(1, std::memory_order_release);
}

HistogramSnapshot Histogram::snapshot() const {
  HistogramSnapshot snapshot;
  for (size_t i = 0; i < buckets_.size(); ++i) {
    snapshot.buckets[i] = buckets_[i].load(std::memory_order_acquire);
    snapshot.count += snapshot.buckets[i];
  }
  snapshot.sum = sum_.load(std::memory_order_relaxed);
  snapshot.max = max_.load(std::memory_order_relaxed);
  return snapshot;
}

template <class T>
T& MetricRegistry::find_or_make(std::string_view name) {
  CHECK(well_formed(name));
  const std::lock_guard lock(mutex_);
  auto it = metrics_.find(name);
  if (it == metrics_.end()) it = metrics_.emplace(std::string(name), std::make_unique<T>()).first;
  auto* metric = std::get_if<std::unique_ptr<T>>(&it->second);
  CHECK(metric != nullptr);
  return **metric;
}

Counter& MetricRegistry::counter(std::string_view name) { return find_or_make<Counter>(name); }
Gauge& MetricRegistry::gauge(std::string_view name) { return find_or_make<Gauge>(name); }
Histogram& MetricRegistry::histogram(std::string_view name) { return find_or_make<Histogram>(name); }

std::vector<MetricValue> MetricRegistry::list() const {
  std::vector<MetricValue> list;
  const std::lock_guard lock(mutex_);
  for (const auto& [name, metric] : metrics_) {
    if (const auto* counter = std::get_if<std::unique_ptr<Counter>>(&metric)) {
      list.push_back({name, static_cast<int64_t>((*counter)->value())});
    } else if (const auto* gauge = std::get_if<std::unique_ptr<Gauge>>(&metric)) {
      list.push_back({name, (*gauge)->value()});
    } else {
      append_values(list, name, std::get<std::unique_ptr<Histogram>>(metric)->snapshot());
    }
  }
  // A histogram's suffixes can sort behind a longer name of its neighbour.
  std::sort(list.begin(), list.end(),
            [](const MetricValue& a, const MetricValue& b) { return a.name < b.name; });
  return list;
}

}  // namespace stavefs
