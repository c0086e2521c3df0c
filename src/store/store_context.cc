#include "store/store_context.h"

#include "store/group.h"

namespace stavefs {

SegmentIdentity StoreContext::identity(const Group& group, uint32_t shard) const {
  const ShardPlace& place = group.shards()[shard];
  SegmentIdentity id;
  id.pool = pool.config().id;
  id.disk = member(place.disk).uuid;
  id.slot = place.disk;
  id.segment = place.segment;
  id.group = group.id();
  id.generation = place.generation;
  id.shard = static_cast<uint8_t>(shard);
  id.geometry = group.geometry();
  id.temperature = group.temperature();
  id.created_ns = group.record().created_ns;
  id.segment_bytes = pool.config().segment_bytes;
  return id;
}

Result<std::shared_ptr<const ReedSolomon>> StoreContext::codec(const Geometry& geometry) {
  const std::lock_guard lock(codecs_mutex_);
  auto& codec = codecs_[geometry];
  if (codec == nullptr) {
    ASSIGN_OR_RETURN(codec, ReedSolomon::create(geometry.data, geometry.parity));
  }
  return codec;
}

}  // namespace stavefs
