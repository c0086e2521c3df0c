#include "base/uuid.h"

#include <cstring>

namespace stavefs {
namespace {

constexpr char kHex[] = "0123456789abcdef";
constexpr bool is_dash(size_t text_index) {
  return text_index == 8 || text_index == 13 || text_index == 18 || text_index == 23;
}

int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

}  // namespace

std::string Uuid::to_text() const {
  std::string text;
  text.reserve(36);
  for (const uint8_t b : bytes) {
    if (is_dash(text.size())) text.push_back('-');
    text.push_back(kHex[b >> 4]);
    text.push_back(kHex[b & 15]);
  }
  return text;
}

Result<Uuid> Uuid::parse(std::string_view text) {
  Uuid uuid;
  size_t nibble = 0;
  if (text.size() != 36) return Error(ErrorCode::kInvalid, EINVAL, "not a UUID: " + std::string(text));
  for (size_t i = 0; i < text.size(); ++i) {
    if (is_dash(i)) {
      if (text[i] != '-') return Error(ErrorCode::kInvalid, EINVAL, "not a UUID: " + std::string(text));
      continue;
    }
    const int v = hex_value(text[i]);
    if (v < 0) return Error(ErrorCode::kInvalid, EINVAL, "not a UUID: " + std::string(text));
    uuid.bytes[nibble / 2] = static_cast<uint8_t>(uuid.bytes[nibble / 2] << 4 | v);
    ++nibble;
  }
  return uuid;
}

Uuid Uuid::random(Rng& rng) {
  Uuid uuid;
  for (size_t i = 0; i < uuid.bytes.size(); i += 8) {
    const uint64_t v = rng.next();
    std::memcpy(&uuid.bytes[i], &v, 8);
  }
  uuid.bytes[6] = static_cast<uint8_t>((uuid.bytes[6] & 0x0f) | 0x40);
  uuid.bytes[8] = static_cast<uint8_t>((uuid.bytes[8] & 0x3f) | 0x80);
  return uuid;
}

}  // namespace stavefs
