#include "pool/geometry.h"

#include <charconv>

namespace stavefs {
namespace {

/// All of `text` as a number of at most two digits.
bool parse_count(std::string_view text, int& value) {
  if (text.empty() || text.size() > 2) return false;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size() && value >= 0;
}

}  // namespace

Result<Geometry> Geometry::parse(std::string_view text) {
  const auto invalid = [&](const std::string& what) {
    return Error(ErrorCode::kInvalid, EINVAL, "class \"" + std::string(text.substr(0, 32)) + "\": " + what);
  };
  const size_t plus = text.find('+');
  int data = 0;
  int parity = 0;
  if (plus == std::string_view::npos || !parse_count(text.substr(0, plus), data) ||
      !parse_count(text.substr(plus + 1), parity))
    return invalid("expected data+parity disks, such as 4+2");
  if (data < 1) return invalid("at least one data disk is needed");
  if (parity < 1) return invalid("at least one parity disk is needed, otherwise one lost disk loses data");
  if (data + parity > 64) return invalid("at most 64 disks in all");
  return Geometry{static_cast<uint8_t>(data), static_cast<uint8_t>(parity)};
}

}  // namespace stavefs
