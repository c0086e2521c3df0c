// A disk as a map of strings, and random operations that compare a real one with it.

#pragma once

#include <cstdint>
#include <string>

#include "disk/disk.h"

namespace stavefs::test {

/// Does `operations` random operations, drawn from `seed`, on an empty disk and on the model.  "" when they
/// agree everywhere, otherwise what differed.
std::string compare_with_model(Disk& disk, IoEngine& engine, uint64_t seed, int operations);

}  // namespace stavefs::test
