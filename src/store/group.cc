#include "store/group.h"

#include <bit>

#include "base/check.h"
#include "store/stripe_layout.h"

namespace stavefs {

Group::Group(GroupId id, GroupRecord record, std::shared_ptr<const ReedSolomon> codec, uint32_t rows)
    : id_(id),
      geometry_(record.geometry),
      temperature_(record.temperature),
      shards_(record.shards),
      codec_(std::move(codec)),
      rows_(rows),
      state_(record.state),
      missing_(record.missing),
      record_(std::move(record)),
      files_(shards_.size()) {}

int Group::live_shards() const { return static_cast<int>(total()) - std::popcount(missing()); }

GroupRecord Group::record() const {
  const std::lock_guard lock(mutex_);
  return record_;
}

void Group::apply(const GroupRecord& record) {
  const std::lock_guard lock(mutex_);
  record_ = record;
  missing_.store(record.missing, std::memory_order_release);
  state_.store(record.state, std::memory_order_release);
}

void Group::start_appending(Row next, size_t summary_bytes) {
  const std::lock_guard lock(mutex_);
  appending_ = true;
  next_row_ = next.value;
  summary_bytes_ = std::max(summary_bytes, kSummaryHeadBytes);
  update_room();
}

void Group::stop_appending() {
  const std::lock_guard lock(mutex_);
  appending_ = false;
  update_room();
}

void Group::update_room() {
  // A stripe with one owner; append() asks for more when there are more.
  const size_t least_entry = summary_entry_bytes(8 + 8 * size_t{total()} + 32);
  const size_t bytes = summary_bytes_ + least_entry;
  const uint32_t needed = summary_rows(bytes, geometry_.data);
  const uint32_t end = footer_row(rows_);
  const bool any =
      appending_ && next_row_ + needed < end && summary_parts(bytes, geometry_.data) <= kMaxSummaryParts;
  room_.store(any ? end - needed - next_row_ : 0, std::memory_order_release);
}

std::optional<Row> Group::append(uint32_t rows, size_t record_bytes, bool join) {
  const std::lock_guard lock(mutex_);
  const size_t bytes = summary_bytes_ + summary_entry_bytes(record_bytes);
  if (!appending_ || next_row_ + rows + summary_rows(bytes, geometry_.data) > footer_row(rows_) ||
      summary_parts(bytes, geometry_.data) > kMaxSummaryParts) {
    return std::nullopt;
  }
  const Row row(next_row_);
  next_row_ += rows;
  summary_bytes_ = bytes;
  if (join) ++sessions_;
  update_room();
  return row;
}

void Group::leave() {
  const std::lock_guard lock(mutex_);
  CHECK(sessions_ > 0);
  --sessions_;
}

bool Group::enter_idle() {
  const std::lock_guard lock(mutex_);
  if (appending_ || sessions_ != 0) return false;
  ++sessions_;
  return true;
}

uint32_t Group::sessions() const {
  const std::lock_guard lock(mutex_);
  return sessions_;
}

Row Group::next_row() const {
  const std::lock_guard lock(mutex_);
  return Row(next_row_);
}

SegmentFile Group::file(uint32_t shard) const {
  const std::lock_guard lock(files_mutex_);
  return files_[shard];
}

std::vector<SegmentFile> Group::files() const {
  const std::lock_guard lock(files_mutex_);
  return files_;
}

void Group::set_file(uint32_t shard, SegmentFile file) {
  const std::lock_guard lock(files_mutex_);
  files_[shard] = std::move(file);
}

void Group::drop_files() {
  std::vector<SegmentFile> closing(shards_.size());
  {
    const std::lock_guard lock(files_mutex_);
    files_.swap(closing);
  }
}

}  // namespace stavefs
