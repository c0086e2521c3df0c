// Metrics: no recorded value may be lost, whatever the threads do, and a percentile must stay within the
// error that the header promises; a sorted list of the same values is the model.

#include "metrics/metrics.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <thread>

#include "base/rng.h"

namespace stavefs {
namespace {

using Buckets = HistogramBuckets;

TEST(HistogramBuckets, CoverAllValuesWithoutGapOrOverlap) {
  EXPECT_EQ(Buckets::lower_edge(0), 0u);
  for (size_t i = 0; i < Buckets::kCount; ++i) {
    const uint64_t low = Buckets::lower_edge(i), high = Buckets::upper_edge(i);
    ASSERT_EQ(Buckets::index_of(low), i);
    ASSERT_EQ(Buckets::index_of(high), i);
    if (i + 1 < Buckets::kCount) {
      ASSERT_EQ(high + 1, Buckets::lower_edge(i + 1));
    }
    ASSERT_LE(high - low, low / 16) << "wider than the promised error in bucket " << i;
  }
  EXPECT_EQ(Buckets::upper_edge(Buckets::kCount - 1), std::numeric_limits<uint64_t>::max());
}

/// The value that a sorted list has at a percentile (nearest rank).
uint64_t exact_percentile(const std::vector<uint64_t>& sorted, double percent) {
  const auto rank = static_cast<size_t>(std::ceil(percent / 100.0 * static_cast<double>(sorted.size())));
  return sorted[std::clamp<size_t>(rank, 1, sorted.size()) - 1];
}

TEST(Histogram, PercentilesStayWithinTheirErrorOfASortedList) {
  for (uint64_t seed = 1; seed <= 60; ++seed) {
    SCOPED_TRACE(seed);
    Rng rng(seed);
    Histogram histogram;
    std::vector<uint64_t> values(1 + rng.below(3000));
    const uint64_t narrow = 1 + rng.below(63);
    uint64_t sum = 0;
    for (uint64_t& v : values) {
      v = rng.next() >> (rng.one_in(4) ? rng.below(64) : narrow);
      sum += v;
      histogram.record(v);
    }
    std::sort(values.begin(), values.end());
    const HistogramSnapshot snapshot = histogram.snapshot();
    ASSERT_EQ(snapshot.count, values.size());
    ASSERT_EQ(snapshot.sum, sum);
    ASSERT_EQ(snapshot.max, values.back());
    for (const double percent : {0.0, 0.1, 1.0, 25.0, 50.0, 90.0, 99.0, 99.9, 100.0}) {
      const uint64_t exact = exact_percentile(values, percent);
      ASSERT_GE(snapshot.percentile(percent), exact) << percent;
      ASSERT_LE(snapshot.percentile(percent) - exact, exact / 16) << percent;
    }
    ASSERT_EQ(snapshot.percentile(100), values.back());
  }
}

TEST(Histogram, EmptyAndExtremeAreDefined) {
  Histogram histogram;
  EXPECT_EQ(histogram.snapshot().percentile(99), 0u);
  EXPECT_EQ(histogram.snapshot().mean(), 0.0);
  histogram.record(std::numeric_limits<uint64_t>::max());
  EXPECT_EQ(histogram.snapshot().percentile(50), std::numeric_limits<uint64_t>::max());
  histogram.record(0);
  EXPECT_EQ(histogram.snapshot().percentile(50), 0u);
  EXPECT_EQ(histogram.snapshot().percentile(-7), 0u);
  EXPECT_EQ(histogram.snapshot().percentile(700), std::numeric_limits<uint64_t>::max());
}

TEST(Histogram, MergeEqualsRecordingEverythingInOne) {
  Rng rng(3);
  Histogram a, b, both;
  for (int i = 0; i < 5000; ++i) {
    const uint64_t v = rng.next() >> (20 + rng.below(44));
    (rng.one_in(3) ? a : b).record(v);
    both.record(v);
  }
  HistogramSnapshot merged = a.snapshot();
  merged.merge(b.snapshot());
  const HistogramSnapshot expected = both.snapshot();
  EXPECT_EQ(merged.count, expected.count);
  EXPECT_EQ(merged.sum, expected.sum);
  EXPECT_EQ(merged.max, expected.max);
  EXPECT_EQ(merged.buckets, expected.buckets);
}

TEST(Metrics, NothingIsLostWhenThreadsRecordTogether) {
  constexpr uint64_t kThreads = 4, kEach = 50000;
  MetricRegistry registry;
  std::vector<std::thread> threads;
  for (uint64_t t = 0; t < kThreads; ++t) {
    threads.emplace_back([&registry, t] {
      Counter& counter = registry.counter("test.count");
      Gauge& gauge = registry.gauge("test.level");
      Histogram& histogram = registry.histogram("test.time_ns");
      for (uint64_t i = 0; i < kEach; ++i) {
        counter.add(2);
        gauge.add(t % 2 == 0 ? 3 : -1);
        histogram.record(i);  // all threads hit the same buckets
        if (i % 10000 == 0) {
          const HistogramSnapshot seen = registry.histogram("test.time_ns").snapshot();
          EXPECT_LE(seen.percentile(100), seen.max) << "a counted value must already be in the maximum";
          EXPECT_GE(seen.max, Buckets::lower_edge(Buckets::index_of(i)));
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  constexpr uint64_t kAll = kThreads * kEach;
  EXPECT_EQ(registry.counter("test.count").value(), 2 * kAll);
  EXPECT_EQ(registry.gauge("test.level").value(), static_cast<int64_t>(kThreads / 2 * kEach * 2));
  const HistogramSnapshot snapshot = registry.histogram("test.time_ns").snapshot();
  EXPECT_EQ(snapshot.count, kAll);
  EXPECT_EQ(snapshot.sum, kThreads * (kEach * (kEach - 1) / 2));
  EXPECT_EQ(snapshot.max, kEach - 1);
}

TEST(Histogram, MaximumNeverFallsBackWhenThreadsRaiseItTogether) {
  // Two threads meet before every round and each records a new maximum: one that read the old maximum must
  // not write over the other's larger one.
  constexpr uint64_t kRounds = 100000;
  Histogram histogram;
  std::atomic<uint64_t> arrived{0};
  uint64_t fell_back = 0;
  const auto meet = [&](uint64_t meeting) {
    arrived.fetch_add(1);
    for (int spins = 0; arrived.load() < 2 * (meeting + 1); ++spins) {
      if (spins > 1000) std::this_thread::yield();
    }
  };
  const auto record_all = [&](uint64_t thread) {
    for (uint64_t round = 0; round < kRounds; ++round) {
      meet(2 * round);
      histogram.record(1 + 2 * round + thread);
      meet(2 * round + 1);
      if (thread == 0) fell_back += histogram.snapshot().max != 2 + 2 * round;
    }
  };
  std::thread other(record_all, 1);
  record_all(0);
  other.join();
  EXPECT_EQ(fell_back, 0u);
}

TEST(MetricRegistry, ListsEverythingByName) {
  MetricRegistry registry;
  registry.counter("b.reads").add(7);
  registry.gauge("b.queue").set(-3);
  registry.gauge("a.time.z").set(1);  // sorts behind the histogram's own lines
  for (uint64_t v = 1; v <= 10; ++v) registry.histogram("a.time").record(v);
  const std::vector<MetricValue> expected = {
      {"a.time.count", 10}, {"a.time.max", 10},  {"a.time.mean", 5}, {"a.time.p50", 5}, {"a.time.p90", 9},
      {"a.time.p99", 10},   {"a.time.p999", 10}, {"a.time.z", 1},    {"b.queue", -3},   {"b.reads", 7},
  };
  EXPECT_EQ(registry.list(), expected);
}

TEST(MetricRegistry, SameNameIsTheSameMetric) {
  MetricRegistry registry;
  Counter& counter = registry.counter("x");
  for (int i = 0; i < 100; ++i) registry.counter("filler" + std::to_string(i));
  EXPECT_EQ(&registry.counter("x"), &counter);
}

TEST(MetricRegistryDeathTest, RefusesBadNamesAndChangedKinds) {
  MetricRegistry registry;
  for (const char* bad : {"", ".a", "a.", "a..b", "A", "a b", "a-b"}) {
    EXPECT_DEATH(registry.counter(bad), "internal check failed") << bad;
  }
  registry.counter("taken");
  EXPECT_DEATH(registry.gauge("taken"), "internal check failed");
}

class StepClock final : public Clock {
 public:
  int64_t realtime_ns() const override { return 0; }
  int64_t monotonic_ns() const override { return now_ns; }
  int64_t now_ns = 1000;
};

TEST(LatencyTimer, RecordsTheTimeOfItsScope) {
  StepClock clock;
  Histogram histogram;
  {
    const LatencyTimer timer(histogram, clock);
    clock.now_ns += 250;
    EXPECT_EQ(histogram.snapshot().count, 0u);
  }
  EXPECT_EQ(histogram.snapshot().count, 1u);
  EXPECT_EQ(histogram.snapshot().sum, 250u);
}

}  // namespace
}  // namespace stavefs
