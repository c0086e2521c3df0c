#include "store_bed.h"

#include <cstring>

#include "journal/journal.h"

namespace stavefs::test {
namespace {

constexpr uint64_t kRingBytes = uint64_t{4} << 20;

}  // namespace

StoreBed::StoreBed(uint64_t seed, const Options& options)
    : options_(options),
      rng_(seed),
      store_rng_(seed + 1),
      world_(std::make_unique<sim::SimWorld>(seed, options.disks, options.host_bytes)) {
  log_to_file("/dev/null");  // disks are lost on purpose
  PoolConfig config;
  config.id = Uuid::random(rng_);
  config.name = "tank";
  config.geometry = options.geometry;
  config.segment_bytes = kSegmentBytes;
  config.ring_bytes = kRingBytes;
  config.metadata_copies = static_cast<uint8_t>(options.geometry.parity + 1);
  std::vector<Pool::NewDisk> disks;
  for (int i = 0; i < options.disks; ++i) {
    disks.push_back(
        {&world_->disk(i), "/disk" + std::to_string(i), uint64_t{options.segments} * kSegmentBytes});
    EXPECT_TRUE(Journal::format(world_->disk(i), world_->engine(), kRingBytes));
  }
  const Status formatted = Pool::format(config, disks, world_->engine(), rng_);
  EXPECT_TRUE(formatted) << formatted.error().to_text();
}

StoreBed::StoreBed(StoreBed& other, uint64_t seed, sim::CrashMode mode)
    : options_(other.options_),
      rng_(seed),
      store_rng_(seed + 1),
      world_(other.world_->fork(seed, mode)),
      stored_(other.stored_),
      history_(other.history_),
      next_inode_(other.next_inode_) {
  const auto value = other.witness_->load();
  if (value && *value) {
    EXPECT_TRUE(witness_->store(**value));
  }
}

Status StoreBed::start(const std::set<int>& without) {
  std::vector<Pool::Attached> disks;
  for (int i = 0; i < options_.disks; ++i) {
    if (without.contains(i)) continue;
    disks.push_back({std::make_unique<LentDisk>(world_->disk(i)), "/disk" + std::to_string(i)});
  }
  ASSIGN_OR_RETURN(pool_, Pool::open(std::move(disks), world_->engine(), *witness_, rng_, {}));
  Ledger::Options ledger_options;
  ledger_options.index_cache_bytes = 4u << 20;
  ledger_options.memtable_bytes = 1u << 20;
  ASSIGN_OR_RETURN(ledger_, Ledger::open(*pool_, ledger_options));
  ASSIGN_OR_RETURN(store_, Store::open(*pool_, *ledger_, buffers_, clock_, store_rng_, {}));
  return ok();
}

void StoreBed::stop() {
  store_.reset();
  ledger_.reset();
  pool_.reset();
}

std::string StoreBed::random_bytes(size_t size) {
  std::string bytes(size, '\0');
  for (size_t at = 0; at < size; at += 8) {
    const uint64_t word = rng_.next();
    std::memcpy(bytes.data() + at, &word, std::min<size_t>(8, size - at));
  }
  return bytes;
}

std::vector<std::string> StoreBed::random_pieces(size_t total) {
  static constexpr size_t kSizes[] = {1,      63,     64,     1100,    4095,    4096,
                                      4097,   20000,  32767,  32768,   32769,   100000,
                                      262144, 300000, 524288, 1048576, 1500000, 3000000};
  std::vector<std::string> pieces;
  for (size_t used = 0; used < total;) {
    size_t size = kSizes[rng_.below(std::size(kSizes))];
    if (rng_.one_in(2)) size = 1 + rng_.below(size);
    size = std::min(size, total - used);
    pieces.push_back(random_bytes(size));
    used += size;
  }
  return pieces;
}

Status StoreBed::write(WriteSession& session, const std::vector<std::string>& pieces,
                       std::vector<Stored>& out) {
  // Every other time from page-aligned memory, which is written without a copy.
  const bool aligned = rng_.one_in(2);
  std::vector<AlignedBuffer> memory;
  std::vector<DataPiece> data;
  for (const std::string& piece : pieces) {
    const auto* bytes = reinterpret_cast<const uint8_t*>(piece.data());
    if (aligned) {
      memory.emplace_back(piece.size());
      std::memcpy(memory.back().data(), piece.data(), piece.size());
      bytes = memory.back().data();
    }
    data.push_back({InodeId(next_inode_++), 4096 * rng_.below(1000), {bytes, piece.size()}});
  }
  std::vector<PlacedExtent> placed;
  TRY(session.write(data, placed));
  size_t piece = 0;
  uint64_t at = 0;
  for (const PlacedExtent& extent : placed) {
    while (at == pieces[piece].size()) {
      ++piece;
      at = 0;
    }
    // The order promised by the interface, with nothing left out.
    EXPECT_EQ(extent.piece, piece);
    EXPECT_EQ(extent.piece_offset, at);
    at += extent.address.length;
    Stored stored{data[piece].inode, data[piece].file_offset + extent.piece_offset, {}, {}, {}};
    stored.extent.address = extent.address;
    stored.extent.length = extent.address.length;
    stored.extent.checksum = options_.checksum;
    stored.extent.expanded_length = extent.address.length;
    stored.extent.checksums = extent.checksums;
    stored.bytes = pieces[piece].substr(extent.piece_offset, extent.address.length);
    out.push_back(std::move(stored));
  }
  EXPECT_EQ(at, pieces.empty() ? 0 : pieces[piece].size());
  EXPECT_EQ(piece + 1, std::max<size_t>(1, pieces.size()));
  return ok();
}

Status StoreBed::commit(WriteSession& session, std::vector<Stored> pieces) {
  Change change;
  for (const Stored& stored : pieces) {
    history_[keys::extent(stored.inode, stored.offset)] = stored;
    change.index().put(keys::extent(stored.inode, stored.offset), stored.extent.encode());
  }
  session.add_to(change);
  ASSIGN_OR_RETURN(const Lsn lsn, ledger_->commit(change));
  session.committed();
  for (Stored& stored : pieces) {
    stored.lsn = lsn;
    stored_.push_back(std::move(stored));
  }
  return ok();
}

Status StoreBed::put(const std::vector<std::string>& pieces, Temperature temperature) {
  TRY(ledger_->admit());
  const auto session = store_->begin_write(options_.geometry, options_.checksum, temperature);
  std::vector<Stored> out;
  TRY(write(*session, pieces, out));
  TRY(session->flush());
  return commit(*session, std::move(out));
}

Status StoreBed::drop(size_t index) {
  TRY(ledger_->admit());
  const Stored& stored = stored_[index];
  Change change;
  change.index().erase(keys::extent(stored.inode, stored.offset));
  change.add_live(stored.extent.address.group, -static_cast<int64_t>(stored.extent.address.length));
  const auto committed = ledger_->commit(change);
  if (!committed) return committed.error();
  std::swap(stored_[index], stored_.back());
  stored_.pop_back();
  return ok();
}

Status StoreBed::read(const Stored& stored, uint64_t offset, std::span<uint8_t> out, bool zero_copy) {
  const GroupPin pin = store_->pin(stored.extent.address.group);
  if (pin == nullptr) return Error(ErrorCode::kNotFound, EIO, "group is gone");
  const ExtentRead read{&stored.extent, offset, out, zero_copy};
  return store_->read({&read, 1});
}

std::string StoreBed::check(const Stored& stored) {
  const size_t size = stored.bytes.size();
  size_t from = 0;
  size_t to = size;
  if (rng_.one_in(3)) {
    from = rng_.below(size);
    to = from + 1 + rng_.below(size - from);
  }
  const bool zero_copy = rng_.one_in(2);
  AlignedBuffer memory(size + kPageBytes);
  // Now and then a target that is not aligned, which the reader must notice itself.
  uint8_t* out = memory.data() + (zero_copy && !rng_.one_in(4) ? 0 : rng_.below(kPageBytes));
  const Status status = read(stored, from, {out, to - from}, zero_copy && out == memory.data());
  if (!status) return status.error().to_text();
  if (std::memcmp(out, stored.bytes.data() + from, to - from) != 0)
    return "WRONG BYTES in " + stored.extent.to_text();
  return "";
}

void StoreBed::check_all(const char* when) {
  for (const Stored& stored : stored_) {
    const std::string fault = check(stored);
    ASSERT_EQ(fault, "") << when << ": " << stored.extent.to_text();
  }
}

void StoreBed::adopt_index(Lsn durable) {
  std::map<std::string, std::string> found;
  for (auto& [key, value] : index_entries("X")) found[key] = value;
  for (const Stored& stored : stored_) {
    const auto it = found.find(keys::extent(stored.inode, stored.offset));
    ASSERT_TRUE(stored.lsn > durable || it != found.end())
        << "durable, but gone: " << stored.extent.to_text();
  }
  stored_.clear();
  for (const auto& [key, value] : found) {
    const auto known = history_.find(key);
    ASSERT_TRUE(known != history_.end()) << "an extent that nobody wrote";
    ASSERT_EQ(value, known->second.extent.encode());
    stored_.push_back(known->second);
    stored_.back().lsn = durable;
  }
}

StoreBed::Place StoreBed::place(const ExtentAddress& address, uint32_t shard) {
  const auto group = store_->group(address.group);
  EXPECT_TRUE(group);
  const ShardReport& report = group->shards[shard];
  if (report.disk == kNoDisk) return {};
  return {report.disk.value, segment_file_name(report.segment), uint64_t{address.row.value} * kRowBytes};
}

void StoreBed::overwrite(int disk, const std::string& file, uint64_t offset, const std::string& bytes) {
  auto opened = world_->disk(disk).open(file, {});
  ASSERT_TRUE(opened) << file;
  std::string copy = bytes;
  ASSERT_TRUE(run_one(world_->engine(), {.file = opened->get(),
                                         .kind = IoKind::kWrite,
                                         .offset = offset,
                                         .data = reinterpret_cast<uint8_t*>(copy.data()),
                                         .bytes = static_cast<uint32_t>(copy.size()),
                                         .durable = true}));
}

uint64_t StoreBed::checksum_errors(int disk) {
  return pool_->reports()[static_cast<size_t>(disk)].checksum_errors;
}

uint64_t StoreBed::checksum_errors() {
  uint64_t sum = 0;
  for (const DiskReport& report : pool_->reports()) sum += report.checksum_errors;
  return sum;
}

std::set<GroupId> StoreBed::groups() const {
  std::set<GroupId> groups;
  for (const Stored& stored : stored_) groups.insert(stored.extent.address.group);
  return groups;
}

std::vector<std::pair<std::string, std::string>> StoreBed::index_entries(const std::string& prefix) {
  std::vector<std::pair<std::string, std::string>> entries;
  auto scan = ledger_->scan_prefix(prefix);
  EXPECT_TRUE(scan);
  for (; (*scan)->valid(); (*scan)->next()) entries.emplace_back((*scan)->key(), (*scan)->value());
  return entries;
}

}  // namespace stavefs::test
