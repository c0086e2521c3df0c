// Which frames are history is the heart of recovery.  Method: hand-made sets of frames for each rule, and
// ring positions against a naive model.

#include "journal/chain.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "base/log.h"
#include "base/rng.h"
#include "journal/ring_space.h"

namespace stavefs {
namespace {

/// Frames whose hash is their name.
FrameHeader frame(uint64_t hash, uint64_t prev, uint64_t epoch, uint64_t first, uint64_t last) {
  FrameHeader h;
  h.hash = {hash, 1};
  h.prev_hash = prev == 0 ? Hash128{} : Hash128{prev, 1};
  h.epoch = Epoch(epoch);
  h.ticket = epoch * 100;
  h.first_lsn = Lsn(first);
  h.last_lsn = Lsn(last);
  h.durable_lsn = Lsn(first - 1);
  return h;
}

/// The same frame, written when all up to `lsn` was trimmed.
FrameHeader trimmed(FrameHeader h, uint64_t lsn) {
  h.trim_lsn = Lsn(lsn);
  return h;
}

EpochRecord record(uint64_t epoch, uint64_t start, uint64_t hash) {
  EpochRecord r;
  r.epoch = Epoch(epoch);
  r.ticket = epoch * 100;
  r.start_lsn = Lsn(start);
  r.chain_hash = hash == 0 ? Hash128{} : Hash128{hash, 1};
  return r;
}

/// "end: hash hash ..." or the error's code.
std::string choose(const std::vector<std::vector<FrameHeader>>& rings, const EpochRecord& epoch,
                   uint64_t after, std::string* message = nullptr) {
  log_to_file("/dev/null");
  FrameIndex index(1000);
  for (size_t i = 0; i < rings.size(); ++i) EXPECT_TRUE(index.add(rings[i], static_cast<int>(i)));
  const auto chain = choose_chain(index, epoch, Lsn(after));
  if (!chain) {
    if (message != nullptr) *message = chain.error().message();
    return std::string(to_string(chain.error().code()));
  }
  std::string text = std::to_string(chain->end.value);
  text += ':';
  for (const FoundFrame& f : chain->frames) {
    text += ' ';
    text += std::to_string(f.header.hash.low);
    text += '/';
    text += std::to_string(f.holders);
  }
  return text;
}

const FrameHeader a = frame(1, 0, 1, 1, 5);
const FrameHeader b = frame(2, 1, 1, 6, 8);
const FrameHeader c = frame(3, 2, 1, 9, 9);

TEST(Chain, EmptyRingsHaveAnEmptyChain) {
  EXPECT_EQ(choose({{}, {}}, record(1, 0, 0), 0), "0:");
  EXPECT_EQ(choose({{}}, record(7, 30, 0), 30), "30:") << "after an index that was ahead of its journal";
}

TEST(Chain, LongestOverAllRingsAndWhoHoldsWhat) {
  EXPECT_EQ(choose({{a, b}, {a, b, c}}, record(1, 0, 0), 0), "9: 1/3 2/3 3/2");
  EXPECT_EQ(choose({{a}, {c}, {b}}, record(1, 0, 0), 0), "9: 1/1 2/4 3/2");
}

TEST(Chain, TornTailIsWhereTheLastValidFrameEnds) {
  EXPECT_EQ(choose({{a, b}}, record(1, 0, 0), 0), "8: 1/1 2/1");
}

TEST(Chain, HoleBelowAValidFrameIsLossAndNamed) {
  std::string message;
  EXPECT_EQ(choose({{a, c}, {a, c}}, record(1, 0, 0), 0, &message), "corrupt");
  EXPECT_NE(message.find("records 6 to 8"), std::string::npos) << message;
  EXPECT_EQ(choose({{b, c}}, record(1, 0, 0), 0, &message), "corrupt");
  EXPECT_NE(message.find("records 1 to 5"), std::string::npos) << message;
}

TEST(Chain, HoleBelowWhatWasTrimmedDoesNotMatter) {
  EXPECT_EQ(choose({{a, trimmed(c, 8)}}, record(1, 0, 0), 8), "9: 3/1");
  EXPECT_EQ(choose({{b, trimmed(c, 5)}}, record(1, 0, 0), 5), "9: 2/1 3/1");
  EXPECT_EQ(choose({{b, trimmed(c, 7)}}, record(1, 0, 0), 7), "9: 2/1 3/1")
      << "a frame that is needed in part";
  EXPECT_EQ(choose({{b, trimmed(c, 4)}}, record(1, 0, 0), 7), "corrupt");
}

TEST(Chain, IndexAheadOfTheTrimPointDoesNotExcuseAHole) {
  // Records between the trim point and what the index has may hold data that is nowhere else.
  EXPECT_EQ(choose({{a, trimmed(c, 5)}}, record(1, 0, 0), 8), "corrupt");
  EXPECT_EQ(choose({{a, b, trimmed(c, 5)}}, record(1, 0, 0), 9), "9: 2/1 3/1");
}

TEST(Chain, TrimPointOfTheNewestFrameCounts) {
  EXPECT_EQ(choose({{trimmed(b, 5), trimmed(c, 0)}}, record(1, 0, 0), 9), "corrupt");
}

TEST(Chain, TrimmedRecordsThatAnOldIndexAsksForAreNamedAsSuch) {
  std::string message;
  EXPECT_EQ(choose({{trimmed(c, 8)}}, record(1, 0, 0), 3, &message), "corrupt");
  EXPECT_NE(message.find("older"), std::string::npos) << message;
}

TEST(Chain, WhatAnOlderEpochWroteBeyondTheSplitIsDead) {
  // Epoch 2 goes on from b; c was never acknowledged, and c2 has its LSN.
  const FrameHeader c2 = frame(13, 2, 2, 9, 12);
  EXPECT_EQ(choose({{a, b, c}, {a, b, c2}}, record(2, 8, 2), 0), "12: 1/3 2/3 13/2");
  EXPECT_EQ(choose({{a, b, c}, {a, b}}, record(2, 8, 2), 0), "8: 1/3 2/3");
  EXPECT_EQ(choose({{trimmed(b, 5), c}}, record(2, 8, 2), 8), "8: 2/1");
  FrameHeader all_trimmed = b;
  all_trimmed.trim_lsn = Lsn(8);  // as if written later: nothing at all is needed
  EXPECT_EQ(choose({{all_trimmed, c}}, record(2, 8, 2), 8), "8: 2/1")
      << "writing goes on behind the last frame";
}

TEST(Chain, SameEpochNumberOfAnotherPublicationIsDead) {
  FrameHeader other = frame(13, 2, 2, 9, 12);
  other.ticket = 5;
  EXPECT_EQ(choose({{a, b, other}}, record(2, 8, 2), 0), "8: 1/1 2/1");
}

TEST(Chain, EpochThatDoesNotJoinItsStartIsLoss) {
  const FrameHeader stray = frame(13, 77, 2, 9, 12);
  EXPECT_EQ(choose({{a, b, stray}}, record(2, 8, 2), 0), "corrupt");
  EXPECT_EQ(choose({{a, b, stray}}, record(2, 8, 2), 8), "corrupt");
}

TEST(Chain, EpochThatJoinsAnotherFrameWithTheSameEndIsLoss) {
  // Two frames end at 8; the epoch began after b, but the frame found links to the other one.
  const FrameHeader twin = frame(22, 1, 1, 6, 8);
  const FrameHeader stray = frame(13, 22, 2, 9, 12);
  EXPECT_EQ(choose({{a, b, twin, stray}}, record(2, 8, 2), 0), "corrupt");
}

TEST(Chain, RecordsBelowTheStartMustBeThere) {
  EXPECT_EQ(choose({{b}}, record(2, 8, 2), 0), "corrupt");
  EXPECT_EQ(choose({{trimmed(b, 5)}}, record(2, 8, 2), 5), "8: 2/1");
  std::string message;
  EXPECT_EQ(choose({{a}}, record(2, 8, 2), 8, &message), "corrupt")
      << "the newest frame is never overwritten";
  EXPECT_NE(message.find("record 8"), std::string::npos) << message;
}

TEST(Chain, SeveralEpochsAreOneHistory) {
  const FrameHeader d = frame(4, 2, 2, 9, 10);
  const FrameHeader e = frame(5, 4, 4, 11, 20);
  EXPECT_EQ(choose({{a, b, c, d, e}, {e, d, a}}, record(4, 10, 4), 0), "20: 1/3 2/1 4/3 5/3");
}

TEST(Chain, IndexAheadOfEverythingGoesOnBehindItAndKeepsWhatIsThere) {
  EXPECT_EQ(choose({{a, b}}, record(1, 0, 0), 30), "30: 1/1 2/1");
  EXPECT_EQ(choose({{a, trimmed(b, 5)}}, record(1, 0, 0), 30), "30: 2/1");
  // The next epoch began after 30, joined to b; an index that has less than 30 lacks what is nowhere.
  const FrameHeader d = frame(4, 2, 2, 31, 31);
  EXPECT_EQ(choose({{a, b, d}}, record(2, 30, 2), 30), "31: 1/1 2/1 4/1");
  EXPECT_EQ(choose({{a, b}}, record(2, 30, 2), 30), "30: 1/1 2/1");
  EXPECT_EQ(choose({{a, b, d}}, record(2, 30, 2), 29), "corrupt");
}

TEST(Chain, FrameThatWasNeverDurableEverywhereMayBeLostInAGap) {
  // Not what this software writes: durable marks are trusted, not its habits.
  FrameHeader early = c;
  early.durable_lsn = Lsn(5);
  EXPECT_EQ(choose({{a, early}}, record(1, 0, 0), 0), "5: 1/1");
}

TEST(Chain, TooManyFramesAreRefused) {
  FrameIndex index(3);
  std::vector<FrameHeader> frames = {a, b, c};
  EXPECT_TRUE(index.add(frames, 0));
  EXPECT_TRUE(index.add(frames, 1));
  frames = {frame(50, 0, 1, 1, 1)};
  EXPECT_FALSE(index.add(frames, 2));
}

TEST(RingSpace, NeverOverwritesLiveFrames) {
  // Against a model that marks every page of the ring with the frame that owns it.
  for (uint64_t seed = 1; seed <= 50; ++seed) {
    Rng rng(seed);
    constexpr uint64_t kRing = 64 << 10;
    RingSpace space(kRing);
    std::vector<uint64_t> owner(kRing / 4096, 0);
    uint64_t lsn = 0;
    uint64_t trimmed = 0;
    int refused = 0;
    for (int i = 0; i < 2000; ++i) {
      const auto bytes = static_cast<uint32_t>((1 + rng.below(4)) * 4096);
      const uint64_t position = space.place(space.head(), bytes);
      if (!space.fits(position + bytes)) {
        ++refused;
        trimmed += rng.below(lsn - trimmed + 1);
        space.trim(Lsn(trimmed));
        continue;
      }
      const uint64_t offset = space.offset(position);
      ASSERT_LE(offset + bytes, kRing);
      for (uint64_t page = offset / 4096; page < (offset + bytes) / 4096; ++page) {
        ASSERT_TRUE(owner[page] <= trimmed && (owner[page] == 0 || owner[page] != lsn))
            << "seed " << seed << ": frame " << owner[page] << " of " << lsn;
        owner[page] = lsn + 1;
      }
      space.push({position, bytes, Lsn(++lsn), {}});
      if (rng.one_in(3)) {
        trimmed += rng.below(lsn - trimmed + 1);
        space.trim(Lsn(trimmed));
      }
    }
    EXPECT_GT(refused, 0);
    EXPECT_GT(lsn, 500u);
  }
}

}  // namespace
}  // namespace stavefs
