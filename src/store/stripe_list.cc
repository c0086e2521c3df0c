#include "store/stripe_list.h"

#include <bit>

#include "index/keys.h"
#include "store/stripe_layout.h"

namespace stavefs {
namespace {

/// Reads the summary of one sealed group.
class SummaryReader {
 public:
  SummaryReader(StoreContext& context, ShardChoice& choice, Group& group)
      : context_(context), choice_(choice), group_(group), record_(group.record()) {}

  Result<std::vector<StripeEntry>> run() {
    read_footers();
    std::string blob;
    for (size_t part = 0; part < record_.summary.size(); ++part) TRY(read_part(part, blob));
    return decode_summary(blob, group_.id(), group_.geometry());
  }

 private:
  void read_footers() {
    unit_sums_.resize(group_.total());
    std::vector<AlignedBuffer> pages;
    const Row row(footer_row(group_.rows()));
    const uint64_t read = choice_.read(group_, choice_.look(group_).all(), row_offset(row), kRowBytes, pages);
    for (uint32_t shard = 0; shard < group_.total(); ++shard) {
      if ((read >> shard & 1) == 0) continue;
      auto footer = decode_footer(pages[shard].span().first(kRowBytes));
      if (footer && footer->identity == context_.identity(group_, shard) &&
          footer->summary == record_.summary) {
        footers_ |= uint64_t{1} << shard;
        unit_sums_[shard] = std::move(footer->unit_checksums);
      } else {
        choice_.note_corrupt(group_, shard, row);
      }
    }
  }

  Status read_part(size_t index, std::string& blob) {
    const SummaryPart& part = record_.summary[index];
    const uint32_t k = group_.geometry().data;
    const uint32_t unit_bytes = part.unit_rows * kRowBytes;
    uint64_t present = 0;
    for (uint32_t unit = part.used_units; unit < k; ++unit) present |= uint64_t{1} << unit;
    std::vector<AlignedBuffer> units;
    const uint64_t read = choice_.read(group_, footers_ & ~present, row_offset(part.row), unit_bytes, units);
    std::vector<const uint8_t*> shards(group_.total());
    for (uint32_t shard = 0; shard < group_.total(); ++shard) {
      if ((read >> shard & 1) == 0) continue;
      if (xxh3_64(units[shard].data(), unit_bytes) != unit_sums_[shard][index]) {
        choice_.note_corrupt(group_, shard, part.row);
        continue;
      }
      present |= uint64_t{1} << shard;
      shards[shard] = units[shard].data();
    }
    std::vector<int> wanted;
    std::vector<uint8_t*> out;
    for (uint32_t unit = 0; unit < part.used_units; ++unit) {
      if ((present >> unit & 1) != 0) continue;
      if (units[unit].empty()) units[unit] = context_.buffers.get(unit_bytes);
      wanted.push_back(static_cast<int>(unit));
      out.push_back(units[unit].data());
    }
    TRY(group_.codec().reconstruct(present, shards, wanted, out, unit_bytes));
    std::string bytes;
    for (uint32_t unit = 0; unit < part.used_units; ++unit) {
      bytes.append(reinterpret_cast<const char*>(units[unit].data()), unit_bytes);
    }
    bytes.resize(part.length);
    if (xxh3_64(bytes.data(), bytes.size()) != part.checksum) {
      return Error(
          ErrorCode::kCorrupt, EIO,
          "group " + std::to_string(group_.id().value) + ": the summary does not match its checksum");
    }
    blob += bytes;
    return ok();
  }

  StoreContext& context_;
  ShardChoice& choice_;
  Group& group_;
  const GroupRecord record_;
  uint64_t footers_ = 0;  // shards whose footer is right
  std::vector<std::vector<uint64_t>> unit_sums_;
};

}  // namespace

Result<std::vector<StripeEntry>> load_stripes(StoreContext& context, ShardChoice& choice, Group& group) {
  // Read before its state is: sealing erases the records only after the state has changed.
  std::vector<StripeEntry> stripes;
  ASSIGN_OR_RETURN(const auto scan, context.ledger.scan_prefix(keys::stripe_prefix(group.id())));
  for (; scan->valid(); scan->next()) {
    if (scan->key().size() != 13) return Error(ErrorCode::kCorrupt, EIO, "index: malformed stripe key");
    StripeEntry& entry = stripes.emplace_back();
    entry.row = Row(load_be32(scan->key().data() + 9));
    ASSIGN_OR_RETURN(entry.record, StripeRecord::decode(scan->value(), group.geometry()));
  }
  TRY(scan->status());
  if (!stripes.empty() || group.state() != GroupState::kSealed) return stripes;
  return SummaryReader(context, choice, group).run();
}

}  // namespace stavefs
