// A disk that is a directory on a mounted filesystem.
//
// Identity: the directory is opened once and everything is done relative to that descriptor, so nothing is
// ever written into another directory that later stands at the same path.  `probe` compares the path's
// st_dev and st_ino with the held descriptor's.

#pragma once

#include <memory>
#include <string>

#include "disk/disk.h"

namespace stavefs {

/// Opens `directory`; kNotFound when it is missing, kInvalid when it is no directory.
/// The files of this disk may be used with the engine of make_uring_engine only.
Result<std::unique_ptr<Disk>> open_posix_disk(const std::string& directory);

/// Takes the advisory lock `name` in the disk's directory (flock(2), made when missing) and returns its
/// descriptor, which the caller owns; kBusy when another process, or a ring that it left behind, holds it.
/// REQUIRES: `disk` came from open_posix_disk.
Result<int> lock_posix_disk(Disk& disk, const char* name);

}  // namespace stavefs
