#include "pool/mount_rule.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/check.h"

namespace stavefs {
namespace {

bool is_witnessed(const SuperblockEpoch& epoch, const std::optional<Witness::Value>& witness) {
  return witness && witness->epoch.value == epoch.epoch && witness->fork == epoch.fork &&
         witness->ticket == epoch.ticket;
}

/// What a disk stands for: its pending epoch when the witness knows that the first step was complete.
const SuperblockEpoch& stands_for(const Superblock& s, const std::optional<Witness::Value>& witness) {
  if (s.pending && s.pending->epoch > s.epoch.epoch && is_witnessed(*s.pending, witness)) return *s.pending;
  return s.epoch;
}

/// True when a disk at `old` shares all its history with `newest`.
bool is_ancestor(const SuperblockEpoch& old, const SuperblockEpoch& newest) {
  if (old.fork == newest.fork) return old.epoch <= newest.epoch;
  return old.fork == newest.parent_fork && old.epoch <= newest.fork_base;
}

Error split(const EpochView& a, const EpochView& b) {
  return Error(
      ErrorCode::kInvalid, EINVAL,
      fmt::format("the pool's history has split: disk {} is at epoch {} of fork {}, disk {} at epoch {} of "
                  "fork {}, and neither contains the other; leave out the disks of one side (and add them "
                  "again later as blank disks)",
                  a.name, a.superblock->epoch.epoch, a.superblock->epoch.fork.to_text(), b.name,
                  b.superblock->epoch.epoch, b.superblock->epoch.fork.to_text()));
}

/// True when the witness knows of no publication that `newest` does not contain.
bool contains_witness(const SuperblockEpoch& newest, const std::optional<Witness::Value>& witness) {
  if (!witness) return true;
  if (witness->fork == newest.fork)
    return witness->epoch.value < newest.epoch || is_witnessed(newest, witness);
  return witness->fork == newest.parent_fork && witness->epoch.value <= newest.fork_base;
}

}  // namespace

Result<Settlement> settle_epoch(std::span<const EpochView> views,
                                const std::optional<Witness::Value>& witness) {
  CHECK(!views.empty());
  Settlement result;
  const auto says = [&](size_t i) -> const SuperblockEpoch& {
    return stands_for(*views[i].superblock, witness);
  };
  // A disk that none of the others leaves behind; with a split history that is seen below.
  size_t best = 0;
  for (size_t i = 1; i < views.size(); ++i) {
    const SuperblockEpoch& a = says(i);
    const SuperblockEpoch& b = says(best);
    const bool newer = a.same_publication(b) ? a.clean && !b.clean : !is_ancestor(a, b) && is_ancestor(b, a);
    if (newer) best = i;
  }
  result.newest = says(best);
  result.source = best;
  for (size_t i = 0; i < views.size(); ++i) {
    const Superblock& s = *views[i].superblock;
    const SuperblockEpoch& a = says(i);
    const bool other_ticket =
        a.epoch == result.newest.epoch && a.fork == result.newest.fork && a.ticket != result.newest.ticket;
    if (!is_ancestor(a, result.newest) || other_ticket) return split(views[best], views[i]);
    result.highest_number =
        std::max({result.highest_number, s.epoch.epoch, s.pending ? s.pending->epoch : 0});
    result.current.push_back(s.epoch.same_publication(result.newest) ||
                             (s.pending && s.pending->same_publication(result.newest)));
  }
  if (witness) result.highest_number = std::max(result.highest_number, witness->epoch.value);
  return result;
}

MountDecision decide_mount(const MountFacts& facts) {
  const size_t total = facts.newest.members.size();
  const size_t here = facts.members_here;
  const size_t missing = total - std::min(here, total);
  const auto parity = static_cast<size_t>(facts.parity);
  if (here == 0)
    return {MountVerdict::kImpossible,
            fmt::format("none of the {} disks that carry the pool's metadata is here", total)};
  if (!contains_witness(facts.newest, facts.witness))
    return {
        MountVerdict::kNeedsForce,
        fmt::format(
            "this host has seen epoch {} of fork {}, but the newest epoch on these disks is {} of fork {}: "
            "newer data is on disks that are not here",
            facts.witness->epoch.value, facts.witness->fork.to_text(), facts.newest.epoch,
            facts.newest.fork.to_text())};
  if (facts.worst_set_missing > parity)
    return {MountVerdict::kNeedsForce,
            fmt::format("{} disks are missing, at most {} may be", facts.worst_set_missing, parity)};
  if (missing == 0) return {};
  if (missing > parity)
    return {MountVerdict::kNeedsForce,
            fmt::format("{} of {} metadata disks are missing, at most {} may be", missing, total, parity)};
  if (2 * here > total || is_witnessed(facts.newest, facts.witness)) return {};
  return {MountVerdict::kNeedsForce,
          fmt::format(
              "only {} of {} metadata disks are here, no majority, and this host was not the last to mount "
              "the pool: the others may have gone on without these",
              here, total)};
}

}  // namespace stavefs
