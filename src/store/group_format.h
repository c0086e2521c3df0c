// What the store keeps on disk about groups: the pages at both ends of a segment and the index values.
//
// A segment of R rows (R = segment_bytes / 4096): row 0 is the header page, rows 1 to R-2 hold stripes, row
// R-1 is the footer page, written when the group is sealed.  Both pages carry the segment's identity, so a
// segment that belongs elsewhere (a stale, copied or misplaced file) is never taken for the wanted one.
//
// The summary of a sealed group is the list of its stripes (checksums and owners) as one blob, laid into the
// group as ordinary stripes, the parts.  The footers and the group's record say where the parts are and what
// their checksums are; each footer adds the checksum of its own shard's unit, so that scrub and salvage can
// tell a bad unit without the index.
//
// Index values: 'G' GroupRecord, 'E' SegmentRecord, 'S' StripeRecord.  ('K' is one u64, written by the
// ledger.) All numbers are little-endian; reserved bytes are zero and checked; decode functions never read
// beyond their input and validate all that can be known from the value alone.  A failure is kCorrupt.
//
// Pure functions and values.

#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/endian.h"
#include "base/ids.h"
#include "base/result.h"
#include "base/uuid.h"
#include "pool/geometry.h"
#include "store/extent.h"

namespace stavefs {

inline constexpr const char* kSegmentDirectory = "segments";
/// "segments/0000002a".
std::string segment_file_name(SegmentNumber segment);

/// Which open group of a family takes the data.  On disk.
enum class Temperature : uint8_t { kHot = 0, kLarge = 1, kCold = 2 };

/// On disk.
enum class GroupState : uint8_t {
  kOpen = 1,    ///< stripes are being appended
  kFull = 2,    ///< takes no more stripes; its 'S' records are in the index
  kSealed = 3,  ///< its summary and footers are written; it has no 'S' records
};
std::string_view to_string(GroupState state);  ///< "open", "full", "sealed"

/// At most this many stripes hold a group's summary; appending stops before more would be needed.
inline constexpr uint32_t kMaxSummaryParts = 64;

/// One stripe of a summary.
struct SummaryPart {
  Row row;
  uint8_t unit_rows = 0;
  uint8_t used_units = 0;
  uint32_t length = 0;    ///< bytes of the blob in it
  uint64_t checksum = 0;  ///< XXH3-64 of those bytes
  bool operator==(const SummaryPart&) const = default;
};

struct ShardPlace {
  DiskSlot disk = kNoDisk;
  SegmentNumber segment;
  Generation generation;
  bool operator==(const ShardPlace&) const = default;
};

/// Value of 'G'.
struct GroupRecord {
  GroupState state = GroupState::kOpen;
  Temperature temperature = Temperature::kHot;
  Geometry geometry;
  uint64_t missing = 0;  ///< bit i: shard i does not hold all stripes; always set for an unplaced one
  int64_t created_ns = 0;
  uint32_t end_row = 0;              ///< first row after the last stripe of data; 0 while open
  std::vector<ShardPlace> shards;    ///< k+m, data first
  std::vector<SummaryPart> summary;  ///< of a sealed group
  bool operator==(const GroupRecord&) const = default;

  std::string encode() const;
  static Result<GroupRecord> decode(std::string_view value);
  std::string to_text() const;
};

/// Value of 'E': how often a segment has been taken into use.
struct SegmentRecord {
  Generation generation;
  bool operator==(const SegmentRecord&) const = default;
  std::string encode() const;
  static Result<SegmentRecord> decode(std::string_view value);
  std::string to_text() const;
};

/// A range of a file in a stripe.
struct StripeOwner {
  InodeId inode;
  uint64_t file_offset = 0;
  uint32_t length = 0;
  uint32_t stripe_offset = 0;  ///< in the stripe's data space; a multiple of 64
  bool operator==(const StripeOwner&) const = default;
};

/// Value of 'S'.
struct StripeRecord {
  uint8_t unit_rows = 0;
  uint8_t used_units = 0;
  uint32_t data_bytes = 0;               ///< end of the last owner's range
  std::vector<uint64_t> unit_checksums;  ///< k+m: XXH3-64 of each written unit, 0 for one that is not written
  std::vector<StripeOwner> owners;       ///< ascending by stripe_offset, disjoint
  bool operator==(const StripeRecord&) const = default;

  std::string encode() const;
  static Result<StripeRecord> decode(std::string_view value, const Geometry& geometry);
  std::string to_text() const;
};

/// One stripe of a group.
struct StripeEntry {
  Row row;
  StripeRecord record;
  bool operator==(const StripeEntry&) const = default;
};

/// Bytes that a stripe whose 'S' value has `value_bytes` takes in the summary, at most.
constexpr size_t summary_entry_bytes(size_t value_bytes) { return value_bytes + 9; }
inline constexpr size_t kSummaryHeadBytes = 32;

/// Builds the blob from 'S' values in order of row.
class SummaryWriter {
 public:
  SummaryWriter(GroupId group, const Geometry& geometry) : group_(group), geometry_(geometry) {}
  void add(Row row, std::string_view stripe_value);
  std::string finish() const;

 private:
  GroupId group_;
  Geometry geometry_;
  uint64_t count_ = 0;
  std::string entries_;
};
Result<std::vector<StripeEntry>> decode_summary(std::string_view blob, GroupId group,
                                                const Geometry& geometry);

/// Whose segment it is; the same in header and footer.
struct SegmentIdentity {
  Uuid pool;
  Uuid disk;
  DiskSlot slot;
  SegmentNumber segment;
  GroupId group;
  Generation generation;
  uint8_t shard = 0;
  Geometry geometry;
  Temperature temperature = Temperature::kHot;
  int64_t created_ns = 0;
  uint32_t segment_bytes = 0;
  bool operator==(const SegmentIdentity&) const = default;
  std::string to_text() const;
};

/// The identity as it stands at the start of both pages.
struct IdentityBlock {
  std::array<char, 8> magic;
  Le32 version;
  Le32 segment_bytes;
  Uuid pool;
  Uuid disk;
  Le64 group;
  Le64 created_ns;
  Le32 segment;
  Le32 generation;
  Le16 slot;
  uint8_t shard;
  uint8_t data_shards;
  uint8_t parity_shards;
  uint8_t temperature;
  Le16 reserved;
};
static_assert(sizeof(IdentityBlock) == 80 && offsetof(IdentityBlock, group) == 48 &&
              offsetof(IdentityBlock, slot) == 72);

/// Row 0.
struct SegmentHeaderPage {
  IdentityBlock identity;  // magic "stvSEGhd"
  std::array<uint8_t, 4008> reserved;
  Le64 checksum;  // XXH3-64 of all bytes before it
};
static_assert(sizeof(SegmentHeaderPage) == kRowBytes && offsetof(SegmentHeaderPage, checksum) == 4088);

struct FooterPart {
  Le32 row;
  uint8_t unit_rows;
  uint8_t used_units;
  Le16 reserved0;
  Le32 length;
  Le32 reserved1;
  Le64 checksum;
  Le64 unit_checksum;  // XXH3-64 of this shard's unit, 0 when it is not written
};
static_assert(sizeof(FooterPart) == 32);

/// The last row.
struct SegmentFooterPage {
  IdentityBlock identity;  // magic "stvSEGft"
  Le64 sealed_ns;
  Le64 missing;
  Le32 end_row;
  Le32 parts;
  std::array<uint8_t, 24> reserved0;
  std::array<FooterPart, kMaxSummaryParts> part;
  std::array<uint8_t, 1912> reserved1;
  Le64 checksum;  // XXH3-64 of all bytes before it
};
static_assert(sizeof(SegmentFooterPage) == kRowBytes && offsetof(SegmentFooterPage, part) == 128 &&
              offsetof(SegmentFooterPage, checksum) == 4088);

/// What a footer says besides the identity.
struct SegmentFooter {
  SegmentIdentity identity;
  int64_t sealed_ns = 0;
  uint64_t missing = 0;
  uint32_t end_row = 0;
  std::vector<SummaryPart> summary;
  std::vector<uint64_t> unit_checksums;  ///< of this shard, per part
  bool operator==(const SegmentFooter&) const = default;
  std::string to_text() const;
};

/// Write and parse a page.  REQUIRES: page.size() == kRowBytes.
void encode_header(const SegmentIdentity& identity, std::span<uint8_t> page);
Result<SegmentIdentity> decode_header(std::span<const uint8_t> page);
void encode_footer(const SegmentFooter& footer, std::span<uint8_t> page);
Result<SegmentFooter> decode_footer(std::span<const uint8_t> page);

}  // namespace stavefs
