// A disk: a flat set of named files with explicit durability, and the engine that moves bytes.
//
// Theory: everything above this floor sees a disk as the least that a directory on a filesystem offers.
// `Disk` changes names; `IoEngine` executes batches of reads, writes and flushes over any number of disks.
// The simulated disk and the real one implement both, and faults are decorators around the engine, so the
// code above has no test branch.
//
// Durability: a written byte is on stable media after a later successful kSync of its file, or when the
// write itself was `durable`.  A name is durable after a later successful sync_names().  After a failed
// sync nothing may be assumed of any unsynced write of that file; it must not be retried (the kernel may have
// dropped the dirty pages and report success the next time; see Rebello et al., "Can Applications Recover
// from fsync Failures?", USENIX ATC 2020).
//
// Threads: Disk and IoEngine are self-synchronised.  A DiskFile may be used by several batches at once.

#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace stavefs {

class Disk;

/// An open file of a disk; closed when destroyed.  REQUIRES: no batch is using it then.
class DiskFile {
 public:
  explicit DiskFile(Disk& disk) : disk_(disk) {}
  virtual ~DiskFile() = default;
  DiskFile(const DiskFile&) = delete;
  DiskFile& operator=(const DiskFile&) = delete;

  Disk& disk() const { return disk_; }
  /// The name under which it was opened, for people.
  virtual const std::string& name() const = 0;
  /// Current length in bytes.
  virtual Result<uint64_t> size() = 0;
  /// Reserves [0, bytes) and makes the file at least that long; the new part reads as zeros.
  /// kNoSpace when the disk cannot hold it.
  virtual Status allocate(uint64_t bytes) = 0;
  /// Cuts or extends (sparsely) to `bytes`.
  virtual Status truncate(uint64_t bytes) = 0;
  /// Gives the space of [offset, offset + bytes) back; it reads as zeros afterwards.  A host filesystem that
  /// cannot do this keeps space and bytes as they are, which is no error: nobody may need the zeros.
  virtual Status punch(uint64_t offset, uint64_t bytes) = 0;

 private:
  Disk& disk_;
};

/// How a file is opened.
struct OpenOptions {
  bool create = false;     ///< make it when it is missing
  bool exclusive = false;  ///< with create: kExists when it is there
  bool truncate = false;   ///< start empty
  bool direct = false;     ///< bypass the host's page cache where the host filesystem can; the file
                           ///< is then read and written in multiples of 4 KiB, from memory aligned to 4 KiB
};

struct DiskSpace {
  uint64_t total_bytes = 0;  ///< size of the host filesystem
  uint64_t free_bytes = 0;   ///< what may still be written
};

/// Names are relative, '/'-separated, at most one directory deep ("superblock", "segments/00000001",
/// "index/000012.sst"); the directory part is made on demand.
class Disk {
 public:
  virtual ~Disk() = default;

  virtual Result<std::unique_ptr<DiskFile>> open(std::string_view name, const OpenOptions& options) = 0;
  /// kNotFound when there is none.
  virtual Status remove(std::string_view name) = 0;
  /// Replaces `to` atomically.
  virtual Status rename(std::string_view from, std::string_view to) = 0;
  /// Names (without the directory part) in `directory` ("" is the top); empty when the directory is missing.
  virtual Result<std::vector<std::string>> list(std::string_view directory) = 0;
  /// Makes every creation, removal and rename in `directory` so far durable, the directory's own name
  /// included.
  virtual Status sync_names(std::string_view directory) = 0;
  virtual Result<DiskSpace> space() = 0;
  /// Where the disk is, for people.
  virtual std::string describe() const = 0;
  /// kNotFound or kIo when what is at the disk's path is no longer this disk (unmounted, replaced by an empty
  /// directory, device gone).  Cheap; called every few seconds.
  virtual Status probe() = 0;
};

enum class IoKind : uint8_t { kRead, kWrite, kSync };

/// One I/O of a batch.  The memory is the caller's and must stay until run() returns.
struct IoRequest {
  DiskFile* file = nullptr;
  IoKind kind = IoKind::kRead;
  uint64_t offset = 0;      ///< bytes; a multiple of 4 KiB on a direct file
  uint8_t* data = nullptr;  ///< read into, or written from
  uint32_t bytes = 0;
  bool durable = false;  ///< kWrite: on stable media when it completes (RWF_DSYNC)
  int error = 0;         ///< result: 0, or a positive errno; a read past the end is EIO
};

/// Executes batches.  Requests of one batch may run and complete in any order; a kSync covers only writes
/// of earlier batches.
class IoEngine {
 public:
  virtual ~IoEngine() = default;
  /// Runs every request to completion (short transfers are continued) and sets its `error`.
  virtual void run(std::span<IoRequest> batch) = 0;
};

/// A batch of one: the Error names the disk and the operation.
Status run_one(IoEngine& engine, IoRequest request);

}  // namespace stavefs
