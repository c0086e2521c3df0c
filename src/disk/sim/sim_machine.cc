#include "disk/sim/sim_machine.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <numeric>
#include <utility>

#include "base/check.h"
#include "disk/names.h"

namespace stavefs::sim {

namespace {

using Kind = PendingChange::Kind;
constexpr uint64_t kDirectUnit = 4096;

/// The errno for making `name` where its path is in the way; 0 when nothing is.
int obstacle(const SimNames& names, const std::string& name) {
  if (names.directories().contains(name)) return EISDIR;
  const std::string_view directory = directory_of_name(name);
  return !directory.empty() && names.find(directory) ? ENOTDIR : 0;
}

bool direct_aligned(const IoRequest& r) {
  return r.offset % kDirectUnit == 0 && r.bytes % kDirectUnit == 0 &&
         reinterpret_cast<uintptr_t>(r.data) % kDirectUnit == 0;
}

PendingChange write_change(const IoRequest& r) {
  PendingChange change{.kind = Kind::kWrite, .offset = r.offset, .bytes = r.bytes};
  change.data = std::make_shared<const std::vector<uint8_t>>(r.data, r.data + r.bytes);
  return change;
}

}  // namespace

Machine::Machine(uint64_t seed, int disks, uint64_t disk_bytes) : rng_(seed) {
  CHECK(disks > 0);
  disks_.resize(static_cast<size_t>(disks));
  for (SimDiskState& d : disks_) d.total_bytes = d.limit_bytes = disk_bytes;
}

Machine::Machine(uint64_t seed, std::vector<SimDiskState> disks) : rng_(seed), disks_(std::move(disks)) {}

Machine::Power Machine::take_step() {
  if (crashed_) return Power::kOff;
  ++steps_;
  for (SimDiskState& d : disks_) {
    if (d.faults.vanish_at != 0 && steps_ >= d.faults.vanish_at) d.faults.vanished = true;
  }
  if (crash_step_ == 0 || steps_ < crash_step_) return Power::kOn;
  crashed_ = true;
  return Power::kFailsNow;
}

bool Machine::reachable(int disk) const { return !crashed_ && !disks_[disk].faults.vanished; }

void Machine::name_lost(SimDiskState& disk, const InodePtr& inode) {
  if (!inode || --inode->links > 0 || inode->open_files > 0) return;
  disk.used_bytes -= inode->blocks.held() * BlockMap::kBlockBytes;
}

int Machine::change_names(SimDiskState& disk, PendingName change) {
  change.sequence = next_sequence_++;
  const Power power = take_step();
  if (power == Power::kOff || disk.faults.vanished) return EIO;
  if (power == Power::kFailsNow) {
    disk.names.interrupt(std::move(change));
    return EIO;
  }
  if (disk.faults.fail_writes) return EIO;
  if (change.from.empty()) ++change.inode->links;
  name_lost(disk, disk.names.change(std::move(change)));
  return 0;
}

int Machine::open(int disk, const std::string& name, const OpenOptions& options, SimHandle* handle) {
  std::lock_guard lock(mutex_);
  SimDiskState& d = disks_[disk];
  if (!valid_disk_name(name)) return EINVAL;
  if (!reachable(disk)) return EIO;
  InodePtr inode = d.names.find(name);
  if (inode && options.create && options.exclusive) return EEXIST;
  if (!inode) {
    if (const int error = obstacle(d.names, name); error != 0) return error;
    if (!options.create) return ENOENT;
    inode = std::make_shared<SimInode>();
    if (const int error = change_names(d, {.to = name, .inode = inode}); error != 0) return error;
  }
  *handle = {.disk = disk, .inode = inode, .boot = boot_, .direct = options.direct};
  ++inode->open_files;
  if (!options.truncate || inode->view().size() == 0) return 0;
  const int error = apply_write(*handle, {.kind = Kind::kTruncate, .bytes = 0}, false);
  if (error != 0) --inode->open_files;
  return error;
}

void Machine::close(const SimHandle& handle) {
  std::lock_guard lock(mutex_);
  if (stale(handle) || --handle.inode->open_files > 0 || handle.inode->links > 0) return;
  disks_[handle.disk].used_bytes -= handle.inode->blocks.held() * BlockMap::kBlockBytes;
}

int Machine::size(const SimHandle& handle, uint64_t* bytes) {
  std::lock_guard lock(mutex_);
  if (stale(handle) || !reachable(handle.disk)) return EIO;
  *bytes = handle.inode->view().size();
  return 0;
}

/// A step that changes a file: power, faults, space, then the change itself.
int Machine::apply_write(const SimHandle& handle, PendingChange change, bool durable) {
  SimDiskState& d = disks_[handle.disk];
  SimInode& inode = *handle.inode;
  change.sequence = next_sequence_++;
  const Power power = take_step();
  if (power == Power::kOff || d.faults.vanished) return EIO;
  if (power == Power::kFailsNow) {
    inode.interrupt(std::move(change));
    return EIO;
  }
  if (d.faults.fail_writes) return EIO;
  if (change.is_write()) {
    if (std::exchange(d.faults.fail_next_write, false)) return EIO;
    if (std::exchange(d.faults.lose_next_write, false)) return 0;
    if (std::exchange(d.faults.misdirect_next_write, false)) {
      const uint64_t rows = std::max<uint64_t>(inode.view().size() / kDirectUnit, 2);
      const uint64_t row = change.offset / kDirectUnit;
      const uint64_t shift = 1 + rng_.below(rows - 1);  // never a multiple of `rows`
      change.offset = (row + shift) % rows * kDirectUnit;
    }
  }
  const uint64_t held = inode.blocks.held();
  if (change.is_write() || change.kind == Kind::kAllocate) {
    const uint64_t missing = inode.blocks.missing(change.offset, change.bytes) * BlockMap::kBlockBytes;
    if (missing > 0 && d.used_bytes + missing > d.limit_bytes) return ENOSPC;
    inode.blocks.add(change.offset, change.bytes);
  } else if (change.kind == Kind::kTruncate) {
    inode.blocks.remove(change.bytes, UINT64_MAX);
  } else {
    inode.blocks.remove(change.offset, change.bytes);
  }
  d.used_bytes += (inode.blocks.held() - held) * BlockMap::kBlockBytes;
  if (durable) {
    inode.write_durably(std::move(change));
  } else {
    inode.change(std::move(change));
  }
  return 0;
}

int Machine::reshape(const SimHandle& handle, PendingChange change) {
  std::lock_guard lock(mutex_);
  if (stale(handle)) return EIO;
  return apply_write(handle, std::move(change), false);
}

int Machine::remove(int disk, const std::string& name) {
  std::lock_guard lock(mutex_);
  SimDiskState& d = disks_[disk];
  if (!valid_disk_name(name)) return EINVAL;
  if (!reachable(disk)) return EIO;
  if (!d.names.find(name)) return d.names.directories().contains(name) ? EISDIR : ENOENT;
  return change_names(d, {.from = name});
}

int Machine::rename(int disk, const std::string& from, const std::string& to) {
  std::lock_guard lock(mutex_);
  SimDiskState& d = disks_[disk];
  if (!valid_disk_name(from) || !valid_disk_name(to)) return EINVAL;
  if (!reachable(disk)) return EIO;
  const InodePtr inode = d.names.find(from);
  if (!inode) return d.names.directories().contains(from) ? EISDIR : ENOENT;
  if (from == to) return 0;
  if (const int error = obstacle(d.names, to); error != 0) return error;
  return change_names(d, {.from = from, .to = to, .inode = inode});
}

int Machine::list(int disk, const std::string& directory, std::vector<std::string>* names) {
  std::lock_guard lock(mutex_);
  if (!valid_disk_directory(directory)) return EINVAL;
  if (!reachable(disk)) return EIO;
  if (!directory.empty() && disks_[disk].names.find(directory)) return ENOTDIR;
  *names = disks_[disk].names.list(directory);
  return 0;
}

int Machine::sync_names(int disk, const std::string& directory) {
  std::lock_guard lock(mutex_);
  SimDiskState& d = disks_[disk];
  if (!valid_disk_directory(directory)) return EINVAL;
  if (take_step() != Power::kOn || d.faults.vanished || d.faults.fail_writes) return EIO;
  if (!directory.empty() && d.names.find(directory)) return ENOTDIR;
  d.names.sync(directory);
  return 0;
}

int Machine::space(int disk, DiskSpace* space) {
  std::lock_guard lock(mutex_);
  if (!reachable(disk)) return EIO;
  const SimDiskState& d = disks_[disk];
  space->total_bytes = d.total_bytes;
  space->free_bytes = d.limit_bytes > d.used_bytes ? d.limit_bytes - d.used_bytes : 0;
  return 0;
}

int Machine::probe(int disk) {
  std::lock_guard lock(mutex_);
  return reachable(disk) ? 0 : EIO;
}

int Machine::read(const SimHandle& handle, const IoRequest& r) {
  if (!reachable(handle.disk)) return EIO;
  if (handle.direct && !direct_aligned(r)) return EINVAL;
  const SparseBytes& view = handle.inode->view();
  if (r.offset > view.size() || r.bytes > view.size() - r.offset) return EIO;
  view.read(r.offset, {r.data, r.bytes});
  const uint64_t flips = disks_[handle.disk].faults.read_flip_one_in;
  if (flips != 0 && r.bytes > 0 && rng_.one_in(flips)) {
    r.data[rng_.below(r.bytes)] ^= static_cast<uint8_t>(1u << rng_.below(8));
  }
  return 0;
}

int Machine::write(const SimHandle& handle, const IoRequest& r) {
  if (handle.direct && !direct_aligned(r)) return EINVAL;
  return apply_write(handle, write_change(r), r.durable);
}

int Machine::sync(const SimHandle& handle, uint64_t sequence) {
  SimDiskState& d = disks_[handle.disk];
  const Power power = take_step();
  if (power != Power::kOn) return EIO;
  if (d.faults.vanished || d.faults.fail_writes) {
    // Whether the media got them is anybody's guess; that a later sync brings them is not to be relied on.
    handle.inode->fail_sync(sequence, [&] { return rng_.one_in(2); });
    return EIO;
  }
  if (std::exchange(d.faults.fail_next_sync, false)) {
    handle.inode->fail_sync(sequence, [] { return true; });
    return EIO;
  }
  handle.inode->sync(sequence);
  return 0;
}

void Machine::run(std::span<IoRequest> batch, std::span<const SimHandle* const> handles) {
  std::lock_guard lock(mutex_);
  std::vector<size_t> order(batch.size());
  std::iota(order.begin(), order.end(), size_t{0});
  for (size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[rng_.below(i)]);
  const uint64_t first_of_batch = next_sequence_;
  for (const size_t i : order) {
    IoRequest& r = batch[i];
    const SimHandle* handle = handles[i];
    if (handle == nullptr || stale(*handle)) {
      r.error = handle == nullptr ? EBADF : EIO;
      continue;
    }
    r.error = 0;
    if (r.bytes == 0 && r.kind != IoKind::kSync) continue;
    switch (r.kind) {
      case IoKind::kRead: r.error = read(*handle, r); break;
      case IoKind::kWrite: r.error = write(*handle, r); break;
      case IoKind::kSync: r.error = sync(*handle, first_of_batch); break;
    }
  }
}

uint64_t Machine::step_count() const {
  std::lock_guard lock(mutex_);
  return steps_;
}

void Machine::crash_at(uint64_t step) {
  std::lock_guard lock(mutex_);
  crash_step_ = step;
  crashed_ = step != 0 && step <= steps_;
}

bool Machine::crashed() const {
  std::lock_guard lock(mutex_);
  return crashed_;
}

void Machine::restart(CrashMode mode) {
  std::lock_guard lock(mutex_);
  disks_ = resolve_crash(disks_, mode, rng_);
  crash_step_ = 0;
  crashed_ = false;
  ++boot_;
}

std::shared_ptr<Machine> Machine::fork(uint64_t seed, CrashMode mode) const {
  std::lock_guard lock(mutex_);
  Rng rng(seed);
  std::vector<SimDiskState> disks = resolve_crash(disks_, mode, rng);
  for (SimDiskState& d : disks) d.faults.vanish_at = 0;  // it counts the steps of this machine
  return std::make_shared<Machine>(rng.next(), std::move(disks));
}

void Machine::with_faults(int disk, const std::function<void(SimFaults&)>& change) {
  std::lock_guard lock(mutex_);
  change(disks_[disk].faults);
}

void Machine::set_free_bytes(int disk, uint64_t bytes) {
  std::lock_guard lock(mutex_);
  disks_[disk].limit_bytes = disks_[disk].used_bytes + bytes;
}

int Machine::flip_bit(int disk, const std::string& name, uint64_t offset, int bit) {
  std::lock_guard lock(mutex_);
  const InodePtr inode = disks_[disk].names.find(name);
  if (!inode) return ENOENT;
  if (offset >= inode->view().size() || bit < 0 || bit > 7) return EINVAL;
  inode->flip(offset, bit);
  return 0;
}

int Machine::contents(int disk, const std::string& name, std::string* bytes) const {
  std::lock_guard lock(mutex_);
  const InodePtr inode = disks_[disk].names.find(name);
  if (!inode) return ENOENT;
  bytes->resize(inode->view().size());
  inode->view().read(0, {reinterpret_cast<uint8_t*>(bytes->data()), bytes->size()});
  return 0;
}

}  // namespace stavefs::sim
