// An independent reading of the whole index: does everything in it fit together?

#include <map>
#include <set>

#include "fs/bucket_format.h"
#include "fs/dentry_format.h"
#include "fs_world.h"
#include "index/keys.h"

namespace stavefs::test {
namespace {

struct Findings {
  std::map<uint64_t, InodeRecord> inodes;
  std::map<uint64_t, uint32_t> names;  // inode -> dentries that name it
  std::map<uint64_t, uint32_t> subdirectories;
  std::map<uint64_t, uint64_t> directory_of;  // directory -> the parent that names it
  std::set<uint64_t> orphans;
  std::map<std::string, Dentry> top;
  std::string problem;

  void fail(std::string what) {
    if (problem.empty()) problem = std::move(what);
  }
};

using Visit = std::function<void(std::string_view key, std::string_view value)>;

void for_each(Ledger& ledger, std::string_view prefix, Findings& found, const Visit& visit) {
  auto scan = ledger.scan_prefix(prefix);
  if (!scan) return found.fail(scan.error().to_text());
  for (; (*scan)->valid(); (*scan)->next()) visit((*scan)->key(), (*scan)->value());
  if (!(*scan)->status()) found.fail("scan failed");
}

void check_dentry(Findings& found, std::string_view key, std::string_view value) {
  const uint64_t parent = keys::first_number(key);
  const auto dentry = Dentry::decode(value);
  if (!dentry) return found.fail(dentry.error().to_text());
  const uint64_t child = dentry->inode.value;
  const std::string what = "name " + std::string(key.substr(17)) + " in " + std::to_string(parent);
  if (!found.inodes.contains(parent) || !found.inodes[parent].is_directory())
    found.fail(what + ": no directory");
  if (!found.inodes.contains(child)) return found.fail(what + ": no inode " + std::to_string(child));
  if (dentry_type(found.inodes[child].mode) != dentry->type) found.fail(what + ": wrong type");
  if (parent != 1 && found.inodes[child].bucket != found.inodes[parent].bucket)
    found.fail(what + ": other bucket");
  ++found.names[child];
  if (dentry->is_directory()) {
    ++found.subdirectories[parent];
    if (!found.directory_of.emplace(child, parent).second) found.fail(what + ": directory with two names");
  }
  if (parent == 1) found.top.emplace(std::string(key.substr(17)), *dentry);
}

void check_inode(Findings& found, uint64_t id, const InodeRecord& record) {
  const std::string what = "inode " + std::to_string(id);
  if (found.orphans.contains(id)) {
    if (record.nlink != 0) found.fail(what + ": orphan with links");
    if (found.names.contains(id)) found.fail(what + ": orphan with a name");
    return;
  }
  if (record.is_directory()) {
    if (record.nlink != 2 + found.subdirectories[id]) found.fail(what + ": wrong link count of a directory");
    if (id == 1) return;
    if (found.names[id] != 1) found.fail(what + ": directory without a name");
    if (found.directory_of[id] != record.parent.value) found.fail(what + ": wrong parent");
    // Up to the root in fewer steps than there are inodes.
    uint64_t at = id;
    for (size_t steps = 0; at != 1; ++steps) {
      if (steps > found.inodes.size()) return found.fail(what + ": no way to the root");
      at = found.inodes[at].parent.value;
    }
  } else if (record.nlink != found.names[id]) {
    found.fail(what + ": link count " + std::to_string(record.nlink) + ", names " +
               std::to_string(found.names[id]));
  }
}

}  // namespace

std::string FsWorld::check_index() {
  Findings found;
  for_each(*ledger_, "I", found, [&](std::string_view key, std::string_view value) {
    auto record = InodeRecord::decode(value);
    if (!record) return found.fail(record.error().to_text());
    found.inodes.emplace(keys::first_number(key), std::move(*record));
  });
  for_each(*ledger_, "O", found, [&](std::string_view key, std::string_view) {
    found.orphans.insert(keys::first_number(key));
    if (!found.inodes.contains(keys::first_number(key))) found.fail("orphan without an inode");
  });
  for_each(*ledger_, "D", found,
           [&](std::string_view key, std::string_view value) { check_dentry(found, key, value); });
  for (const char* prefix : {"A", "X"}) {
    for_each(*ledger_, prefix, found, [&](std::string_view key, std::string_view) {
      if (!found.inodes.contains(keys::first_number(key))) {
        found.fail(std::string(prefix) + " key of inode " + std::to_string(keys::first_number(key)) +
                   ", which is gone");
      }
    });
  }
  for (const auto& [id, record] : found.inodes) check_inode(found, id, record);

  std::map<uint32_t, int64_t> files, bytes;
  for (const auto& [id, record] : found.inodes) {
    const bool is_top = record.is_directory() && record.parent == kRootInode;
    if (!is_top) ++files[record.bucket.value];
    if (record.is_regular()) bytes[record.bucket.value] += static_cast<int64_t>(record.size);
  }
  size_t buckets = 0;
  for_each(*ledger_, "B", found, [&](std::string_view key, std::string_view value) {
    ++buckets;
    const std::string name(key.substr(1));
    const auto record = BucketRecord::decode(value);
    if (!record) return found.fail(record.error().to_text());
    if (!found.top.contains(name) || found.top[name].inode != record->root)
      found.fail("bucket " + name + ": no directory");
    if (found.inodes[record->root.value].bucket != record->id)
      found.fail("bucket " + name + ": wrong number");
    const Change::Usage usage = ledger_->usage(record->id);
    if (usage.files != files[record->id.value]) {
      found.fail("bucket " + name + ": usage says " + std::to_string(usage.files) + " files, there are " +
                 std::to_string(files[record->id.value]));
    }
    if (usage.bytes != bytes[record->id.value]) {
      found.fail("bucket " + name + ": usage says " + std::to_string(usage.bytes) + " bytes, there are " +
                 std::to_string(bytes[record->id.value]));
    }
  });
  if (buckets != found.top.size()) found.fail("buckets and top directories differ in number");
  return found.problem;
}

}  // namespace stavefs::test
