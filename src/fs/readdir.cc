// Listing a directory.
//
// Entries stand in the order of their names' hashes, and the cookie of an entry is its hash: whatever is made
// or removed meanwhile, a listing that goes on after a hash neither repeats nor skips what was there
// throughout.  Names with one hash are listed together: only the last of them carries the hash itself, so a
// listing that stops among them repeats them all.

#include <algorithm>
#include <vector>

#include "fs/file_system_impl.h"

namespace stavefs {
namespace {

constexpr uint64_t kEnd = uint64_t{1} << 63;
constexpr size_t kNameOffset = 17;  // in a dentry's key

struct Listed {
  std::string name;
  Dentry dentry;
};

/// Delivers the names of one hash.  False when the visitor has enough.
bool deliver(const std::vector<Listed>& group, size_t count, uint64_t hash, uint64_t previous,
             const std::function<bool(const DirectoryEntry&)>& visit) {
  for (size_t i = 0; i < count; ++i) {
    const Listed& listed = group[i];
    const uint64_t cookie = i + 1 == count ? hash : previous;
    if (!visit({listed.dentry.inode, listed.dentry.type, cookie, listed.name})) return false;
  }
  return true;
}

/// Reads the entries of the hash at which the scan stands into `group` (reused); their number.
Result<size_t> gather(IndexScan& scan, uint64_t hash, std::vector<Listed>& group) {
  size_t count = 0;
  for (; scan.valid(); scan.next()) {
    const std::string_view key = scan.key();
    if (key.size() <= kNameOffset) return Error(ErrorCode::kCorrupt, EIO, "directory entry without a name");
    if (keys::second_number(key) != hash) break;
    if (count == group.size()) group.emplace_back();
    group[count].name.assign(key.substr(kNameOffset));
    ASSIGN_OR_RETURN(group[count].dentry, Dentry::decode(scan.value()));
    ++count;
  }
  return count;
}

}  // namespace

Status FileSystem::readdir(InodeId directory, uint64_t cookie,
                           const std::function<bool(const DirectoryEntry&)>& visit) {
  Impl& fs = *impl_;
  ASSIGN_OR_RETURN(const auto view, fs.view(directory));
  if (view.gone || cookie >= kEnd - 1) return ok();
  InodeId parent;
  {
    std::shared_lock lock(view.inode->mutex);
    parent = view.inode->record.parent;
  }
  constexpr uint8_t kDirectoryType = 4;
  if (cookie < kDotCookie && !visit({directory, kDirectoryType, kDotCookie, "."})) return ok();
  if (cookie < kDotDotCookie && !visit({parent, kDirectoryType, kDotDotCookie, ".."})) return ok();

  const std::string prefix = keys::dentry_prefix(directory);
  std::string from = prefix;
  append_be64(from, std::max(cookie + 1, kFirstNameHash));
  ASSIGN_OR_RETURN(const auto scan, fs.ledger.scan(from, keys::prefix_end(prefix)));
  uint64_t previous = std::max(cookie, kDotDotCookie);
  std::vector<Listed> group;
  while (scan->valid()) {
    if (scan->key().size() <= kNameOffset)
      return Error(ErrorCode::kCorrupt, EIO, "directory entry without a name");
    const uint64_t hash = keys::second_number(scan->key());
    ASSIGN_OR_RETURN(const size_t count, gather(*scan, hash, group));
    if (!deliver(group, count, hash, previous, visit)) return ok();
    previous = hash;
  }
  return scan->status();
}

}  // namespace stavefs
