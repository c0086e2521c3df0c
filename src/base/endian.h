// Byte order on disk and in keys.
//
// Fixed structures are little-endian and made of Le16/Le32/Le64, which have alignment 1, so that a struct
// of them has no padding.  Keys are big-endian, so that memcmp order is numeric order.  Values of variable
// length are written with ByteWriter and read with ByteReader, which never reads past its end.

#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>

namespace stavefs {

static_assert(std::endian::native == std::endian::little, "a big-endian host needs byte swaps here");

/// A little-endian integer of alignment 1.
template <class T>
class LittleEndian {
 public:
  constexpr LittleEndian() = default;
  LittleEndian(T v) { std::memcpy(bytes_.data(), &v, sizeof v); }  // NOLINT: implicit by intent
  operator T() const {                                             // NOLINT: implicit by intent
    T v;
    std::memcpy(&v, bytes_.data(), sizeof v);
    return v;
  }

 private:
  std::array<uint8_t, sizeof(T)> bytes_{};
};

using Le16 = LittleEndian<uint16_t>;
using Le32 = LittleEndian<uint32_t>;
using Le64 = LittleEndian<uint64_t>;

inline void append_be16(std::string& key, uint16_t v) {
  v = __builtin_bswap16(v);
  key.append(reinterpret_cast<const char*>(&v), sizeof v);
}
inline void append_be32(std::string& key, uint32_t v) {
  v = __builtin_bswap32(v);
  key.append(reinterpret_cast<const char*>(&v), sizeof v);
}
inline void append_be64(std::string& key, uint64_t v) {
  v = __builtin_bswap64(v);
  key.append(reinterpret_cast<const char*>(&v), sizeof v);
}
/// REQUIRES: at least 2 (4, 8) bytes at `p`.
inline uint16_t load_be16(const char* p) {
  uint16_t v;
  std::memcpy(&v, p, sizeof v);
  return __builtin_bswap16(v);
}
inline uint32_t load_be32(const char* p) {
  uint32_t v;
  std::memcpy(&v, p, sizeof v);
  return __builtin_bswap32(v);
}
inline uint64_t load_be64(const char* p) {
  uint64_t v;
  std::memcpy(&v, p, sizeof v);
  return __builtin_bswap64(v);
}

/// Appends little-endian fields to a string.
class ByteWriter {
 public:
  explicit ByteWriter(std::string& out) : out_(out) {}
  void u8(uint8_t v) { out_.push_back(static_cast<char>(v)); }
  void u16(uint16_t v) { raw(&v, sizeof v); }
  void u32(uint32_t v) { raw(&v, sizeof v); }
  void u64(uint64_t v) { raw(&v, sizeof v); }
  /// LEB128: 7 bits a byte, lowest first, at most 10 bytes.
  void varint(uint64_t v) {
    while (v >= 0x80) {
      u8(static_cast<uint8_t>(v | 0x80));
      v >>= 7;
    }
    u8(static_cast<uint8_t>(v));
  }
  void bytes(std::string_view v) { out_.append(v); }
  /// A varint length, then the bytes.
  void string(std::string_view v) {
    varint(v.size());
    bytes(v);
  }

 private:
  void raw(const void* p, size_t n) { out_.append(static_cast<const char*>(p), n); }
  std::string& out_;
};

/// Reads what ByteWriter wrote.  After the first short or malformed read `ok()` is false for good and
/// every read returns zero or an empty view: check once, at the end.
class ByteReader {
 public:
  explicit ByteReader(std::string_view in) : in_(in) {}
  uint8_t u8() { return number<uint8_t>(); }
  uint16_t u16() { return number<uint16_t>(); }
  uint32_t u32() { return number<uint32_t>(); }
  uint64_t u64() { return number<uint64_t>(); }
  uint64_t varint() {
    uint64_t v = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      const uint8_t b = u8();
      if (shift == 63 && b > 1) break;
      v |= static_cast<uint64_t>(b & 0x7f) << shift;
      if ((b & 0x80) == 0) return ok_ ? v : 0;
    }
    ok_ = false;
    return 0;
  }
  std::string_view bytes(size_t n) {
    if (!ok_ || n > in_.size()) {
      ok_ = false;
      return {};
    }
    const std::string_view v = in_.substr(0, n);
    in_.remove_prefix(n);
    return v;
  }
  std::string_view string() { return bytes(varint()); }

  bool ok() const { return ok_; }
  /// True when everything was read, and read well.
  bool finished() const { return ok_ && in_.empty(); }
  size_t remaining() const { return in_.size(); }

 private:
  template <class T>
  T number() {
    const std::string_view v = bytes(sizeof(T));
    T n{};
    if (!v.empty()) std::memcpy(&n, v.data(), sizeof n);
    return n;
  }
  std::string_view in_;
  bool ok_ = true;
};

/// The bytes of a trivially copyable structure.
template <class T>
std::string_view bytes_of(const T& value) {
  static_assert(std::is_trivially_copyable_v<T>);
  return {reinterpret_cast<const char*>(&value), sizeof value};
}

}  // namespace stavefs
