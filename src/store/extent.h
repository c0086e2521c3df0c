// Where bytes of a file are: the address of an extent inside a stripe, and its arithmetic.
//
// A stripe is k+m units of `unit_rows` rows that start at the same row of each of the group's segments.  Its
// data space is the k data units one after the other: data byte d lies in unit d / unit_bytes at byte d %
// unit_bytes.  An extent is a range of that space, 64-byte aligned at its start; one of at most 32 KiB never
// crosses a unit.  Data units from `used_units` on were all zero padding: they were not written and count as
// zeros in the code.
//
// Everything needed to read or rebuild an extent, but for the disks of the group, stands in the address.

#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/endian.h"
#include "base/ids.h"
#include "base/result.h"
#include "codec/checksum.h"

namespace stavefs {

inline constexpr uint32_t kRowBytes = 4096;
inline constexpr uint32_t kMaxUnitBytes = 256u << 10;
inline constexpr uint32_t kMaxUnitRows = kMaxUnitBytes / kRowBytes;
inline constexpr uint32_t kExtentAlignment = 64;
/// Bytes covered by one checksum of an extent.
inline constexpr uint32_t kChecksumChunk = 32u << 10;

struct ExtentAddress {
  GroupId group;
  Row row;                 ///< first row of the stripe; rows are counted in the segment, row 0 is its header
  uint8_t unit_rows = 0;   ///< 1 to 64
  uint8_t used_units = 0;  ///< 1 to k
  uint32_t offset = 0;     ///< in the stripe's data space, bytes, a multiple of 64
  uint32_t length = 0;     ///< stored bytes (of the compressed frame, when there is one)

  bool operator==(const ExtentAddress&) const = default;
  uint32_t unit_bytes() const { return unit_rows * kRowBytes; }
};

inline uint32_t checksum_chunks(uint32_t length) { return (length + kChecksumChunk - 1) / kChecksumChunk; }

/// What the index holds for an extent of a live file ('X' inode offset).
struct Extent {
  ExtentAddress address;
  uint64_t length = 0;  ///< bytes of the file that it covers, from the key's offset on
  uint64_t skip = 0;    ///< the covered bytes start at this byte of the (expanded) extent: after a truncate,
                        ///< an overwrite of its head, or a clone only a part of it is in use
  Lsn birth;            ///< version that brought it
  Lsn captured;         ///< data logged in the journal up to here is in it already
  ChecksumKind checksum = ChecksumKind::kXxh3;
  uint8_t compression = 0;       ///< 0 none, 1 zstd frame
  uint32_t expanded_length = 0;  ///< bytes after decompression; equals address.length when not compressed
  std::string checksums;         ///< checksum_bytes(checksum) for each 32 KiB of the stored bytes

  bool operator==(const Extent&) const = default;
  /// The value's encoding (FORMAT.md, "Extent").
  std::string encode() const;
  /// kCorrupt unless every field is in range and the checksums are complete.
  static Result<Extent> decode(std::string_view value);
  std::string to_text() const;
};

}  // namespace stavefs
