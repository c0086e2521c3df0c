#include "fs/names.h"

#include <algorithm>

#include "codec/checksum.h"

namespace stavefs {

Status check_name(std::string_view name) {
  if (name.size() > kMaxNameBytes) return posix_error(ENAMETOOLONG);
  if (name.empty() || name == "." || name == "..") return posix_error(EINVAL);
  if (name.find('/') != name.npos || name.find('\0') != name.npos) return posix_error(EINVAL);
  return ok();
}

uint64_t hash_name(std::string_view name, uint64_t seed) {
  return std::max(xxh3_64(name.data(), name.size(), seed) >> 1, kFirstNameHash);
}

}  // namespace stavefs
