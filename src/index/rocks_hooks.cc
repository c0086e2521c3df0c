#include "index/rocks_hooks.h"

#include <rocksdb/db.h>

#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <exception>
#include <string>

#include "base/endian.h"
#include "base/log.h"

namespace stavefs {

namespace {

constexpr const char* kLsnProperty = "stavefs.lsn";

class LsnCollector final : public rocksdb::TablePropertiesCollector {
 public:
  rocksdb::Status AddUserKey(const rocksdb::Slice& key, const rocksdb::Slice& value, rocksdb::EntryType type,
                             rocksdb::SequenceNumber, uint64_t) override {
    if (type == rocksdb::kEntryPut && std::string_view(key.data(), key.size()) == kLsnKey)
      lsn_ = std::max(lsn_, ByteReader({value.data(), value.size()}).u64());
    return rocksdb::Status::OK();
  }
  rocksdb::Status Finish(rocksdb::UserCollectedProperties* properties) override {
    std::string value;
    ByteWriter(value).u64(lsn_);
    (*properties)[kLsnProperty] = value;
    return rocksdb::Status::OK();
  }
  rocksdb::UserCollectedProperties GetReadableProperties() const override {
    return {{kLsnProperty, std::to_string(lsn_)}};
  }
  const char* Name() const override { return "stavefs.LsnCollector"; }

 private:
  uint64_t lsn_ = 0;
};

class LsnCollectorFactory final : public rocksdb::TablePropertiesCollectorFactory {
 public:
  rocksdb::TablePropertiesCollector* CreateTablePropertiesCollector(Context) override {
    return new LsnCollector;
  }
  const char* Name() const override { return "stavefs.LsnCollectorFactory"; }
};

class FlushListener final : public rocksdb::EventListener {
 public:
  explicit FlushListener(RocksHooks hooks) : hooks_(std::move(hooks)) {}

  /// The memtables of this flush are picked and take nothing more; nothing of them has been written.
  void OnFlushBegin(rocksdb::DB*, const rocksdb::FlushJobInfo&) override {
    guarded([&] {
      if (!hooks_.before_flush) return;
      if (Status s = hooks_.before_flush(); !s)
        hooks_.broken("the journal could not be synced: " + s.error().to_text());
    });
  }
  void OnFlushCompleted(rocksdb::DB*, const rocksdb::FlushJobInfo& info) override {
    guarded([&] {
      const auto& properties = info.table_properties.user_collected_properties;
      const auto found = properties.find(kLsnProperty);
      if (found != properties.end()) hooks_.flushed(Lsn(ByteReader(found->second).u64()));
    });
  }
  void OnBackgroundError(rocksdb::BackgroundErrorReason, rocksdb::Status* status) override {
    guarded([&] { hooks_.broken(status->ToString()); });
  }

 private:
  template <class Body>
  void guarded(Body body) noexcept {
    try {
      body();
    } catch (...) {
      hooks_.broken("exception in a callback");
    }
  }
  const RocksHooks hooks_;
};

class RocksLogger final : public rocksdb::Logger {
 public:
  RocksLogger()
      : Logger(log_enabled(LogLevel::kDebug) ? rocksdb::InfoLogLevel::INFO_LEVEL
                                             : rocksdb::InfoLogLevel::WARN_LEVEL) {}
  using rocksdb::Logger::Logv;
  void Logv(const char* format, va_list arguments) override {
    if (!log_enabled(LogLevel::kDebug)) return;
    char line[1024];
    std::vsnprintf(line, sizeof line, format, arguments);
    log_text(LogLevel::kDebug, line);
  }
};

}  // namespace

std::shared_ptr<rocksdb::EventListener> make_flush_listener(RocksHooks hooks) {
  return std::make_shared<FlushListener>(std::move(hooks));
}
std::shared_ptr<rocksdb::TablePropertiesCollectorFactory> make_lsn_collector() {
  return std::make_shared<LsnCollectorFactory>();
}
std::shared_ptr<rocksdb::Logger> make_rocks_logger() { return std::make_shared<RocksLogger>(); }

}  // namespace stavefs
