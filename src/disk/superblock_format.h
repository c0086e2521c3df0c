// The superblock: who a disk is, which pool it belongs to, and the newest epoch it has seen.
//
// Theory: the file "superblock" has four places of 256 KiB.  Version v of a disk's superblock is written
// durably to the pair of places v % 2 and v % 2 + 2; the pair of version v - 1 is not touched, so a torn
// write loses nothing that was there before.  A reader takes the copy with the highest sequence whose hash is
// right. A place whose first 4 KiB are zeros holds no copy.
//
// A copy is a header of 1 KiB and the pool's member table, 64 bytes a row.  Magic, size, hash, feature bits
// and sequence stand at places that no later version moves, so that old software can tell "newer" from
// "damaged".
//
// An epoch is published in two steps (pool/pool.h): first as `pending` on every disk, then as `epoch`.
//
// Everything here is pure.  Decoding takes time and memory linear in the copy, at most 256 KiB.

#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/endian.h"
#include "base/result.h"
#include "base/uuid.h"
#include "codec/checksum.h"

namespace stavefs {

inline constexpr const char* kSuperblockFile = "superblock";
inline constexpr int kSuperblockCopies = 4;
inline constexpr uint64_t kSuperblockStride = uint64_t{256} << 10;
inline constexpr uint64_t kSuperblockFileBytes = kSuperblockCopies * kSuperblockStride;
inline constexpr uint32_t kSuperblockVersion = 1;
inline constexpr size_t kMaxEpochMembers = 64;
inline constexpr size_t kMaxPoolNameBytes = 63;
inline constexpr size_t kMaxDiskNameBytes = 31;
inline constexpr size_t kMaxSetDisks = 64;
/// Rows of the member table, removed disks included.
inline constexpr size_t kMaxPoolDisks = 4080;

/// Feature bits that this software knows.
inline constexpr uint64_t kKnownCompat = 0;
inline constexpr uint64_t kKnownReadOnlyCompat = 0;
inline constexpr uint64_t kKnownIncompat = 0;

namespace disk_format {

inline constexpr char kSuperblockMagic[8] = {'S', 'T', 'A', 'V', 'E', 'S', 'B', '\n'};
inline constexpr uint16_t kFlagFormatting = 1;  ///< the pool was being made
inline constexpr uint8_t kEpochPresent = 1;     ///< the record holds something
inline constexpr uint8_t kEpochClean = 2;
inline constexpr uint32_t kMemberRemoved = 1;

struct EpochFields {
  Le64 epoch;
  Le64 ticket;  // tells two attempts at one epoch number apart; also stands in every journal frame
  uint8_t fork[16];
  uint8_t parent_fork[16];
  Le64 fork_base;  // the parent's last epoch that this fork contains
  Le64 start_lsn;
  Le64 chain_hash[2];
  uint8_t member_count;
  uint8_t flags;
  uint8_t reserved[6];
  Le16 members[kMaxEpochMembers];  // slots; unused ones zero
};
static_assert(sizeof(EpochFields) == 216);

struct MemberFields {
  uint8_t uuid[16];
  Le16 slot;  // equals the row's index
  Le16 set;
  Le32 segments;
  Le32 flags;
  uint8_t name_bytes;
  char name[kMaxDiskNameBytes];  // unused ones zero
  uint8_t reserved[4];
};
static_assert(sizeof(MemberFields) == 64);

struct SuperblockFields {
  char magic[8];
  Le32 version;
  Le32 total_bytes;  // header and table: what the hash covers
  Le64 hash[2];      // XXH3-128 of total_bytes with this field zero
  Le64 compat;       // unknown bits are harmless
  Le64 ro_compat;    // unknown bits allow reading only
  Le64 incompat;     // unknown bits allow nothing
  Le64 sequence;     // version of this disk's superblock, from 1
  uint8_t pool[16];
  uint8_t disk[16];
  Le16 slot;
  Le16 flags;
  Le32 member_count;
  uint8_t data;
  uint8_t parity;
  uint8_t checksum;
  uint8_t metadata_copies;
  Le32 segment_bytes;
  Le64 ring_bytes;
  Le64 created_ns;   // two's complement
  Le64 journal_key;  // seed of the journal's header checksums: user data cannot look like a frame
  uint8_t reserved0[8];
  uint8_t name_bytes;
  char name[kMaxPoolNameBytes];
  EpochFields epoch;
  EpochFields pending;
  uint8_t reserved1[384];
};
static_assert(offsetof(SuperblockFields, hash) == 16);
static_assert(offsetof(SuperblockFields, sequence) == 56);
static_assert(offsetof(SuperblockFields, slot) == 96);
static_assert(offsetof(SuperblockFields, data) == 104);
static_assert(offsetof(SuperblockFields, name_bytes) == 144);
static_assert(offsetof(SuperblockFields, epoch) == 208);
static_assert(offsetof(SuperblockFields, pending) == 424);
static_assert(sizeof(SuperblockFields) == 1024);
static_assert(sizeof(SuperblockFields) + kMaxPoolDisks * sizeof(MemberFields) == kSuperblockStride);

}  // namespace disk_format

struct SuperblockEpoch {
  uint64_t epoch = 0;
  uint64_t ticket = 0;
  Uuid fork;
  Uuid parent_fork;  ///< nil in the first fork
  uint64_t fork_base = 0;
  uint64_t start_lsn = 0;
  Hash128 chain_hash;
  bool clean = false;
  std::vector<uint16_t> members;

  bool operator==(const SuperblockEpoch&) const = default;
  /// The same publication, whatever `clean` says.
  bool same_publication(const SuperblockEpoch& other) const {
    return epoch == other.epoch && ticket == other.ticket && fork == other.fork;
  }
};

struct SuperblockMember {
  Uuid uuid;
  uint16_t set = 0;
  uint32_t segments = 0;
  bool removed = false;
  std::string name;

  bool operator==(const SuperblockMember&) const = default;
};

struct Superblock {
  uint64_t compat = 0;
  uint64_t ro_compat = 0;
  uint64_t incompat = 0;
  uint64_t sequence = 0;
  Uuid pool;
  Uuid disk;
  uint16_t slot = 0;
  bool formatting = false;  ///< written before the pool was complete
  uint8_t data = 0;
  uint8_t parity = 0;
  uint8_t checksum = 0;  ///< a ChecksumKind
  uint8_t metadata_copies = 0;
  uint32_t segment_bytes = 0;
  uint64_t ring_bytes = 0;
  int64_t created_ns = 0;
  uint64_t journal_key = 0;
  std::string name;
  SuperblockEpoch epoch;
  std::optional<SuperblockEpoch> pending;
  std::vector<SuperblockMember> members;  ///< by slot

  bool operator==(const Superblock&) const = default;
};

/// Letters, digits, '.', '_' and '-', not starting with '.' or '-', 1 to `max_bytes` long.
bool valid_name(std::string_view name, size_t max_bytes);

/// Says what is wrong with the fields of a superblock (kInvalid), which encode would write and decode refuse.
Status validate(const Superblock& superblock);

/// Bytes that a copy takes on disk: a multiple of 4 KiB.
size_t superblock_bytes(const Superblock& superblock);
/// Fills `out` with the copy and zeros behind it.  REQUIRES: out.size() == superblock_bytes(); validate()
/// says ok.
void encode_superblock(const Superblock& superblock, std::span<uint8_t> out);

/// From the first 4 KiB of a place: the bytes to read for the whole copy (a multiple of 4 KiB), 0 when there
/// is no copy, kCorrupt when it is none of ours or impossible.
Result<uint32_t> superblock_extent(std::span<const uint8_t> first_page);
/// The sequence of a copy whose magic, size and hash are right; kCorrupt otherwise.  Works for any version.
Result<uint64_t> superblock_sequence(std::span<const uint8_t> copy);
/// kCorrupt when anything is wrong; kUnsupported (names them) for a newer version or unknown incompatible
/// features.
Result<Superblock> decode_superblock(std::span<const uint8_t> copy);

/// Several lines for people.
std::string to_text(const Superblock& superblock);
/// One line: number, ticket, fork, members, start of the chain.
std::string to_text(const SuperblockEpoch& epoch);

}  // namespace stavefs
