#include "store/extent.h"

#include "codec/compress.h"

namespace stavefs {
namespace {

constexpr uint8_t kExtentVersion = 1;
constexpr uint8_t kZstdFrame = 1;

Error bad_extent(const char* what) {
  return Error(ErrorCode::kCorrupt, EIO, std::string("extent record: ") + what);
}

/// Null when the address is possible, else what is wrong with it.
const char* address_fault(const ExtentAddress& a) {
  if (a.group.value == 0 || a.row.value == 0) return "no group or row";
  if (a.unit_rows == 0 || a.unit_rows > kMaxUnitRows || a.used_units == 0 || a.used_units > 63) {
    return "impossible stripe shape";
  }
  const uint64_t space = uint64_t{a.used_units} * a.unit_bytes();
  if (a.length == 0 || a.offset % kExtentAlignment != 0 || uint64_t{a.offset} + a.length > space) {
    return "outside its stripe";
  }
  if (a.length <= kChecksumChunk && a.offset / a.unit_bytes() != (a.offset + a.length - 1) / a.unit_bytes()) {
    return "short extent crosses a unit";
  }
  return nullptr;
}

}  // namespace

std::string Extent::encode() const {
  std::string out;
  out.reserve(64 + checksums.size());
  ByteWriter writer(out);
  writer.u8(kExtentVersion);
  writer.u8(static_cast<uint8_t>(checksum));
  writer.u8(compression);
  writer.u8(address.unit_rows);
  writer.u8(address.used_units);
  writer.varint(address.group.value);
  writer.varint(address.row.value);
  writer.varint(address.offset / kExtentAlignment);
  writer.varint(address.length);
  writer.varint(length);
  writer.varint(skip);
  writer.varint(birth.value);
  writer.varint(captured.value);
  if (compression != 0) writer.varint(expanded_length);
  writer.bytes(checksums);
  return out;
}

Result<Extent> Extent::decode(std::string_view value) {
  ByteReader reader(value);
  if (reader.u8() != kExtentVersion) return bad_extent("unknown version");
  Extent e;
  ASSIGN_OR_RETURN(e.checksum, decode_checksum_kind(reader.u8()));
  e.compression = reader.u8();
  e.address.unit_rows = reader.u8();
  e.address.used_units = reader.u8();
  e.address.group = GroupId(reader.varint());
  const uint64_t row = reader.varint();
  const uint64_t offset = reader.varint();
  const uint64_t stored = reader.varint();
  e.length = reader.varint();
  e.skip = reader.varint();
  e.birth = Lsn(reader.varint());
  e.captured = Lsn(reader.varint());
  const uint64_t expanded = e.compression != 0 ? reader.varint() : stored;
  if (!reader.ok()) return bad_extent("short");
  constexpr uint64_t kMax32 = UINT32_MAX;
  if (row > kMax32 || offset > kMax32 / kExtentAlignment || stored > kMax32 || expanded > kMax32) {
    return bad_extent("number out of range");
  }
  e.address.row = Row(static_cast<uint32_t>(row));
  e.address.offset = static_cast<uint32_t>(offset) * kExtentAlignment;
  e.address.length = static_cast<uint32_t>(stored);
  e.expanded_length = static_cast<uint32_t>(expanded);
  if (const char* fault = address_fault(e.address)) return bad_extent(fault);
  if (e.compression > kZstdFrame) return bad_extent("unknown compression");
  if (e.compression != 0 && (expanded == 0 || expanded > kCompressedFrameBytes)) {
    return bad_extent("impossible frame");
  }
  if (e.length == 0 || e.skip > expanded || e.length > expanded - e.skip) {
    return bad_extent("covers more than it holds");
  }
  const size_t sums = checksum_chunks(e.address.length) * checksum_bytes(e.checksum);
  if (reader.remaining() != sums) return bad_extent("wrong number of checksums");
  e.checksums = std::string(reader.bytes(sums));
  return e;
}

std::string Extent::to_text() const {
  std::string text =
      "group " + std::to_string(address.group.value) + " row " + std::to_string(address.row.value) +
      " unit " + std::to_string(address.unit_bytes()) + " x " + std::to_string(address.used_units) +
      " offset " + std::to_string(address.offset) + " stored " + std::to_string(address.length) + " length " +
      std::to_string(length) + " skip " + std::to_string(skip) + " birth " + std::to_string(birth.value) +
      " captured " + std::to_string(captured.value) + " " + std::string(to_string(checksum));
  if (compression != 0) text += " zstd of " + std::to_string(expanded_length);
  return text;
}

}  // namespace stavefs
