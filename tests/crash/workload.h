// A scripted workload: operations drawn from a seed, applied to a filesystem and to the model alike.

#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/rng.h"
#include "engine/engine.h"
#include "tests/crash/model.h"

namespace stavefs::crash {

class Workload {
 public:
  Workload(uint64_t seed, Engine& engine, Model& model)
      : rng_(seed), engine_(engine), fs_(engine.fs()), model_(model) {}

  /// Makes the bucket and runs `operations` operations; stops at the first that fails.  Returns how many
  /// succeeded.
  int run(int operations);

 private:
  bool step();
  bool create_file();
  bool make_directory();
  bool write_file();
  bool truncate_file();
  bool rename_something();
  bool link_file();
  bool remove_something();
  bool change_mode();
  bool sync_file();
  bool sync_all();
  bool upkeep();

  /// A random existing path of the kind; empty when there is none.
  std::string pick(bool directory);
  std::string new_name(const std::string& directory);
  static std::string parent_of(const std::string& path) { return path.substr(0, path.rfind('/')); }
  static std::string leaf_of(const std::string& path) { return path.substr(path.rfind('/') + 1); }
  InodeId inode_of(const std::string& path) const {
    return path.empty() ? kRootInode : InodeId(model_.now.paths.at(path));
  }
  void forget_name(const std::string& path);

  Rng rng_;
  Engine& engine_;
  FileSystem& fs_;
  Model& model_;
};

}  // namespace stavefs::crash
