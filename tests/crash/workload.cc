#include "tests/crash/workload.h"

#include <algorithm>

namespace stavefs::crash {

int Workload::run(int operations) {
  const auto bucket = fs_.mkdir(kRootInode, "b", 0755, {});
  if (!bucket) return 0;
  model_.now.paths["/b"] = bucket->id.value;
  model_.now.nodes[bucket->id.value] = {true, bucket->mode, bucket->nlink};
  model_.record_namespace();
  for (int i = 0; i < operations; ++i) {
    if (!step()) return i;
  }
  return operations;
}

bool Workload::step() {
  switch (rng_.below(20)) {
    case 0:
    case 1:
    case 2: return create_file();
    case 3: return make_directory();
    case 4:
    case 5:
    case 6:
    case 7:
    case 8:
    case 9: return write_file();
    case 10: return truncate_file();
    case 11:
    case 12: return rename_something();
    case 13: return link_file();
    case 14: return remove_something();
    case 15: return change_mode();
    case 16:
    case 17: return sync_file();
    case 18: return sync_all();
    default: return upkeep();
  }
}

std::string Workload::pick(bool directory) {
  std::vector<std::string> paths;
  for (const auto& [path, inode] : model_.now.paths) {
    if (model_.now.nodes.at(inode).directory == directory) paths.push_back(path);
  }
  return paths.empty() ? std::string() : paths[rng_.below(paths.size())];
}

std::string Workload::new_name(const std::string& directory) {
  for (;;) {
    const std::string path = directory + "/n" + std::to_string(rng_.below(1000));
    if (!model_.now.paths.contains(path)) return path;
  }
}

void Workload::forget_name(const std::string& path) {
  const uint64_t inode = model_.now.paths.at(path);
  model_.now.paths.erase(path);
  Node& node = model_.now.nodes.at(inode);
  if (node.directory) {
    --model_.now.nodes.at(model_.now.paths.at(parent_of(path))).nlink;
    model_.now.nodes.erase(inode);
  } else if (--node.nlink == 0) {
    model_.now.nodes.erase(inode);
  }
}

bool Workload::create_file() {
  const std::string path = new_name(pick(true));
  const auto made = fs_.mknod(inode_of(parent_of(path)), leaf_of(path), 0100644, 0, {});
  if (!made) return false;
  model_.now.paths[path] = made->id.value;
  model_.now.nodes[made->id.value] = {false, made->mode, 1};
  model_.record_namespace();
  return true;
}

bool Workload::make_directory() {
  const std::string path = new_name(pick(true));
  const auto made = fs_.mkdir(inode_of(parent_of(path)), leaf_of(path), 0755, {});
  if (!made) return false;
  model_.now.paths[path] = made->id.value;
  model_.now.nodes[made->id.value] = {true, made->mode, 2};
  ++model_.now.nodes.at(model_.now.paths.at(parent_of(path))).nlink;
  model_.record_namespace();
  return true;
}

bool Workload::write_file() {
  const std::string path = pick(false);
  if (path.empty()) return create_file();
  const InodeId inode = inode_of(path);
  std::string content = model_.content(inode.value);
  static constexpr uint64_t kSizes[] = {1, 100, 1000, 4096, 5000, 40000, 131072, 300000};
  const uint64_t size = 1 + rng_.below(kSizes[rng_.below(std::size(kSizes))]);
  const bool append = rng_.one_in(2);
  const uint64_t offset = append ? content.size() : rng_.below(content.size() + 20000);
  std::string bytes(size, '\0');
  for (char& c : bytes) c = static_cast<char>(rng_.next());
  if (content.size() < offset + size) content.resize(offset + size, '\0');
  content.replace(offset, size, bytes);
  const auto written =
      fs_.write(inode, offset, {reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()}, append, false);
  // A write that failed may still have been taken, in whole.
  model_.record_content(inode.value, std::move(content));
  return written && *written == size;
}

bool Workload::truncate_file() {
  const std::string path = pick(false);
  if (path.empty()) return true;
  const InodeId inode = inode_of(path);
  std::string content = model_.content(inode.value);
  const uint64_t size = rng_.below(content.size() + 10000);
  content.resize(size, '\0');
  AttributeChange change;
  change.set_size = true;
  change.size = size;
  const auto changed = fs_.setattr(inode, change);
  model_.record_content(inode.value, std::move(content));
  return changed.has_value();
}

bool Workload::rename_something() {
  const std::string from = pick(rng_.one_in(4));
  if (from.empty() || from == "/b") return true;
  const uint64_t inode = model_.now.paths.at(from);
  const bool directory = model_.now.nodes.at(inode).directory;
  std::string to = new_name(pick(true));
  if (!directory && rng_.one_in(2)) to = pick(false);
  if (to == from || to.starts_with(from + "/")) return true;
  const auto target = model_.now.paths.find(to);
  if (target != model_.now.paths.end() && target->second == inode)
    return true;  // two links of one file: nothing happens
  const InodeId from_parent = inode_of(parent_of(from));
  const InodeId to_parent = inode_of(parent_of(to));
  const bool replaced = target != model_.now.paths.end();
  if (replaced) forget_name(to);
  std::map<std::string, uint64_t> moved;
  for (const auto& [path, number] : model_.now.paths) {
    if (path == from || path.starts_with(from + "/")) {
      moved[to + path.substr(from.size())] = number;
    } else {
      moved[path] = number;
    }
  }
  if (directory && from_parent != to_parent) {
    --model_.now.nodes.at(from_parent.value).nlink;
    ++model_.now.nodes.at(to_parent.value).nlink;
  }
  model_.now.paths = std::move(moved);
  model_.record_namespace();
  if (replaced) model_.content_follows_namespace(inode);
  return fs_.rename(from_parent, leaf_of(from), to_parent, leaf_of(to), 0).has_value();
}

bool Workload::link_file() {
  const std::string path = pick(false);
  if (path.empty()) return true;
  const std::string to = new_name(pick(true));
  const InodeId inode = inode_of(path);
  model_.now.paths[to] = inode.value;
  ++model_.now.nodes.at(inode.value).nlink;
  model_.record_namespace();
  return fs_.link(inode, inode_of(parent_of(to)), leaf_of(to)).has_value();
}

bool Workload::remove_something() {
  const std::string path = pick(rng_.one_in(4));
  if (path.empty() || path == "/b") return true;
  const uint64_t inode = model_.now.paths.at(path);
  const bool directory = model_.now.nodes.at(inode).directory;
  const InodeId parent = inode_of(parent_of(path));
  if (directory) {
    const auto inside = model_.now.paths.lower_bound(path + "/");
    if (inside != model_.now.paths.end() && inside->first.starts_with(path + "/")) {
      const Status refused = fs_.rmdir(parent, leaf_of(path));
      return !refused && refused.error().errno_value() == ENOTEMPTY;
    }
  }
  forget_name(path);
  model_.record_namespace();
  return (directory ? fs_.rmdir(parent, leaf_of(path)) : fs_.unlink(parent, leaf_of(path))).has_value();
}

bool Workload::change_mode() {
  const std::string path = pick(rng_.one_in(3));
  if (path.empty()) return true;
  AttributeChange change;
  change.set_mode = true;
  change.mode = 0400 + static_cast<uint32_t>(rng_.below(0400));
  Node& node = model_.now.nodes.at(model_.now.paths.at(path));
  node.mode = (node.mode & 0170000) | change.mode;
  model_.record_namespace();
  return fs_.setattr(inode_of(path), change).has_value();
}

bool Workload::sync_file() {
  const std::string path = pick(false);
  if (path.empty()) return true;
  const InodeId inode = inode_of(path);
  if (!fs_.fsync(inode, rng_.one_in(2))) return false;
  // The file and the operation that last touched it; the journal's order makes all earlier namespace
  // operations durable, but only this file's own are promised.
  model_.content_synced(inode.value);
  return true;
}

bool Workload::sync_all() {
  if (rng_.one_in(2)) {
    const std::string path = pick(true);
    if (!fs_.fsyncdir(inode_of(path))) return false;
    return true;
  }
  if (!fs_.sync()) return false;
  model_.namespace_synced(model_.namespace_index());
  for (const auto& [inode, node] : model_.now.nodes) {
    if (!node.directory) model_.content_synced(inode);
  }
  return true;
}

bool Workload::upkeep() {
  return (rng_.one_in(2) ? engine_.ledger().checkpoint() : engine_.maintain()).has_value();
}

}  // namespace stavefs::crash
