#include "disk/sim/sim_disk.h"

#include <cerrno>
#include <utility>

#include "base/check.h"
#include "disk/sim/sim_machine.h"

namespace stavefs::sim {

namespace {

class SimFile final : public DiskFile {
 public:
  SimFile(Disk& disk, std::shared_ptr<Machine> machine, SimHandle handle, std::string name)
      : DiskFile(disk), machine_(std::move(machine)), handle_(std::move(handle)), name_(std::move(name)) {}
  ~SimFile() override { machine_->close(handle_); }

  const std::string& name() const override { return name_; }
  Result<uint64_t> size() override {
    uint64_t bytes = 0;
    if (const int e = machine_->size(handle_, &bytes); e != 0) return error(e, "size");
    return bytes;
  }
  Status allocate(uint64_t bytes) override {
    return reshape({.kind = PendingChange::Kind::kAllocate, .bytes = bytes}, "allocate");
  }
  Status truncate(uint64_t bytes) override {
    return reshape({.kind = PendingChange::Kind::kTruncate, .bytes = bytes}, "truncate");
  }
  Status punch(uint64_t offset, uint64_t bytes) override {
    return reshape({.kind = PendingChange::Kind::kPunch, .offset = offset, .bytes = bytes}, "punch");
  }

  const SimHandle& handle() const { return handle_; }
  bool belongs_to(const Machine& machine) const { return machine_.get() == &machine; }

 private:
  Status reshape(PendingChange change, const char* what) {
    if (const int e = machine_->reshape(handle_, std::move(change)); e != 0) return error(e, what);
    return ok();
  }
  Error error(int e, const char* what) const {
    return errno_error(e, std::string(what) + " of " + name_ + " on " + disk().describe());
  }

  const std::shared_ptr<Machine> machine_;
  const SimHandle handle_;
  const std::string name_;
};

class SimDisk final : public Disk {
 public:
  SimDisk(std::shared_ptr<Machine> machine, int index) : machine_(std::move(machine)), index_(index) {}

  Result<std::unique_ptr<DiskFile>> open(std::string_view name, const OpenOptions& options) override {
    SimHandle handle;
    const int e = machine_->open(index_, std::string(name), options, &handle);
    if (e != 0) return error(e, "open", name);
    return std::unique_ptr<DiskFile>(
        std::make_unique<SimFile>(*this, machine_, std::move(handle), std::string(name)));
  }
  Status remove(std::string_view name) override {
    return status(machine_->remove(index_, std::string(name)), "remove", name);
  }
  Status rename(std::string_view from, std::string_view to) override {
    return status(machine_->rename(index_, std::string(from), std::string(to)), "rename", from);
  }
  Result<std::vector<std::string>> list(std::string_view directory) override {
    std::vector<std::string> names;
    const int e = machine_->list(index_, std::string(directory), &names);
    if (e != 0) return error(e, "list", directory);
    return names;
  }
  Status sync_names(std::string_view directory) override {
    return status(machine_->sync_names(index_, std::string(directory)), "sync names of", directory);
  }
  Result<DiskSpace> space() override {
    DiskSpace space;
    if (const int e = machine_->space(index_, &space); e != 0) return error(e, "space", "");
    return space;
  }
  std::string describe() const override { return "sim:" + std::to_string(index_); }
  Status probe() override { return status(machine_->probe(index_), "probe", ""); }

 private:
  Error error(int e, std::string_view what, std::string_view name) const {
    return errno_error(e, std::string(what) + " " + std::string(name) + " on " + describe());
  }
  Status status(int e, std::string_view what, std::string_view name) const {
    if (e != 0) return error(e, what, name);
    return ok();
  }

  const std::shared_ptr<Machine> machine_;
  const int index_;
};

class SimEngine final : public IoEngine {
 public:
  explicit SimEngine(std::shared_ptr<Machine> machine) : machine_(std::move(machine)) {}

  void run(std::span<IoRequest> batch) override {
    std::vector<const SimHandle*> handles;
    handles.reserve(batch.size());
    for (const IoRequest& r : batch) {
      const auto* file = dynamic_cast<const SimFile*>(r.file);
      handles.push_back(file != nullptr && file->belongs_to(*machine_) ? &file->handle() : nullptr);
    }
    machine_->run(batch, handles);
  }

 private:
  const std::shared_ptr<Machine> machine_;
};

}  // namespace

struct SimWorld::Impl {
  explicit Impl(std::shared_ptr<Machine> m) : machine(std::move(m)), engine(machine) {
    for (int i = 0; i < machine->disk_count(); ++i) disks.push_back(std::make_unique<SimDisk>(machine, i));
  }
  void faults(int disk, const std::function<void(SimFaults&)>& change) {
    check_index(disk);
    machine->with_faults(disk, change);
  }
  void check_index(int disk) const { CHECK(disk >= 0 && disk < machine->disk_count()); }

  const std::shared_ptr<Machine> machine;
  SimEngine engine;
  std::vector<std::unique_ptr<SimDisk>> disks;
};

SimWorld::SimWorld(uint64_t seed, int disks, uint64_t disk_bytes)
    : impl_(std::make_unique<Impl>(std::make_shared<Machine>(seed, disks, disk_bytes))) {}
SimWorld::SimWorld(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
SimWorld::~SimWorld() = default;

int SimWorld::disk_count() const { return impl_->machine->disk_count(); }
Disk& SimWorld::disk(int index) {
  impl_->check_index(index);
  return *impl_->disks[static_cast<size_t>(index)];
}
IoEngine& SimWorld::engine() { return impl_->engine; }

uint64_t SimWorld::step_count() const { return impl_->machine->step_count(); }
void SimWorld::crash_at(uint64_t step) { impl_->machine->crash_at(step); }
bool SimWorld::crashed() const { return impl_->machine->crashed(); }
void SimWorld::restart(CrashMode mode) { impl_->machine->restart(mode); }
std::unique_ptr<SimWorld> SimWorld::fork(uint64_t seed, CrashMode mode) const {
  return std::unique_ptr<SimWorld>(new SimWorld(std::make_unique<Impl>(impl_->machine->fork(seed, mode))));
}

void SimWorld::set_vanished(int disk, bool vanished) {
  impl_->faults(disk, [=](SimFaults& f) {
    f.vanished = vanished;
    f.vanish_at = 0;
  });
}
void SimWorld::vanish_at(int disk, uint64_t step) {
  impl_->faults(disk, [=](SimFaults& f) { f.vanish_at = step; });
}
void SimWorld::fail_writes(int disk, bool fail) {
  impl_->faults(disk, [=](SimFaults& f) { f.fail_writes = fail; });
}
void SimWorld::fail_next_sync(int disk) {
  impl_->faults(disk, [](SimFaults& f) { f.fail_next_sync = true; });
}
void SimWorld::fail_next_write(int disk) {
  impl_->faults(disk, [](SimFaults& f) { f.fail_next_write = true; });
}
void SimWorld::lose_next_write(int disk) {
  impl_->faults(disk, [](SimFaults& f) { f.lose_next_write = true; });
}
void SimWorld::misdirect_next_write(int disk) {
  impl_->faults(disk, [](SimFaults& f) { f.misdirect_next_write = true; });
}
void SimWorld::set_read_flip_rate(int disk, uint64_t one_in) {
  impl_->faults(disk, [=](SimFaults& f) { f.read_flip_one_in = one_in; });
}
void SimWorld::set_free_bytes(int disk, uint64_t bytes) {
  impl_->check_index(disk);
  impl_->machine->set_free_bytes(disk, bytes);
}

Status SimWorld::flip_bit(int disk, const std::string& name, uint64_t offset, int bit) {
  impl_->check_index(disk);
  if (const int e = impl_->machine->flip_bit(disk, name, offset, bit); e != 0) {
    return errno_error(e, "flip bit at " + std::to_string(offset) + " of " + name);
  }
  return ok();
}

Result<std::string> SimWorld::contents(int disk, const std::string& name) const {
  impl_->check_index(disk);
  std::string bytes;
  if (const int e = impl_->machine->contents(disk, name, &bytes); e != 0) {
    return errno_error(e, "contents of " + name);
  }
  return bytes;
}

}  // namespace stavefs::sim
