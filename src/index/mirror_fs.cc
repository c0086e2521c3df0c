#include "index/mirror_fs.h"

#include <exception>
#include <string>
#include <string_view>

#include "base/log.h"

namespace stavefs {

namespace {

using rocksdb::FileOptions;
using rocksdb::IODebugContext;
using rocksdb::IOOptions;
using rocksdb::IOStatus;
using rocksdb::Slice;

/// Runs `body`, which returns an IOStatus; what it throws becomes one.
template <class Body>
IOStatus guarded(Body body) noexcept {
  try {
    return body();
  } catch (const std::exception& e) {
    return IOStatus::IOError(e.what());
  } catch (...) {
    return IOStatus::IOError("unknown exception");
  }
}

IOStatus to_io_status(const Status& status) {
  if (status) return IOStatus::OK();
  const std::string text = status.error().to_text();
  if (status.error().code() == ErrorCode::kNotFound) return IOStatus::PathNotFound(text);
  return IOStatus::IOError(text);
}

/// The last component; empty for the directory itself.
std::string_view base_name(const std::string& path) {
  std::string_view rest = path;
  if (!rest.starts_with(kRocksPath)) return rest.substr(rest.rfind('/') + 1);
  rest.remove_prefix(std::string_view(kRocksPath).size());
  while (rest.starts_with('/')) rest.remove_prefix(1);
  return rest;
}

class SequentialFile final : public rocksdb::FSSequentialFile {
 public:
  explicit SequentialFile(std::unique_ptr<MirrorReader> reader) : reader_(std::move(reader)) {}

  IOStatus Read(size_t n, const IOOptions&, Slice* result, char* scratch, IODebugContext*) override {
    return guarded([&] {
      const Result<size_t> got = reader_->read(at_, n, scratch);
      *result = Slice(scratch, got ? *got : 0);
      if (!got) return to_io_status(got.error());
      at_ += *got;
      return IOStatus::OK();
    });
  }
  IOStatus Skip(uint64_t n) override {
    at_ += n;
    return IOStatus::OK();
  }

 private:
  std::unique_ptr<MirrorReader> reader_;
  uint64_t at_ = 0;
};

class RandomAccessFile final : public rocksdb::FSRandomAccessFile {
 public:
  explicit RandomAccessFile(std::unique_ptr<MirrorReader> reader) : reader_(std::move(reader)) {}

  IOStatus Read(uint64_t offset, size_t n, const IOOptions&, Slice* result, char* scratch,
                IODebugContext*) const override {
    return guarded([&] {
      const Result<size_t> got = reader_->read(offset, n, scratch);
      *result = Slice(scratch, got ? *got : 0);
      return got ? IOStatus::OK() : to_io_status(got.error());
    });
  }

 private:
  std::unique_ptr<MirrorReader> reader_;
};

class WritableFile final : public rocksdb::FSWritableFile {
 public:
  explicit WritableFile(std::unique_ptr<MirrorWriter> writer) : writer_(std::move(writer)) {}

  using rocksdb::FSWritableFile::Append;
  IOStatus Append(const Slice& data, const IOOptions&, IODebugContext*) override {
    return guarded([&] { return to_io_status(writer_->append({data.data(), data.size()})); });
  }
  IOStatus Append(const Slice& data, const IOOptions& options, const rocksdb::DataVerificationInfo&,
                  IODebugContext* debug) override {
    return Append(data, options, debug);
  }
  IOStatus Close(const IOOptions&, IODebugContext*) override {
    return guarded([&] { return to_io_status(writer_->close()); });
  }
  /// Nobody reads a file that is being written, so there is nothing to hand to the disks before a sync.
  IOStatus Flush(const IOOptions&, IODebugContext*) override { return IOStatus::OK(); }
  IOStatus Sync(const IOOptions&, IODebugContext*) override {
    return guarded([&] { return to_io_status(writer_->sync()); });
  }
  IOStatus Truncate(uint64_t size, const IOOptions&, IODebugContext*) override {
    return size == writer_->size() ? IOStatus::OK() : IOStatus::NotSupported("truncate");
  }
  uint64_t GetFileSize(const IOOptions&, IODebugContext*) override { return writer_->size(); }

 private:
  std::unique_ptr<MirrorWriter> writer_;
};

class Directory final : public rocksdb::FSDirectory {
 public:
  explicit Directory(MirrorSet& set) : set_(set) {}
  IOStatus Fsync(const IOOptions&, IODebugContext*) override {
    return guarded([&] { return to_io_status(set_.sync_names()); });
  }
  IOStatus Close(const IOOptions&, IODebugContext*) override { return IOStatus::OK(); }

 private:
  MirrorSet& set_;
};

class NoLock final : public rocksdb::FileLock {};

class MirrorFileSystem final : public rocksdb::FileSystem {
 public:
  explicit MirrorFileSystem(MirrorSet& set) : set_(set) {}

  const char* Name() const override { return "stavefs.MirrorFileSystem"; }

  IOStatus NewSequentialFile(const std::string& path, const FileOptions&,
                             std::unique_ptr<rocksdb::FSSequentialFile>* file, IODebugContext*) override {
    return guarded([&] {
      Result<std::unique_ptr<MirrorReader>> reader = set_.open_file(base_name(path));
      if (!reader) return to_io_status(reader.error());
      *file = std::make_unique<SequentialFile>(std::move(*reader));
      return IOStatus::OK();
    });
  }
  IOStatus NewRandomAccessFile(const std::string& path, const FileOptions&,
                               std::unique_ptr<rocksdb::FSRandomAccessFile>* file, IODebugContext*) override {
    return guarded([&] {
      Result<std::unique_ptr<MirrorReader>> reader = set_.open_file(base_name(path));
      if (!reader) return to_io_status(reader.error());
      *file = std::make_unique<RandomAccessFile>(std::move(*reader));
      return IOStatus::OK();
    });
  }
  IOStatus NewWritableFile(const std::string& path, const FileOptions&,
                           std::unique_ptr<rocksdb::FSWritableFile>* file, IODebugContext*) override {
    return guarded([&] {
      Result<std::unique_ptr<MirrorWriter>> writer = set_.create(base_name(path));
      if (!writer) return to_io_status(writer.error());
      *file = std::make_unique<WritableFile>(std::move(*writer));
      return IOStatus::OK();
    });
  }
  IOStatus ReopenWritableFile(const std::string&, const FileOptions&,
                              std::unique_ptr<rocksdb::FSWritableFile>*, IODebugContext*) override {
    return IOStatus::NotSupported("a file is written once");
  }
  IOStatus ReuseWritableFile(const std::string&, const std::string&, const FileOptions&,
                             std::unique_ptr<rocksdb::FSWritableFile>*, IODebugContext*) override {
    return IOStatus::NotSupported("a file is written once");
  }
  IOStatus NewDirectory(const std::string&, const IOOptions&,
                        std::unique_ptr<rocksdb::FSDirectory>* directory, IODebugContext*) override {
    return guarded([&] {
      *directory = std::make_unique<Directory>(set_);
      return IOStatus::OK();
    });
  }

  IOStatus FileExists(const std::string& path, const IOOptions&, IODebugContext*) override {
    return guarded([&] {
      const std::string_view name = base_name(path);
      return name.empty() || set_.exists(name) ? IOStatus::OK() : IOStatus::NotFound();
    });
  }
  IOStatus GetChildren(const std::string& path, const IOOptions&, std::vector<std::string>* names,
                       IODebugContext*) override {
    return guarded([&] {
      names->clear();
      if (!base_name(path).empty()) return IOStatus::PathNotFound(path);
      *names = set_.list();
      return IOStatus::OK();
    });
  }
  IOStatus DeleteFile(const std::string& path, const IOOptions&, IODebugContext*) override {
    return guarded([&] { return to_io_status(set_.remove(base_name(path))); });
  }
  IOStatus GetFileSize(const std::string& path, const IOOptions&, uint64_t* bytes, IODebugContext*) override {
    return guarded([&] {
      const Result<uint64_t> size = set_.size(base_name(path));
      if (!size) return to_io_status(size.error());
      *bytes = *size;
      return IOStatus::OK();
    });
  }
  /// No file is ever judged by its age.
  IOStatus GetFileModificationTime(const std::string&, const IOOptions&, uint64_t* seconds,
                                   IODebugContext*) override {
    *seconds = 0;
    return IOStatus::OK();
  }
  IOStatus RenameFile(const std::string& from, const std::string& to, const IOOptions&,
                      IODebugContext*) override {
    return guarded([&] { return to_io_status(set_.rename(base_name(from), base_name(to))); });
  }

  IOStatus CreateDir(const std::string&, const IOOptions&, IODebugContext*) override {
    return IOStatus::OK();
  }
  IOStatus CreateDirIfMissing(const std::string&, const IOOptions&, IODebugContext*) override {
    return IOStatus::OK();
  }
  IOStatus DeleteDir(const std::string&, const IOOptions&, IODebugContext*) override {
    return IOStatus::NotSupported("the directory stays");
  }
  IOStatus IsDirectory(const std::string& path, const IOOptions&, bool* is_directory,
                       IODebugContext*) override {
    *is_directory = base_name(path).empty();
    return IOStatus::OK();
  }
  IOStatus LockFile(const std::string&, const IOOptions&, rocksdb::FileLock** lock,
                    IODebugContext*) override {
    return guarded([&] {
      *lock = new NoLock;
      return IOStatus::OK();
    });
  }
  IOStatus UnlockFile(rocksdb::FileLock* lock, const IOOptions&, IODebugContext*) override {
    delete lock;
    return IOStatus::OK();
  }
  IOStatus GetAbsolutePath(const std::string& path, const IOOptions&, std::string* absolute,
                           IODebugContext*) override {
    return guarded([&] {
      *absolute = path;
      return IOStatus::OK();
    });
  }
  IOStatus GetTestDirectory(const IOOptions&, std::string*, IODebugContext*) override {
    return IOStatus::NotSupported("test directory");
  }
  IOStatus NewLogger(const std::string&, const IOOptions&, std::shared_ptr<rocksdb::Logger>*,
                     IODebugContext*) override {
    return IOStatus::NotSupported("log file");
  }

 private:
  MirrorSet& set_;
};

}  // namespace

std::shared_ptr<rocksdb::FileSystem> make_mirror_file_system(MirrorSet& set) {
  return std::make_shared<MirrorFileSystem>(set);
}

}  // namespace stavefs
