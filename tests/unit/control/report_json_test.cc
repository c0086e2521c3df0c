// Reports as scripts see them: names and types of the fields are an interface, integers stay exact, times are
// RFC 3339 in UTC.

#include "control/report_json.h"

#include <gtest/gtest.h>

#include "control/control_server.h"

namespace stavefs {
namespace {

using nlohmann::json;

DiskReport disk(uint16_t slot, DiskState state) {
  DiskReport report;
  report.member.slot = DiskSlot(slot);
  report.member.name = "d" + std::to_string(slot + 1);
  report.member.uuid.bytes.fill(static_cast<uint8_t>(slot + 1));
  report.member.segments = 24;
  report.state = state;
  report.path = "/disks/" + std::to_string(slot + 1);
  report.space = {(uint64_t{1} << 60) + 1, (uint64_t{1} << 53) + 1};
  report.read_errors = 1;
  report.write_errors = 2;
  report.checksum_errors = 3;
  return report;
}

TEST(Rfc3339, FractionsOnlyWhenThereAreAnyAndTimesBefore1970) {
  EXPECT_EQ(rfc3339(0), "1970-01-01T00:00:00Z");
  EXPECT_EQ(rfc3339(1'769'860'800'000'000'000), "2026-01-31T12:00:00Z");
  EXPECT_EQ(rfc3339(1'769'860'800'000'000'007), "2026-01-31T12:00:00.000000007Z");
  EXPECT_EQ(rfc3339(-1), "1969-12-31T23:59:59.999999999Z");
  EXPECT_EQ(rfc3339(-1'000'000'000), "1969-12-31T23:59:59Z");
  EXPECT_EQ(rfc3339(INT64_MIN), "1677-09-21T00:12:43.145224192Z");
}

TEST(ReportJson, DiskHasWhatTheInterfacePromises) {
  const json out = to_json(disk(2, DiskState::kAbsent), 7);
  EXPECT_EQ(out["name"], "d3");
  EXPECT_EQ(out["path"], "/disks/3");
  EXPECT_EQ(out["state"], "absent");
  EXPECT_EQ(out["groups_behind"], 7);
  EXPECT_EQ(out["total_bytes"].get<uint64_t>(), (uint64_t{1} << 60) + 1) << "must not pass through a double";
  EXPECT_EQ(out["free_bytes"].dump(), "9007199254740993");
  EXPECT_EQ(out["errors"], (json{{"read", 1}, {"write", 2}, {"checksum", 3}}));
}

TEST(ReportJson, StatusTellsWhoIsBehind) {
  StatusReport report;
  report.pool = "tank";
  report.geometry = {4, 2};
  report.verdict = "DEGRADED";
  report.exit_code = 4;
  report.disks = {disk(0, DiskState::kActive), disk(1, DiskState::kFailed)};
  report.missing_groups = {{DiskSlot(1), 5}, {kNoDisk, 2}};
  report.events = {{0, "error", "disk d2 is out of use"}};
  const json out = to_json(report);
  EXPECT_EQ(out["output_version"], kOutputVersion);
  EXPECT_EQ(out["class"], "4+2");
  EXPECT_EQ(out["exit_code"], 4);
  EXPECT_EQ(out["disks"][0]["groups_behind"], 0);
  EXPECT_EQ(out["disks"][1]["groups_behind"], 5);
  EXPECT_EQ(out["disks"][1]["state"], "failed");
  EXPECT_EQ(out["groups_never_placed"], 2);
  EXPECT_EQ(out["events"][0]["time"], "1970-01-01T00:00:00Z");
}

TEST(ReportJson, BucketBytesAreIntegersAndCreationIsATime) {
  BucketInfo bucket;
  bucket.name = "photos";
  bucket.policy = {{8, 4}, ChecksumKind::kSha256};
  bucket.bytes = INT64_MAX;
  bucket.files = 3;
  const json out = to_json(bucket);
  EXPECT_EQ(out["class"], "8+4");
  EXPECT_EQ(out["checksum"], "sha256");
  EXPECT_EQ(out["bytes"].dump(), "9223372036854775807");
  EXPECT_EQ(out["created"], "1970-01-01T00:00:00Z");
}

TEST(Suggest, OnlyWhenSomethingIsToBeDone) {
  StatusReport report;
  report.pool = "tank";
  report.verdict = "HEALTHY";
  report.disks = {disk(0, DiskState::kActive), disk(1, DiskState::kRemoved)};
  EXPECT_EQ(suggest(report, "/m").command, "");
  report.disks[0].state = DiskState::kFailed;
  EXPECT_EQ(suggest(report, "/my disks").command,
            "stavefs umount '/my disks' && stavefs mount tank '/my disks'");
  EXPECT_EQ(suggest(report, "/m").when, "once the disks are back");
  report.disks[0].state = DiskState::kActive;
  report.verdict = "FENCED";
  EXPECT_EQ(suggest(report, "/m").command, "stavefs umount /m && stavefs mount tank /m");
  EXPECT_EQ(suggest(report, "/m").when, "");
}

TEST(ShellWord, SurvivesTheShell) {
  EXPECT_EQ(shell_word("/tank"), "/tank");
  EXPECT_EQ(shell_word(""), "''");
  EXPECT_EQ(shell_word("a b"), "'a b'");
  EXPECT_EQ(shell_word("it's $HOME"), "'it'\\''s $HOME'");
}

}  // namespace
}  // namespace stavefs
