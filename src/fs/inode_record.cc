// The encoding of an inode's record (FORMAT.md, "Inode record").
//
// A version byte, a byte of presence bits, then numbers as varints.  Times are kept as mtime and three
// differences to it, because the four of most files are close together.

#include <fmt/format.h>

#include <cerrno>

#include "base/endian.h"
#include "fs/inode.h"

namespace stavefs {
namespace {

constexpr uint8_t kRecordVersion = 1;
constexpr uint8_t kHasInline = 1;
constexpr uint8_t kHasRdev = 2;
constexpr uint8_t kKnownBits = kHasInline | kHasRdev;

/// Small for small differences of either sign; exact for all.
uint64_t zigzag(TimeNs value, TimeNs base) {
  const auto d = static_cast<int64_t>(static_cast<uint64_t>(value) - static_cast<uint64_t>(base));
  return (static_cast<uint64_t>(d) << 1) ^ static_cast<uint64_t>(d >> 63);
}
TimeNs unzigzag(uint64_t coded, TimeNs base) {
  const uint64_t d = (coded >> 1) ^ (0 - (coded & 1));
  return static_cast<TimeNs>(static_cast<uint64_t>(base) + d);
}

Error corrupt(std::string_view what) {
  return Error(ErrorCode::kCorrupt, EIO, fmt::format("inode record: {}", what));
}

/// A varint that must fit 32 bits.
uint32_t small(ByteReader& in, bool& fits) {
  const uint64_t v = in.varint();
  if (v > UINT32_MAX) fits = false;
  return static_cast<uint32_t>(v);
}

bool known_type(uint32_t mode) {
  switch (mode & 0170000) {
    case 0010000:
    case 0020000:
    case 0040000:
    case 0060000:
    case 0100000:
    case 0120000:
    case 0140000: return true;
    default: return false;
  }
}

Status validate(const InodeRecord& r) {
  if ((r.mode & ~0177777U) != 0 || !known_type(r.mode)) return corrupt("impossible mode");
  const uint32_t type = r.mode & 0170000;
  if (r.rdev != 0 && type != 0020000 && type != 0060000) return corrupt("device number of what is no device");
  if (r.flags != 0) return corrupt("unknown flags");
  if (r.is_regular()) {
    if (r.size > kMaxFileBytes) return corrupt("impossible size");
    if (r.stored_bytes > r.size) return corrupt("more bytes stored than the size allows");
    if (r.has_inline &&
        (r.inline_data.size() > kInlineBytes || r.inline_data.size() > r.size || r.stored_bytes != 0)) {
      return corrupt("impossible inline data");
    }
  } else {
    if (r.stored_bytes != 0) return corrupt("stored bytes of what is no regular file");
    if (r.has_inline != r.is_symlink()) return corrupt("inline data where there must be none, or none");
    if (r.is_symlink() && (r.size != r.inline_data.size() || r.size == 0 || r.size > kMaxSymlinkBytes)) {
      return corrupt("impossible symlink target");
    }
  }
  return ok();
}

}  // namespace

std::string InodeRecord::encode() const {
  std::string out;
  out.reserve(64 + inline_data.size());
  ByteWriter w(out);
  w.u8(kRecordVersion);
  w.u8(static_cast<uint8_t>((has_inline ? kHasInline : 0) | (rdev != 0 ? kHasRdev : 0)));
  w.varint(mode);
  w.varint(nlink);
  w.varint(uid);
  w.varint(gid);
  if (rdev != 0) w.varint(rdev);
  w.varint(size);
  w.varint(stored_bytes);
  w.u64(static_cast<uint64_t>(mtime));
  w.varint(zigzag(atime, mtime));
  w.varint(zigzag(ctime, mtime));
  w.varint(zigzag(btime, mtime));
  w.varint(generation);
  w.varint(version.value);
  w.varint(bucket.value);
  w.varint(parent.value);
  w.varint(flags);
  if (has_inline) w.string(inline_data);
  return out;
}

Result<InodeRecord> InodeRecord::decode(std::string_view value) {
  ByteReader in(value);
  InodeRecord r;
  if (in.u8() != kRecordVersion) return corrupt("unknown version");
  const uint8_t bits = in.u8();
  if ((bits & ~kKnownBits) != 0) return corrupt("unknown presence bits");
  bool fits = true;
  r.mode = small(in, fits);
  r.nlink = small(in, fits);
  r.uid = small(in, fits);
  r.gid = small(in, fits);
  if ((bits & kHasRdev) != 0) {
    r.rdev = in.varint();
    if (r.rdev == 0) return corrupt("empty device number");
  }
  r.size = in.varint();
  r.stored_bytes = in.varint();
  r.mtime = static_cast<TimeNs>(in.u64());
  r.atime = unzigzag(in.varint(), r.mtime);
  r.ctime = unzigzag(in.varint(), r.mtime);
  r.btime = unzigzag(in.varint(), r.mtime);
  r.generation = in.varint();
  r.version = VersionId(in.varint());
  r.bucket = BucketId(small(in, fits));
  r.parent = InodeId(in.varint());
  r.flags = small(in, fits);
  if ((bits & kHasInline) != 0) {
    r.has_inline = true;
    r.inline_data = in.string();
  }
  if (!in.finished()) return corrupt("wrong length");
  if (!fits) return corrupt("a number is too large");
  TRY(validate(r));
  return r;
}

std::string InodeRecord::to_text() const {
  std::string text = fmt::format(
      "mode {:06o} nlink {} uid {} gid {} size {} stored {} mtime {} atime {} ctime {} btime {} generation "
      "{} "
      "version {} bucket {} parent {}",
      mode, nlink, uid, gid, size, stored_bytes, mtime, atime, ctime, btime, generation, version.value,
      bucket.value, parent.value);
  if (rdev != 0) text += fmt::format(" rdev {:#x}", rdev);
  if (has_inline) text += fmt::format(" inline {} bytes", inline_data.size());
  return text;
}

}  // namespace stavefs
