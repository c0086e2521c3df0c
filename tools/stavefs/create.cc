// stavefs create: makes a pool and this host's file of it.

#include <algorithm>
#include <cstdio>

#include "control/paths.h"
#include "control/report_json.h"
#include "engine/engine.h"
#include "tools/stavefs/cli.h"
#include "tools/stavefs/storage_file.h"

namespace stavefs::cli {
namespace {

/// Parity by number of drives as object stores choose it: 2-3: 1, 4-5: 2, 6-7: 3, from 8: 4.
Geometry default_geometry(size_t disks) {
  const size_t total = std::min<size_t>(disks, 16);
  const size_t parity = total < 4 ? 1 : total < 6 ? 2 : total < 8 ? 3 : 4;
  return {static_cast<uint8_t>(total - parity), static_cast<uint8_t>(parity)};
}

int create_exit_code(const Error& error) { return error.code() == ErrorCode::kInvalid ? kUsage : kFailed; }

Result<CreateOptions> options_of(const CreateArguments& arguments) {
  CreateOptions options;
  options.name = arguments.pool;
  options.demo = arguments.demo;
  options.dry_run = arguments.dry_run;
  StorageSettings storage;
  if (!arguments.storage_file.empty()) {
    ASSIGN_OR_RETURN(storage, load_storage(arguments.storage_file));
  }
  if (arguments.directories.size() < 2) {
    return Error(ErrorCode::kInvalid, EINVAL, "a pool needs at least two disks; nothing was changed");
  }
  options.geometry = storage.geometry.value_or(default_geometry(arguments.directories.size()));
  if (!arguments.geometry.empty()) {
    ASSIGN_OR_RETURN(options.geometry, Geometry::parse(arguments.geometry));
  }
  options.checksum = storage.checksum.value_or(ChecksumKind::kXxh3);
  if (!arguments.checksum.empty()) {
    ASSIGN_OR_RETURN(options.checksum, parse_checksum_kind(arguments.checksum));
  }
  for (const std::string& directory : arguments.directories) {
    auto real = real_path(directory);
    if (!real) {
      return Error(ErrorCode::kNotFound, real.error().errno_value(),
                   directory + " cannot be used as a disk; nothing was changed");
    }
    options.directories.push_back(*real);
  }
  return options;
}

nlohmann::json to_json(const CreateReport& report, const Geometry& geometry, bool dry_run) {
  return {{"output_version", kOutputVersion},
          {"pool", report.config.name},
          {"id", report.config.id.to_text()},
          {"class", geometry.to_text()},
          {"checksum", to_string(report.config.checksum)},
          {"disks", report.directories},
          {"raw_bytes", report.raw_bytes},
          {"usable_bytes", report.usable_bytes},
          {"segment_bytes", report.config.segment_bytes},
          {"created", !dry_run}};
}

}  // namespace

int create(const Globals& globals, const CreateArguments& arguments) {
  auto options = options_of(arguments);
  if (!options) return fail(globals, options.error(), create_exit_code(options.error()));
  if (auto known = load_host_config(arguments.pool); known || known.error().code() != ErrorCode::kNotFound) {
    return fail(globals,
                Error(ErrorCode::kExists, EEXIST,
                      "this host already has a pool \"" + arguments.pool + "\" (" +
                          config_path(arguments.pool) + "); nothing was changed"),
                kFailed);
  }
  HostConfig config;
  config.name = "any";  // create_pool judges the real one
  config.disks = options->directories;
  if (auto good = check_host_config(config); !good) {
    return fail(globals, Error(ErrorCode::kInvalid, EINVAL, good.error().message() + "; nothing was changed"),
                kUsage);
  }
  auto report = create_pool(*options);
  if (!report) return fail(globals, report.error(), create_exit_code(report.error()));
  if (!arguments.dry_run) {
    config.name = arguments.pool;
    config.id = report->config.id;
    config.disks = report->directories;
    if (auto saved = save_host_config(config); !saved) {
      return fail(globals,
                  std::move(saved.error())
                      .with_context("the pool is made, but this host's file of it could not be written "
                                    "(try stavefs import DIR...)"),
                  kFailed);
    }
  }
  if (globals.json) {
    print_json(to_json(*report, options->geometry, arguments.dry_run));
    return kOk;
  }
  std::printf("%s %s: class %s on %zu disks\n", arguments.dry_run ? "would make pool" : "made pool",
              arguments.pool.c_str(), options->geometry.to_text().c_str(), report->directories.size());
  std::printf("  usable    %s of %s raw\n", format_bytes(report->usable_bytes).c_str(),
              format_bytes(report->raw_bytes).c_str());
  std::printf("  survives  the loss of any %d disk%s\n", options->geometry.parity,
              options->geometry.parity == 1 ? "" : "s");
  if (!arguments.dry_run) std::printf("  next      stavefs mount %s DIR\n", arguments.pool.c_str());
  return kOk;
}

}  // namespace stavefs::cli
