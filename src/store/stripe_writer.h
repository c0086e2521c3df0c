// The write session: pieces in, durable extents out.
//
// Theory: see store.h.  Pieces are planned into stripes (stripe_planner.h) as the open group's room allows;
// stripes are laid out and coded one by one, and a few at a time go to all disks in one batch.  A failed
// shard is settled after its batch: the missing bit is committed and the group closed, so that the next
// stripe goes to a group without that disk.  When a group is left without a quorum, all stripes of the call
// are forgotten and written again elsewhere, a few times at most.
//
// Threads: a session belongs to one thread; several write to the same groups.

#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "store/byte_budget.h"
#include "store/group_sync.h"
#include "store/open_groups.h"
#include "store/stripe_buffers.h"

namespace stavefs {

class StripeWriter final : public WriteSession {
 public:
  StripeWriter(StoreContext& context, GroupTable& table, OpenGroups& open, ByteBudget& budget,
               const Geometry& geometry, ChecksumKind checksum, Temperature temperature);
  ~StripeWriter() override;

  Status write(std::span<const DataPiece> pieces, std::vector<PlacedExtent>& out) override;
  Status flush() override;
  void add_to(Change& change) override;
  void committed() override;

 private:
  /// A group that the session has written into, and keeps from being sealed.
  struct Touched {
    GroupPin group;
    std::vector<SegmentFile> files;
    uint64_t stamp = 0;
    uint64_t lost = 0;   // shards that the running batch did not reach
    size_t stripes = 0;  // that count
    bool in_batch = false;
  };
  struct Done {
    size_t touched;
    Row row;
    std::string record;
    uint64_t live_bytes;
  };
  struct Target {
    size_t touched;
    uint32_t shard;
  };

  Status write_all(std::span<const DataPiece> pieces, std::vector<PlacedExtent>& out);
  Status fill_batch(StripePlanner& planner, std::span<const DataPiece> pieces, uint64_t buffer_bytes,
                    std::vector<PlacedExtent>& out);
  /// Plans the next stripe and gets rows for it.
  Status next_stripe(StripePlanner& planner, std::span<const DataPiece> pieces, StripePlan& plan,
                     size_t& touched, Row& row);
  void place_extents(const StripePlan& plan, std::span<const DataPiece> pieces, const Touched& touched,
                     Row row, std::vector<PlacedExtent>& out);
  void submit(const StripePlan& plan, const StripeUnits& units, size_t touched, Row row);
  Status run_batch();
  void forget(size_t done, size_t placed, std::vector<PlacedExtent>& out);
  size_t touch(const GroupPin& group, bool joined);
  void leave_all();

  StoreContext& context_;
  GroupTable& table_;
  OpenGroups& open_;
  ByteBudget& budget_;
  const Geometry geometry_;
  const ChecksumKind checksum_;
  const Temperature temperature_;

  std::vector<Touched> touched_;
  std::vector<Done> done_;
  bool flushed_ = false;

  // Of the running batch; kept to spare allocations.
  StripeBuffers buffers_;
  std::vector<IoRequest> batch_;
  std::vector<Target> targets_;
  std::vector<Fragment> fragments_;
  StripeRecord record_;
};

}  // namespace stavefs
