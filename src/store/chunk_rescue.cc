#include "store/chunk_rescue.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "index/keys.h"
#include "store/stripe_list.h"

namespace stavefs {

ChunkRescue::ChunkRescue(StoreContext& context, ShardChoice& choice, Group& group, const Chunk& chunk)
    : context_(context),
      choice_(choice),
      group_(group),
      chunk_(chunk),
      hull_(unit_hull(chunk.begin, chunk.end, chunk.address.unit_bytes())),
      candidate_(chunk.end - chunk.begin) {
  for (uint32_t unit = chunk.address.used_units; unit < group.geometry().data; ++unit)
    zero_ |= uint64_t{1} << unit;
  for_each_unit(chunk.begin, chunk.end, chunk.address.unit_bytes(),
                [&](const UnitRange& r, uint32_t) { chunk_units_ |= uint64_t{1} << r.unit; });
}

bool ChunkRescue::run(uint8_t* bytes) {
  read_all();
  rank();
  const auto k = static_cast<size_t>(group_.geometry().data);
  const auto have = static_cast<size_t>(std::popcount(present_));
  if (have < k) return false;
  const size_t most = have - k;
  bool found = try_sets(0, 0, 0) || (most >= 1 && try_sets(1, 0, 0)) || (most >= 2 && by_record());
  for (size_t size = 2; !found && size <= most && tries_ < kMaxRescueTries; ++size)
    found = try_sets(size, 0, 0);
  if (!found) return false;
  accuse(bytes);
  std::memcpy(bytes, candidate_.data(), candidate_.size());
  return true;
}

void ChunkRescue::read_all() {
  const ShardSet set = choice_.look(group_);
  doubtful_ = set.doubtful;
  const uint64_t read = choice_.read(group_, set.all() & ~zero_, row_offset(chunk_.address.row) + hull_.begin,
                                     hull_bytes(), buffers_);
  present_ = zero_ | read;
  for (uint32_t shard = 0; shard < group_.total(); ++shard) {
    if ((read >> shard & 1) != 0) shards_[shard] = buffers_[shard].data();
  }
}

std::optional<StripeRecord> ChunkRescue::find_record() {
  const auto value = context_.ledger.get(keys::stripe(group_.id(), chunk_.address.row));
  if (value && *value) {
    auto record = StripeRecord::decode(**value, group_.geometry());
    if (record) return std::move(*record);
  }
  if (group_.state() != GroupState::kSealed) return std::nullopt;
  const auto stripes = load_stripes(context_, choice_, group_);
  if (!stripes) return std::nullopt;
  const auto found = std::find_if(stripes->begin(), stripes->end(),
                                  [&](const StripeEntry& entry) { return entry.row == chunk_.address.row; });
  return found == stripes->end() ? std::nullopt : std::optional(found->record);
}

bool ChunkRescue::by_record() {
  const auto record = find_record();
  const uint32_t unit_bytes = chunk_.address.unit_bytes();
  if (!record || record->unit_rows != chunk_.address.unit_rows ||
      record->used_units != chunk_.address.used_units) {
    return false;
  }
  std::vector<AlignedBuffer> units;
  const uint64_t read =
      choice_.read(group_, present_ & ~zero_, row_offset(chunk_.address.row), unit_bytes, units);
  uint64_t wrong = present_ & ~zero_;
  for (uint32_t shard = 0; shard < group_.total(); ++shard) {
    const bool right =
        (read >> shard & 1) != 0 && xxh3_64(units[shard].data(), unit_bytes) == record->unit_checksums[shard];
    if (right) wrong &= ~(uint64_t{1} << shard);
  }
  return wrong != 0 && decode(wrong);
}

void ChunkRescue::rank() {
  const auto add = [&](uint64_t mask) {
    for (uint32_t shard = 0; shard < group_.total(); ++shard) {
      const bool known = std::find(ranked_.begin(), ranked_.end(), shard) != ranked_.end();
      if ((mask >> shard & 1) != 0 && !known) ranked_.push_back(shard);
    }
  };
  const uint64_t candidates = present_ & ~zero_;
  add(candidates & chunk_units_ & doubtful_);
  add(candidates & chunk_units_);
  add(candidates & doubtful_);
  add(candidates);
}

bool ChunkRescue::try_sets(size_t size, size_t from, uint64_t left_out) {
  if (size == 0) return decode(left_out);
  for (size_t i = from; i + size <= ranked_.size() && tries_ < kMaxRescueTries; ++i) {
    if (try_sets(size - 1, i + 1, left_out | uint64_t{1} << ranked_[i])) return true;
  }
  return false;
}

bool ChunkRescue::decode(uint64_t left_out) {
  const uint64_t sources = present_ & ~left_out;
  const uint64_t wanted = chunk_units_ & ~sources;
  // Leaving out what the chunk does not come from changes nothing.
  if (left_out != 0 && wanted == 0) return false;
  ++tries_;
  std::vector<int> units;
  std::vector<uint8_t*> out;
  rebuilt_.resize(group_.total());
  for (uint32_t unit = 0; unit < group_.geometry().data; ++unit) {
    if ((wanted >> unit & 1) == 0) continue;
    if (rebuilt_[unit].empty()) rebuilt_[unit] = context_.buffers.get(hull_bytes());
    units.push_back(static_cast<int>(unit));
    out.push_back(rebuilt_[unit].data());
  }
  const std::span shards{shards_.data(), size_t{group_.total()}};
  if (!group_.codec().reconstruct(sources, shards, units, out, hull_bytes())) return false;
  for_each_unit(chunk_.begin, chunk_.end, chunk_.address.unit_bytes(), [&](const UnitRange& r, uint32_t at) {
    const uint8_t* from = (wanted >> r.unit & 1) != 0 ? rebuilt_[r.unit].data() : shards_[r.unit];
    std::memcpy(candidate_.data() + at, from + (r.begin - hull_.begin), r.end - r.begin);
  });
  std::array<uint8_t, kMaxChecksumBytes> sum;
  compute_checksum(chunk_.checksum, candidate_, sum.data());
  if (std::memcmp(sum.data(), chunk_.expected, checksum_bytes(chunk_.checksum)) != 0) return false;
  accepted_ = left_out;
  return true;
}

void ChunkRescue::accuse(const uint8_t* first_read) {
  const uint32_t unit_bytes = chunk_.address.unit_bytes();
  if (accepted_ == 0) {
    // The second reading was right: the first one was not, somewhere on its way.
    for_each_unit(chunk_.begin, chunk_.end, unit_bytes, [&](const UnitRange& r, uint32_t at) {
      const bool differs = std::memcmp(candidate_.data() + at, first_read + at, r.end - r.begin) != 0;
      if (differs && (present_ >> r.unit & 1) != 0) choice_.note_corrupt(group_, r.unit, chunk_.address.row);
    });
    return;
  }
  const uint64_t sources = present_ & ~accepted_;
  const uint64_t proven = chunk_units_ & ~sources;
  AlignedBuffer truth = context_.buffers.get(hull_bytes());
  const std::span shards{shards_.data(), size_t{group_.total()}};
  for (uint32_t shard = 0; shard < group_.total(); ++shard) {
    const uint64_t bit = uint64_t{1} << shard;
    if ((accepted_ & bit) == 0 || (doubtful_ & bit) != 0) continue;
    const int wanted[] = {static_cast<int>(shard)};
    uint8_t* const out[] = {truth.data()};
    if (!group_.codec().reconstruct(sources, shards, wanted, out, hull_bytes())) continue;
    bool guilty = false;
    for_each_unit(chunk_.begin, chunk_.end, unit_bytes, [&](const UnitRange& r, uint32_t) {
      if ((proven >> r.unit & 1) == 0) return;
      const uint32_t at = r.begin - hull_.begin;
      guilty |= std::memcmp(truth.data() + at, shards_[shard] + at, r.end - r.begin) != 0;
    });
    if (guilty) choice_.note_corrupt(group_, shard, chunk_.address.row);
  }
}

}  // namespace stavefs
