#include "disk/ring_files.h"

#include <fcntl.h>

#include <cerrno>
#include <utility>

#include "base/check.h"

namespace stavefs {

namespace {

/// Points slot `slot` at `fd`, or empties it with -1.  0 or an errno.
int update_slot(io_uring* ring, int slot, int fd) {
  const int rc = io_uring_register_files_update(ring, static_cast<unsigned>(slot), &fd, 1);
  return rc < 0 ? -rc : 0;
}

}  // namespace

RingTables::RingTables(int rings) {
  CHECK(rings > 0 && rings <= RingSlots::kMaxRings);
  for (int i = 0; i < rings; ++i) tables_.push_back(std::make_unique<Table>());
}

Status RingTables::attach(int index, io_uring* ring) {
  std::lock_guard hold_lock(hold_mutex_);
  Table& table = *tables_[static_cast<size_t>(index)];
  std::lock_guard lock(table.mutex);
  table.ring = ring;
  table.usable = false;
  table.free_slots.clear();
  // The kernel bounds a table by RLIMIT_NOFILE.
  int slots = kSlots;
  int rc = io_uring_register_files_sparse(ring, static_cast<unsigned>(slots + 1));
  while (rc == -EMFILE && slots / 2 >= kMinSlots) {
    slots /= 2;
    rc = io_uring_register_files_sparse(ring, static_cast<unsigned>(slots + 1));
  }
  if (rc < 0) {
    // Registered files are an optimisation; the held lock is not.
    if (held_.empty()) return ok();
    return errno_error(-rc, "register the file table of a ring");
  }
  table.usable = true;
  // Slot 0 stays empty, so that a slot is a positive number.
  for (int slot = slots; slot > 0; --slot) table.free_slots.push_back(slot);
  for (const OwnedFd& fd : held_) {
    if (const int slot = fill_slot(table, fd.get()); slot < 0) {
      return errno_error(-slot, "hold a descriptor in a ring");
    }
  }
  return ok();
}

void RingTables::detach(int index) {
  Table& table = *tables_[static_cast<size_t>(index)];
  std::lock_guard lock(table.mutex);
  table.ring = nullptr;
  table.usable = false;
}

int RingTables::fill_slot(Table& table, int fd) {
  if (!table.usable) return -EOPNOTSUPP;
  if (table.free_slots.empty()) return -ENFILE;
  const int slot = table.free_slots.back();
  if (const int e = update_slot(table.ring, slot, fd); e != 0) return -e;
  table.free_slots.pop_back();
  return slot;
}

int RingTables::slot_for(int index, PosixFile& file) {
  RingSlots& slots = file.ring_slots();
  std::call_once(slots.once, [&] {
    slots.owner = weak_from_this();
    slots.owner_address = this;
  });
  if (slots.owner_address != this) return -1;
  int& slot = slots.by_ring[static_cast<size_t>(index)];
  if (slot > 0) return slot;
  if (--slot > -kRegisterAtUse) return -1;
  Table& table = *tables_[static_cast<size_t>(index)];
  std::lock_guard lock(table.mutex);
  const int made = fill_slot(table, file.fd());
  // A refusal is asked again only after as many further uses.
  slot = made > 0 ? made : 0;
  return made > 0 ? made : -1;
}

void RingTables::release(const RingSlots& slots) {
  for (size_t i = 0; i < tables_.size(); ++i) {
    const int slot = slots.by_ring[i];
    if (slot <= 0) continue;
    Table& table = *tables_[i];
    std::lock_guard lock(table.mutex);
    if (table.usable && update_slot(table.ring, slot, -1) == 0) table.free_slots.push_back(slot);
  }
}

Status RingTables::hold(int descriptor) {
  std::lock_guard hold_lock(hold_mutex_);
  if (held_.size() == kMaxHeld) return Error(ErrorCode::kInvalid, EINVAL, "too many held descriptors");
  OwnedFd copy(::fcntl(descriptor, F_DUPFD_CLOEXEC, 0));
  if (copy.get() < 0) return errno_error(errno, "duplicate a descriptor to hold");
  for (const auto& table : tables_) {
    std::lock_guard lock(table->mutex);
    if (table->ring == nullptr) continue;
    if (const int slot = fill_slot(*table, copy.get()); slot < 0) {
      return errno_error(-slot, "hold a descriptor in a ring");
    }
  }
  held_.push_back(std::move(copy));
  return ok();
}

}  // namespace stavefs
