// A journal on a simulated pool, for the tests of this directory.

#pragma once

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "journal/journal.h"
#include "journal/journal_format.h"
#include "tests/unit/pool/sim_pool.h"

namespace stavefs {

constexpr uint64_t kTestRingBytes = uint64_t{64} << 10;

/// Makes a pool with a journal on its first m+1 disks.
inline void format_journal_pool(sim::SimWorld& world, Geometry geometry,
                                uint64_t ring_bytes = kTestRingBytes) {
  const PoolConfig config = test_config(geometry, ring_bytes);
  for (int i = 0; i < config.metadata_copies; ++i)
    ASSERT_OK(Journal::format(world.disk(i), world.engine(), ring_bytes));
  ASSERT_OK(format_test_pool(world, config, 42));
}

using Records = std::map<uint64_t, std::string>;

/// A replay that collects, and fails the test when records are out of order.
inline Journal::Replay collect(Records& records) {
  return [&records](Lsn lsn, std::string_view record) {
    EXPECT_TRUE(records.empty() || records.rbegin()->first < lsn.value) << "record " << lsn.value;
    records[lsn.value] = std::string(record);
    return ok();
  };
}

/// A pool and its journal, opened together.
struct OpenJournal {
  std::unique_ptr<Pool> pool;
  std::unique_ptr<Journal> journal;  // after `pool`: destroyed before it
  Records replayed;
};

inline Result<OpenJournal> open_journal(sim::SimWorld& world, Witness& witness, uint64_t seed,
                                        Lsn after = Lsn(0), const std::set<int>& without = {},
                                        const Pool::OpenOptions& options = {}) {
  OpenJournal open;
  ASSIGN_OR_RETURN(open.pool, open_test_pool(world, witness, seed, without, options));
  ASSIGN_OR_RETURN(open.journal, Journal::open(*open.pool, after, collect(open.replayed), options.read_only));
  return open;
}

inline RingFormat ring_format(const Pool& pool) {
  return {pool.config().id, pool.journal_key(), pool.config().ring_bytes};
}

/// The valid frames of a ring as they stand on a disk, by offset.
inline std::vector<FrameHeader> frames_on(sim::SimWorld& world, int disk, const RingFormat& format) {
  std::vector<FrameHeader> frames;
  Result<std::string> bytes = world.contents(disk, kJournalFile);
  EXPECT_OK(bytes);
  if (!bytes) return frames;
  const std::span<uint8_t> ring(reinterpret_cast<uint8_t*>(bytes->data()), bytes->size());
  for (uint64_t offset = 0; offset < ring.size(); offset += kPageBytes) {
    const auto header = decode_frame_header(format, offset, ring.subspan(offset));
    if (header && verify_frame(*header, ring.subspan(offset))) frames.push_back(*header);
  }
  return frames;
}

}  // namespace stavefs
