#include "namespace_model.h"

#include <fmt/format.h>

#include <functional>

namespace stavefs::test {
namespace {

constexpr uint64_t kRoot = 1;

/// A line of the text.
std::string line(const std::string& path, uint32_t mode, uint32_t links, size_t identity,
                 const std::string& target, const std::map<std::string, std::string>& xattrs) {
  std::string text = fmt::format("{} {:o} {} #{} {}", path, mode, links, identity, target);
  for (const auto& [name, value] : xattrs) text += " " + name + "=" + value;
  return text + "\n";
}

}  // namespace

NamespaceModel::NamespaceModel() { nodes_[kRoot] = {.mode = 0040755, .parent = kRoot}; }

uint64_t NamespaceModel::find(uint64_t parent, const std::string& name) const {
  const auto& children = nodes_.at(parent).children;
  const auto it = children.find(name);
  return it == children.end() ? 0 : it->second;
}

uint32_t NamespaceModel::links(uint64_t inode) const {
  uint32_t count = nodes_.at(inode).is_directory() ? 2 : 0;
  for (const auto& [id, node] : nodes_) {
    for (const auto& [name, child] : node.children) {
      if (nodes_.at(inode).is_directory()) {
        count += id == inode && nodes_.at(child).is_directory();
      } else {
        count += child == inode;
      }
    }
  }
  return count;
}

uint64_t NamespaceModel::bucket(uint64_t inode) const {
  if (!nodes_.at(inode).is_directory()) {
    for (const auto& [id, node] : nodes_) {
      for (const auto& [name, child] : node.children) {
        if (child == inode) return bucket(id);
      }
    }
  }
  if (inode == kRoot) return 0;
  while (nodes_.at(inode).parent != kRoot) inode = nodes_.at(inode).parent;
  return inode;
}

bool NamespaceModel::is_ancestor(uint64_t inode, uint64_t below) const {
  for (;; below = nodes_.at(below).parent) {
    if (below == inode) return true;
    if (below == kRoot) return false;
  }
}

void NamespaceModel::drop(uint64_t inode) {
  const Node& node = nodes_.at(inode);
  if (node.is_directory() || links(inode) == 0) nodes_.erase(inode);
}

int NamespaceModel::make(uint64_t parent, const std::string& name, uint32_t mode, const std::string& target) {
  const bool is_directory = (mode & 0170000) == 0040000;
  if (parent == kRoot && is_directory && name.front() == '.') return EPERM;
  if (find(parent, name) != 0) return EEXIST;
  if (parent == kRoot && !is_directory) return EPERM;
  nodes_[next_] = {.mode = mode, .target = target, .parent = is_directory ? parent : 0};
  nodes_[parent].children[name] = next_++;
  return 0;
}

int NamespaceModel::link(uint64_t inode, uint64_t parent, const std::string& name) {
  if (nodes_.at(inode).is_directory() || parent == kRoot) return EPERM;
  if (bucket(inode) != bucket(parent)) return EXDEV;
  if (find(parent, name) != 0) return EEXIST;
  nodes_[parent].children[name] = inode;
  return 0;
}

int NamespaceModel::unlink(uint64_t parent, const std::string& name) {
  const uint64_t inode = find(parent, name);
  if (inode == 0) return ENOENT;
  if (nodes_.at(inode).is_directory()) return EISDIR;
  nodes_[parent].children.erase(name);
  drop(inode);
  return 0;
}

int NamespaceModel::rmdir(uint64_t parent, const std::string& name) {
  const uint64_t inode = find(parent, name);
  if (inode == 0) return ENOENT;
  if (!nodes_.at(inode).is_directory()) return ENOTDIR;
  if (!nodes_.at(inode).children.empty()) return ENOTEMPTY;
  nodes_[parent].children.erase(name);
  drop(inode);
  return 0;
}

int NamespaceModel::rename(uint64_t from, const std::string& name, uint64_t to, const std::string& new_name,
                           uint32_t flags) {
  const bool exchange = flags == FileSystem::kExchange;
  if (flags > FileSystem::kExchange) return EINVAL;
  if ((from == kRoot) != (to == kRoot) || bucket(from) != bucket(to)) return EXDEV;
  const uint64_t source = find(from, name), target = find(to, new_name);
  if (source == 0) return ENOENT;
  if (flags == FileSystem::kNoReplace && target != 0) return EEXIST;
  if (exchange && target == 0) return ENOENT;
  if (to == kRoot && target == 0 && new_name.front() == '.') return EPERM;
  if (source == target) return 0;
  const bool source_directory = nodes_.at(source).is_directory();
  const bool target_directory = target != 0 && nodes_.at(target).is_directory();
  if (source_directory && is_ancestor(source, to)) return EINVAL;
  if (exchange && target_directory && is_ancestor(target, from)) return EINVAL;
  if (target != 0 && !exchange) {
    if (source_directory && !target_directory) return ENOTDIR;
    if (!source_directory && target_directory) return EISDIR;
    if (target_directory && !nodes_.at(target).children.empty()) return ENOTEMPTY;
  }
  nodes_[from].children.erase(name);
  nodes_[to].children[new_name] = source;
  if (source_directory) nodes_[source].parent = to;
  if (exchange) {
    nodes_[from].children[name] = target;
    if (target_directory) nodes_[target].parent = from;
  } else if (target != 0) {
    drop(target);
  }
  return 0;
}

int NamespaceModel::chmod(uint64_t inode, uint32_t mode) {
  Node& node = nodes_.at(inode);
  node.mode = (node.mode & 0170000) | (mode & 07777);
  return 0;
}

int NamespaceModel::set_xattr(uint64_t inode, const std::string& name, const std::string& value) {
  nodes_.at(inode).xattrs[name] = value;
  return 0;
}

void NamespaceModel::walk(uint64_t at, const std::string& path,
                          std::vector<std::pair<std::string, uint64_t>>& out) const {
  out.emplace_back(path, at);
  for (const auto& [name, child] : nodes_.at(at).children)
    walk(child, path.empty() ? name : path + "/" + name, out);
}

std::vector<std::pair<std::string, uint64_t>> NamespaceModel::everything() const {
  std::vector<std::pair<std::string, uint64_t>> all;
  walk(kRoot, "", all);
  return all;
}

std::vector<std::pair<std::string, uint64_t>> NamespaceModel::directories() const {
  auto all = everything();
  std::erase_if(all, [&](const auto& entry) { return !nodes_.at(entry.second).is_directory(); });
  return all;
}

std::string NamespaceModel::to_text() const {
  std::string text;
  std::map<uint64_t, size_t> identities;
  for (const auto& [path, inode] : everything()) {
    const size_t identity = identities.emplace(inode, identities.size()).first->second;
    const Node& node = nodes_.at(inode);
    text += line(path, node.mode, links(inode), identity, node.target, node.xattrs);
  }
  return text;
}

std::string namespace_text(FsWorld& world) {
  FileSystem& fs = world.fs();
  std::string text;
  std::map<uint64_t, size_t> identities;
  const std::function<void(InodeId, const std::string&)> visit = [&](InodeId inode, const std::string& path) {
    const auto attributes = fs.getattr(inode);
    if (!attributes) {
      text += path + ": " + attributes.error().to_text() + "\n";
      return;
    }
    const size_t identity = identities.emplace(inode.value, identities.size()).first->second;
    const auto target = fs.readlink(inode);
    std::map<std::string, std::string> xattrs;
    const auto names = fs.listxattr(inode);
    for (const std::string& name : *names) xattrs[name] = fs.getxattr(inode, name).value_or("unreadable");
    text += line(path, attributes->mode, attributes->nlink, identity, target ? *target : "", xattrs);
    if ((attributes->mode & 0170000) != 0040000) return;
    std::map<std::string, InodeId> children;
    const Status listed = fs.readdir(inode, 0, [&](const DirectoryEntry& entry) {
      if (entry.name != "." && entry.name != "..") children.emplace(entry.name, entry.inode);
      return true;
    });
    if (!listed) text += path + ": " + listed.error().to_text() + "\n";
    for (const auto& [name, child] : children) visit(child, path.empty() ? name : path + "/" + name);
  };
  visit(kRootInode, "");
  return text;
}

}  // namespace stavefs::test
