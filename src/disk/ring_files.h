// Registered files: which file stands in which slot of which ring.  Internal to this module.
//
// Theory: a ring looks a registered file up in a table of its own instead of in the process's descriptor
// table, without counting references (io_uring_register(2), IORING_REGISTER_FILES_UPDATE).  Registering and
// unregistering are system calls, so a file is registered in a ring only when it was used there
// kRegisterAtUse times.  A full table is no error: the file is then used by its descriptor.
//
// A slot pins the open file: it is emptied when the file is closed, from the closing thread, which the
// kernel allows while another thread uses the ring.
//
// Held descriptors, such as the locks of a pool's disks, stand in slots of their own as long as the ring
// lives.
//
// Threads: RingTables is self-synchronised, except that slot_for(ring, ...) is for the holder of that ring.

#pragma once

#include <liburing.h>

#include <memory>
#include <mutex>
#include <vector>

#include "base/result.h"
#include "disk/posix_file.h"

namespace stavefs {

class RingTables : public std::enable_shared_from_this<RingTables> {
 public:
  static constexpr int kMaxHeld = 1024;  ///< one lock for each disk of a large pool
  static constexpr int kSlots = 4096;    ///< of one ring; fewer when RLIMIT_NOFILE is lower
  static constexpr int kMinSlots = 16;
  static constexpr int kRegisterAtUse = 4;

  /// REQUIRES: 0 < rings <= RingSlots::kMaxRings; made by std::make_shared, so that no other object can get
  /// this address while a file still names it as owner.
  explicit RingTables(int rings);

  /// Makes the table of ring `index`, with every held descriptor in it.
  Status attach(int index, io_uring* ring);
  /// To be called before the ring is torn down.
  void detach(int index);

  /// Counts a use of `file` in ring `index`; its slot there, or -1 when it has none.
  int slot_for(int index, PosixFile& file);
  /// Empties the slots of a file that is being closed.
  void release(const RingSlots& slots);

  /// Puts a duplicate of `descriptor` into every ring, present and future.  kUnsupported when a ring has no
  /// table, kNoMemory when its table is full, kInvalid beyond kMaxHeld.
  Status hold(int descriptor);

 private:
  struct Table {
    std::mutex mutex;  // taken before no other; hold() and attach() take hold_mutex_ first
    // Guarded by mutex.
    io_uring* ring = nullptr;  // nullptr: no such ring yet
    bool usable = false;       // the kernel gave the ring a table
    std::vector<int> free_slots;
  };

  /// Puts `fd` into a free slot.  > 0: the slot; otherwise minus an errno.  REQUIRES: table.mutex is held.
  static int fill_slot(Table& table, int fd);

  std::vector<std::unique_ptr<Table>> tables_;
  std::mutex hold_mutex_;
  // Guarded by hold_mutex_.
  std::vector<OwnedFd> held_;
};

}  // namespace stavefs
