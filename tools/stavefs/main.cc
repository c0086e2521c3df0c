// stavefs: the one binary.  `mount.stavefs` is a link to it.

#include <CLI/CLI.hpp>
#include <csignal>
#include <cstdio>
#include <sstream>

#include "base/log.h"
#include "control/paths.h"
#include "tools/stavefs/cli.h"
#include "version.h"

namespace {

using namespace stavefs::cli;  // NOLINT: this file is the command line

std::vector<std::string> command_names(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::App* sub : app.get_subcommands([](const CLI::App*) { return true; }))
    names.push_back(sub->get_name());
  return names;
}

/// "did you mean" for a misspelt command, and CLI11's own message otherwise.
int usage_error(const CLI::App& app, const CLI::ParseError& error, int argc, char** argv) {
  if (error.get_exit_code() == 0) return app.exit(error);
  const CLI::App* level = &app;
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    if (word.starts_with("-")) continue;
    const CLI::App* next = nullptr;
    for (const CLI::App* sub : level->get_subcommands([](const CLI::App*) { return true; })) {
      if (sub->get_name() == word) next = sub;
    }
    if (next != nullptr) {
      level = next;
      continue;
    }
    const std::string near = stavefs::nearest(word, command_names(*level));
    if (!command_names(*level).empty()) {
      std::fprintf(stderr, "stavefs: unknown command \"%s\"%s\n", word.c_str(),
                   near.empty() ? "; see stavefs --help" : ("; did you mean \"" + near + "\"?").c_str());
      return kUsage;
    }
    break;
  }
  std::fprintf(stderr, "stavefs: %s\nSee: stavefs %s--help\n", error.what(),
               level == &app ? "" : (level->get_name() + " ").c_str());
  return kUsage;
}

std::vector<std::string> split_commas(const std::vector<std::string>& lists) {
  std::vector<std::string> out;
  for (const std::string& list : lists) {
    std::istringstream in(list);
    for (std::string item; std::getline(in, item, ',');) {
      if (!item.empty()) out.push_back(item);
    }
  }
  return out;
}

}  // namespace

int main(int argc, char** argv) {
  // A daemon that ends while it is being asked is an answer, not a death.
  std::signal(SIGPIPE, SIG_IGN);
  const std::string self = argv[0] == nullptr ? "stavefs" : argv[0];
  if (self.ends_with("mount.stavefs")) return mount_helper(argc, argv);

  CLI::App app("stavefs keeps files on erasure-coded disks", "stavefs");
  app.set_version_flag("--version", std::string("stavefs ") + kVersion);
  app.require_subcommand(1);
  Globals globals;
  app.add_flag("--json", globals.json, "print JSON");
  app.fallthrough();

  int code = kOk;
  CreateArguments create_arguments;
  auto* create_command =
      app.add_subcommand("create", "make a pool of directories, each the mount of one disk");
  create_command->add_option("POOL", create_arguments.pool, "name of the pool")->required();
  create_command->add_option("DIR", create_arguments.directories, "one directory per disk")->required();
  create_command->add_option("--class", create_arguments.geometry, "data+parity shards, such as 4+2");
  create_command->add_option("--checksum", create_arguments.checksum, "xxh3, sha256 or md5");
  create_command->add_option("--storage", create_arguments.storage_file, "TOML file with a [storage] table");
  create_command->add_flag("--dry-run", create_arguments.dry_run, "check and tell, change nothing");
  create_command->add_flag("--demo", create_arguments.demo, "allow ordinary directories and shared devices");
  create_command->callback([&] { code = create(globals, create_arguments); });

  std::vector<std::string> import_directories;
  auto* import_command = app.add_subcommand("import", "write this host's file of a pool from its disks");
  import_command->add_option(
      "DIR", import_directories,
      "directories of the pool's disks; by default all mounted filesystems are looked at");
  import_command->callback([&] { code = import_pools(globals, import_directories); });

  MountArguments mount_arguments;
  std::vector<std::string> mount_options;
  auto* mount_command = app.add_subcommand("mount", "mount a pool");
  mount_command->add_option("POOL", mount_arguments.pool, "the pool")->required();
  mount_command->add_option("DIR", mount_arguments.directory,
                            "where; by default the pool's last mount point");
  mount_command->add_flag("-f,--foreground", mount_arguments.foreground, "stay in the foreground");
  mount_command->add_flag("--force-degraded", mount_arguments.force_degraded,
                          "mount although too few disks are here; starts a new fork of the pool");
  mount_command->add_option("-o", mount_options, "mount options, separated by commas");
  mount_command->callback([&] {
    mount_arguments.options = split_commas(mount_options);
    code = mount(globals, mount_arguments);
  });

  std::string umount_directory;
  bool umount_force = false;
  auto* umount_command =
      app.add_subcommand("umount", "unmount a pool and wait until its daemon has finished");
  umount_command->add_option("DIR", umount_directory, "the mount point")->required();
  umount_command->add_flag("--force", umount_force, "even if dirty data cannot be written out");
  umount_command->callback([&] { code = umount(globals, umount_directory, umount_force); });

  std::string pool;
  std::string enable_directory;
  auto* enable_command = app.add_subcommand("enable", "mount a pool now and at every boot (systemd)");
  enable_command->add_option("POOL", pool, "the pool")->required();
  enable_command->add_option("DIR", enable_directory, "the mount point")->required();
  enable_command->callback([&] { code = enable(globals, pool, enable_directory); });
  auto* disable_command = app.add_subcommand("disable", "unmount a pool and do not mount it at boot");
  disable_command->add_option("POOL", pool, "the pool")->required();
  disable_command->callback([&] { code = disable(globals, pool); });

  auto* status_command = app.add_subcommand("status", "how a pool is; the exit code tells, too");
  status_command->add_option("POOL", pool, "by default all pools of this host");
  status_command->callback([&] { code = status(globals, pool); });

  auto* disk_command = app.add_subcommand("disk", "disks of a pool");
  disk_command->require_subcommand(1);
  disk_command->fallthrough();
  auto* disk_list_command = disk_command->add_subcommand("list", "list them");
  disk_list_command->add_option("POOL", pool, "the pool")->required();
  disk_list_command->callback([&] { code = disk_list(globals, pool); });

  std::string bucket;
  std::vector<std::string> properties;
  auto* bucket_command = app.add_subcommand("bucket", "buckets of a mounted pool");
  bucket_command->require_subcommand(1);
  bucket_command->fallthrough();
  auto* bucket_create_command = bucket_command->add_subcommand("create", "make a bucket");
  bucket_create_command->add_option("POOL", pool, "the pool")->required();
  bucket_create_command->add_option("BUCKET", bucket, "its name")->required();
  bucket_create_command->add_option("PROPERTY", properties, "class=4+2, checksum=xxh3|sha256|md5");
  bucket_create_command->callback([&] { code = bucket_create(globals, pool, bucket, properties); });
  auto* bucket_list_command = bucket_command->add_subcommand("list", "list them");
  bucket_list_command->add_option("POOL", pool, "the pool")->required();
  bucket_list_command->callback([&] { code = bucket_list(globals, pool); });
  auto* bucket_delete_command = bucket_command->add_subcommand("delete", "delete an empty bucket");
  bucket_delete_command->add_option("POOL", pool, "the pool")->required();
  bucket_delete_command->add_option("BUCKET", bucket, "its name")->required();
  bucket_delete_command->callback([&] { code = bucket_delete(globals, pool, bucket); });

  std::string path;
  auto* info_command = app.add_subcommand("info", "where a file's bytes are");
  info_command->add_option("PATH", path, "a file in a mounted pool")->required();
  info_command->callback([&] { code = info(globals, path); });

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return usage_error(app, error, argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "stavefs: %s\n", error.what());
    return kFailed;
  }
  return code;
}
