// Opening a pool: from a handful of directories to a membership that may be trusted.

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <utility>

#include "base/log.h"
#include "pool/mount_rule.h"
#include "pool/pool.h"
#include "pool/pool_slot.h"
#include "pool/superblock_io.h"

namespace stavefs {

/// What is known while the pool is being opened.
struct Pool::Opening {
  struct Found {
    Attached attached;
    SuperblockRead read;
    Superblock superblock;
  };
  std::vector<Found> found;
  std::vector<std::string> notes;  // disks that were passed over, and why
  std::optional<Witness::Value> witness;
  Settlement settlement;

  Status read_all(std::vector<Attached> disks, IoEngine& engine);
  Status check_identities() const;
  Status load_witness(Witness& source, const OpenOptions& options);
  Status settle(bool read_only);
  MountFacts facts(const Pool& pool) const;
  std::string notes_text() const;
};

namespace {

Error invalid(std::string what) { return Error(ErrorCode::kInvalid, EINVAL, std::move(what)); }

}  // namespace

std::string Pool::Opening::notes_text() const {
  std::string text;
  for (const std::string& note : notes) text += (text.empty() ? " (not used: " : "; ") + note;
  return text.empty() ? text : text + ")";
}

/// Reads every superblock.  A disk that is blank, damaged or unreadable is passed over, like one that is
/// missing.
Status Pool::Opening::read_all(std::vector<Attached> disks, IoEngine& engine) {
  std::vector<Disk*> pointers;
  for (const Attached& attached : disks) pointers.push_back(attached.disk.get());
  std::vector<SuperblockRead> reads = read_superblocks(pointers, engine);
  for (size_t i = 0; i < disks.size(); ++i) {
    if (!reads[i].superblock) {
      Error& error = reads[i].superblock.error();
      if (error.code() == ErrorCode::kUnsupported) return std::move(error).with_context(disks[i].path);
      notes.push_back(disks[i].path + ": " + error.to_text());
      reads[i].file.reset();
      continue;
    }
    if (!*reads[i].superblock) {
      notes.push_back(disks[i].path + ": has no superblock (is the disk mounted?)");
      reads[i].file.reset();
      continue;
    }
    if (reads[i].damaged_copies > 0)
      log_warning("{}: {} damaged copies of the superblock", disks[i].path, reads[i].damaged_copies);
    Superblock superblock = std::move(**reads[i].superblock);
    found.push_back({std::move(disks[i]), std::move(reads[i]), std::move(superblock)});
  }
  for (const std::string& note : notes) log_warning("disk passed over: {}", note);
  if (found.empty())
    return Error(ErrorCode::kNotFound, ENOENT, "none of these is a disk of a pool" + notes_text());
  return ok();
}

Status Pool::Opening::check_identities() const {
  const Found& first = found[0];
  std::map<Uuid, const Found*> by_uuid;
  bool formatted = false;
  for (const Found& f : found) {
    const Superblock& s = f.superblock;
    if (s.pool != first.superblock.pool)
      return Error(ErrorCode::kForeign, EINVAL,
                   fmt::format("{} belongs to pool {} ({}), {} to pool {} ({})", first.attached.path,
                               first.superblock.name, first.superblock.pool.to_text(), f.attached.path,
                               s.name, s.pool.to_text()));
    const auto [twin, is_new] = by_uuid.emplace(s.disk, &f);
    if (!is_new)
      return invalid(fmt::format(
          "{} and {} both claim to be disk {} ({}) of pool {}: one is a copy of the other; take "
          "one away",
          twin->second->attached.path, f.attached.path, s.members[s.slot].name, s.disk.to_text(), s.name));
    formatted |= !s.formatting;
  }
  if (!formatted)
    return invalid(
        fmt::format("the making of pool {} was interrupted, nothing was stored in it yet: empty the "
                    "directories and create it again",
                    first.superblock.name));
  return ok();
}

Status Pool::Opening::load_witness(Witness& source, const OpenOptions& options) {
  if (options.read_only) return ok();
  Result<std::optional<Witness::Value>> loaded = source.load();
  if (!loaded && options.force_degraded) {
    log_warning("the host's witness is ignored: {}", loaded.error().to_text());
    return ok();
  }
  ASSIGN_OR_RETURN(witness, std::move(loaded));
  return ok();
}

/// Settles the newest epoch, and by its member table drops the disks that were taken out of the pool.
Status Pool::Opening::settle(bool read_only) {
  std::vector<EpochView> views;
  for (const Found& f : found)
    views.push_back(
        {&f.superblock, f.superblock.members[f.superblock.slot].name + " (" + f.attached.path + ")"});
  ASSIGN_OR_RETURN(settlement, settle_epoch(views, witness));
  const Superblock& newest = found[settlement.source].superblock;
  if (const uint64_t unknown = newest.ro_compat & ~kKnownReadOnlyCompat; unknown != 0 && !read_only)
    return Error(
        ErrorCode::kUnsupported, EOPNOTSUPP,
        fmt::format("the pool uses features that this software can only read (bits {:#x})", unknown));
  return ok();
}

MountFacts Pool::Opening::facts(const Pool& pool) const {
  MountFacts facts;
  facts.newest = settlement.newest;
  facts.parity = pool.config_.geometry.parity;
  facts.witness = witness;
  for (size_t i = 0; i < found.size(); ++i) {
    const uint16_t slot = found[i].superblock.slot;
    const auto& members = settlement.newest.members;
    const bool taken =
        pool.slot_at(DiskSlot(slot)) != nullptr && pool.members_[slot].uuid == found[i].superblock.disk;
    if (taken && settlement.current[i] && std::find(members.begin(), members.end(), slot) != members.end())
      ++facts.members_here;
  }
  std::map<uint16_t, size_t> missing;
  for (const Member& member : pool.members_)
    if (!member.removed && pool.slot_at(member.slot) == nullptr)
      facts.worst_set_missing = std::max(facts.worst_set_missing, ++missing[member.set]);
  return facts;
}

Result<std::unique_ptr<Pool>> Pool::open(std::vector<Attached> disks, IoEngine& engine, Witness& witness,
                                         Rng& rng, const OpenOptions& options) {
  Opening opening;
  TRY(opening.read_all(std::move(disks), engine));
  TRY(opening.check_identities());
  TRY(opening.load_witness(witness, options));
  TRY(opening.settle(options.read_only));

  std::unique_ptr<Pool> pool(new Pool(engine, witness, rng.next()));
  const Superblock newest = opening.found[opening.settlement.source].superblock;
  pool->config_ = config_of(newest);
  pool->journal_key_ = newest.journal_key;
  pool->compat_ = newest.compat;
  pool->ro_compat_ = newest.ro_compat;
  pool->read_only_ = options.read_only;
  pool->last_tried_ = opening.settlement.highest_number;
  pool->slots_.resize(newest.members.size());
  for (uint16_t i = 0; i < newest.members.size(); ++i) pool->members_.push_back(member_of(newest, i));

  std::vector<DiskSlot> distrusted;
  for (size_t i = 0; i < opening.found.size(); ++i) {
    Opening::Found& f = opening.found[i];
    const uint16_t slot = f.superblock.slot;
    if (slot >= pool->members_.size() || pool->members_[slot].uuid != f.superblock.disk ||
        pool->members_[slot].removed) {
      opening.notes.push_back(f.attached.path + ": was taken out of the pool");
      log_warning("disk passed over: {}", opening.notes.back());
      continue;
    }
    auto s = std::make_unique<Slot>();
    s->stale = !opening.settlement.current[i];
    s->disk = std::move(f.attached.disk);
    s->path = std::move(f.attached.path);
    s->superblock = std::move(f.read.file);
    s->sequence = f.superblock.sequence;
    // A metadata member without the newest epoch is an old image put back: no copy to rely on.
    if (s->stale) distrusted.push_back(DiskSlot(slot));
    pool->slots_[slot] = std::move(s);
  }
  if (!options.read_only) {
    const MountDecision decision = decide_mount(opening.facts(*pool));
    if (decision.verdict != MountVerdict::kAllowed) {
      std::string missing;
      for (const Member& member : pool->members_)
        if (!member.removed && pool->slot_at(member.slot) == nullptr) missing += " " + member.name;
      const bool possible = decision.verdict == MountVerdict::kNeedsForce;
      if (!possible || !options.force_degraded)
        return Error(ErrorCode::kDegraded, EIO,
                     fmt::format("pool {}: {}; missing disks:{}{}; {}", pool->config_.name, decision.reason,
                                 missing.empty() ? " none" : missing, opening.notes_text(),
                                 possible ? "attach them and try again, or give up what only they hold with "
                                            "--force-degraded"
                                          : "attach them and try again"));
      pool->minted_fork_ = Uuid::random(pool->rng_);
      log_warning("pool {}: forced although {}: a new fork of its history begins", pool->config_.name,
                  decision.reason);
    }
  }
  pool->accept(opening.settlement.newest);
  for (const DiskSlot slot : distrusted) std::erase(pool->epoch_.members, slot);
  if (pool->minted_fork_) pool->epoch_.fork = *pool->minted_fork_;
  return pool;
}

}  // namespace stavefs
