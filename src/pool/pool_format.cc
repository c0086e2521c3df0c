// Making a pool, and finding out what a disk is.

#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "pool/pool.h"
#include "pool/pool_slot.h"
#include "pool/superblock_io.h"

namespace stavefs {
namespace {

Error invalid(std::string what) { return Error(ErrorCode::kInvalid, EINVAL, std::move(what)); }

/// Spreads `disks` evenly over as few sets of at most kMaxSetDisks as possible.
Result<size_t> choose_set_count(size_t disks, const Geometry& geometry) {
  const auto total = static_cast<size_t>(geometry.total());
  if (disks < total)
    return invalid(fmt::format("class {} needs {} disks, {} are given", geometry.to_text(), total, disks));
  const size_t sets = (disks + kMaxSetDisks - 1) / kMaxSetDisks;
  if (disks / sets < total)
    return invalid(
        fmt::format("{} disks make {} sets of at most {} disks, and a set must hold the {} disks of class {}",
                    disks, sets, kMaxSetDisks, total, geometry.to_text()));
  return sets;
}

/// The superblock of slot 0; the others differ in disk and slot only.
Result<Superblock> first_superblock(const PoolConfig& config, std::span<const Pool::NewDisk> disks,
                                    Rng& rng) {
  if (!config.geometry.valid()) return invalid("class " + config.geometry.to_text() + " is not possible");
  if (disks.size() > kMaxPoolDisks) return invalid(fmt::format("more than {} disks", kMaxPoolDisks));
  ASSIGN_OR_RETURN(const size_t sets, choose_set_count(disks.size(), config.geometry));
  if (config.metadata_copies != config.geometry.parity + 1)
    return invalid(fmt::format("{} metadata copies with {} parity disks", config.metadata_copies,
                               config.geometry.parity));
  Superblock s;
  s.sequence = 1;
  s.formatting = true;
  s.pool = config.id;
  s.name = config.name;
  s.data = config.geometry.data;
  s.parity = config.geometry.parity;
  s.checksum = static_cast<uint8_t>(config.checksum);
  s.metadata_copies = config.metadata_copies;
  s.segment_bytes = config.segment_bytes;
  s.ring_bytes = config.ring_bytes;
  s.created_ns = config.created_ns;
  s.journal_key = rng.next();
  s.epoch.epoch = 1;
  s.epoch.ticket = rng.next();
  s.epoch.fork = Uuid::random(rng);
  s.epoch.clean = true;
  for (uint16_t slot = 0; slot < config.metadata_copies; ++slot) s.epoch.members.push_back(slot);
  for (size_t i = 0; i < disks.size(); ++i) {
    if (disks[i].disk == nullptr || config.segment_bytes == 0) return invalid("no disk, or no segment size");
    const uint64_t segments = disks[i].bytes / config.segment_bytes;
    if (segments == 0)
      return invalid(fmt::format("{} is too small: it must hold at least one segment of {} MiB",
                                 disks[i].path, config.segment_bytes >> 20));
    s.members.push_back({.uuid = Uuid::random(rng),
                         .set = static_cast<uint16_t>(i * sets / disks.size()),
                         .segments = static_cast<uint32_t>(
                             std::min<uint64_t>(segments, std::numeric_limits<uint32_t>::max())),
                         .name = fmt::format("d{}", i + 1)});
  }
  s.disk = s.members[0].uuid;
  TRY(validate(s));
  return s;
}

/// One pass over all disks.
Status write_all(const Superblock& base, std::span<const std::unique_ptr<DiskFile>> files, IoEngine& engine) {
  for (size_t first = 0; first < files.size(); first += kDisksPerRound) {
    const size_t count = std::min(kDisksPerRound, files.size() - first);
    std::vector<Superblock> superblocks(count, base);
    std::vector<SuperblockWrite> writes(count);
    for (size_t i = 0; i < count; ++i) {
      superblocks[i].slot = static_cast<uint16_t>(first + i);
      superblocks[i].disk = base.members[first + i].uuid;
      writes[i] = {files[first + i].get(), &superblocks[i]};
    }
    write_superblocks(writes, engine);
    for (const SuperblockWrite& write : writes)
      if (write.error != 0)
        return errno_error(write.error, "write the superblock of " + write.file->disk().describe());
  }
  return ok();
}

}  // namespace

Status Pool::format(const PoolConfig& config, std::span<const NewDisk> disks, IoEngine& engine, Rng& rng) {
  ASSIGN_OR_RETURN(Superblock superblock, first_superblock(config, disks, rng));
  std::vector<std::unique_ptr<DiskFile>> files;
  for (const NewDisk& disk : disks) {
    ASSIGN_OR_RETURN(std::unique_ptr<DiskFile> file,
                     disk.disk->open(kSuperblockFile, {.create = true, .truncate = true, .direct = true}));
    // All places are reserved now, so that a full disk can still take a new epoch.
    TRY(file->allocate(kSuperblockFileBytes));
    TRY(run_one(engine, {.file = file.get(), .kind = IoKind::kSync}));
    files.push_back(std::move(file));
  }
  // First pass: nobody is part of a pool yet.  The pool exists from the first superblock of the second pass
  // on.
  TRY(write_all(superblock, files, engine));
  for (const NewDisk& disk : disks) TRY(disk.disk->sync_names(""));
  superblock.formatting = false;
  superblock.sequence = 2;
  return write_all(superblock, files, engine);
}

Result<ProbeResult> probe_disk(Disk& disk, IoEngine& engine) {
  Disk* const disks[] = {&disk};
  std::vector<SuperblockRead> reads = read_superblocks(disks, engine);
  ASSIGN_OR_RETURN(const std::optional<Superblock> superblock, std::move(reads[0].superblock));
  ProbeResult result;
  if (!superblock) return result;
  result.has_superblock = true;
  result.formatting = superblock->formatting;
  result.config = config_of(*superblock);
  result.member = member_of(*superblock, superblock->slot);
  result.epoch = Epoch(superblock->epoch.epoch);
  return result;
}

}  // namespace stavefs
