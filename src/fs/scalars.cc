#include "fs/scalars.h"

#include <fmt/core.h>

#include <string>

#include "base/endian.h"
#include "index/keys.h"

namespace stavefs {

void put_scalar(Change& change, std::string_view name, uint64_t value) {
  std::string bytes;
  ByteWriter(bytes).u64(value);
  change.index().put(keys::scalar(name), bytes);
}

Result<std::optional<uint64_t>> get_scalar(const Ledger& ledger, std::string_view name) {
  ASSIGN_OR_RETURN(const auto bytes, ledger.get(keys::scalar(name)));
  if (!bytes) return std::optional<uint64_t>();
  ByteReader reader(*bytes);
  const uint64_t value = reader.u64();
  if (!reader.finished()) {
    return Error(ErrorCode::kCorrupt, EIO, fmt::format("scalar \"{}\" has {} bytes", name, bytes->size()));
  }
  return std::optional<uint64_t>(value);
}

}  // namespace stavefs
