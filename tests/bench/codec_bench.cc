// Speed of the codec.  Reed-Solomon stands beside a bare ISA-L loop of the same geometry in the same binary,
// so that one run gives the ratio.  Bytes are bytes of data (k shards) for both encode and decode; a decode
// rebuilds the first min(m, 2) data shards, as with that many disks gone.
//
// Run: codec_bench --benchmark_min_time=0.2

#include <benchmark/benchmark.h>
#include <isa-l/erasure_code.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include "base/buffer.h"
#include "base/rng.h"
#include "codec/checksum.h"
#include "codec/reed_solomon.h"

namespace stavefs {
namespace {

/// Encoded shards and room for rebuilt ones.
struct Shards {
  Shards(int k, int m, size_t bytes) {
    Rng rng(1);
    for (int i = 0; i < k + m + 2; ++i) {
      buffers.emplace_back(bytes);
      uint8_t* const p = buffers.back().data();
      for (size_t at = 0; at < bytes; at += 8) {
        const uint64_t v = rng.next();
        std::memcpy(p + at, &v, sizeof v);
      }
      all.push_back(p);
      from.push_back(p);
    }
    data = std::span(from).first(static_cast<size_t>(k));
    shards = std::span(from).first(static_cast<size_t>(k + m));
    parity = std::span(all).subspan(static_cast<size_t>(k), static_cast<size_t>(m));
    rebuilt = std::span(all).subspan(static_cast<size_t>(k + m), static_cast<size_t>(std::min(m, 2)));
  }
  std::vector<AlignedBuffer> buffers;
  std::vector<uint8_t*> all;
  std::vector<const uint8_t*> from;
  std::span<const uint8_t*const> data, shards;
  std::span<uint8_t*const> parity, rebuilt;
};

struct Case {
  explicit Case(const benchmark::State& state)
      : k(static_cast<int>(state.range(0))),
        m(static_cast<int>(state.range(1))),
        bytes(static_cast<size_t>(state.range(2))) {}
  void finish(benchmark::State& state) const {
    state.SetBytesProcessed(state.iterations() * k * static_cast<int64_t>(bytes));
  }
  int k, m;
  size_t bytes;
};

void encode_ours(benchmark::State& state) {
  const Case c(state);
  Shards s(c.k, c.m, c.bytes);
  const auto coder = ReedSolomon::create(c.k, c.m).value();
  for (auto _ : state) {
    coder->encode(s.data, s.parity, c.bytes);
    benchmark::ClobberMemory();
  }
  c.finish(state);
}

void encode_bare(benchmark::State& state) {
  const Case c(state);
  Shards s(c.k, c.m, c.bytes);
  std::vector<uint8_t> matrix(static_cast<size_t>((c.k + c.m) * c.k)),
      tables(static_cast<size_t>(c.k * c.m) * 32);
  gf_gen_cauchy1_matrix(matrix.data(), c.k + c.m, c.k);
  ec_init_tables(c.k, c.m, &matrix[static_cast<size_t>(c.k * c.k)], tables.data());
  for (auto _ : state) {
    ec_encode_data(static_cast<int>(c.bytes), c.k, c.m, tables.data(), s.all.data(), s.all.data() + c.k);
    benchmark::ClobberMemory();
  }
  c.finish(state);
}

void decode_ours(benchmark::State& state) {
  const Case c(state);
  Shards s(c.k, c.m, c.bytes);
  const auto coder = ReedSolomon::create(c.k, c.m).value();
  coder->encode(s.data, s.parity, c.bytes);
  const int wanted[2] = {0, 1};
  const uint64_t erased = (uint64_t{1} << s.rebuilt.size()) - 1;
  const uint64_t present = ((uint64_t{1} << (c.k + c.m)) - 1) & ~erased;
  for (auto _ : state) {
    if (!coder->reconstruct(present, s.shards, {wanted, s.rebuilt.size()}, s.rebuilt, c.bytes)) {
      state.SkipWithError("cannot rebuild");
      break;
    }
    benchmark::ClobberMemory();
  }
  for (size_t i = 0; i < s.rebuilt.size(); ++i) {
    if (std::memcmp(s.rebuilt[i], s.all[i], c.bytes) != 0) state.SkipWithError("rebuilt wrongly");
  }
  c.finish(state);
}

void decode_bare(benchmark::State& state) {
  const Case c(state);
  Shards s(c.k, c.m, c.bytes);
  const auto k = static_cast<size_t>(c.k);
  const size_t lost = s.rebuilt.size();
  std::vector<uint8_t> matrix((k + static_cast<size_t>(c.m)) * k), square, inverse(k * k),
      tables(lost * k * 32);
  gf_gen_cauchy1_matrix(matrix.data(), c.k + c.m, c.k);
  // Sources are shards lost..k+lost; the first rows of the inverse are those of the lost data.
  square.assign(matrix.begin() + static_cast<ptrdiff_t>(lost * k),
                matrix.begin() + static_cast<ptrdiff_t>((lost + k) * k));
  if (gf_invert_matrix(square.data(), inverse.data(), c.k) != 0) return state.SkipWithError("singular");
  ec_init_tables(c.k, static_cast<int>(lost), inverse.data(), tables.data());
  for (auto _ : state) {
    ec_encode_data(static_cast<int>(c.bytes), c.k, static_cast<int>(lost), tables.data(), s.all.data() + lost,
                   s.all.data() + c.k + c.m);
    benchmark::ClobberMemory();
  }
  c.finish(state);
}

void geometries(benchmark::internal::Benchmark* b) {
  b->ArgNames({"k", "m", "unit"});
  for (const int64_t unit : {4 << 10, 32 << 10, 256 << 10}) {
    for (const auto& [k, m] : {std::pair{4, 2}, {8, 4}, {16, 4}, {8, 8}}) b->Args({k, m, unit});
  }
}

BENCHMARK(encode_ours)->Apply(geometries);
BENCHMARK(encode_bare)->Apply(geometries);
BENCHMARK(decode_ours)->Apply(geometries);
BENCHMARK(decode_bare)->Apply(geometries);

/// A decode whose pattern is never in the plan cache: 4 KiB units, each of C(12,2) pairs of lost shards in
/// turn.
void decode_uncached(benchmark::State& state) {
  constexpr int kData = 8, kParity = 4;
  Shards s(kData, kParity, 4096);
  const auto coder = ReedSolomon::create(kData, kParity).value();
  coder->encode(s.data, s.parity, 4096);
  int a = 0, b = 1;
  for (auto _ : state) {
    const int wanted[2] = {a, b};
    const uint64_t present = 0xfff & ~(uint64_t{1} << a) & ~(uint64_t{1} << b);
    if (!coder->reconstruct(present, s.shards, wanted, s.rebuilt, 4096))
      return state.SkipWithError("cannot rebuild");
    if (++b == kData + kParity) b = (a = (a + 1) % (kData + kParity - 1)) + 1;
  }
  state.SetBytesProcessed(state.iterations() * kData * 4096);
}
BENCHMARK(decode_uncached);

void checksum(benchmark::State& state, ChecksumKind kind) {
  const auto bytes = static_cast<size_t>(state.range(0));
  const Shards s(1, 1, bytes);
  uint8_t out[kMaxChecksumBytes];
  for (auto _ : state) {
    compute_checksum(kind, {s.from[0], bytes}, out);
    benchmark::DoNotOptimize(out);
  }
  state.SetBytesProcessed(state.iterations() * state.range(0));
}
void sizes(benchmark::internal::Benchmark* b) {
  b->ArgName("bytes")->Arg(4 << 10)->Arg(32 << 10)->Arg(256 << 10);
}

BENCHMARK_CAPTURE(checksum, xxh3, ChecksumKind::kXxh3)->Apply(sizes);
BENCHMARK_CAPTURE(checksum, sha256, ChecksumKind::kSha256)->Apply(sizes);
BENCHMARK_CAPTURE(checksum, md5, ChecksumKind::kMd5)->Apply(sizes);

}  // namespace
}  // namespace stavefs

BENCHMARK_MAIN();
