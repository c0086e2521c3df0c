// The namespace as POSIX describes it, in a few maps: what the filesystem is compared with.

#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "fs_world.h"

namespace stavefs::test {

/// A value: copies are snapshots.  Directories are named by their number; every operation returns an errno, 0
/// for success.
class NamespaceModel {
 public:
  struct Node {
    uint32_t mode = 0;
    std::string target;
    std::map<std::string, uint64_t> children;
    std::map<std::string, std::string> xattrs;
    uint64_t parent = 0;  // of a directory
    bool is_directory() const { return (mode & 0170000) == 0040000; }
  };

  NamespaceModel();

  int make(uint64_t parent, const std::string& name, uint32_t mode, const std::string& target = {});
  int link(uint64_t inode, uint64_t parent, const std::string& name);
  int unlink(uint64_t parent, const std::string& name);
  int rmdir(uint64_t parent, const std::string& name);
  int rename(uint64_t from, const std::string& name, uint64_t to, const std::string& new_name,
             uint32_t flags);
  int chmod(uint64_t inode, uint32_t mode);
  int set_xattr(uint64_t inode, const std::string& name, const std::string& value);

  const Node& node(uint64_t inode) const { return nodes_.at(inode); }
  /// Paths of all directories ("" is the root) or of everything, with their numbers.
  std::vector<std::pair<std::string, uint64_t>> directories() const;
  std::vector<std::pair<std::string, uint64_t>> everything() const;

  /// One line for each path: type, mode, links, identity (by order of appearance), target, attributes.
  std::string to_text() const;

 private:
  uint64_t find(uint64_t parent, const std::string& name) const;
  uint32_t links(uint64_t inode) const;
  uint64_t bucket(uint64_t inode) const;  // number of the top directory above it
  bool is_ancestor(uint64_t inode, uint64_t below) const;
  void drop(uint64_t inode);
  void walk(uint64_t at, const std::string& path, std::vector<std::pair<std::string, uint64_t>>& out) const;

  std::map<uint64_t, Node> nodes_;
  uint64_t next_ = 2;
};

/// The same text, read from a filesystem by its operations.
std::string namespace_text(FsWorld& world);

}  // namespace stavefs::test
