// Random operations on one file against a string.  Method: several descriptors, a shared mapping and O_DIRECT
// work on the same file in turn; after every step the touched range is compared, and now and then all of it.
// The seed is in the failure.

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <algorithm>
#include <memory>

#include "scratch.h"

namespace posix_suite {
namespace {

class Model : public Scratch {
 protected:
  static constexpr size_t kMaxSize = 3 << 20;

  void run(uint64_t seed, int steps);
  void write_some();
  void map_some();
  void resize();
  void read_some();
  void check_all();
  size_t any_offset(size_t below) {
    // Half of them near a border.
    size_t offset = random_() % below;
    if (random_() % 2 == 0) {
      const size_t border = size_t{512} << (random_() % 12);
      offset = offset / border * border + random_() % 3;
    }
    return std::min(offset, below - 1);
  }
  size_t any_length() { return 1 + random_() % (size_t{1} << (random_() % 20)); }

  std::mt19937_64 random_;
  std::string model_;
  std::unique_ptr<Fd> fds_[3];
};

void Model::write_some() {
  const size_t offset = any_offset(kMaxSize), length = std::min(any_length(), kMaxSize - offset);
  const std::string bytes = noise(length, random_());
  Fd& fd = *fds_[random_() % 3];
  ASSERT_EQ(pwrite(fd, bytes.data(), length, static_cast<off_t>(offset)), static_cast<ssize_t>(length));
  if (model_.size() < offset + length) model_.resize(offset + length);
  model_.replace(offset, length, bytes);
}

void Model::map_some() {
  if (model_.empty()) return;
  void* memory = mmap(nullptr, model_.size(), PROT_READ | PROT_WRITE, MAP_SHARED, *fds_[0], 0);
  ASSERT_NE(memory, MAP_FAILED) << strerror(errno);
  const size_t offset = any_offset(model_.size()), length = std::min(any_length(), model_.size() - offset);
  char* mapped = static_cast<char*>(memory);
  EXPECT_EQ(memcmp(mapped + offset, model_.data() + offset, length), 0) << "mapped read at " << offset;
  if (random_() % 2 == 0) {
    const std::string bytes = noise(length, random_());
    memcpy(mapped + offset, bytes.data(), length);
    model_.replace(offset, length, bytes);
    if (random_() % 2 == 0) {
      EXPECT_EQ(msync(memory, model_.size(), MS_SYNC), 0);
    }
  }
  ASSERT_EQ(munmap(memory, model_.size()), 0);
}

void Model::resize() {
  const size_t size = random_() % 8 == 0 ? 0 : any_offset(kMaxSize);
  ASSERT_EQ(ftruncate(*fds_[random_() % 3], static_cast<off_t>(size)), 0);
  model_.resize(size);
}

void Model::read_some() {
  const size_t offset = any_offset(kMaxSize), length = any_length();
  std::string bytes(length, '?');
  const ssize_t got = pread(*fds_[random_() % 3], bytes.data(), length, static_cast<off_t>(offset));
  const size_t expected = offset >= model_.size() ? 0 : std::min(length, model_.size() - offset);
  ASSERT_EQ(got, static_cast<ssize_t>(expected)) << "read at " << offset;
  EXPECT_EQ(memcmp(bytes.data(), model_.data() + std::min(offset, model_.size()), expected), 0)
      << "read at " << offset;
}

void Model::check_all() {
  ASSERT_EQ(stat_of("f").st_size, static_cast<off_t>(model_.size()));
  const std::string content = get_file("f");
  if (content == model_) return;
  size_t at = 0;
  while (at < std::min(content.size(), model_.size()) && content[at] == model_[at]) ++at;
  FAIL() << "content differs at byte " << at << " of " << model_.size() << " (read " << content.size() << ")";
}

void Model::run(uint64_t seed, int steps) {
  SCOPED_TRACE("POSIX_SUITE_SEED=" + std::to_string(seed));
  random_.seed(seed);
  for (auto& fd : fds_) fd = std::make_unique<Fd>("f", O_RDWR | O_CREAT);
  for (int step = 0; step < steps && !HasFailure(); ++step) {
    SCOPED_TRACE("step " + std::to_string(step));
    switch (random_() % 16) {
      case 0: resize(); break;
      case 1: fds_[random_() % 3] = std::make_unique<Fd>("f", O_RDWR); break;
      case 2: ASSERT_EQ(random_() % 2 == 0 ? fsync(*fds_[0]) : fdatasync(*fds_[0]), 0); break;
      case 3: check_all(); break;
      case 4:
      case 5: map_some(); break;
      case 6:
      case 7:
      case 8:
      case 9:
      case 10: read_some(); break;
      default: write_some(); break;
    }
  }
  check_all();
  for (auto& fd : fds_) fd.reset();
}

TEST_F(Model, ContentDiffersFromItsHistory) { run(suite_seed(), 3000); }

TEST_F(Model, ContentOfManySmallFilesDiffers) {
  std::mt19937_64 random(suite_seed());
  std::vector<std::string> models(60);
  for (int step = 0; step < 2000; ++step) {
    const size_t i = random() % models.size();
    const std::string name = "small" + std::to_string(i);
    if (random() % 3 == 0) {
      models[i] = noise(random() % 6000, random());
      put_file(name, models[i]);
    } else if (random() % 2 == 0 && !models[i].empty()) {
      Fd fd(name, O_WRONLY | O_APPEND);
      const std::string more = noise(1 + random() % 500, random());
      ASSERT_EQ(write(fd, more.data(), more.size()), static_cast<ssize_t>(more.size()));
      models[i] += more;
    } else if (exists(name)) {
      ASSERT_TRUE(get_file(name) == models[i])
          << name << " at step " << step << ", POSIX_SUITE_SEED=" << suite_seed();
    }
  }
  for (size_t i = 0; i < models.size(); ++i) {
    const std::string name = "small" + std::to_string(i);
    if (exists(name)) {
      EXPECT_TRUE(get_file(name) == models[i]) << name << ", POSIX_SUITE_SEED=" << suite_seed();
    }
  }
}

TEST_F(Model, MappingsOfTwoProcessesDisagree) {
  put_file("f", std::string(1 << 20, 'a'));
  Fd fd("f", O_RDWR);
  char* mine = static_cast<char*>(mmap(nullptr, 1 << 20, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
  ASSERT_NE(mine, MAP_FAILED);
  const int child = in_child([] {
    Fd other("f", O_RDWR);
    char* theirs = static_cast<char*>(mmap(nullptr, 1 << 20, PROT_READ | PROT_WRITE, MAP_SHARED, other, 0));
    if (theirs == MAP_FAILED) return 1;
    memset(theirs + 4000, 'b', 200);
    return ::pwrite(other, "c", 1, 999'999) == 1 ? 0 : 2;
  });
  EXPECT_EQ(child, 0);
  EXPECT_EQ(std::string(mine + 4000, 200), std::string(200, 'b'));
  EXPECT_EQ(mine[999'999], 'c');
  munmap(mine, 1 << 20);
  EXPECT_EQ(get_file("f").substr(4000, 200), std::string(200, 'b'));
}

}  // namespace
}  // namespace posix_suite
