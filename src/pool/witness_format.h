// The host's witness file: the newest publication of an epoch that this host has taken part in.
//
// 64 bytes, replaced as a whole.  Pure functions.

#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "base/endian.h"
#include "base/result.h"
#include "pool/pool.h"

namespace stavefs {

inline constexpr uint32_t kWitnessVersion = 1;

struct WitnessFields {
  char magic[8];
  Le32 version;
  uint8_t reserved[4];
  Le64 epoch;
  Le64 ticket;
  uint8_t fork[16];
  Le64 hash[2];  // XXH3-128 of what is before
};
static_assert(sizeof(WitnessFields) == 64);
static_assert(offsetof(WitnessFields, hash) == 48);

WitnessFields encode_witness(const Witness::Value& value);
/// kCorrupt, or kUnsupported for a newer version.
Result<Witness::Value> decode_witness(std::string_view bytes);
std::string to_text(const Witness::Value& value);

}  // namespace stavefs
