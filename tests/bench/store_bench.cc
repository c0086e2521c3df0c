// How fast the store is, beside what it stands on: sessions of large pieces, of small pieces, and reads,
// whole and degraded.
//
// Usage: store_bench [--dir DIR] [--geometry 4+2] [--mib N] [--segment-mib N].  Makes k+m directories below
// DIR (default /dev/shm), runs the production engine on them and removes them again.

#include <sys/resource.h>

#include <cstdio>
#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/log.h"
#include "disk/posix_disk.h"
#include "disk/uring_engine.h"
#include "index/keys.h"
#include "journal/journal.h"
#include "store/store.h"

namespace stavefs {
namespace {

constexpr double kGiB = 1024.0 * 1024.0 * 1024.0;
constexpr uint64_t kSessionBytes = uint64_t{64} << 20;

struct Settings {
  std::string directory = "/dev/shm";
  Geometry geometry{4, 2};
  uint64_t mib = 2048;
  uint32_t segment_mib = 16;
};

/// Seconds of both clocks: on a busy machine the processor's tells more.
struct Times {
  double wall = 0;
  double cpu = 0;
};

Times now(const Clock& clock) {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) / 1e6;
  };
  return {static_cast<double>(clock.monotonic_ns()) / 1e9, seconds(usage.ru_utime) + seconds(usage.ru_stime)};
}

/// GiB/s by both.
struct Rate {
  double wall = 0;
  double cpu = 0;
};

class Bench {
 public:
  explicit Bench(const Settings& settings) : settings_(settings) {}
  ~Bench() {
    store_.reset();
    ledger_.reset();
    pool_.reset();
    for (const std::string& path : paths_) std::filesystem::remove_all(path);
  }

  Status open() {
    ASSIGN_OR_RETURN(engine_, make_uring_engine({}));
    const uint64_t bytes = (settings_.mib * 3 << 20) / settings_.geometry.data + (uint64_t{512} << 20);
    PoolConfig config;
    config.id = Uuid::random(rng_);
    config.name = "bench";
    config.geometry = settings_.geometry;
    config.segment_bytes = settings_.segment_mib << 20;
    config.ring_bytes = uint64_t{64} << 20;
    config.metadata_copies = static_cast<uint8_t>(settings_.geometry.parity + 1);
    std::vector<std::unique_ptr<Disk>> disks;
    std::vector<Pool::NewDisk> blank;
    for (int i = 0; i < settings_.geometry.total(); ++i) {
      paths_.push_back(settings_.directory + "/store_bench_" + std::to_string(i));
      std::filesystem::remove_all(paths_.back());
      std::filesystem::create_directories(paths_.back());
      ASSIGN_OR_RETURN(std::unique_ptr<Disk> disk, open_posix_disk(paths_.back()));
      if (i < config.metadata_copies) TRY(Journal::format(*disk, *engine_, config.ring_bytes));
      blank.push_back({disk.get(), paths_.back(), bytes});
      disks.push_back(std::move(disk));
    }
    TRY(Pool::format(config, blank, *engine_, rng_));
    std::vector<Pool::Attached> attached;
    for (size_t i = 0; i < disks.size(); ++i) attached.push_back({std::move(disks[i]), paths_[i]});
    ASSIGN_OR_RETURN(pool_, Pool::open(std::move(attached), *engine_, *witness_, rng_, {}));
    ASSIGN_OR_RETURN(ledger_, Ledger::open(*pool_, {}));
    ASSIGN_OR_RETURN(store_, Store::open(*pool_, *ledger_, buffers_, clock_, rng_, {}));
    return ok();
  }

  /// Writes `total` bytes as pieces of `piece_bytes`; GiB/s of data, durable and committed.
  Result<Rate> write(uint64_t total, uint64_t piece_bytes) {
    AlignedBuffer source(kSessionBytes);
    for (size_t i = 0; i < source.size(); i += 8) {
      const uint64_t word = rng_.next();
      std::memcpy(source.data() + i, &word, sizeof word);
    }
    const Times start = now(clock_);
    for (uint64_t done = 0; done < total; done += kSessionBytes) {
      std::vector<DataPiece> pieces;
      for (uint64_t at = 0; at + piece_bytes <= kSessionBytes; at += piece_bytes) {
        pieces.push_back({InodeId(++inode_), 0, {source.data() + at, piece_bytes}});
      }
      TRY(ledger_->admit());
      const auto session = store_->begin_write(settings_.geometry, ChecksumKind::kXxh3, Temperature::kLarge);
      std::vector<PlacedExtent> placed;
      TRY(session->write(pieces, placed));
      TRY(session->flush());
      Change change;
      session->add_to(change);
      for (const PlacedExtent& p : placed) {
        Extent& e = extents_.emplace_back();
        e.address = p.address;
        e.length = e.expanded_length = p.address.length;
        e.checksums = p.checksums;
        change.index().put(keys::extent(pieces[p.piece].inode, p.piece_offset), e.encode());
      }
      ASSIGN_OR_RETURN(const Lsn lsn, ledger_->commit(change));
      session->committed();
      TRY(ledger_->sync(lsn));
    }
    return rate(total, start);
  }

  /// Reads everything written in ranges of `bytes`.
  Result<Rate> read(uint64_t bytes) {
    AlignedBuffer out(bytes + kPageBytes);
    uint64_t total = 0;
    const Times start = now(clock_);
    for (const Extent& extent : extents_) {
      const GroupPin pin = store_->pin(extent.address.group);
      for (uint64_t at = 0; at < extent.length; at += bytes) {
        const uint64_t n = std::min(bytes, extent.length - at);
        const ExtentRead range{&extent, at, out.span().first(n), true};
        TRY(store_->read({&range, 1}));
        total += n;
      }
    }
    return rate(total, start);
  }

  Result<Rate> drop_all() {
    const Times start = now(clock_);
    uint64_t total = 0;
    Change change;
    for (const Extent& extent : extents_) {
      change.add_live(extent.address.group, -static_cast<int64_t>(extent.address.length));
      total += extent.address.length;
    }
    extents_.clear();
    ASSIGN_OR_RETURN(const Lsn lsn, ledger_->commit(change));
    TRY(store_->maintain());
    TRY(ledger_->sync(lsn.next()));
    TRY(store_->maintain());
    return rate(total, start);
  }

  void lose(int disk) { pool_->fence(DiskSlot(static_cast<uint16_t>(disk)), "for the benchmark"); }

 private:
  Rate rate(uint64_t bytes, const Times& start) const {
    const Times end = now(clock_);
    const double gib = static_cast<double>(bytes) / kGiB;
    return {gib / (end.wall - start.wall), gib / (end.cpu - start.cpu)};
  }

  const Settings settings_;
  SystemClock clock_;
  Rng rng_{1};
  BufferPool buffers_{size_t{128} << 20};
  std::vector<std::string> paths_;
  std::unique_ptr<IoEngine> engine_;
  std::unique_ptr<Witness> witness_ = make_memory_witness();
  std::unique_ptr<Pool> pool_;
  std::unique_ptr<Ledger> ledger_;
  std::unique_ptr<Store> store_;
  std::vector<Extent> extents_;
  uint64_t inode_ = 100;
};

Status run(const Settings& settings) {
  Bench bench(settings);
  TRY(bench.open());
  const uint64_t total = settings.mib << 20;
  const auto show = [](const char* what, const Rate& rate) {
    std::printf("%-40s %6.2f GiB/s  %6.2f GiB per second of processor\n", what, rate.wall, rate.cpu);
  };
  std::printf("store %s, segments of %u MiB, in %s\n", settings.geometry.to_text().c_str(),
              settings.segment_mib, settings.directory.c_str());
  for (int pass = 1; pass <= 2; ++pass) {
    ASSIGN_OR_RETURN(const Rate large, bench.write(total, 8u << 20));
    show(pass == 1 ? "write, 8 MiB pieces, durable" : "  again, segments reused", large);
    if (pass == 1) {
      ASSIGN_OR_RETURN(const Rate whole, bench.read(1u << 20));
      show("read, 1 MiB ranges", whole);
      ASSIGN_OR_RETURN(const Rate ranges, bench.read(128u << 10));
      show("read, 128 KiB ranges", ranges);
    }
    TRY(bench.drop_all());
  }
  ASSIGN_OR_RETURN(const Rate small, bench.write(total / 4, 4096));
  show("write, 4 KiB pieces, durable", small);
  ASSIGN_OR_RETURN(const Rate small_read, bench.read(4096));
  show("read, 4 KiB pieces", small_read);
  TRY(bench.drop_all());
  TRY(bench.write(total / 4, 8u << 20));
  bench.lose(0);
  ASSIGN_OR_RETURN(const Rate one, bench.read(1u << 20));
  show("read, 1 MiB ranges, one disk gone", one);
  if (settings.geometry.parity < 2) return ok();
  bench.lose(1);
  ASSIGN_OR_RETURN(const Rate two, bench.read(1u << 20));
  show("read, 1 MiB ranges, two disks gone", two);
  return ok();
}

}  // namespace
}  // namespace stavefs

int main(int argc, char** argv) {
  using namespace stavefs;
  Settings settings;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string name = argv[i];
    if (name == "--dir") settings.directory = argv[i + 1];
    if (name == "--mib") settings.mib = std::stoull(argv[i + 1]);
    if (name == "--segment-mib") settings.segment_mib = static_cast<uint32_t>(std::stoul(argv[i + 1]));
    if (name == "--geometry") {
      const auto geometry = Geometry::parse(argv[i + 1]);
      if (!geometry) {
        std::fprintf(stderr, "%s\n", geometry.error().to_text().c_str());
        return 2;
      }
      settings.geometry = *geometry;
    }
  }
  log_to_file("/dev/null");  // disks are fenced on purpose
  const Status status = run(settings);
  if (!status) std::fprintf(stderr, "%s\n", status.error().to_text().c_str());
  return status ? 0 : 1;
}
