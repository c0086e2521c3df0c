// A simulated file: what a reader sees, what is on stable media, and what lies between.
//
// Theory: every change is applied to the view at once and noted as pending, in issue order.  A sync applies
// the pending changes to the media; a crash applies some of them.  Two rules keep this honest:
//  - What is stable is never undone by an older pending change.  A durable write therefore cuts its range out
//  of
//    the pending writes before it, and first makes the file's pending length changes and holes stable (a host
//    filesystem commits the inode before it can report such a write as done).
//  - After a failed sync the view is ahead of the media with nothing pending: later syncs succeed and do
//    not bring the lost bytes back.
//
// Threads: guarded by the machine's mutex.

#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "base/rng.h"
#include "disk/sim/sparse_bytes.h"

namespace stavefs::sim {

/// What becomes of a pending change in a crash.
enum class Fate : uint8_t { kDropped, kKept, kTorn };

struct PendingChange {
  enum class Kind : uint8_t { kWrite, kAllocate, kTruncate, kPunch };
  Kind kind = Kind::kWrite;
  bool in_flight = false;  ///< power failed while it was executed; not in the view
  uint64_t sequence = 0;   ///< order of issue over all disks
  uint64_t offset = 0;     ///< kWrite, kPunch
  uint64_t bytes = 0;      ///< length of the range; the new length for kAllocate and kTruncate
  std::shared_ptr<const std::vector<uint8_t>> data;  ///< kWrite: holds the bytes at `data_at`
  uint64_t data_at = 0;

  bool is_write() const { return kind == Kind::kWrite; }
};

/// Space in units of 4 KiB that a file holds.
class BlockMap {
 public:
  static constexpr uint64_t kBlockBytes = 4096;
  /// Blocks of [offset, offset + bytes) that are not held yet.
  uint64_t missing(uint64_t offset, uint64_t bytes) const;
  void add(uint64_t offset, uint64_t bytes);
  /// Gives back the blocks that lie wholly in [offset, offset + bytes).
  void remove(uint64_t offset, uint64_t bytes);
  uint64_t held() const { return held_; }

 private:
  std::vector<bool> blocks_;
  uint64_t held_ = 0;
};

class SimInode {
 public:
  SimInode() = default;
  /// A file after a crash: the media's content, nothing pending.
  SimInode(SparseBytes media, BlockMap blocks);

  const SparseBytes& view() const { return view_; }
  const std::vector<PendingChange>& pending() const { return pending_; }

  /// Applies `change` to the view and notes it as pending.
  void change(PendingChange change);
  /// Applies a write to view and media.
  void write_durably(PendingChange write);
  /// Notes a change that power failure interrupted.
  void interrupt(PendingChange change);
  /// Makes every change issued before `sequence` stable.
  void sync(uint64_t sequence);
  /// A failed sync: of the writes issued before `sequence`, each one for which lost() holds will never
  /// reach the media.
  template <class Lost>
  void fail_sync(uint64_t sequence, Lost lost) {
    std::erase_if(pending_, [&](const PendingChange& c) {
      const bool gone = c.is_write() && c.sequence < sequence && lost();
      view_is_ahead_ |= gone;
      return gone;
    });
  }
  /// A flipped bit in view, media and pending writes.  REQUIRES: offset < view().size().
  void flip(uint64_t offset, int bit);

  /// The media after a crash: fate(change) is asked once per pending change, in issue order.
  template <class Decide>
  SparseBytes after_crash(Decide fate, Rng& rng) const {
    SparseBytes media = media_;
    for (const PendingChange& c : pending_) apply(media, c, fate(c), rng);
    return media;
  }

  BlockMap blocks;  ///< space that the view holds
  int links = 0;    ///< names in view
  int open_files = 0;

 private:
  static void apply(SparseBytes& to, const PendingChange& change);
  static void apply(SparseBytes& to, const PendingChange& change, Fate fate, Rng& rng);
  static void apply_torn(SparseBytes& to, const PendingChange& write, Rng& rng);
  /// Cuts [from, to) out of the first `count` pending changes that are writes.
  void cut_pending_writes(size_t count, uint64_t from, uint64_t to);

  SparseBytes view_;
  SparseBytes media_;
  std::vector<PendingChange> pending_;
  bool view_is_ahead_ = false;  ///< the view differs from media + pending
};

}  // namespace stavefs::sim
