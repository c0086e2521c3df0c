// Arithmetic of a file's extents: what is left of them when ranges of the file are taken away.
//
// Theory: the 'X' records of an inode are disjoint.  Taking ranges away leaves of each record the fragments
// between them, each a record of its own that points into the same stored extent (a larger `skip`, a smaller
// `length`, the same checksums).
//
// Live bytes: a record accounts for exactly the bytes of the file that it covers (`Extent::length`) in its
// group's live bytes, however many records share a stored extent.  So trimming takes off what was trimmed,
// splitting keeps the sum, and a group is dead when no record points into it.
//
// carve() is pure; the load functions read the index.  Any thread, under the inode's lock.

#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "store/change.h"
#include "store/extent.h"
#include "store/ledger.h"

namespace stavefs {

/// More erasures than this at the end of a file become one range erasure.
inline constexpr size_t kMaxSingleErasures = 16;

/// Bytes [from, to) of a file.
struct FileRange {
  uint64_t from = 0;
  uint64_t to = 0;

  bool operator==(const FileRange&) const = default;
};

/// An 'X' record with its key's offset.
struct ExtentEntry {
  uint64_t offset = 0;
  Extent extent;

  uint64_t end() const { return offset + extent.length; }
  bool operator==(const ExtentEntry&) const = default;
};

/// What a change must do to a file's extents.
struct ExtentEdit {
  std::vector<uint64_t> erased;     ///< offsets of records that go, without those in `put`
  std::vector<ExtentEntry> put;     ///< records new or changed, in order
  std::map<GroupId, int64_t> live;  ///< difference of live bytes
  uint64_t removed_bytes = 0;       ///< covered bytes taken away
  bool erase_to_end = false;        ///< every record at `end_from` or beyond goes; `erased` is empty then
  uint64_t end_from = 0;
};

/// What is left of `entries` without `ranges`.  REQUIRES: both in order and disjoint.
ExtentEdit carve(std::span<const ExtentEntry> entries, std::span<const FileRange> ranges);

/// The records that cover a byte of any range, in order.  REQUIRES: `ranges` in order and disjoint.  kCorrupt
/// when a record cannot be decoded or two overlap.
Result<std::vector<ExtentEntry>> load_extents(const Ledger& ledger, InodeId inode,
                                              std::span<const FileRange> ranges);

/// The edit that takes away everything from `from` on, in memory that does not grow with the number of
/// records.
Result<ExtentEdit> cut_extents(const Ledger& ledger, InodeId inode, uint64_t from);

void add_edit(Change& change, InodeId inode, const ExtentEdit& edit);

}  // namespace stavefs
