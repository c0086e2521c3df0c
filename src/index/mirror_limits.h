// The bounds of the mirrored directory, in one place.

#pragma once

#include <cstddef>
#include <cstdint>

#include "base/buffer.h"

namespace stavefs {

/// Buffer of one writer; also the largest single write.
inline constexpr uint32_t kMirrorWriterPages = 256;
/// Largest single read; longer ones go in parts.
inline constexpr uint32_t kMirrorReadPages = 256;
/// Rounds of copying to a copy that joins before changes have to wait for the rest.
inline constexpr int kMirrorJoinRounds = 8;
/// Step in which files are copied.
inline constexpr size_t kMirrorCopyBytes = 1 << 20;
/// Memory kept for reuse.
inline constexpr size_t kMirrorIdleBytes = 8 << 20;
/// Files at least this long are compared by their ends at open, unless the ends differ.
inline constexpr uint64_t kMirrorScanBytes = 1 << 20;
/// Pages behind the first missing one that are searched for proof that it was synced: bounds the time of
/// open() on whatever stands there.
inline constexpr uint32_t kMirrorScanBeyondPages = 16384;
/// Files waiting to be written anew; more are found again by their next reader.
inline constexpr size_t kMirrorMaxRepairs = 1024;

/// Ends the names of files that are being prepared; they mean nothing after a crash.
inline constexpr const char* kTemporarySuffix = ".new~";

/// REQUIRES: pages is within the limits above.
constexpr uint32_t page_bytes(uint32_t pages) { return pages * static_cast<uint32_t>(kPageBytes); }

}  // namespace stavefs
