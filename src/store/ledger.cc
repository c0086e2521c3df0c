#include "store/ledger.h"

#include <algorithm>

#include "base/log.h"
#include "index/keys.h"

namespace stavefs {
namespace {

enum Section : uint8_t { kBatchSection = 1, kDataSection = 2, kDiscardSection = 3 };

/// How often admit() tries to make room before it gives up: each round destages, flushes and trims
/// everything.
constexpr int kReliefRounds = 16;
/// Section heads and lengths of a record.
constexpr size_t kRecordOverhead = 64;

std::string encode_count(int64_t value) {
  std::string out;
  ByteWriter(out).u64(static_cast<uint64_t>(value));
  return out;
}

std::string encode_usage(const Change::Usage& usage) {
  std::string out;
  ByteWriter writer(out);
  writer.u64(static_cast<uint64_t>(usage.bytes));
  writer.u64(static_cast<uint64_t>(usage.files));
  return out;
}

Error corrupt_record(Lsn lsn) {
  return Error(ErrorCode::kCorrupt, EIO,
               "journal record " + std::to_string(lsn.value) + " has a valid checksum but cannot be parsed");
}

Error fenced_error() {
  return Error(ErrorCode::kFenced, EIO,
               "the pool was fenced after a failure of its metadata disks; unmount it and look at the disks");
}

/// What is left of [offset, offset + bytes) of `piece` outside [from, to).
void cut(const RecoveredData& piece, uint64_t from, uint64_t to, std::vector<RecoveredData>& out) {
  const uint64_t end = piece.offset + piece.bytes.size();
  if (piece.offset < from) {
    const uint64_t n = std::min(end, from) - piece.offset;
    out.push_back({piece.inode, piece.offset, piece.lsn, piece.bytes.substr(0, n)});
  }
  if (end > to) {
    const uint64_t start = std::max(piece.offset, to);
    out.push_back({piece.inode, start, piece.lsn, piece.bytes.substr(start - piece.offset)});
  }
}

}  // namespace

Ledger::Ledger(Pool& pool, const Options& options) : pool_(pool), options_(options) {}

Ledger::~Ledger() {
  // The index's last flushes ask the journal first.
  index_.reset();
  journal_.reset();
}

Result<std::unique_ptr<Ledger>> Ledger::open(Pool& pool, const Options& options) {
  std::unique_ptr<Ledger> ledger(new Ledger(pool, options));
  Ledger* self = ledger.get();
  Index::Options index_options;
  index_options.cache_bytes = options.index_cache_bytes;
  index_options.memtable_bytes = options.memtable_bytes;
  index_options.read_only = options.read_only;
  // While the journal is being replayed, everything applied comes from its repaired, durable frames.
  index_options.before_flush = [self] { return self->journal_ ? self->sync(self->journal_->head()) : ok(); };
  index_options.copy_failed = [self](DiskSlot slot) {
    return self->journal_ ? self->fence_on(self->journal_->drop_member(slot)) : ok();
  };
  index_options.fenced = [self] { self->fenced_.store(true, std::memory_order_release); };
  ASSIGN_OR_RETURN(ledger->index_, Index::open(pool, index_options));

  const Lsn applied = ledger->index_->applied();
  const auto replay = [self, applied](Lsn lsn, std::string_view record) {
    return self->replay(lsn, record, applied);
  };
  ASSIGN_OR_RETURN(ledger->journal_, Journal::open(pool, applied, replay, options.read_only));
  TRY(ledger->load_counts());
  for (const auto& [inode, pieces] : ledger->recovered_) {
    std::set<Lsn> lsns;
    for (const RecoveredData& piece : pieces) lsns.insert(piece.lsn);
    ledger->deferred_.insert(lsns.begin(), lsns.end());
  }
  // A copy of the index that was given up before the journal was there to be told must not stand in the
  // epoch.
  if (!options.read_only) TRY(ledger->reconcile_members());
  return ledger;
}

Status Ledger::replay(Lsn lsn, std::string_view record, Lsn applied) {
  ByteReader reader(record);
  while (reader.ok() && reader.remaining() > 0) {
    switch (reader.u8()) {
      case kBatchSection: {
        const std::string_view batch = reader.string();
        if (!reader.ok()) return corrupt_record(lsn);
        if (lsn > applied) TRY(index_->apply(batch, lsn));
        break;
      }
      case kDataSection: {
        RecoveredData data;
        data.inode = InodeId(reader.u64());
        data.offset = reader.u64();
        data.lsn = lsn;
        data.bytes = std::string(reader.string());
        if (!reader.ok()) return corrupt_record(lsn);
        recovered_[data.inode].push_back(std::move(data));
        break;
      }
      case kDiscardSection: {
        Change::Discard discard{};
        discard.inode = InodeId(reader.u64());
        discard.offset = reader.u64();
        discard.length = reader.u64();
        discard.upto = Lsn(reader.u64());
        if (!reader.ok()) return corrupt_record(lsn);
        apply_discard(discard, lsn);
        break;
      }
      default: return corrupt_record(lsn);
    }
  }
  return reader.ok() ? ok() : Status(corrupt_record(lsn));
}

void Ledger::apply_discard(const Change::Discard& discard, Lsn lsn) {
  const auto found = recovered_.find(discard.inode);
  if (found == recovered_.end()) return;
  const uint64_t from = discard.offset;
  const uint64_t to = discard.length > kToEnd - from ? kToEnd : from + discard.length;
  std::vector<RecoveredData> left;
  for (RecoveredData& piece : found->second) {
    const uint64_t end = piece.offset + piece.bytes.size();
    if (piece.lsn > discard.upto || piece.lsn >= lsn || end <= from || piece.offset >= to) {
      left.push_back(std::move(piece));
    } else {
      cut(piece, from, to, left);
    }
  }
  if (left.empty()) {
    recovered_.erase(found);
  } else {
    found->second = std::move(left);
  }
}

Status Ledger::load_counts() {
  ASSIGN_OR_RETURN(auto live, scan_prefix("K"));
  for (; live->valid(); live->next()) {
    ByteReader reader(live->value());
    const auto bytes = static_cast<int64_t>(reader.u64());
    if (live->key().size() != 9 || !reader.finished()) {
      return Error(ErrorCode::kCorrupt, EIO, "index: malformed live-byte count");
    }
    live_[GroupId(keys::first_number(live->key()))] = bytes;
  }
  TRY(live->status());
  ASSIGN_OR_RETURN(auto usage, scan_prefix("U"));
  for (; usage->valid(); usage->next()) {
    ByteReader reader(usage->value());
    Change::Usage value;
    value.bytes = static_cast<int64_t>(reader.u64());
    value.files = static_cast<int64_t>(reader.u64());
    if (usage->key().size() != 5 || !reader.finished()) {
      return Error(ErrorCode::kCorrupt, EIO, "index: malformed bucket usage");
    }
    usage_[BucketId(load_be32(usage->key().data() + 1))] = value;
  }
  return usage->status();
}

std::vector<RecoveredData> Ledger::take_recovered_data() {
  std::vector<RecoveredData> all;
  for (auto& [inode, pieces] : recovered_) {
    std::move(pieces.begin(), pieces.end(), std::back_inserter(all));
  }
  recovered_.clear();
  return all;
}

Result<std::unique_ptr<IndexScan>> Ledger::scan_prefix(std::string_view prefix) const {
  return index_->scan(prefix, keys::prefix_end(prefix));
}

void Ledger::encode_record(const Change& change) {
  batch_.assign(change.index().encoded());
  if (!change.live().empty() || !change.usage().empty()) {
    IndexBatch counts;
    for (const auto& [group, delta] : change.live()) {
      counts.put(keys::live_bytes(group), encode_count(live_[group] + delta));
    }
    for (const auto& [bucket, delta] : change.usage()) {
      const Change::Usage& now = usage_[bucket];
      counts.put(keys::usage(bucket), encode_usage({now.bytes + delta.bytes, now.files + delta.files}));
    }
    batch_.append(counts.encoded());
  }
  record_.clear();
  ByteWriter writer(record_);
  if (!batch_.empty()) {
    writer.u8(kBatchSection);
    writer.string(batch_);
  }
  for (const Change::Discard& discard : change.discards()) {
    writer.u8(kDiscardSection);
    writer.u64(discard.inode.value);
    writer.u64(discard.offset);
    writer.u64(discard.length);
    writer.u64(discard.upto.value);
  }
  for (const Change::Data& data : change.data()) {
    writer.u8(kDataSection);
    writer.u64(data.inode.value);
    writer.u64(data.offset);
    writer.string({reinterpret_cast<const char*>(data.bytes.data()), data.bytes.size()});
  }
}

Result<Lsn> Ledger::commit(const Change& change) {
  if (fenced() || options_.read_only) return fenced_error();
  size_t bytes = kRecordOverhead + change.index().encoded().size() +
                 64 * (change.live().size() + change.usage().size()) + 33 * change.discards().size();
  for (const Change::Data& data : change.data()) bytes += 32 + data.bytes.size();
  if (bytes <= journal_->max_record_bytes()) TRY(make_room(bytes));
  const std::lock_guard lock(commit_mutex_);
  encode_record(change);
  auto lsn = journal_->append(record_);
  if (!lsn) {
    if (!change.retryable() || lsn.error().code() == ErrorCode::kFenced) {
      fenced_.store(true, std::memory_order_release);
    }
    log_error("the journal took no record of {} bytes: {}", record_.size(), lsn.error().to_text());
    return std::move(lsn.error()).with_context("commit");
  }
  for (const auto& [group, delta] : change.live()) live_[group] += delta;
  for (const auto& [bucket, delta] : change.usage()) {
    usage_[bucket].bytes += delta.bytes;
    usage_[bucket].files += delta.files;
  }
  if (!change.data().empty()) {
    std::set<InodeId> inodes;
    for (const Change::Data& data : change.data()) inodes.insert(data.inode);
    const std::lock_guard data_lock(data_mutex_);
    for (size_t i = 0; i < inodes.size(); ++i) deferred_.insert(*lsn);
  }
  TRY(fence_on(index_->apply(batch_, *lsn)));
  return *lsn;
}

Status Ledger::fence_on(Status status) {
  if (!status) fenced_.store(true, std::memory_order_release);
  return status;
}

Status Ledger::sync(Lsn lsn) {
  if (lsn <= journal_->durable()) return ok();
  return fence_on(journal_->sync(lsn));
}

void Ledger::data_destaged(Lsn logged, Lsn destaged) {
  const std::lock_guard lock(data_mutex_);
  destaged_.emplace(destaged, logged);
}

int64_t Ledger::live_bytes(GroupId group) const {
  const std::lock_guard lock(commit_mutex_);
  const auto found = live_.find(group);
  return found == live_.end() ? 0 : found->second;
}

void Ledger::forget_group(GroupId group) {
  const std::lock_guard lock(commit_mutex_);
  live_.erase(group);
}

Change::Usage Ledger::usage(BucketId bucket) const {
  const std::lock_guard lock(commit_mutex_);
  const auto found = usage_.find(bucket);
  return found == usage_.end() ? Change::Usage{} : found->second;
}

void Ledger::update_trim() {
  Lsn upto = index_->flushed();
  const Lsn durable = journal_->durable();
  {
    const std::lock_guard lock(data_mutex_);
    // Deferred data may go only when the extents that took it over are themselves safe from a power cut.
    const auto end = destaged_.upper_bound(durable);
    for (auto it = destaged_.begin(); it != end; ++it) {
      const auto found = deferred_.find(it->second);
      if (found != deferred_.end()) deferred_.erase(found);
    }
    destaged_.erase(destaged_.begin(), end);
    if (!deferred_.empty()) upto = std::min(upto, Lsn(deferred_.begin()->value - 1));
  }
  if (upto.value > 0) journal_->trim(upto);
}

Status Ledger::write_out_index() {
  TRY(fence_on(index_->flush()));
  update_trim();
  return ok();
}

Status Ledger::checkpoint() {
  if (fenced()) return fenced_error();
  const std::lock_guard lock(maintain_mutex_);
  return write_out_index();
}

/// Frames are given up when a durable frame says so: an empty record makes one.
Status Ledger::push_frame() {
  {
    const std::lock_guard lock(commit_mutex_);
    ASSIGN_OR_RETURN(const Lsn lsn, journal_->append({}));
    TRY(fence_on(index_->apply({}, lsn)));
  }
  return sync(head());
}

Status Ledger::relieve() {
  if (on_pressure_) on_pressure_();
  TRY(sync(head()));
  TRY(write_out_index());
  return push_frame();
}

bool Ledger::room_above(uint64_t part) const {
  const Journal::Stats stats = journal_->stats();
  return stats.ring_bytes - stats.live_bytes >= stats.ring_bytes / part;
}

Status Ledger::admit() {
  if (fenced()) return fenced_error();
  if (room_above(2)) [[likely]]
    return ok();
  for (int round = 0; round < kReliefRounds; ++round) {
    const std::lock_guard lock(maintain_mutex_);
    const uint64_t before = journal_->stats().live_bytes;
    if (room_above(2)) return ok();
    TRY(relieve());
    // Deferred data that cannot be written out keeps the rest: trying again would only fill the ring.
    if (round > 0 && journal_->stats().live_bytes >= before) break;
  }
  // What is left is for deletes and truncates, which make room, and for the operations that are under way.
  return room_above(8)
             ? ok()
             : Status(Error(ErrorCode::kNoSpace, ENOSPC,
                            "the journal stays full: deferred data cannot be written to the disks"));
}

/// For commit(), whose caller holds inode locks: nothing here waits for a flush of files.
Status Ledger::make_room(size_t bytes) {
  if (journal_->has_room(bytes)) [[likely]]
    return ok();
  TRY(sync(head()));
  TRY(write_out_index());
  return push_frame();
}

Status Ledger::reconcile_members() {
  const std::vector<DiskSlot> copies = index_->copies();
  const auto among = [](const std::vector<DiskSlot>& slots, DiskSlot slot) {
    return std::find(slots.begin(), slots.end(), slot) != slots.end();
  };
  const std::vector<DiskSlot> members = pool_.epoch().members;
  // A member may have been fenced by an I/O that was not the journal's, or have lost its copy of the index:
  // the epoch must not count on it.
  for (const DiskSlot slot : members) {
    if (!pool_.usable(slot) || !among(copies, slot)) TRY(fence_on(journal_->drop_member(slot)));
  }
  return ok();
}

Status Ledger::recruit() {
  if (fenced()) return fenced_error();
  TRY(reconcile_members());
  const EpochRecord epoch = pool_.epoch();
  if (epoch.members.empty()) return fenced_error();
  for (const DiskSlot slot : index_->copies()) {
    if (std::find(epoch.members.begin(), epoch.members.end(), slot) == epoch.members.end())
      index_->drop_copy(slot);
  }
  if (failed_recruits_version_ != pool_.state_version()) failed_recruits_.clear();
  const uint16_t set = pool_.members()[epoch.members.front().value].set;
  for (const Member& member : pool_.members()) {
    const std::vector<DiskSlot> current = pool_.epoch().members;
    if (current.size() >= pool_.config().metadata_copies) break;
    if (member.removed || member.set != set || !pool_.writable(member.slot)) continue;
    if (failed_recruits_.contains(member.slot)) continue;
    if (std::find(current.begin(), current.end(), member.slot) != current.end()) continue;
    const Status copied = index_->add_copy(member.slot);
    const Status added = copied ? journal_->add_member(member.slot) : copied;
    if (added) {
      log_warning("disk {} now carries a copy of the metadata", member.name);
      continue;
    }
    index_->drop_copy(member.slot);
    log_warning("disk {} could not take a copy of the metadata: {}", member.name, added.error().to_text());
    if (added.error().code() == ErrorCode::kFenced) return fence_on(added);
    failed_recruits_.insert(member.slot);
    failed_recruits_version_ = pool_.state_version();
  }
  // The copy of a new member may have failed between the copying and the epoch.
  return reconcile_members();
}

Status Ledger::maintain() {
  if (fenced()) return fenced_error();
  const std::lock_guard lock(maintain_mutex_);
  update_trim();
  const Journal::Stats stats = journal_->stats();
  if (stats.live_bytes > stats.ring_bytes / 4) TRY(write_out_index());
  return reconcile_members();
}

Status Ledger::close() {
  if (fenced()) return fenced_error();
  const std::lock_guard lock(maintain_mutex_);
  TRY(sync(head()));
  TRY(write_out_index());
  return fence_on(journal_->mark_clean());
}

}  // namespace stavefs
