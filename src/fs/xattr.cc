// Extended attributes: one key each ('A' inode(8) name), the value as it is.
//
// Limits and errors are those of the kernel and of ext4: names up to 255 bytes (ERANGE), values up to 64 KiB
// (E2BIG), all names of an inode with their NULs up to 64 KiB (ENOSPC), because listxattr(2) can return no
// more.
//
// "user.stavefs.*" says how a file is stored: computed when asked, never stored, never listed.

#include <fmt/format.h>

#include <iterator>
#include <set>

#include "fs/file_system_impl.h"
#include "store/extent.h"

namespace stavefs {
namespace {

constexpr size_t kMaxXattrNameBytes = 255;
constexpr size_t kMaxXattrValueBytes = 64u << 10;
constexpr size_t kMaxXattrListBytes = 64u << 10;
constexpr size_t kXattrNameOffset = 9;  // in the key
/// More groups than these are counted, not listed, in the value of "user.stavefs.shards".
constexpr size_t kMaxListedGroups = 256;
constexpr std::string_view kVirtualPrefix = "user.stavefs.";

bool is_virtual(std::string_view name) { return name.starts_with(kVirtualPrefix); }

Status check_xattr_name(std::string_view name) {
  if (name.empty() || name.size() > kMaxXattrNameBytes) return posix_error(ERANGE);
  if (name.find('\0') != name.npos) return posix_error(EINVAL);
  if (name == "system.posix_acl_access" || name == "system.posix_acl_default") return ok();
  for (const std::string_view prefix : {"user.", "trusted.", "security."}) {
    if (name.starts_with(prefix)) return name.size() > prefix.size() ? ok() : Status(posix_error(EINVAL));
  }
  return posix_error(EOPNOTSUPP);
}

/// Attributes of users belong to files and directories only: on what everybody may write (a device, say) they
/// would have no owner.
bool takes_user_xattrs(const InodeRecord& record) { return record.is_regular() || record.is_directory(); }

Result<std::set<GroupId>> groups_of(const Ledger& ledger, InodeId inode) {
  std::set<GroupId> groups;
  ASSIGN_OR_RETURN(const auto scan, ledger.scan_prefix(keys::extent_prefix(inode)));
  for (; scan->valid(); scan->next()) {
    ASSIGN_OR_RETURN(const Extent extent, Extent::decode(scan->value()));
    groups.insert(extent.address.group);
  }
  TRY(scan->status());
  return groups;
}

/// "ok", or "degraded" when a shard of any of its groups is missing.
Result<std::string> health_of(const Ledger& ledger, const Store& store, InodeId inode) {
  ASSIGN_OR_RETURN(const auto groups, groups_of(ledger, inode));
  for (const GroupId id : groups) {
    const auto group = store.group(id);
    if (!group) continue;  // freed since: the extents have moved
    for (const ShardReport& shard : group->shards) {
      if (shard.missing) return std::string("degraded");
    }
  }
  return std::string("ok");
}

/// A line for each group: "GROUP CLASS SLOT:SEGMENT ...", with "!" behind a missing shard.
Result<std::string> shards_of(const Ledger& ledger, const Store& store, InodeId inode) {
  ASSIGN_OR_RETURN(const auto groups, groups_of(ledger, inode));
  std::string text;
  size_t listed = 0;
  for (const GroupId id : groups) {
    if (listed == kMaxListedGroups) break;
    const auto group = store.group(id);
    ++listed;
    if (!group) continue;
    if (!text.empty()) text += '\n';
    fmt::format_to(std::back_inserter(text), "{} {}", id.value, group->geometry.to_text());
    for (const ShardReport& shard : group->shards) {
      if (shard.disk == kNoDisk) {
        text += " -!";
      } else {
        fmt::format_to(std::back_inserter(text), " {}:{}{}", shard.disk.value, shard.segment.value,
                       shard.missing ? "!" : "");
      }
    }
  }
  if (groups.size() > listed)
    fmt::format_to(std::back_inserter(text), "\n+{} groups", groups.size() - listed);
  return text;
}

}  // namespace

Result<std::string> FileSystem::getxattr(InodeId id, std::string_view name) {
  Impl& fs = *impl_;
  TRY(check_xattr_name(name));
  ASSIGN_OR_RETURN(const InodeRef inode, fs.inodes.get(id));
  InodeRecord record;
  {
    std::shared_lock lock(inode->mutex);
    if (inode->deleted) return posix_error(ESTALE);
    record.mode = inode->record.mode;
    record.bucket = inode->record.bucket;
    record.version = inode->record.version;
  }
  if (!is_virtual(name)) {
    ASSIGN_OR_RETURN(auto value, fs.ledger.get(keys::xattr(id, name)));
    if (!value) return posix_error(ENODATA);
    return std::move(*value);
  }
  if (!takes_user_xattrs(record)) return posix_error(ENODATA);
  const std::string_view what = name.substr(kVirtualPrefix.size());
  if (what == "class") return fs.buckets.policy(record.bucket).geometry.to_text();
  if (what == "version") return std::to_string(record.version.value);
  if (what == "health" && record.is_regular()) return health_of(fs.ledger, fs.store, id);
  if (what == "shards" && record.is_regular()) return shards_of(fs.ledger, fs.store, id);
  return posix_error(ENODATA);
}

Status FileSystem::setxattr(InodeId id, std::string_view name, std::string_view value, uint32_t flags) {
  Impl& fs = *impl_;
  TRY(fs.begin());
  TRY(check_xattr_name(name));
  if ((flags & ~(kXattrCreate | kXattrReplace)) != 0) return posix_error(EINVAL);
  if (value.size() > kMaxXattrValueBytes) return posix_error(E2BIG);
  if (is_virtual(name)) return posix_error(EPERM);
  ASSIGN_OR_RETURN(const InodeRef inode, fs.inodes.get(id));
  InodeLocks locks({inode.get()});
  if (inode->deleted) return posix_error(ESTALE);
  if (name.starts_with("user.") && !takes_user_xattrs(inode->record)) return posix_error(EPERM);

  const std::string key = keys::xattr(id, name);
  ASSIGN_OR_RETURN(const auto present, fs.ledger.get(key));
  if (present && (flags & kXattrCreate) != 0) return posix_error(EEXIST);
  if (!present && (flags & kXattrReplace) != 0) return posix_error(ENODATA);
  if (!present) {
    size_t list_bytes = name.size() + 1;
    ASSIGN_OR_RETURN(const auto scan, fs.ledger.scan_prefix(keys::xattr_prefix(id)));
    for (; scan->valid(); scan->next()) list_bytes += scan->key().size() - kXattrNameOffset + 1;
    TRY(scan->status());
    if (list_bytes > kMaxXattrListBytes) return posix_error(ENOSPC);
  }
  Operation op(fs.ledger, fs.inodes, fs.data);
  op.edit(*inode).record.ctime = fs.now();
  op.change().index().put(key, value);
  return op.commit();
}

Result<std::vector<std::string>> FileSystem::listxattr(InodeId id) {
  Impl& fs = *impl_;
  ASSIGN_OR_RETURN(const InodeRef inode, fs.inodes.get(id));
  {
    std::shared_lock lock(inode->mutex);
    if (inode->deleted) return posix_error(ESTALE);
  }
  std::vector<std::string> names;
  ASSIGN_OR_RETURN(const auto scan, fs.ledger.scan_prefix(keys::xattr_prefix(id)));
  for (; scan->valid(); scan->next()) names.emplace_back(scan->key().substr(kXattrNameOffset));
  TRY(scan->status());
  return names;
}

Status FileSystem::removexattr(InodeId id, std::string_view name) {
  Impl& fs = *impl_;
  TRY(fs.begin());
  TRY(check_xattr_name(name));
  if (is_virtual(name)) return posix_error(EPERM);
  ASSIGN_OR_RETURN(const InodeRef inode, fs.inodes.get(id));
  InodeLocks locks({inode.get()});
  if (inode->deleted) return posix_error(ESTALE);
  if (name.starts_with("user.") && !takes_user_xattrs(inode->record)) return posix_error(EPERM);
  const std::string key = keys::xattr(id, name);
  ASSIGN_OR_RETURN(const auto present, fs.ledger.get(key));
  if (!present) return posix_error(ENODATA);
  Operation op(fs.ledger, fs.inodes, fs.data);
  op.edit(*inode).record.ctime = fs.now();
  op.change().index().erase(key);
  return op.commit();
}

}  // namespace stavefs
