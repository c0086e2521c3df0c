#include "tests/crash/model.h"

#include <algorithm>

namespace stavefs::crash {
namespace {

bool walk(FileSystem& fs, InodeId directory, const std::string& path, Namespace& out, std::string& error) {
  struct Entry {
    std::string name;
    InodeId inode;
  };
  std::vector<Entry> entries;
  const Status listed = fs.readdir(directory, 0, [&](const DirectoryEntry& entry) {
    if (entry.name != "." && entry.name != "..") entries.push_back({std::string(entry.name), entry.inode});
    return true;
  });
  if (!listed) {
    error = "readdir " + path + ": " + listed.error().to_text();
    return false;
  }
  for (const Entry& entry : entries) {
    const std::string child = path + "/" + entry.name;
    const auto attributes = fs.lookup(directory, entry.name);
    if (!attributes) {
      error = "lookup " + child + ": " + attributes.error().to_text();
      return false;
    }
    if (attributes->id != entry.inode) {
      error = "readdir and lookup disagree about the inode of " + child;
      return false;
    }
    const bool is_directory = (attributes->mode & 0170000) == 0040000;
    out.paths[child] = attributes->id.value;
    out.nodes[attributes->id.value] = {is_directory, attributes->mode, attributes->nlink};
    if (is_directory && !walk(fs, attributes->id, child, out, error)) return false;
  }
  return true;
}

std::string describe_difference(const Namespace& want, const Namespace& got) {
  for (const auto& [path, inode] : want.paths) {
    const auto found = got.paths.find(path);
    if (found == got.paths.end()) return path + " is missing";
    if (found->second != inode) return path + " is another inode";
  }
  for (const auto& [path, inode] : got.paths) {
    if (!want.paths.contains(path)) return path + " should not be there";
  }
  for (const auto& [inode, node] : want.nodes) {
    const auto found = got.nodes.find(inode);
    if (found == got.nodes.end() || !(found->second == node)) {
      return "inode " + std::to_string(inode) + " has mode or link count " +
             (found == got.nodes.end()
                  ? std::string("none")
                  : std::to_string(found->second.mode) + "/" + std::to_string(found->second.nlink)) +
             ", expected " + std::to_string(node.mode) + "/" + std::to_string(node.nlink);
    }
  }
  return "no difference";
}

}  // namespace

std::optional<Namespace> read_namespace(FileSystem& fs, std::string& error) {
  Namespace found;
  if (!walk(fs, kRootInode, "", found, error)) return std::nullopt;
  return found;
}

std::optional<std::string> Model::check(FileSystem& fs) {
  std::string error;
  const auto found = read_namespace(fs, error);
  if (!found) return error;
  // States may repeat (a file created and removed again): the longest prefix that fits asks most of the
  // contents, the shortest allows most; any one that fits entirely is enough.
  std::string reason = "the namespace equals no allowed state; against the newest: " +
                       describe_difference(history_.back(), *found) +
                       "; against the last synced: " + describe_difference(history_[synced_], *found);
  for (size_t i = synced_; i < history_.size(); ++i) {
    if (!(history_[i] == *found)) continue;
    std::string problem;
    for (const auto& [path, number] : found->paths) {
      if (found->nodes.at(number).directory) continue;
      const auto attributes = fs.getattr(InodeId(number));
      if (!attributes) return "getattr " + path + ": " + attributes.error().to_text();
      std::string content(attributes->size, '\0');
      const auto read =
          fs.read(InodeId(number), 0, {reinterpret_cast<uint8_t*>(content.data()), content.size()}, false);
      if (!read) return "read " + path + ": " + read.error().to_text();
      if (*read != content.size()) return "read " + path + " is short";
      FileHistory& file = files_[number];
      size_t floor = file.synced;
      for (const auto& [namespace_index, content_index] : file.floors) {
        if (namespace_index <= i) floor = std::max(floor, content_index);
      }
      const auto begin = file.contents.begin() + static_cast<ptrdiff_t>(floor);
      if (std::find(begin, file.contents.end(), content) == file.contents.end()) {
        size_t equal = 0;
        const std::string& want = file.contents[floor];
        while (equal < want.size() && equal < content.size() && want[equal] == content[equal]) ++equal;
        problem = path + " (inode " + std::to_string(number) + ", " + std::to_string(content.size()) +
                  " bytes) has a content that it never had since data operation " + std::to_string(floor) +
                  " of " + std::to_string(file.contents.size() - 1) + "; that one has " +
                  std::to_string(want.size()) + " bytes, equal up to " + std::to_string(equal);
        break;
      }
    }
    if (problem.empty()) return std::nullopt;
    reason = problem;
  }
  return reason;
}

}  // namespace stavefs::crash
