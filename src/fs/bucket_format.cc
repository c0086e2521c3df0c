#include "fs/bucket_format.h"

#include <fmt/core.h>

#include <algorithm>
#include <cstring>
#include <iterator>

namespace stavefs {
namespace {

Error corrupt(std::string what) {
  return Error(ErrorCode::kCorrupt, EIO, "bucket record: " + std::move(what));
}

}  // namespace

std::string BucketRecord::encode() const {
  BucketFormat format{};
  format.id = id.value;
  format.data_shards = policy.geometry.data;
  format.parity_shards = policy.geometry.parity;
  format.checksum = static_cast<uint8_t>(policy.checksum);
  format.root = root.value;
  format.created = static_cast<uint64_t>(created);
  return std::string(bytes_of(format));
}

Result<BucketRecord> BucketRecord::decode(std::string_view value) {
  BucketFormat format;
  if (value.size() != sizeof format) return corrupt(fmt::format("{} bytes", value.size()));
  std::memcpy(&format, value.data(), sizeof format);
  BucketRecord record;
  record.id = BucketId(format.id);
  record.root = InodeId(format.root);
  record.policy.geometry = Geometry{format.data_shards, format.parity_shards};
  record.created = static_cast<TimeNs>(static_cast<uint64_t>(format.created));
  if (record.id.value == 0 || record.root.value == 0) return corrupt("no number");
  if (!record.policy.geometry.valid()) return corrupt("geometry " + record.policy.geometry.to_text());
  ASSIGN_OR_RETURN(record.policy.checksum, decode_checksum_kind(format.checksum));
  const bool zero =
      std::all_of(std::begin(format.reserved), std::end(format.reserved), [](uint8_t b) { return b == 0; });
  if (format.reserved0 != 0 || !zero) return corrupt("reserved bytes are not zero");
  return record;
}

std::string BucketRecord::to_text() const {
  return fmt::format("id={} root={} class={} checksum={} created={}", id.value, root.value,
                     policy.geometry.to_text(), to_string(policy.checksum), created);
}

}  // namespace stavefs
