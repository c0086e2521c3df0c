// The inside of a journal.  Internal to src/journal.

#pragma once

#include <condition_variable>
#include <deque>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "journal/chain.h"
#include "journal/journal.h"
#include "journal/ring_scan.h"
#include "journal/ring_space.h"

namespace stavefs {

struct Journal::Impl {
  /// Records that will be one frame.
  struct Buffered {
    AlignedBuffer buffer;
    uint32_t payload_bytes = 0;
    Lsn first_lsn;
    Lsn last_lsn;
    bool empty() const { return payload_bytes == 0; }
  };
  /// The right to write, held by one thread.  Everything marked "writer's" is touched only with it.
  class Writer {
   public:
    explicit Writer(Impl& impl) : impl_(impl) {
      std::unique_lock lock(impl_.mutex);
      impl_.changed.wait(lock, [&] { return !impl_.writing; });
      impl_.writing = true;
    }
    ~Writer() {
      std::lock_guard lock(impl_.mutex);
      impl_.writing = false;
      impl_.changed.notify_all();
    }
    Writer(const Writer&) = delete;
    Writer& operator=(const Writer&) = delete;

   private:
    Impl& impl_;
  };

  Impl(Pool& p, const RingFormat& f, bool read_only_journal)
      : pool(p), format(f), read_only(read_only_journal), space(f.ring_bytes) {}

  // journal.cc
  Result<Lsn> append(std::string_view record);
  Status sync(Lsn lsn);
  bool fits(uint64_t record_bytes) const;
  void close_active();
  bool write_frame(Buffered& frame, FrameHeader& header);
  Status fenced_status() const;
  uint64_t buffered_bytes() const;

  // journal_members.cc; the writer calls these.
  Status move_epoch(std::vector<DiskSlot> members, Lsn start_lsn, const Hash128& hash);
  Status fence(std::string why);
  bool is_member(DiskSlot slot) const;
  std::vector<DiskSlot> member_slots() const;
  Status copy_live_frames(const RingFile& to, uint64_t& copied_to, uint64_t most_bytes, AlignedBuffer& buffer,
                          bool& done);

  Pool& pool;
  const RingFormat format;
  const bool read_only;

  // The writer's.
  std::vector<RingFile> rings;    // of the current members
  std::vector<RingFile> retired;  // of former members; closed at the end
  std::vector<IoRequest> batch;   // reused
  Epoch epoch;
  uint64_t ticket = 0;
  Hash128 chain_hash;  // of the newest frame

  mutable std::mutex mutex;         // guards what follows; never held across I/O
  std::condition_variable changed;  // writing, durable or fenced
  bool writing = false;
  bool closed = false;
  std::optional<std::string> fenced;
  Buffered active;
  std::deque<Buffered> closed_frames;
  std::vector<AlignedBuffer> spares;
  RingSpace space;
  Lsn head;
  Lsn durable;
  Lsn trimmed;
  Stats counters;
};

}  // namespace stavefs
