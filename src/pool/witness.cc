#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <optional>
#include <utility>

#include "base/check.h"
#include "pool/pool.h"
#include "pool/witness_format.h"

namespace stavefs {
namespace {

constexpr char kMagic[8] = {'S', 'T', 'A', 'V', 'E', 'W', 'I', '\n'};

/// Closes a descriptor.
class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }

 private:
  const int fd_;
};

Status sync_directory(const std::string& directory) {
  const Descriptor fd(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (fd.get() < 0) return errno_error(errno, "open " + directory);
  if (::fsync(fd.get()) != 0) return errno_error(errno, "fsync " + directory);
  return ok();
}

/// Makes `directory` and its parents, each durable in its own parent.
Status make_directory(const std::filesystem::path& directory) {
  struct stat st;
  if (::stat(directory.c_str(), &st) == 0) {
    if (S_ISDIR(st.st_mode)) return ok();
    return errno_error(ENOTDIR, directory.string());
  }
  const std::filesystem::path parent = directory.has_parent_path() ? directory.parent_path() : ".";
  if (parent != directory) TRY(make_directory(parent));
  if (::mkdir(directory.c_str(), 0700) != 0 && errno != EEXIST)
    return errno_error(errno, "mkdir " + directory.string());
  return sync_directory(parent.string());
}

Status write_all(int fd, std::string_view bytes, const std::string& path) {
  while (!bytes.empty()) {
    const ssize_t n = ::write(fd, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return errno_error(errno, "write " + path);
    bytes.remove_prefix(static_cast<size_t>(n));
  }
  return ok();
}

class FileWitness final : public Witness {
 public:
  explicit FileWitness(std::string path) : path_(std::move(path)) {}

  Result<std::optional<Value>> load() override {
    std::lock_guard lock(mutex_);
    const Descriptor fd(::open(path_.c_str(), O_RDONLY | O_CLOEXEC));
    if (fd.get() < 0 && (errno == ENOENT || errno == ENOTDIR)) return std::optional<Value>();
    if (fd.get() < 0) return errno_error(errno, "open " + path_);
    std::string bytes(sizeof(WitnessFields) + 1, '\0');
    size_t have = 0;
    while (have < bytes.size()) {
      const ssize_t n = ::read(fd.get(), bytes.data() + have, bytes.size() - have);
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return errno_error(errno, "read " + path_);
      if (n == 0) break;
      have += static_cast<size_t>(n);
    }
    bytes.resize(have);
    Result<Value> value = decode_witness(bytes);
    if (!value) return std::move(value.error()).with_context(path_);
    return std::optional<Value>(*value);
  }

  Status store(const Value& value) override {
    std::lock_guard lock(mutex_);
    const std::filesystem::path path(path_);
    const std::filesystem::path directory = path.has_parent_path() ? path.parent_path() : ".";
    TRY(make_directory(directory));
    const std::string beside = path_ + ".new";
    const WitnessFields fields = encode_witness(value);
    {
      const Descriptor fd(::open(beside.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
      if (fd.get() < 0) return errno_error(errno, "open " + beside);
      TRY(write_all(fd.get(), bytes_of(fields), beside));
      if (::fsync(fd.get()) != 0) return errno_error(errno, "fsync " + beside);
    }
    if (::rename(beside.c_str(), path_.c_str()) != 0) return errno_error(errno, "rename " + beside);
    return sync_directory(directory.string());
  }

 private:
  const std::string path_;
  std::mutex mutex_;  // a leaf; held across the file's I/O, which nothing else waits for
};

class MemoryWitness final : public Witness {
 public:
  Result<std::optional<Value>> load() override {
    std::lock_guard lock(mutex_);
    return value_;
  }
  Status store(const Value& value) override {
    std::lock_guard lock(mutex_);
    value_ = value;
    return ok();
  }

 private:
  std::mutex mutex_;  // a leaf
  std::optional<Value> value_;
};

}  // namespace

WitnessFields encode_witness(const Witness::Value& value) {
  WitnessFields f{};
  std::memcpy(f.magic, kMagic, sizeof f.magic);
  f.version = kWitnessVersion;
  f.epoch = value.epoch.value;
  f.ticket = value.ticket;
  std::memcpy(f.fork, value.fork.bytes.data(), sizeof f.fork);
  const Hash128 hash = xxh3_128(&f, offsetof(WitnessFields, hash));
  f.hash[0] = hash.low;
  f.hash[1] = hash.high;
  return f;
}

Result<Witness::Value> decode_witness(std::string_view bytes) {
  const auto corrupt = [](const char* what) {
    return Error(ErrorCode::kCorrupt, EIO, std::string("witness file: ") + what);
  };
  WitnessFields f;
  if (bytes.size() != sizeof f) return corrupt("wrong size");
  std::memcpy(&f, bytes.data(), sizeof f);
  if (std::memcmp(f.magic, kMagic, sizeof f.magic) != 0) return corrupt("wrong magic");
  const Hash128 hash = xxh3_128(&f, offsetof(WitnessFields, hash));
  if (hash != Hash128{f.hash[0], f.hash[1]}) return corrupt("wrong checksum");
  if (f.version > kWitnessVersion)
    return Error(ErrorCode::kUnsupported, EOPNOTSUPP, "witness file: written by newer software");
  if (f.version != kWitnessVersion) return corrupt("wrong version");
  for (const uint8_t b : f.reserved)
    if (b != 0) return corrupt("reserved bytes are in use");
  Witness::Value value;
  value.epoch = Epoch(f.epoch);
  value.ticket = f.ticket;
  std::memcpy(value.fork.bytes.data(), f.fork, sizeof f.fork);
  if (value.epoch.value == 0 || value.fork.is_nil()) return corrupt("no epoch");
  return value;
}

std::string to_text(const Witness::Value& value) {
  return "epoch " + std::to_string(value.epoch.value) + " of fork " + value.fork.to_text();
}

std::unique_ptr<Witness> make_file_witness(std::string path) {
  return std::make_unique<FileWitness>(std::move(path));
}
std::unique_ptr<Witness> make_memory_witness() { return std::make_unique<MemoryWitness>(); }

}  // namespace stavefs
