// Which epoch is the newest, whom to trust with it, and whether that is enough to mount.
//
// Theory: see pool.h.  These are pure functions of what the superblocks and the witness say, so that a table
// of cases can test them.  Epoch numbers order publications inside one fork; tickets tell two publications
// with one number apart.  Forks are ordered only by descent: a fork names its parent and the last epoch that
// it shares.

#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "disk/superblock_format.h"
#include "pool/pool.h"

namespace stavefs {

/// What one disk says.
struct EpochView {
  const Superblock* superblock = nullptr;
  std::string name;  ///< for people
};

struct Settlement {
  SuperblockEpoch newest;
  size_t source = 0;            ///< index of a view that carries it: its member table and settings count
  uint64_t highest_number = 0;  ///< over everything seen: the next epoch must be above
  std::vector<bool> current;    ///< by view: has the newest epoch, published or pending; the others are stale
};

/// Settles the newest epoch.  kInvalid when the disks tell of two histories that went on separately (names
/// them). REQUIRES: views.size() > 0.
Result<Settlement> settle_epoch(std::span<const EpochView> views,
                                const std::optional<Witness::Value>& witness);

struct MountFacts {
  SuperblockEpoch newest;
  size_t members_here = 0;       ///< metadata members of `newest` that are here and current
  int parity = 0;                ///< m of the pool
  size_t worst_set_missing = 0;  ///< most disks missing from one set
  std::optional<Witness::Value> witness;
};

enum class MountVerdict : uint8_t {
  kAllowed,
  kNeedsForce,  ///< only with a new fork
  kImpossible,  ///< no metadata copy is here
};

struct MountDecision {
  MountVerdict verdict = MountVerdict::kAllowed;
  std::string reason;  ///< why not, for people
};

/// Applies the mount rule.
MountDecision decide_mount(const MountFacts& facts);

}  // namespace stavefs
