#include "store/sealer.h"

#include "base/log.h"
#include "index/keys.h"
#include "store/stripe_layout.h"

namespace stavefs {

struct Sealer::Work {
  Work(StoreContext& context, const GroupPin& g)
      : group(g), files(g->total()), record(g->record()), buffers(context.buffers) {}

  const GroupPin group;
  std::vector<SegmentFile> files;
  GroupRecord record;  // as it will be
  StripeBuffers buffers;
  std::vector<std::vector<uint64_t>> part_sums;  // per part, per shard
  std::vector<AlignedBuffer> pages;
  std::vector<IoRequest> batch;
  std::vector<uint32_t> shard_of;

  void add(uint32_t shard, uint64_t offset, uint8_t* data, uint32_t bytes) {
    batch.push_back(
        {.file = files[shard].get(), .kind = IoKind::kWrite, .offset = offset, .data = data, .bytes = bytes});
    shard_of.push_back(shard);
  }
};

Status Sealer::seal(std::span<const GroupPin> groups) {
  std::vector<GroupPin> entered;
  for (const GroupPin& group : groups) {
    if (can_seal(*group) && group->enter_idle()) entered.push_back(group);
  }
  if (entered.empty()) return ok();
  Status status = context_.ledger.sync_all();
  for (const GroupPin& group : entered) {
    if (status) {
      Status sealed = seal_one(group);
      if (!sealed && sealed.error().code() == ErrorCode::kFenced)
        status = std::move(sealed);
      else if (!sealed)
        log_warning("group {} stays unsealed: {}", group->id().value, sealed.error().to_text());
    }
    group->leave();
  }
  return status;
}

bool Sealer::can_seal(const Group& group) const {
  if (group.state() != GroupState::kFull || context_.ledger.live_bytes(group.id()) == 0) return false;
  if (group.live_shards() < group.geometry().data) return false;
  for (uint32_t shard = 0; shard < group.total(); ++shard) {
    const bool missing = (group.missing() >> shard & 1) != 0;
    if (!missing && !context_.pool.usable(group.shards()[shard].disk)) return false;
  }
  return true;
}

Status Sealer::open_files(Work& work) {
  Group& group = *work.group;
  for (uint32_t shard = 0; shard < group.total(); ++shard) {
    if ((group.missing() >> shard & 1) != 0) continue;
    ASSIGN_OR_RETURN(work.files[shard], files_.get(group, shard));
  }
  return ok();
}

Status Sealer::collect(const Group& group, std::string& blob) {
  SummaryWriter writer(group.id(), group.geometry());
  ASSIGN_OR_RETURN(const auto scan, context_.ledger.scan_prefix(keys::stripe_prefix(group.id())));
  for (; scan->valid(); scan->next()) writer.add(Row(load_be32(scan->key().data() + 9)), scan->value());
  TRY(scan->status());
  blob = writer.finish();
  return ok();
}

Status Sealer::seal_one(const GroupPin& group) {
  std::string blob;
  TRY(collect(*group, blob));
  const uint32_t k = group->geometry().data;
  Work work(context_, group);
  if (work.record.end_row + summary_rows(blob.size(), k) > footer_row(group->rows()) ||
      summary_parts(blob.size(), k) > kMaxSummaryParts) {
    return Error(ErrorCode::kNoSpace, ENOSPC, "the summary does not fit");
  }
  TRY(open_files(work));
  lay_parts(work, blob);
  add_footers(work);
  TRY(write(work));
  const auto sealed = table_.change(
      *group,
      [&](GroupRecord& record) {
        record.state = GroupState::kSealed;
        record.summary = work.record.summary;
        return true;
      },
      [&](Change& change) {
        const std::string stripes = keys::stripe_prefix(group->id());
        change.index().erase_range(stripes, keys::prefix_end(stripes));
      });
  return sealed ? ok() : Status(sealed.error());
}

void Sealer::lay_parts(Work& work, const std::string& blob) {
  const Group& group = *work.group;
  const uint32_t k = group.geometry().data;
  const uint64_t missing = group.missing();
  Row row(work.record.end_row);
  for (size_t at = 0; at < blob.size();) {
    const size_t n = std::min<size_t>(blob.size() - at, size_t{k} * kMaxUnitBytes);
    const std::span part{reinterpret_cast<const uint8_t*>(blob.data()) + at, n};
    StripePlan plan;
    plan.unit_rows = unit_rows_for(n, k);
    plan.used_units = used_units_for(n, plan.unit_bytes());
    plan.data_bytes = static_cast<uint32_t>(n);
    const StripeUnits units = work.buffers.lay_out(plan, part, group.codec());
    code_stripe(group.codec(), units, work.part_sums.emplace_back());
    work.record.summary.push_back({row, static_cast<uint8_t>(plan.unit_rows),
                                   static_cast<uint8_t>(plan.used_units), plan.data_bytes,
                                   xxh3_64(part.data(), n)});
    for (uint32_t shard = 0; shard < group.total(); ++shard) {
      if (units.data[shard] == nullptr || (missing >> shard & 1) != 0) continue;
      work.add(shard, row_offset(row), units.data[shard], plan.unit_bytes());
    }
    row.value += plan.unit_rows;
    at += n;
  }
}

void Sealer::add_footers(Work& work) {
  const Group& group = *work.group;
  const int64_t now = context_.clock.realtime_ns();
  for (uint32_t shard = 0; shard < group.total(); ++shard) {
    if ((group.missing() >> shard & 1) != 0) continue;
    SegmentFooter footer;
    footer.identity = context_.identity(group, shard);
    footer.sealed_ns = now;
    footer.missing = group.missing();
    footer.end_row = work.record.end_row;
    footer.summary = work.record.summary;
    for (const auto& sums : work.part_sums) footer.unit_checksums.push_back(sums[shard]);
    work.pages.push_back(context_.buffers.get(kRowBytes));
    encode_footer(footer, work.pages.back().span().first(kRowBytes));
    work.add(shard, row_offset(Row(footer_row(group.rows()))), work.pages.back().data(), kRowBytes);
  }
}

Status Sealer::write(Work& work) {
  Group& group = *work.group;
  uint64_t lost = 0;
  std::vector<IoRequest> batch;
  std::vector<uint32_t> shard_of;
  for (size_t i = 0; i < work.batch.size(); ++i) {
    if (context_.pool.usable(group.shards()[work.shard_of[i]].disk)) {
      batch.push_back(work.batch[i]);
      shard_of.push_back(work.shard_of[i]);
    } else {
      lost |= uint64_t{1} << work.shard_of[i];
    }
  }
  context_.pool.engine().run(batch);
  for (size_t i = 0; i < batch.size(); ++i) {
    if (batch[i].error == 0) continue;
    report_write_error(context_, group.shards()[shard_of[i]].disk, batch[i]);
    lost |= uint64_t{1} << shard_of[i];
  }
  const uint64_t stamp = group.note_written();
  TRY(settle_writes(table_, group, lost, group.geometry().data));
  SyncTarget target{work.group, work.files, stamp};
  return sync_groups(context_, table_, {&target, 1}, [](const Geometry& g) { return int{g.data}; });
}

}  // namespace stavefs
