#include "store/stripe_writer.h"

#include <bit>

#include "base/check.h"
#include "index/keys.h"
#include "store/stripe_layout.h"

namespace stavefs {
namespace {

/// Data that goes to the disks in one batch: enough to keep them busy, little enough to stay warm.
constexpr uint64_t kBatchBytes = uint64_t{4} << 20;
constexpr uint64_t kBatchBufferBytes = uint64_t{8} << 20;
/// How often a call looks for another group after a loss of quorum.
constexpr int kMaxWriteTries = 3;
/// A cut run does not go into a group's end that is shorter than this: the extents would be tiny.
constexpr uint32_t kLeastRunRows = 16;

constexpr uint32_t varint_bytes(uint64_t v) { return static_cast<uint32_t>(std::bit_width(v | 1) + 6) / 7; }

/// Size of the 'S' value.
size_t record_bytes(const Geometry& geometry, std::span<const Fragment> fragments,
                    std::span<const DataPiece> pieces) {
  size_t bytes = 8 + 8 * static_cast<size_t>(geometry.total()) + varint_bytes(fragments.size());
  for (const Fragment& f : fragments) {
    const DataPiece& piece = pieces[f.piece];
    bytes += varint_bytes(piece.inode.value) + varint_bytes(piece.file_offset + f.piece_offset) +
             varint_bytes(f.length) + varint_bytes(f.stripe_offset / kExtentAlignment) + 1;
  }
  return bytes;
}

}  // namespace

StripeWriter::StripeWriter(StoreContext& context, GroupTable& table, OpenGroups& open, ByteBudget& budget,
                           const Geometry& geometry, ChecksumKind checksum, Temperature temperature)
    : context_(context),
      table_(table),
      open_(open),
      budget_(budget),
      geometry_(geometry),
      checksum_(checksum),
      temperature_(temperature),
      buffers_(context.buffers) {}

StripeWriter::~StripeWriter() { leave_all(); }

void StripeWriter::leave_all() {
  for (const Touched& touched : touched_) touched.group->leave();
  touched_.clear();
  done_.clear();
}

Status StripeWriter::write(std::span<const DataPiece> pieces, std::vector<PlacedExtent>& out) {
  if (context_.options.read_only)
    return Error(ErrorCode::kFenced, EROFS, "the pool is open for reading only");
  flushed_ = false;
  const size_t done = done_.size();
  const size_t placed = out.size();
  for (int tries = 1;; ++tries) {
    Status status = write_all(pieces, out);
    batch_.clear();
    targets_.clear();
    buffers_.clear();
    if (status) return status;
    forget(done, placed, out);
    if (status.error().code() != ErrorCode::kIo || tries == kMaxWriteTries) return status;
  }
}

void StripeWriter::forget(size_t done, size_t placed, std::vector<PlacedExtent>& out) {
  for (size_t i = done; i < done_.size(); ++i) --touched_[done_[i].touched].stripes;
  done_.resize(done);
  out.resize(placed);
  for (Touched& t : touched_) {
    t.in_batch = false;
    t.lost = 0;
  }
}

Status StripeWriter::write_all(std::span<const DataPiece> pieces, std::vector<PlacedExtent>& out) {
  StripePlanner planner(geometry_.data, pieces);
  if (planner.done()) return ok();
  const uint64_t largest = uint64_t{static_cast<uint32_t>(geometry_.total())} * kMaxUnitBytes;
  const auto share = budget_.take(std::max(2 * largest, std::min(kBatchBufferBytes, budget_.total() / 4)));
  while (!planner.done()) {
    TRY(fill_batch(planner, pieces, share.bytes() - largest, out));
    TRY(run_batch());
  }
  return ok();
}

Status StripeWriter::fill_batch(StripePlanner& planner, std::span<const DataPiece> pieces,
                                uint64_t buffer_bytes, std::vector<PlacedExtent>& out) {
  uint64_t data = 0;
  while (!planner.done() && data < kBatchBytes && buffers_.bytes() < buffer_bytes) {
    StripePlan plan;
    size_t touched = 0;
    Row row;
    TRY(next_stripe(planner, pieces, plan, touched, row));
    planner.accept(fragments_);
    data += plan.data_bytes;
    place_extents(plan, pieces, touched_[touched], row, out);
    const ReedSolomon& codec = touched_[touched].group->codec();
    const StripeUnits units = buffers_.lay_out(plan, fragments_, pieces, codec);
    code_stripe(codec, units, record_.unit_checksums);
    record_.unit_rows = static_cast<uint8_t>(plan.unit_rows);
    record_.used_units = static_cast<uint8_t>(plan.used_units);
    record_.data_bytes = plan.data_bytes;
    uint64_t live = 0;
    record_.owners.clear();
    for (const Fragment& f : fragments_) {
      const DataPiece& piece = pieces[f.piece];
      record_.owners.push_back({piece.inode, piece.file_offset + f.piece_offset, f.length, f.stripe_offset});
      live += f.length;
    }
    done_.push_back({touched, row, record_.encode(), live});
    ++touched_[touched].stripes;
    submit(plan, units, touched, row);
  }
  return ok();
}

Status StripeWriter::next_stripe(StripePlanner& planner, std::span<const DataPiece> pieces, StripePlan& plan,
                                 size_t& touched, Row& row) {
  while (true) {
    ASSIGN_OR_RETURN(const GroupPin group, open_.get(geometry_, temperature_));
    const uint32_t room = group->room();
    const bool long_run = planner.next_bytes() >= uint64_t{kLeastRunRows} * kRowBytes * geometry_.data;
    plan = room == 0 || (long_run && room < kLeastRunRows) ? StripePlan{} : planner.plan(room, fragments_);
    if (plan.unit_rows != 0) {
      size_t known = 0;
      while (known < touched_.size() && touched_[known].group != group) ++known;
      const bool join = known == touched_.size();
      const auto got = group->append(plan.unit_rows, record_bytes(geometry_, fragments_, pieces), join);
      if (got) {
        if (join) touched_.push_back({group, group->files()});
        touched = known;
        row = *got;
        return ok();
      }
      // Another session took the rows, or the summary's room is used up.
      if (group->room() != room) continue;
    }
    TRY(table_.close(*group));
  }
}

void StripeWriter::place_extents(const StripePlan& plan, std::span<const DataPiece> pieces,
                                 const Touched& touched, Row row, std::vector<PlacedExtent>& out) {
  const size_t sum_bytes = checksum_bytes(checksum_);
  for (const Fragment& f : fragments_) {
    PlacedExtent& extent = out.emplace_back();
    extent.piece = f.piece;
    extent.piece_offset = f.piece_offset;
    extent.address = {touched.group->id(),
                      row,
                      static_cast<uint8_t>(plan.unit_rows),
                      static_cast<uint8_t>(plan.used_units),
                      f.stripe_offset,
                      f.length};
    const std::span<const uint8_t> bytes = pieces[f.piece].bytes.subspan(f.piece_offset, f.length);
    extent.checksums.resize(checksum_chunks(f.length) * sum_bytes);
    auto* sum = reinterpret_cast<uint8_t*>(extent.checksums.data());
    for (size_t at = 0; at < bytes.size(); at += kChecksumChunk, sum += sum_bytes) {
      compute_checksum(checksum_, bytes.subspan(at, std::min<size_t>(kChecksumChunk, bytes.size() - at)),
                       sum);
    }
  }
}

void StripeWriter::submit(const StripePlan& plan, const StripeUnits& units, size_t touched, Row row) {
  Touched& t = touched_[touched];
  t.in_batch = true;
  const uint64_t missing = t.group->missing();
  for (uint32_t shard = 0; shard < t.group->total(); ++shard) {
    if ((missing >> shard & 1) != 0) continue;
    if (!context_.pool.usable(t.group->shards()[shard].disk)) {
      t.lost |= uint64_t{1} << shard;
      continue;
    }
    if (units.data[shard] == nullptr) continue;
    batch_.push_back({.file = t.files[shard].get(),
                      .kind = IoKind::kWrite,
                      .offset = row_offset(row),
                      .data = units.data[shard],
                      .bytes = plan.unit_bytes()});
    targets_.push_back({touched, shard});
  }
}

Status StripeWriter::run_batch() {
  context_.pool.engine().run(batch_);
  for (size_t i = 0; i < batch_.size(); ++i) {
    if (batch_[i].error == 0) [[likely]]
      continue;
    Touched& t = touched_[targets_[i].touched];
    const uint32_t shard = targets_[i].shard;
    report_write_error(context_, t.group->shards()[shard].disk, batch_[i]);
    t.lost |= uint64_t{1} << shard;
  }
  batch_.clear();
  targets_.clear();
  buffers_.clear();
  Status status = ok();
  for (Touched& t : touched_) {
    if (!t.in_batch) continue;
    t.in_batch = false;
    t.stamp = t.group->note_written();
    const uint64_t lost = std::exchange(t.lost, 0);
    if (Status settled = settle_writes(table_, *t.group, lost, geometry_.write_quorum());
        !settled && status) {
      status = std::move(settled);
    }
  }
  return status;
}

Status StripeWriter::flush() {
  std::vector<SyncTarget> targets;
  for (const Touched& t : touched_) {
    if (t.stripes != 0) targets.push_back({t.group, t.files, t.stamp});
  }
  if (targets.empty()) {
    flushed_ = true;
    return ok();
  }
  TRY(sync_groups(context_, table_, targets, [](const Geometry& g) { return g.write_quorum(); }));
  flushed_ = true;
  return ok();
}

void StripeWriter::add_to(Change& change) {
  CHECK(flushed_ || done_.empty());
  for (const Done& done : done_) {
    const GroupId group = touched_[done.touched].group->id();
    change.index().put(keys::stripe(group, done.row), done.record);
    change.add_live(group, static_cast<int64_t>(done.live_bytes));
  }
}

void StripeWriter::committed() { leave_all(); }

}  // namespace stavefs
