// An open file of a PosixDisk, as the disk and the io_uring engine see it.  Internal to this module.
//
// Threads: a file is used by several batches at once; its descriptor and properties never change.
// RingSlots are written by the engine under rules of their own (below).

#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>

#include "disk/disk.h"

namespace stavefs {

/// A descriptor with one owner; -1 is none.
class OwnedFd {
 public:
  explicit OwnedFd(int fd = -1) : fd_(fd) {}
  OwnedFd(OwnedFd&& other) noexcept : fd_(other.release()) {}
  OwnedFd& operator=(OwnedFd&& other) noexcept;
  ~OwnedFd();
  int get() const { return fd_; }
  int release();

 private:
  int fd_;
};

class RingTables;

/// Where the rings of an engine have one file registered (see ring_files.h).
///
/// Threads: `by_ring[i]` belongs to whoever holds ring i; closing a file requires that no batch uses it, so
/// the destructor sees all of them.  `owner` is set once.
struct RingSlots {
  static constexpr int kMaxRings = 32;
  std::once_flag once;
  std::weak_ptr<RingTables> owner;  ///< of the first engine that used the file; others use the descriptor
  const RingTables* owner_address = nullptr;
  std::array<int, kMaxRings> by_ring{};  ///< > 0: slot; <= 0: minus the uses so far
};

class PosixFile final : public DiskFile {
 public:
  struct Properties {
    bool direct = false;     ///< opened with O_DIRECT
    bool in_memory = false;  ///< lives in tmpfs or ramfs
    bool read_only = false;  ///< the host filesystem allows no writing
  };

  PosixFile(Disk& disk, std::string name, OwnedFd fd, const Properties& properties);
  ~PosixFile() override;

  const std::string& name() const override { return name_; }
  Result<uint64_t> size() override;
  Status allocate(uint64_t bytes) override;
  Status truncate(uint64_t bytes) override;
  Status punch(uint64_t offset, uint64_t bytes) override;

  int fd() const { return fd_.get(); }
  const Properties& properties() const { return properties_; }
  RingSlots& ring_slots() { return slots_; }

 private:
  Error error(int errno_value, const char* what) const;
  /// For hosts without fallocate(2): checks that the space is there and extends.
  Status allocate_sparse(uint64_t bytes);

  const std::string name_;
  const OwnedFd fd_;
  const Properties properties_;
  RingSlots slots_;
};

}  // namespace stavefs
