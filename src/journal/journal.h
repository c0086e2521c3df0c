// The journal: the pool's commit point, one ring on every metadata member.
//
// Theory: a change becomes a record with the next LSN in a buffer; sync() packs buffered records into a
// frame and writes the same frame at the same ring offset of every member with RWF_DSYNC, and returns when
// all current members have it.  Frames form a chain: each carries the hash of the one before.  A member that
// fails is removed by publishing a new epoch (pool/pool.h) before anything more is acknowledged.  Waiting
// callers share one frame (group commit).
//
// Invariants (architecture.md, section 4): acknowledged means durable on all current members; the epoch moves
// before the member set shrinks; recovery takes the longest valid chain of the newest epoch, and a hole below
// a later frame's durable LSN is corruption, otherwise a torn tail; the tail is repaired on all members and
// the epoch raised before anything new is written.
//
// The ring: 4 KiB-aligned frames from offset 0; a frame never wraps: when it does not fit before the end, it
// goes to offset 0.  Frames from the trim point on are never overwritten.
//
// Threads: self-synchronised.  One thread at a time is the writer: a sync() that finds nobody writing, or a
// change of members.  The pool's on_fenced callback may run on the writer's thread and must not call the
// journal.

#pragma once

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "codec/checksum.h"
#include "disk/disk.h"
#include "pool/pool.h"

namespace stavefs {

inline constexpr const char* kJournalFile = "journal";

class Journal {
 public:
  struct Stats {
    uint64_t frames = 0;
    uint64_t records = 0;
    uint64_t bytes = 0;  ///< written to one member
    uint64_t ring_bytes = 0;
    uint64_t live_bytes = 0;  ///< between trim point and head, the buffer included
  };

  /// Writes a ring of real zeros on `disk` and makes it durable.
  static Status format(Disk& disk, IoEngine& engine, uint64_t ring_bytes);

  /// Recovers: reads the rings of the epoch's present members, finds the chain, repairs it on all of them,
  /// drops missing members, publishes a raised epoch, and then calls `replay(lsn, record)` in order for every
  /// record above the trim point of the newest frame (at most `after`, what the index has; records up to
  /// `after` are replayed for the deferred data in them).  So all that is replayed is durable on all current
  /// members, and the index may flush meanwhile; the records of an interrupted open are replayed again by the
  /// next.  kCorrupt when a record above `after` that was acknowledged cannot be had (names the LSNs), kIo;
  /// nothing has been written then. With `read_only` nothing is written at all and the result only answers
  /// questions.
  using Replay = std::function<Status(Lsn, std::string_view)>;
  static Result<std::unique_ptr<Journal>> open(Pool& pool, Lsn after, const Replay& replay,
                                               bool read_only = false);
  ~Journal();

  /// Buffers a record and returns its LSN.  Never does I/O.  Order of calls is order of LSNs.
  /// kNoSpace when it would reach into untrimmed frames, kInvalid when it is too long or the journal was
  /// marked clean, kFenced; the journal is as before then.
  Result<Lsn> append(std::string_view record);
  /// True when a record of `bytes` can be appended now without reaching into untrimmed frames.
  bool has_room(uint64_t bytes) const;
  /// Bytes of frames that no sync() has written yet.  They are in memory, so the caller keeps this small.
  uint64_t unsynced_bytes() const;
  uint64_t max_record_bytes() const;

  /// Returns when every record up to `lsn` is durable on all current members.  kFenced when no member is left
  /// or the epoch could not be moved; then nothing is ever acknowledged again.
  Status sync(Lsn lsn);

  /// Records up to `lsn` are not needed any more.  Never goes back.  Their room is free once a later frame,
  /// which says so, is durable; an empty record makes one, and (where empty records are used
  /// for nothing else) there is always room for it.
  void trim(Lsn lsn);

  /// The newest LSN appended / durable on all current members.
  Lsn head() const;
  Lsn durable() const;

  /// Removes a member that has failed elsewhere (an index copy, say): the epoch has moved when this returns.
  /// kFenced when it was the last one.  Nothing to do for a disk that is no member.
  Status drop_member(DiskSlot slot);
  /// Makes `slot` a member: writes a ring, copies all live frames with commits held back, publishes a new
  /// epoch. The caller has already given it a copy of the index.  On failure it is no member and the journal
  /// goes on.
  Status add_member(DiskSlot slot);
  /// Syncs, marks the epoch clean and refuses every later append; called last at unmount.
  Status mark_clean();

  Stats stats() const;

 private:
  struct Impl;
  explicit Journal(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace stavefs
