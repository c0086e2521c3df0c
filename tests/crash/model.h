// What may be found after a crash, as a naive model of the filesystem with its history.
//
// Promise under test: namespace operations (create, mkdir, link, unlink, rename, chmod) survive as a prefix
// in the order in which they were made, at least up to the last operation that was synced.  The content of
// each file is its content after some prefix of its own writes and truncates, at least up to its last fsync;
// when a rename of the file over another name has survived, at least what it held at the rename.
//
// Files are identified by inode number.

#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "fs/file_system.h"

namespace stavefs::crash {

struct Node {
  bool directory = false;
  uint32_t mode = 0;
  uint32_t nlink = 0;
  bool operator==(const Node&) const = default;
};

/// Every path with its inode, and every inode's node.
struct Namespace {
  std::map<std::string, uint64_t> paths;
  std::map<uint64_t, Node> nodes;
  bool operator==(const Namespace&) const = default;
};

struct FileHistory {
  std::vector<std::string> contents{std::string()};  ///< after 0, 1, 2, ... data operations
  size_t synced = 0;                                 ///< index that must have survived
  std::vector<std::pair<size_t, size_t>>
      floors;  ///< (namespace index, content index): if the first survived, so did the second
};

class Model {
 public:
  Model() { history_.push_back({}); }

  /// The namespace as users see it now; change it, then call record_namespace().
  Namespace now;
  void record_namespace() { history_.push_back(now); }
  size_t namespace_index() const { return history_.size() - 1; }
  /// Everything recorded so far must survive.
  void namespace_synced(size_t index) { synced_ = std::max(synced_, index); }

  void record_content(uint64_t inode, std::string content) {
    files_[inode].contents.push_back(std::move(content));
  }
  const std::string& content(uint64_t inode) { return files_[inode].contents.back(); }
  void content_synced(uint64_t inode) { files_[inode].synced = files_[inode].contents.size() - 1; }
  /// If the namespace state recorded last survives, the present content of `inode` does, too.
  void content_follows_namespace(uint64_t inode) {
    files_[inode].floors.emplace_back(namespace_index(), files_[inode].contents.size() - 1);
  }

  /// Compares a recovered filesystem with what is allowed; the explanation of the first difference, or
  /// nothing.
  std::optional<std::string> check(FileSystem& fs);

 private:
  std::vector<Namespace> history_;
  size_t synced_ = 0;
  std::map<uint64_t, FileHistory> files_;
};

/// Everything below the root of `fs`; nullopt and `error` set when something cannot be read.
std::optional<Namespace> read_namespace(FileSystem& fs, std::string& error);

}  // namespace stavefs::crash
