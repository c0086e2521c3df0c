#include "fs/dentry_format.h"

#include <fmt/core.h>

#include <cstring>

namespace stavefs {
namespace {

const char* type_name(uint8_t type) {
  switch (type) {
    case 1: return "fifo";
    case 2: return "character device";
    case 4: return "directory";
    case 6: return "block device";
    case 8: return "file";
    case 10: return "symlink";
    case 12: return "socket";
    default: return nullptr;
  }
}

}  // namespace

std::string Dentry::encode() const {
  DentryFormat format{};
  format.inode = inode.value;
  format.type = type;
  return std::string(bytes_of(format));
}

Result<Dentry> Dentry::decode(std::string_view value) {
  DentryFormat format;
  if (value.size() != sizeof format) {
    return Error(ErrorCode::kCorrupt, EIO, fmt::format("directory entry of {} bytes", value.size()));
  }
  std::memcpy(&format, value.data(), sizeof format);
  const Dentry dentry{InodeId(format.inode), format.type};
  if (dentry.inode.value == 0) return Error(ErrorCode::kCorrupt, EIO, "directory entry without an inode");
  if (type_name(dentry.type) == nullptr) {
    return Error(ErrorCode::kCorrupt, EIO, fmt::format("directory entry of unknown type {}", dentry.type));
  }
  return dentry;
}

std::string Dentry::to_text() const {
  const char* name = type_name(type);
  return fmt::format("inode={} type={}", inode.value, name != nullptr ? name : "unknown");
}

}  // namespace stavefs
