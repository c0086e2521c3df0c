#include "index/index_scan.h"

#include <rocksdb/iterator.h>

#include <string>

#include "index/rocks_error.h"

namespace stavefs {

namespace {

class RocksScan final : public IndexScan {
 public:
  RocksScan(rocksdb::DB& db, std::string_view from, std::string_view to)
      : from_(from), to_(to), lower_(from_), upper_(to_) {
    rocksdb::ReadOptions options;
    options.iterate_lower_bound = &lower_;
    options.iterate_upper_bound = &upper_;
    options.total_order_seek = true;
    iterator_.reset(db.NewIterator(options));
    iterator_->Seek(lower_);
  }

  bool valid() const override { return !thrown_ && iterator_->Valid(); }
  std::string_view key() const override { return iterator_->key().ToStringView(); }
  std::string_view value() const override { return iterator_->value().ToStringView(); }
  void next() override {
    guarded([&] { iterator_->Next(); });
  }
  void seek(std::string_view key) override {
    guarded([&] { iterator_->Seek({key.data(), key.size()}); });
  }
  void seek_for_prev(std::string_view key) override {
    guarded([&] { iterator_->SeekForPrev({key.data(), key.size()}); });
  }
  Status status() const override {
    if (thrown_) return Error(ErrorCode::kNoMemory, ENOMEM, "index scan: exception");
    const rocksdb::Status s = iterator_->status();
    return s.ok() ? ok() : to_error(s, "index scan");
  }

 private:
  /// An iterator that an exception has left half way is not used again.
  template <class Move>
  void guarded(Move move) noexcept {
    if (thrown_) return;
    try {
      move();
    } catch (...) {
      thrown_ = true;
    }
  }

  const std::string from_;
  const std::string to_;
  const rocksdb::Slice lower_;
  const rocksdb::Slice upper_;
  std::unique_ptr<rocksdb::Iterator> iterator_;
  bool thrown_ = false;
};

}  // namespace

Result<std::unique_ptr<IndexScan>> make_index_scan(rocksdb::DB& db, std::string_view from,
                                                   std::string_view to) {
  auto scan = std::make_unique<RocksScan>(db, from, to);
  TRY(scan->status());
  return Result<std::unique_ptr<IndexScan>>(std::move(scan));
}

}  // namespace stavefs
