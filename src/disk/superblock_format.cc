#include "disk/superblock_format.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <unordered_map>
#include <unordered_set>

#include "base/buffer.h"
#include "base/check.h"

namespace stavefs {
namespace {

using namespace disk_format;

constexpr uint32_t kMinSegmentBytes = uint32_t{4} << 20;
constexpr uint32_t kMaxSegmentBytes = uint32_t{256} << 20;
constexpr uint64_t kMinRingBytes = uint64_t{64} << 10;
constexpr uint64_t kMaxRingBytes = uint64_t{1} << 30;

bool all_zero(const void* data, size_t bytes) {
  const auto* p = static_cast<const uint8_t*>(data);
  return std::all_of(p, p + bytes, [](uint8_t b) { return b == 0; });
}

Uuid to_uuid(const uint8_t (&bytes)[16]) {
  Uuid uuid;
  std::memcpy(uuid.bytes.data(), bytes, sizeof bytes);
  return uuid;
}

void from_uuid(const Uuid& uuid, uint8_t (&bytes)[16]) {
  std::memcpy(bytes, uuid.bytes.data(), sizeof bytes);
}

Error corrupt(std::string what) { return Error(ErrorCode::kCorrupt, EIO, "superblock: " + std::move(what)); }
Error invalid(std::string what) { return Error(ErrorCode::kInvalid, EINVAL, std::move(what)); }

size_t content_bytes(const Superblock& superblock) {
  return sizeof(SuperblockFields) + superblock.members.size() * sizeof(MemberFields);
}

EpochFields encode_epoch(const SuperblockEpoch& epoch) {
  EpochFields f{};
  f.epoch = epoch.epoch;
  f.ticket = epoch.ticket;
  from_uuid(epoch.fork, f.fork);
  from_uuid(epoch.parent_fork, f.parent_fork);
  f.fork_base = epoch.fork_base;
  f.start_lsn = epoch.start_lsn;
  f.chain_hash[0] = epoch.chain_hash.low;
  f.chain_hash[1] = epoch.chain_hash.high;
  f.member_count = static_cast<uint8_t>(epoch.members.size());
  f.flags = static_cast<uint8_t>(kEpochPresent | (epoch.clean ? kEpochClean : 0));
  for (size_t i = 0; i < epoch.members.size(); ++i) f.members[i] = epoch.members[i];
  return f;
}

/// Empty for an all-zero record.
Result<std::optional<SuperblockEpoch>> decode_epoch(const EpochFields& f) {
  if ((f.flags & kEpochPresent) == 0) {
    if (!all_zero(&f, sizeof f)) return corrupt("an absent epoch record is not zero");
    return std::optional<SuperblockEpoch>();
  }
  if ((f.flags & ~(kEpochPresent | kEpochClean)) != 0 || !all_zero(f.reserved, sizeof f.reserved))
    return corrupt("unknown bits in an epoch record");
  if (f.member_count > kMaxEpochMembers) return corrupt("too many members in an epoch record");
  SuperblockEpoch epoch;
  epoch.epoch = f.epoch;
  epoch.ticket = f.ticket;
  epoch.fork = to_uuid(f.fork);
  epoch.parent_fork = to_uuid(f.parent_fork);
  epoch.fork_base = f.fork_base;
  epoch.start_lsn = f.start_lsn;
  epoch.chain_hash = {f.chain_hash[0], f.chain_hash[1]};
  epoch.clean = (f.flags & kEpochClean) != 0;
  for (size_t i = 0; i < kMaxEpochMembers; ++i) {
    const uint16_t slot = f.members[i];
    if (i < f.member_count)
      epoch.members.push_back(slot);
    else if (slot != 0)
      return corrupt("an unused place of an epoch record is not zero");
  }
  return std::optional<SuperblockEpoch>(std::move(epoch));
}

Status validate_epoch(const SuperblockEpoch& epoch, const std::vector<SuperblockMember>& members) {
  if (epoch.epoch == 0) return invalid("epoch 0");
  if (epoch.fork.is_nil()) return invalid("an epoch without a fork");
  if (epoch.members.empty() || epoch.members.size() > kMaxEpochMembers)
    return invalid(fmt::format("an epoch with {} members", epoch.members.size()));
  std::vector<uint16_t> sorted = epoch.members;
  std::sort(sorted.begin(), sorted.end());
  if (std::adjacent_find(sorted.begin(), sorted.end()) != sorted.end())
    return invalid("an epoch that names a disk twice");
  if (sorted.back() >= members.size()) return invalid("an epoch that names a disk which is not in the pool");
  for (const uint16_t slot : sorted)
    if (members[slot].removed) return invalid("an epoch that names a removed disk");
  return ok();
}

Status validate_members(const std::vector<SuperblockMember>& members) {
  if (members.empty() || members.size() > kMaxPoolDisks)
    return invalid(fmt::format("a pool of {} disks; 1 to {} are possible", members.size(), kMaxPoolDisks));
  std::unordered_set<std::string_view> names;
  std::unordered_set<std::string_view> uuids;
  std::unordered_map<uint16_t, size_t> sets;
  for (const SuperblockMember& member : members) {
    if (!valid_name(member.name, kMaxDiskNameBytes)) return invalid("a disk's name is not valid");
    if (!names.insert(member.name).second) return invalid("two disks are called " + member.name);
    if (member.uuid.is_nil() || !uuids.insert(bytes_of(member.uuid)).second)
      return invalid("two disks with one identity, or one without: " + member.name);
    if (!member.removed && ++sets[member.set] > kMaxSetDisks)
      return invalid(fmt::format("set {} has more than {} disks", member.set, kMaxSetDisks));
  }
  return ok();
}

/// The stable part: magic, size and hash.
Result<SuperblockFields> check_envelope(std::span<const uint8_t> copy) {
  SuperblockFields f;
  if (copy.size() < sizeof f) return corrupt("short");
  std::memcpy(&f, copy.data(), sizeof f);
  if (std::memcmp(f.magic, kSuperblockMagic, sizeof f.magic) != 0) return corrupt("wrong magic");
  const uint32_t total = f.total_bytes;
  if (total < sizeof f || total > kSuperblockStride || total > copy.size()) return corrupt("impossible size");
  const Hash128 stored{f.hash[0], f.hash[1]};
  std::vector<uint8_t> bytes(copy.begin(), copy.begin() + total);
  std::memset(bytes.data() + offsetof(SuperblockFields, hash), 0, sizeof f.hash);
  if (xxh3_128(bytes.data(), bytes.size()) != stored) return corrupt("wrong checksum");
  return f;
}

Result<std::vector<SuperblockMember>> decode_members(std::span<const uint8_t> table, size_t count) {
  std::vector<SuperblockMember> members;
  members.reserve(count);
  for (size_t i = 0; i < count; ++i) {
    MemberFields f;
    std::memcpy(&f, table.data() + i * sizeof f, sizeof f);
    if (f.slot != i) return corrupt("the member table is out of order");
    if ((f.flags & ~kMemberRemoved) != 0 || !all_zero(f.reserved, sizeof f.reserved))
      return corrupt("unknown bits in the member table");
    if (f.name_bytes > kMaxDiskNameBytes ||
        !all_zero(f.name + f.name_bytes, kMaxDiskNameBytes - f.name_bytes))
      return corrupt("a disk's name is not valid");
    SuperblockMember member;
    member.uuid = to_uuid(f.uuid);
    member.set = f.set;
    member.segments = f.segments;
    member.removed = (f.flags & kMemberRemoved) != 0;
    member.name.assign(f.name, f.name_bytes);
    members.push_back(std::move(member));
  }
  return members;
}

}  // namespace

bool valid_name(std::string_view name, size_t max_bytes) {
  if (name.empty() || name.size() > max_bytes || name[0] == '.' || name[0] == '-') return false;
  return std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '-';
  });
}

Status validate(const Superblock& s) {
  if (s.sequence == 0) return invalid("sequence 0");
  if (s.pool.is_nil() || s.disk.is_nil()) return invalid("no identity");
  if (!valid_name(s.name, kMaxPoolNameBytes))
    return invalid(fmt::format(
        "a pool's name has 1 to {} letters, digits, '.', '_' or '-' and starts with a letter or digit",
        kMaxPoolNameBytes));
  if (s.data < 1 || s.parity < 1 || s.data + s.parity > 64)
    return invalid(fmt::format("geometry {}+{}", s.data, s.parity));
  TRY(decode_checksum_kind(s.checksum));
  if (s.metadata_copies < 1 || s.metadata_copies > kMaxEpochMembers)
    return invalid(fmt::format("{} metadata copies", s.metadata_copies));
  if (s.segment_bytes < kMinSegmentBytes || s.segment_bytes > kMaxSegmentBytes ||
      (s.segment_bytes & (s.segment_bytes - 1)) != 0)
    return invalid(fmt::format("segments of {} bytes", s.segment_bytes));
  if (s.ring_bytes < kMinRingBytes || s.ring_bytes > kMaxRingBytes || s.ring_bytes % kPageBytes != 0)
    return invalid(fmt::format("a journal ring of {} bytes", s.ring_bytes));
  TRY(validate_members(s.members));
  if (s.slot >= s.members.size() || s.members[s.slot].uuid != s.disk)
    return invalid("the disk is not in its own member table");
  TRY(validate_epoch(s.epoch, s.members));
  if (s.pending) TRY(validate_epoch(*s.pending, s.members));
  return ok();
}

size_t superblock_bytes(const Superblock& superblock) {
  return round_up(content_bytes(superblock), kPageBytes);
}

void encode_superblock(const Superblock& s, std::span<uint8_t> out) {
  CHECK(out.size() == superblock_bytes(s) && s.name.size() <= kMaxPoolNameBytes);
  std::memset(out.data(), 0, out.size());
  SuperblockFields f{};
  std::memcpy(f.magic, kSuperblockMagic, sizeof f.magic);
  f.version = kSuperblockVersion;
  f.total_bytes = static_cast<uint32_t>(content_bytes(s));
  f.compat = s.compat;
  f.ro_compat = s.ro_compat;
  f.incompat = s.incompat;
  f.sequence = s.sequence;
  from_uuid(s.pool, f.pool);
  from_uuid(s.disk, f.disk);
  f.slot = s.slot;
  f.flags = s.formatting ? kFlagFormatting : uint16_t{0};
  f.member_count = static_cast<uint32_t>(s.members.size());
  f.data = s.data;
  f.parity = s.parity;
  f.checksum = s.checksum;
  f.metadata_copies = s.metadata_copies;
  f.segment_bytes = s.segment_bytes;
  f.ring_bytes = s.ring_bytes;
  f.created_ns = static_cast<uint64_t>(s.created_ns);
  f.journal_key = s.journal_key;
  f.name_bytes = static_cast<uint8_t>(s.name.size());
  std::memcpy(f.name, s.name.data(), s.name.size());
  f.epoch = encode_epoch(s.epoch);
  if (s.pending) f.pending = encode_epoch(*s.pending);
  uint8_t* row = out.data() + sizeof f;
  for (size_t i = 0; i < s.members.size(); ++i, row += sizeof(MemberFields)) {
    const SuperblockMember& member = s.members[i];
    CHECK(member.name.size() <= kMaxDiskNameBytes);
    MemberFields m{};
    from_uuid(member.uuid, m.uuid);
    m.slot = static_cast<uint16_t>(i);
    m.set = member.set;
    m.segments = member.segments;
    m.flags = member.removed ? kMemberRemoved : 0;
    m.name_bytes = static_cast<uint8_t>(member.name.size());
    std::memcpy(m.name, member.name.data(), member.name.size());
    std::memcpy(row, &m, sizeof m);
  }
  std::memcpy(out.data(), &f, sizeof f);
  const Hash128 hash = xxh3_128(out.data(), f.total_bytes);
  f.hash[0] = hash.low;
  f.hash[1] = hash.high;
  std::memcpy(out.data(), &f, sizeof f);
}

Result<uint32_t> superblock_extent(std::span<const uint8_t> first_page) {
  if (first_page.size() < kPageBytes) return corrupt("short");
  if (all_zero(first_page.data(), kPageBytes)) return 0u;
  SuperblockFields f;
  std::memcpy(&f, first_page.data(), sizeof f);
  if (std::memcmp(f.magic, kSuperblockMagic, sizeof f.magic) != 0) return corrupt("wrong magic");
  if (f.total_bytes < sizeof f || f.total_bytes > kSuperblockStride) return corrupt("impossible size");
  return static_cast<uint32_t>(round_up(f.total_bytes, kPageBytes));
}

Result<uint64_t> superblock_sequence(std::span<const uint8_t> copy) {
  ASSIGN_OR_RETURN(const SuperblockFields f, check_envelope(copy));
  return uint64_t{f.sequence};
}

Result<Superblock> decode_superblock(std::span<const uint8_t> copy) {
  ASSIGN_OR_RETURN(const SuperblockFields f, check_envelope(copy));
  if (f.version > kSuperblockVersion)
    return Error(ErrorCode::kUnsupported, EOPNOTSUPP,
                 fmt::format("format version {} is newer than this software's ({})", uint32_t{f.version},
                             kSuperblockVersion));
  if ((f.incompat & ~kKnownIncompat) != 0)
    return Error(
        ErrorCode::kUnsupported, EOPNOTSUPP,
        fmt::format("the pool uses features that this software does not know (incompatible bits {:#x})",
                    f.incompat & ~kKnownIncompat));
  if (f.version != kSuperblockVersion) return corrupt("version 0");
  if (!all_zero(f.reserved0, sizeof f.reserved0) || !all_zero(f.reserved1, sizeof f.reserved1) ||
      (f.flags & ~kFlagFormatting) != 0)
    return corrupt("reserved bytes are in use");
  if (f.member_count > kMaxPoolDisks || f.total_bytes != sizeof f + f.member_count * sizeof(MemberFields))
    return corrupt("its size does not fit its member table");
  if (f.name_bytes > kMaxPoolNameBytes || !all_zero(f.name + f.name_bytes, kMaxPoolNameBytes - f.name_bytes))
    return corrupt("the pool's name is not valid");

  Superblock s;
  s.compat = f.compat;
  s.ro_compat = f.ro_compat;
  s.incompat = f.incompat;
  s.sequence = f.sequence;
  s.pool = to_uuid(f.pool);
  s.disk = to_uuid(f.disk);
  s.slot = f.slot;
  s.formatting = (f.flags & kFlagFormatting) != 0;
  s.data = f.data;
  s.parity = f.parity;
  s.checksum = f.checksum;
  s.metadata_copies = f.metadata_copies;
  s.segment_bytes = f.segment_bytes;
  s.ring_bytes = f.ring_bytes;
  s.created_ns = static_cast<int64_t>(uint64_t{f.created_ns});
  s.journal_key = f.journal_key;
  s.name.assign(f.name, f.name_bytes);
  ASSIGN_OR_RETURN(s.members, decode_members(copy.subspan(sizeof f), f.member_count));
  ASSIGN_OR_RETURN(std::optional<SuperblockEpoch> epoch, decode_epoch(f.epoch));
  if (!epoch) return corrupt("no epoch");
  s.epoch = std::move(*epoch);
  ASSIGN_OR_RETURN(s.pending, decode_epoch(f.pending));
  if (Status valid = validate(s); !valid) {
    if (valid.error().code() == ErrorCode::kUnsupported) return valid.error();
    return corrupt(valid.error().message());
  }
  return s;
}

std::string to_text(const SuperblockEpoch& epoch) {
  std::string members;
  for (const uint16_t slot : epoch.members) {
    if (!members.empty()) members += ' ';
    members += std::to_string(slot);
  }
  return fmt::format("{} (ticket {:016x}, fork {}, members {}, starts after {}, chain {:016x}{:016x}{})",
                     epoch.epoch, epoch.ticket, epoch.fork.to_text(), members, epoch.start_lsn,
                     epoch.chain_hash.high, epoch.chain_hash.low, epoch.clean ? ", clean" : "");
}

std::string to_text(const Superblock& s) {
  std::string text = fmt::format(
      "pool {} {}\ndisk {} slot {} sequence {}{}\nfeatures compat {:#x} ro-compat {:#x} incompat {:#x}\n"
      "geometry {}+{} checksum {} segment {} ring {} metadata copies {} created {}\nepoch {}\n",
      s.name, s.pool.to_text(), s.disk.to_text(), s.slot, s.sequence, s.formatting ? " formatting" : "",
      s.compat, s.ro_compat, s.incompat, s.data, s.parity, s.checksum, s.segment_bytes, s.ring_bytes,
      s.metadata_copies, s.created_ns, to_text(s.epoch));
  if (s.pending) text += fmt::format("pending epoch {}\n", to_text(*s.pending));
  for (size_t i = 0; i < s.members.size(); ++i) {
    const SuperblockMember& m = s.members[i];
    text += fmt::format("member {} {} {} set {} segments {}{}\n", i, m.name, m.uuid.to_text(), m.set,
                        m.segments, m.removed ? " removed" : "");
  }
  return text;
}

}  // namespace stavefs
