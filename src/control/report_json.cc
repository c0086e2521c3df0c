#include "control/report_json.h"

#include <cstdio>
#include <ctime>
#include <map>

namespace stavefs {
namespace {

using nlohmann::json;

json shard_json(const ShardReport& shard, int number, const Pool& pool) {
  json out = {{"shard", number}, {"missing", shard.missing}};
  if (shard.disk == kNoDisk) {
    out["disk"] = nullptr;
    out["health"] = "never written";
    return out;
  }
  out["disk"] = pool.members()[shard.disk.value].name;
  out["segment"] = shard.segment.value;
  out["generation"] = shard.generation.value;
  out["health"] = shard.missing ? "missing" : pool.usable(shard.disk) ? "ok" : "unreachable";
  return out;
}

}  // namespace

std::string rfc3339(TimeNs time) {
  int64_t seconds = time / 1'000'000'000;
  int64_t nanoseconds = time % 1'000'000'000;
  if (nanoseconds < 0) {
    nanoseconds += 1'000'000'000;
    --seconds;
  }
  const auto clock = static_cast<time_t>(seconds);
  tm parts{};
  gmtime_r(&clock, &parts);
  char text[64];
  const size_t n = strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &parts);
  if (nanoseconds != 0) {
    std::snprintf(text + n, sizeof text - n, ".%09lldZ", static_cast<long long>(nanoseconds));
  } else {
    std::snprintf(text + n, sizeof text - n, "Z");
  }
  return text;
}

json to_json(const DiskReport& disk, uint64_t groups_behind) {
  return {{"name", disk.member.name},
          {"path", disk.path},
          {"state", to_string(disk.state)},
          {"reason", disk.reason},
          {"uuid", disk.member.uuid.to_text()},
          {"slot", disk.member.slot.value},
          {"segments", disk.member.segments},
          {"full", disk.full},
          {"metadata", disk.metadata_member},
          {"stale", disk.stale},
          {"groups_behind", groups_behind},
          {"total_bytes", disk.space.total_bytes},
          {"free_bytes", disk.space.free_bytes},
          {"errors",
           {{"read", disk.read_errors}, {"write", disk.write_errors}, {"checksum", disk.checksum_errors}}}};
}

json to_json(const StatusReport& report) {
  std::map<uint16_t, uint64_t> behind;
  for (const auto& [slot, groups] : report.missing_groups) behind[slot.value] = groups;
  json disks = json::array();
  for (const DiskReport& disk : report.disks) disks.push_back(to_json(disk, behind[disk.member.slot.value]));
  json events = json::array();
  for (const Event& event : report.events) {
    events.push_back({{"time", rfc3339(event.time_ns)}, {"severity", event.severity}, {"text", event.text}});
  }
  const SpaceReport& space = report.space;
  return {{"output_version", kOutputVersion},
          {"pool", report.pool},
          {"id", report.id.to_text()},
          {"verdict", report.verdict},
          {"explanation", report.explanation},
          {"next_command", report.next_command},
          {"exit_code", report.exit_code},
          {"class", report.geometry.to_text()},
          {"epoch", report.epoch.value},
          {"disks", std::move(disks)},
          {"groups_never_placed", behind[kNoDisk.value]},
          {"space",
           {{"total_bytes", space.total_bytes},
            {"free_bytes", space.free_bytes},
            {"raw_total_bytes", space.raw_total_bytes},
            {"raw_free_bytes", space.raw_free_bytes},
            {"live_bytes", space.live_bytes},
            {"groups", space.groups},
            {"degraded_groups", space.degraded_groups},
            {"degraded_bytes", space.degraded_bytes},
            {"lost_groups", space.lost_groups}}},
          {"dirty_bytes", report.dirty_bytes},
          {"journal", {{"live_bytes", report.journal_live_bytes}, {"ring_bytes", report.journal_ring_bytes}}},
          {"metadata",
           {{"copies", report.metadata_copies},
            {"copies_wanted", report.metadata_copies_wanted},
            {"index_bytes", report.index_bytes}}},
          {"events", std::move(events)}};
}

json to_json(const BucketInfo& bucket) {
  return {{"name", bucket.name},
          {"id", bucket.id.value},
          {"class", bucket.policy.geometry.to_text()},
          {"checksum", to_string(bucket.policy.checksum)},
          {"created", rfc3339(bucket.created)},
          {"bytes", bucket.bytes},
          {"files", bucket.files}};
}

json to_json(const FileLayout& layout, const Store& store, const Pool& pool) {
  json extents = json::array();
  std::map<GroupId, json> groups;
  bool degraded = false;
  for (const FileLayoutExtent& extent : layout.extents) {
    extents.push_back({{"file_offset", extent.file_offset},
                       {"bytes", extent.length},
                       {"group", extent.group.value},
                       {"row", extent.row.value},
                       {"unit_bytes", extent.unit_bytes},
                       {"stripe_offset", extent.offset},
                       {"compressed", extent.compressed}});
    if (groups.contains(extent.group)) continue;
    const auto report = store.group(extent.group);
    if (!report) continue;
    json shards = json::array();
    for (size_t i = 0; i < report->shards.size(); ++i) {
      shards.push_back(shard_json(report->shards[i], static_cast<int>(i), pool));
      degraded = degraded || shards.back()["health"] != "ok";
    }
    groups[extent.group] = {{"group", extent.group.value},
                            {"class", report->geometry.to_text()},
                            {"state", report->state},
                            {"live_bytes", report->live_bytes},
                            {"shards", std::move(shards)}};
  }
  json group_list = json::array();
  for (auto& [id, group] : groups) group_list.push_back(std::move(group));
  const Attributes& attributes = layout.attributes;
  json out = {{"output_version", kOutputVersion},
              {"inode", attributes.id.value},
              {"mode", attributes.mode},
              {"size", attributes.size},
              {"links", attributes.nlink},
              {"modified", rfc3339(attributes.mtime)},
              {"inline_bytes", layout.inline_bytes},
              {"dirty_bytes", layout.dirty_bytes},
              {"health", degraded ? "degraded" : "ok"},
              {"extents", std::move(extents)},
              {"groups", std::move(group_list)},
              {"bucket", nullptr}};
  // The root is in no bucket.
  if (layout.bucket.name.empty()) return out;
  out["bucket"] = layout.bucket.name;
  out["class"] = layout.bucket.policy.geometry.to_text();
  out["checksum"] = to_string(layout.bucket.policy.checksum);
  return out;
}

}  // namespace stavefs
