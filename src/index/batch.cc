#include "index/batch.h"

#include "base/check.h"
#include "index/batch_format.h"

namespace stavefs {

void IndexBatch::put(std::string_view key, std::string_view value) {
  CHECK(!key.empty());
  ByteWriter out(encoded_);
  out.u8(static_cast<uint8_t>(BatchOperation::kPut));
  out.string(key);
  out.string(value);
  ++count_;
}

void IndexBatch::erase(std::string_view key) {
  CHECK(!key.empty());
  ByteWriter out(encoded_);
  out.u8(static_cast<uint8_t>(BatchOperation::kErase));
  out.string(key);
  ++count_;
}

void IndexBatch::erase_range(std::string_view from, std::string_view to) {
  if (to <= from) return;
  CHECK(!from.empty());
  ByteWriter out(encoded_);
  out.u8(static_cast<uint8_t>(BatchOperation::kEraseRange));
  out.string(from);
  out.string(to);
  ++count_;
}

Status IndexBatch::visit(std::string_view encoded, const Visitor& visitor) {
  return walk_batch(encoded, visitor);
}

}  // namespace stavefs
