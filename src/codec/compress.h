// Compressed frames: one zstd frame (RFC 8878) of at most 128 KiB of data that tells its own size.
//
// A frame carries no checksum of its own: that of the extent, kept in the parent, covers the frame as stored.
// So decompress_frame only promises that no input makes it crash or write outside `out`, not that wrong bytes
// are always noticed.  Functions of their arguments; any thread; a thread keeps its zstd contexts until it
// ends.

#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/result.h"

namespace stavefs {

inline constexpr size_t kCompressedFrameBytes = size_t{128} << 10;

/// Largest size that compress_frame may write for `bytes` of input.
size_t compress_bound(size_t bytes);

/// Compresses `in` (at most kCompressedFrameBytes) at zstd `level` into `out` and returns the size; 0 when
/// the result would not be smaller than 7/8 of the input, in which case the data is best stored as it is and
/// `out` is undefined.  kInvalid for more input, or a level that zstd does not have (0 is its default);
/// kNoMemory. REQUIRES: out.size() >= compress_bound(in.size()); no overlap.
Result<size_t> compress_frame(std::span<const uint8_t> in, int level, std::span<uint8_t> out);

/// Expands a frame into exactly out.size() bytes; kCorrupt when it is malformed or of another size, with
/// `out` undefined then; kNoMemory.
Status decompress_frame(std::span<const uint8_t> in, std::span<uint8_t> out);

}  // namespace stavefs
