#include "index/index.h"

#include <fmt/format.h>
#include <rocksdb/db.h>
#include <rocksdb/env.h>
#include <rocksdb/write_batch.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <exception>
#include <mutex>

#include "base/check.h"
#include "base/log.h"
#include "base/rng.h"
#include "index/batch_format.h"
#include "index/index_scan.h"
#include "index/mirror_fs.h"
#include "index/mirror_set.h"
#include "index/rocks_error.h"
#include "index/rocks_hooks.h"
#include "index/rocks_options.h"

namespace stavefs {

namespace {

rocksdb::Slice slice(std::string_view v) { return {v.data(), v.size()}; }

Error read_only_error() { return Error(ErrorCode::kInvalid, EROFS, "the index is open for reading only"); }

/// Builds RocksDB's batch from ours.
struct BatchBuilder {
  rocksdb::WriteBatch& batch;
  void put(std::string_view key, std::string_view value) { note(batch.Put(slice(key), slice(value))); }
  void erase(std::string_view key) { note(batch.Delete(slice(key))); }
  void erase_range(std::string_view from, std::string_view to) {
    note(batch.DeleteRange(slice(from), slice(to)));
  }
  void note(rocksdb::Status s) {
    if (!s.ok()) status = std::move(s);
  }
  rocksdb::Status status;
};

}  // namespace

struct Index::Impl {
  Options options;
  // Destroyed from the last to the first: RocksDB before what it stands on.
  std::unique_ptr<MirrorSet> set;
  std::shared_ptr<rocksdb::FileSystem> file_system;
  std::unique_ptr<rocksdb::Env> env;

  std::atomic<uint64_t> applied{0};
  mutable std::mutex mutex;          // guards `flushed`; a leaf
  std::condition_variable progress;  // `flushed` has grown, or the set was fenced
  uint64_t flushed = 0;

  rocksdb::WriteBatch batch;  // of apply(), which has one caller at a time
  std::unique_ptr<rocksdb::DB> db;

  Status open_rocks();
  Status load_lsn();
  RocksHooks hooks();
  void set_flushed(Lsn lsn) {
    {
      std::lock_guard lock(mutex);
      flushed = std::max(flushed, lsn.value);
    }
    progress.notify_all();
  }
  Error failure(const rocksdb::Status& status, std::string_view what) const {
    if (set->is_fenced()) return Error(ErrorCode::kFenced, EIO, "the index has been fenced");
    return to_error(status, what);
  }
};

RocksHooks Index::Impl::hooks() {
  return {.before_flush = options.before_flush,
          .flushed = [this](Lsn lsn) { set_flushed(lsn); },
          .broken = [this](std::string_view why) { set->fence(why); }};
}

Status Index::Impl::open_rocks() {
  // Table files are referred to by CURRENT's manifest only, and CURRENT was durable before the first of them.
  const std::vector<std::string> names = set->list();
  const bool has_tables =
      std::ranges::any_of(names, [](const std::string& name) { return name.ends_with(".sst"); });
  if (!set->exists("CURRENT")) {
    if (has_tables) return Error(ErrorCode::kCorrupt, EIO, "index: CURRENT is missing on every copy");
    if (options.read_only) return Error(ErrorCode::kNotFound, ENOENT, "there is no index");
  }
  file_system = make_mirror_file_system(*set);
  env = rocksdb::NewCompositeEnv(file_system);
  rocksdb::Options rocks = make_rocks_options({options.cache_bytes, options.memtable_bytes});
  rocks.env = env.get();
  rocks.info_log = make_rocks_logger();
  rocks.listeners.push_back(make_flush_listener(hooks()));
  rocks.table_properties_collector_factories.push_back(make_lsn_collector());
  rocksdb::DB* opened = nullptr;
  const rocksdb::Status s = options.read_only ? rocksdb::DB::OpenForReadOnly(rocks, kRocksPath, &opened)
                                              : rocksdb::DB::Open(rocks, kRocksPath, &opened);
  if (!s.ok()) return failure(s, "open the index");
  db.reset(opened);
  return load_lsn();
}

Status Index::Impl::load_lsn() {
  std::string value;
  const rocksdb::Status s = db->Get(rocksdb::ReadOptions(), slice(kLsnKey), &value);
  if (s.IsNotFound()) return ok();
  if (!s.ok()) return failure(s, "read the index's LSN");
  ByteReader in(value);
  applied = in.u64();
  if (!in.finished()) return Error(ErrorCode::kCorrupt, EIO, "the index's LSN is malformed");
  flushed = applied;
  return ok();
}

Index::Index(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Index::~Index() = default;

Result<std::unique_ptr<Index>> Index::open(Pool& pool, Options options) {
  MirrorOptions mirror;
  mirror.engine = &pool.engine();
  mirror.directory = kIndexDirectory;
  mirror.seed = Rng::from_entropy().next();
  mirror.disk = [&pool](DiskSlot slot) { return pool.disk(slot); };
  mirror.report = [&pool](DiskSlot slot, IoKind kind, int error, std::string_view what) {
    pool.report(slot, kind, error, what);
  };
  mirror.report_corrupt = [&pool](DiskSlot slot, std::string_view what) { pool.report_corrupt(slot, what); };
  std::vector<DiskSlot> members;
  for (const DiskSlot slot : pool.epoch().members)
    if (pool.usable(slot)) members.push_back(slot);
  return open_on(std::move(mirror), members, std::move(options));
}

Result<std::unique_ptr<Index>> Index::open_on(MirrorOptions mirror, std::span<const DiskSlot> members,
                                              Options options) {
  auto impl = std::make_unique<Impl>();
  mirror.read_only = options.read_only;
  mirror.copy_failed = options.copy_failed;
  mirror.fenced = [impl = impl.get()] {
    { std::lock_guard lock(impl->mutex); }  // a waiter has either seen the fence or waits already
    impl->progress.notify_all();
    if (impl->options.fenced) impl->options.fenced();
  };
  impl->options = std::move(options);
  ASSIGN_OR_RETURN(impl->set, MirrorSet::open(std::move(mirror), members));
  try {
    TRY(impl->open_rocks());
  } catch (const std::exception& e) {
    return Error(ErrorCode::kIo, EIO, fmt::format("open the index: {}", e.what()));
  }
  return std::unique_ptr<Index>(new Index(std::move(impl)));
}

Result<std::optional<std::string>> Index::get(std::string_view key) const {
  if (impl_->set->is_fenced()) return Error(ErrorCode::kFenced, EIO, "the index has been fenced");
  try {
    rocksdb::PinnableSlice value;
    const rocksdb::Status s =
        impl_->db->Get(rocksdb::ReadOptions(), impl_->db->DefaultColumnFamily(), slice(key), &value);
    if (s.IsNotFound()) return std::optional<std::string>();
    if (!s.ok()) return impl_->failure(s, "index get");
    return std::optional<std::string>(std::in_place, value.data(), value.size());
  } catch (const std::exception& e) {
    return Error(ErrorCode::kIo, EIO, fmt::format("index get: {}", e.what()));
  }
}

Result<std::unique_ptr<IndexScan>> Index::scan(std::string_view from, std::string_view to) const {
  if (impl_->set->is_fenced()) return Error(ErrorCode::kFenced, EIO, "the index has been fenced");
  try {
    return make_index_scan(*impl_->db, from, to);
  } catch (const std::exception& e) {
    return Error(ErrorCode::kIo, EIO, fmt::format("index scan: {}", e.what()));
  }
}

Status Index::apply(std::string_view encoded_batch, Lsn lsn) {
  Impl& impl = *impl_;
  if (impl.set->is_fenced()) return Error(ErrorCode::kFenced, EIO, "the index has been fenced");
  if (impl.options.read_only) return read_only_error();
  if (lsn.value <= impl.applied)
    return Error(ErrorCode::kInvalid, EINVAL,
                 fmt::format("index: LSN {} after {}", lsn.value, impl.applied.load()));
  try {
    impl.batch.Clear();
    BatchBuilder builder{impl.batch, {}};
    TRY(walk_batch(encoded_batch, builder));
    // Last, so that no range deletion of the batch covers it and its sequence number is the batch's greatest.
    const Le64 number = lsn.value;
    builder.put(kLsnKey, bytes_of(number));
    if (!builder.status.ok()) return to_error(builder.status, "index batch");
    rocksdb::WriteOptions write;
    write.disableWAL = true;
    if (const rocksdb::Status s = impl.db->Write(write, &impl.batch); !s.ok()) {
      impl.set->fence("write: " + s.ToString());
      return impl.failure(s, "index apply");
    }
  } catch (const std::exception& e) {
    impl.set->fence(fmt::format("write: {}", e.what()));
    return Error(ErrorCode::kFenced, EIO, fmt::format("index apply: {}", e.what()));
  }
  impl.applied = lsn.value;
  return ok();
}

Lsn Index::applied() const { return Lsn(impl_->applied); }

Lsn Index::flushed() const {
  std::lock_guard lock(impl_->mutex);
  return Lsn(impl_->flushed);
}

Status Index::flush() {
  Impl& impl = *impl_;
  if (impl.options.read_only) return read_only_error();
  const uint64_t target = impl.applied;
  try {
    rocksdb::FlushOptions options;
    options.wait = true;
    options.allow_write_stall = true;
    if (const rocksdb::Status s = impl.db->Flush(options); !s.ok()) return impl.failure(s, "index flush");
  } catch (const std::exception& e) {
    return Error(ErrorCode::kIo, EIO, fmt::format("index flush: {}", e.what()));
  }
  // RocksDB wakes its waiters before it tells the listener.
  std::unique_lock lock(impl.mutex);
  impl.progress.wait(lock, [&] { return impl.flushed >= target || impl.set->is_fenced(); });
  if (impl.set->is_fenced()) return Error(ErrorCode::kFenced, EIO, "the index has been fenced");
  return ok();
}

uint64_t Index::memtable_bytes() const {
  uint64_t bytes = 0;
  impl_->db->GetIntProperty(rocksdb::DB::Properties::kSizeAllMemTables, &bytes);
  return bytes;
}

Status Index::add_copy(DiskSlot slot) { return impl_->set->add_copy(slot); }
void Index::drop_copy(DiskSlot slot) { impl_->set->drop_copy(slot); }
std::vector<DiskSlot> Index::copies() const { return impl_->set->copies(); }

Index::Stats Index::stats() const {
  const MirrorSet::Stats set = impl_->set->stats();
  return {set.file_bytes, set.repaired_pages, set.failed_copies};
}

}  // namespace stavefs
