#include "store/group_format.h"

#include <algorithm>
#include <cstring>
#include <type_traits>

#include "base/check.h"

namespace stavefs {
namespace {

constexpr uint8_t kValueVersion = 1;
constexpr uint32_t kPageVersion = 1;
constexpr std::array<char, 8> kHeaderMagic = {'s', 't', 'v', 'S', 'E', 'G', 'h', 'd'};
constexpr std::array<char, 8> kFooterMagic = {'s', 't', 'v', 'S', 'E', 'G', 'f', 't'};
constexpr std::string_view kSummaryMagic = "stvSUMRY";

Error corrupt(const char* what, const char* why) {
  return Error(ErrorCode::kCorrupt, EIO, std::string(what) + ": " + why);
}

bool all_zero(std::span<const uint8_t> bytes) {
  return std::all_of(bytes.begin(), bytes.end(), [](uint8_t b) { return b == 0; });
}

uint64_t shard_mask(const Geometry& g) {
  return g.total() == 64 ? ~uint64_t{0} : (uint64_t{1} << g.total()) - 1;
}

bool plausible(const SummaryPart& part, const Geometry& g) {
  return part.row.value != 0 && part.unit_rows != 0 && part.unit_rows <= kMaxUnitRows &&
         part.used_units != 0 && part.used_units <= g.data && part.length != 0 &&
         part.length <= uint32_t{part.used_units} * part.unit_rows * kRowBytes;
}

std::string to_text(const SummaryPart& part) {
  return "row " + std::to_string(part.row.value) + " unit rows " + std::to_string(part.unit_rows) + " used " +
         std::to_string(part.used_units) + " length " + std::to_string(part.length);
}

const char* record_fault(const GroupRecord& r) {
  for (size_t i = 0; i < r.shards.size(); ++i) {
    const ShardPlace& shard = r.shards[i];
    if (shard.disk == kNoDisk) {
      if ((r.missing >> i & 1) == 0) return "unplaced shard that is not missing";
      continue;
    }
    for (size_t j = 0; j < i; ++j) {
      if (r.shards[j].disk == shard.disk) return "two shards on one disk";
    }
  }
  if ((r.missing & ~shard_mask(r.geometry)) != 0) return "missing mask has bits beyond the shards";
  if ((r.state == GroupState::kOpen) != (r.end_row == 0)) return "state and end row disagree";
  if ((r.state == GroupState::kSealed) != !r.summary.empty()) return "state and summary disagree";
  for (const SummaryPart& part : r.summary) {
    if (!plausible(part, r.geometry)) return "impossible summary part";
  }
  return nullptr;
}

IdentityBlock encode_identity(const SegmentIdentity& id, const std::array<char, 8>& magic) {
  IdentityBlock b{};
  b.magic = magic;
  b.version = kPageVersion;
  b.segment_bytes = id.segment_bytes;
  b.pool = id.pool;
  b.disk = id.disk;
  b.group = id.group.value;
  b.created_ns = static_cast<uint64_t>(id.created_ns);
  b.segment = id.segment.value;
  b.generation = id.generation.value;
  b.slot = id.slot.value;
  b.shard = id.shard;
  b.data_shards = id.geometry.data;
  b.parity_shards = id.geometry.parity;
  b.temperature = static_cast<uint8_t>(id.temperature);
  return b;
}

Result<SegmentIdentity> decode_identity(const IdentityBlock& b, const std::array<char, 8>& magic,
                                        const char* what) {
  if (b.magic != magic) return corrupt(what, "no magic");
  if (b.version != kPageVersion) return corrupt(what, "unknown version");
  SegmentIdentity id;
  id.pool = b.pool;
  id.disk = b.disk;
  id.slot = DiskSlot(b.slot);
  id.segment = SegmentNumber(b.segment);
  id.group = GroupId(b.group);
  id.generation = Generation(b.generation);
  id.shard = b.shard;
  id.geometry = {b.data_shards, b.parity_shards};
  id.temperature = static_cast<Temperature>(b.temperature);
  id.created_ns = static_cast<int64_t>(uint64_t{b.created_ns});
  id.segment_bytes = b.segment_bytes;
  if (!id.geometry.valid() || b.shard >= id.geometry.total() ||
      b.temperature > static_cast<uint8_t>(Temperature::kCold) || b.reserved != 0) {
    return corrupt(what, "impossible field");
  }
  return id;
}

template <class Page>
uint64_t page_checksum(const Page& page) {
  return xxh3_64(&page, offsetof(Page, checksum));
}

}  // namespace

std::string segment_file_name(SegmentNumber segment) {
  char name[32];
  std::snprintf(name, sizeof name, "%s/%08x", kSegmentDirectory, segment.value);
  return name;
}

std::string_view to_string(GroupState state) {
  switch (state) {
    case GroupState::kOpen: return "open";
    case GroupState::kFull: return "full";
    case GroupState::kSealed: return "sealed";
  }
  return "unknown";
}

std::string GroupRecord::encode() const {
  CHECK(shards.size() == static_cast<size_t>(geometry.total()) && record_fault(*this) == nullptr);
  std::string out;
  ByteWriter w(out);
  w.u8(kValueVersion);
  w.u8(static_cast<uint8_t>(state));
  w.u8(static_cast<uint8_t>(temperature));
  w.u8(geometry.data);
  w.u8(geometry.parity);
  w.u8(0);
  w.u16(static_cast<uint16_t>(summary.size()));
  w.u64(missing);
  w.u64(static_cast<uint64_t>(created_ns));
  w.u32(end_row);
  for (const ShardPlace& shard : shards) {
    w.u16(shard.disk.value);
    w.u32(shard.segment.value);
    w.u32(shard.generation.value);
  }
  for (const SummaryPart& part : summary) {
    w.u32(part.row.value);
    w.u8(part.unit_rows);
    w.u8(part.used_units);
    w.u16(0);
    w.u32(part.length);
    w.u64(part.checksum);
  }
  return out;
}

Result<GroupRecord> GroupRecord::decode(std::string_view value) {
  constexpr const char* kWhat = "group record";
  ByteReader in(value);
  if (in.u8() != kValueVersion) return corrupt(kWhat, "unknown version");
  GroupRecord r;
  const uint8_t state = in.u8();
  const uint8_t temperature = in.u8();
  r.geometry.data = in.u8();
  r.geometry.parity = in.u8();
  const uint8_t reserved = in.u8();
  const uint16_t parts = in.u16();
  r.missing = in.u64();
  r.created_ns = static_cast<int64_t>(in.u64());
  r.end_row = in.u32();
  if (state < 1 || state > 3 || temperature > 2 || reserved != 0 || !r.geometry.valid() ||
      parts > kMaxSummaryParts) {
    return corrupt(kWhat, "impossible field");
  }
  r.state = static_cast<GroupState>(state);
  r.temperature = static_cast<Temperature>(temperature);
  r.shards.resize(static_cast<size_t>(r.geometry.total()));
  for (ShardPlace& shard : r.shards) {
    shard.disk = DiskSlot(in.u16());
    shard.segment = SegmentNumber(in.u32());
    shard.generation = Generation(in.u32());
  }
  r.summary.resize(parts);
  for (SummaryPart& part : r.summary) {
    part.row = Row(in.u32());
    part.unit_rows = in.u8();
    part.used_units = in.u8();
    if (in.u16() != 0) return corrupt(kWhat, "reserved bytes are not zero");
    part.length = in.u32();
    part.checksum = in.u64();
  }
  if (!in.finished()) return corrupt(kWhat, "wrong length");
  if (const char* fault = record_fault(r)) return corrupt(kWhat, fault);
  return r;
}

std::string GroupRecord::to_text() const {
  std::string text = std::string(to_string(state)) + " " + geometry.to_text() + " temperature " +
                     std::to_string(static_cast<int>(temperature)) + " created " +
                     std::to_string(created_ns) + " end row " + std::to_string(end_row) + " shards";
  for (size_t i = 0; i < shards.size(); ++i) {
    const ShardPlace& s = shards[i];
    if (s.disk == kNoDisk) {
      text += " -";
    } else {
      text += " " + std::to_string(s.disk.value) + ":" + std::to_string(s.segment.value) + "." +
              std::to_string(s.generation.value);
    }
    if ((missing >> i & 1) != 0) text += "(missing)";
  }
  for (const SummaryPart& part : summary) text += " summary " + stavefs::to_text(part);
  return text;
}

std::string SegmentRecord::encode() const {
  std::string out;
  ByteWriter w(out);
  w.u8(kValueVersion);
  w.u32(generation.value);
  return out;
}

Result<SegmentRecord> SegmentRecord::decode(std::string_view value) {
  ByteReader in(value);
  if (in.u8() != kValueVersion) return corrupt("segment record", "unknown version");
  SegmentRecord r{Generation(in.u32())};
  if (!in.finished()) return corrupt("segment record", "wrong length");
  return r;
}

std::string SegmentRecord::to_text() const { return "generation " + std::to_string(generation.value); }

std::string StripeRecord::encode() const {
  std::string out;
  out.reserve(16 + unit_checksums.size() * 8 + owners.size() * 16);
  ByteWriter w(out);
  w.u8(kValueVersion);
  w.u8(unit_rows);
  w.u8(used_units);
  w.u8(0);
  w.u32(data_bytes);
  for (const uint64_t sum : unit_checksums) w.u64(sum);
  w.varint(owners.size());
  for (const StripeOwner& owner : owners) {
    w.varint(owner.inode.value);
    w.varint(owner.file_offset);
    w.varint(owner.length);
    w.varint(owner.stripe_offset / kExtentAlignment);
    w.u8(0);
  }
  return out;
}

Result<StripeRecord> StripeRecord::decode(std::string_view value, const Geometry& geometry) {
  constexpr const char* kWhat = "stripe record";
  ByteReader in(value);
  if (in.u8() != kValueVersion) return corrupt(kWhat, "unknown version");
  StripeRecord r;
  r.unit_rows = in.u8();
  r.used_units = in.u8();
  const uint8_t reserved = in.u8();
  r.data_bytes = in.u32();
  if (!in.ok() || reserved != 0 || r.unit_rows == 0 || r.unit_rows > kMaxUnitRows || r.used_units == 0 ||
      r.used_units > geometry.data || r.data_bytes > uint32_t{r.used_units} * r.unit_rows * kRowBytes) {
    return corrupt(kWhat, "impossible shape");
  }
  r.unit_checksums.resize(static_cast<size_t>(geometry.total()));
  for (uint64_t& sum : r.unit_checksums) sum = in.u64();
  const uint64_t owners = in.varint();
  constexpr size_t kLeastOwnerBytes = 5;
  if (!in.ok() || owners > in.remaining() / kLeastOwnerBytes) return corrupt(kWhat, "wrong length");
  r.owners.resize(owners);
  uint64_t end = 0;
  for (StripeOwner& owner : r.owners) {
    owner.inode = InodeId(in.varint());
    owner.file_offset = in.varint();
    const uint64_t length = in.varint();
    const uint64_t offset = in.varint();
    if (in.u8() != 0 || length == 0 || length > r.data_bytes || offset > r.data_bytes / kExtentAlignment ||
        offset * kExtentAlignment < end || offset * kExtentAlignment + length > r.data_bytes) {
      return corrupt(kWhat, "impossible owner");
    }
    owner.length = static_cast<uint32_t>(length);
    owner.stripe_offset = static_cast<uint32_t>(offset * kExtentAlignment);
    end = owner.stripe_offset + length;
  }
  if (!in.finished() || end != r.data_bytes) return corrupt(kWhat, "wrong length");
  return r;
}

std::string StripeRecord::to_text() const {
  std::string text = "unit rows " + std::to_string(unit_rows) + " used " + std::to_string(used_units) +
                     " data " + std::to_string(data_bytes);
  for (const StripeOwner& owner : owners) {
    text += " [inode " + std::to_string(owner.inode.value) + " at " + std::to_string(owner.file_offset) +
            " + " + std::to_string(owner.length) + " -> " + std::to_string(owner.stripe_offset) + "]";
  }
  return text;
}

void SummaryWriter::add(Row row, std::string_view stripe_value) {
  ByteWriter w(entries_);
  w.u32(row.value);
  w.string(stripe_value);
  ++count_;
}

std::string SummaryWriter::finish() const {
  std::string out;
  out.reserve(kSummaryHeadBytes + entries_.size());
  ByteWriter w(out);
  w.bytes(kSummaryMagic);
  w.u32(kPageVersion);
  w.u8(geometry_.data);
  w.u8(geometry_.parity);
  w.u16(0);
  w.u64(group_.value);
  w.u64(count_);
  CHECK(out.size() == kSummaryHeadBytes);
  out += entries_;
  return out;
}

Result<std::vector<StripeEntry>> decode_summary(std::string_view blob, GroupId group,
                                                const Geometry& geometry) {
  constexpr const char* kWhat = "group summary";
  ByteReader in(blob);
  if (in.bytes(kSummaryMagic.size()) != kSummaryMagic || in.u32() != kPageVersion) {
    return corrupt(kWhat, "no magic or unknown version");
  }
  const uint8_t k = in.u8();
  const uint8_t m = in.u8();
  const uint16_t reserved = in.u16();
  const uint64_t id = in.u64();
  const uint64_t count = in.u64();
  if (!in.ok() || k != geometry.data || m != geometry.parity || reserved != 0 || id != group.value) {
    return corrupt(kWhat, "of another group");
  }
  constexpr size_t kLeastEntryBytes = 5;
  if (count > in.remaining() / kLeastEntryBytes) return corrupt(kWhat, "wrong length");
  std::vector<StripeEntry> entries(count);
  for (StripeEntry& entry : entries) {
    entry.row = Row(in.u32());
    const std::string_view value = in.string();
    if (!in.ok()) return corrupt(kWhat, "short");
    ASSIGN_OR_RETURN(entry.record, StripeRecord::decode(value, geometry));
  }
  if (!in.finished()) return corrupt(kWhat, "wrong length");
  return entries;
}

std::string SegmentIdentity::to_text() const {
  return "pool " + pool.to_text() + " disk " + disk.to_text() + " slot " + std::to_string(slot.value) +
         " segment " + std::to_string(segment.value) + " generation " + std::to_string(generation.value) +
         " group " + std::to_string(group.value) + " shard " + std::to_string(shard) + " of " +
         geometry.to_text() + " temperature " + std::to_string(static_cast<int>(temperature)) + " bytes " +
         std::to_string(segment_bytes) + " created " + std::to_string(created_ns);
}

std::string SegmentFooter::to_text() const {
  std::string text = identity.to_text() + " sealed " + std::to_string(sealed_ns) + " missing " +
                     std::to_string(missing) + " end row " + std::to_string(end_row);
  for (const SummaryPart& part : summary) text += " summary " + stavefs::to_text(part);
  return text;
}

void encode_header(const SegmentIdentity& identity, std::span<uint8_t> page) {
  CHECK(page.size() == kRowBytes);
  SegmentHeaderPage p{};
  p.identity = encode_identity(identity, kHeaderMagic);
  p.checksum = page_checksum(p);
  std::memcpy(page.data(), &p, sizeof p);
}

Result<SegmentIdentity> decode_header(std::span<const uint8_t> page) {
  constexpr const char* kWhat = "segment header";
  CHECK(page.size() == kRowBytes);
  SegmentHeaderPage p;
  std::memcpy(&p, page.data(), sizeof p);
  if (p.checksum != page_checksum(p)) return corrupt(kWhat, "checksum does not match");
  if (!all_zero(p.reserved)) return corrupt(kWhat, "reserved bytes are not zero");
  return decode_identity(p.identity, kHeaderMagic, kWhat);
}

void encode_footer(const SegmentFooter& footer, std::span<uint8_t> page) {
  CHECK(page.size() == kRowBytes && footer.summary.size() <= kMaxSummaryParts &&
        footer.unit_checksums.size() == footer.summary.size());
  SegmentFooterPage p{};
  p.identity = encode_identity(footer.identity, kFooterMagic);
  p.sealed_ns = static_cast<uint64_t>(footer.sealed_ns);
  p.missing = footer.missing;
  p.end_row = footer.end_row;
  p.parts = static_cast<uint32_t>(footer.summary.size());
  for (size_t i = 0; i < footer.summary.size(); ++i) {
    const SummaryPart& from = footer.summary[i];
    FooterPart& to = p.part[i];
    to.row = from.row.value;
    to.unit_rows = from.unit_rows;
    to.used_units = from.used_units;
    to.length = from.length;
    to.checksum = from.checksum;
    to.unit_checksum = footer.unit_checksums[i];
  }
  p.checksum = page_checksum(p);
  std::memcpy(page.data(), &p, sizeof p);
}

Result<SegmentFooter> decode_footer(std::span<const uint8_t> page) {
  constexpr const char* kWhat = "segment footer";
  CHECK(page.size() == kRowBytes);
  SegmentFooterPage p;
  std::memcpy(&p, page.data(), sizeof p);
  if (p.checksum != page_checksum(p)) return corrupt(kWhat, "checksum does not match");
  SegmentFooter footer;
  ASSIGN_OR_RETURN(footer.identity, decode_identity(p.identity, kFooterMagic, kWhat));
  footer.sealed_ns = static_cast<int64_t>(uint64_t{p.sealed_ns});
  footer.missing = p.missing;
  footer.end_row = p.end_row;
  const uint32_t parts = p.parts;
  if (!all_zero(p.reserved0) || !all_zero(p.reserved1) || parts > kMaxSummaryParts ||
      (footer.missing & ~shard_mask(footer.identity.geometry)) != 0) {
    return corrupt(kWhat, "impossible field");
  }
  const auto* rest = reinterpret_cast<const uint8_t*>(p.part.data() + parts);
  if (!all_zero({rest, (kMaxSummaryParts - parts) * sizeof(FooterPart)})) {
    return corrupt(kWhat, "reserved bytes are not zero");
  }
  for (uint32_t i = 0; i < parts; ++i) {
    const FooterPart& from = p.part[i];
    const SummaryPart part{Row(from.row), from.unit_rows, from.used_units, from.length, from.checksum};
    if (!plausible(part, footer.identity.geometry) || from.reserved0 != 0 || from.reserved1 != 0) {
      return corrupt(kWhat, "impossible summary part");
    }
    footer.summary.push_back(part);
    footer.unit_checksums.push_back(from.unit_checksum);
  }
  return footer;
}

}  // namespace stavefs
