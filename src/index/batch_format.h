// The encoding of a batch (see batch.h), in the form in which it is walked without a call through a pointer
// per key.

#pragma once

#include <cstdint>
#include <string_view>

#include "base/endian.h"
#include "base/result.h"

namespace stavefs {

enum class BatchOperation : uint8_t { kPut = 1, kErase = 2, kEraseRange = 3 };

inline Error malformed_batch(std::string_view why) {
  return Error(ErrorCode::kCorrupt, EIO, std::string("index batch: ").append(why));
}

/// Calls visitor.put(key, value), .erase(key) and .erase_range(from, to) in order; kCorrupt at the first
/// malformed operation, after those before it were visited.
template <class Visitor>
Status walk_batch(std::string_view encoded, Visitor&& visitor) {
  ByteReader in(encoded);
  while (in.remaining() > 0) {
    const uint8_t operation = in.u8();
    const std::string_view key = in.string();
    if (!in.ok()) return malformed_batch("cut short");
    if (key.empty()) return malformed_batch("empty key");
    switch (static_cast<BatchOperation>(operation)) {
      case BatchOperation::kPut: {
        const std::string_view value = in.string();
        if (!in.ok()) return malformed_batch("cut short");
        visitor.put(key, value);
        break;
      }
      case BatchOperation::kErase: visitor.erase(key); break;
      case BatchOperation::kEraseRange: {
        const std::string_view to = in.string();
        if (!in.ok()) return malformed_batch("cut short");
        if (to <= key) return malformed_batch("empty range");
        visitor.erase_range(key, to);
        break;
      }
      default: return malformed_batch("unknown operation");
    }
  }
  return ok();
}

}  // namespace stavefs
