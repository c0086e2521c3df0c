#include "scratch.h"

#include <ftw.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <memory>

namespace posix_suite {
namespace {

std::string g_directory;
uint64_t g_seed = 0;

int remove_one(const char* path, const struct stat*, int, struct FTW*) { return ::remove(path); }

}  // namespace

const std::string& suite_directory() { return g_directory; }
uint64_t suite_seed() { return g_seed; }

void Scratch::SetUp() {
  ASSERT_EQ(chdir(suite_directory().c_str()), 0) << strerror(errno);
  umask(022);
  const auto* info = ::testing::UnitTest::GetInstance()->current_test_info();
  name_ =
      std::string("posix-") + info->test_suite_name() + "-" + info->name() + "." + std::to_string(getpid());
  ASSERT_EQ(mkdir(name_.c_str(), 0755), 0) << name_ << ": " << strerror(errno);
  ASSERT_EQ(chmod(name_.c_str(), 0777), 0);
  ASSERT_EQ(chdir(name_.c_str()), 0);
}

void Scratch::TearDown() {
  ASSERT_EQ(chdir(suite_directory().c_str()), 0);
  EXPECT_EQ(nftw(name_.c_str(), remove_one, 64, FTW_DEPTH | FTW_PHYS), 0)
      << "remove " << name_ << ": " << strerror(errno);
}

struct stat stat_of(const std::string& path) {
  struct stat st = {};
  EXPECT_EQ(lstat(path.c_str(), &st), 0) << path << ": " << strerror(errno);
  return st;
}

bool exists(const std::string& path) {
  struct stat st = {};
  return lstat(path.c_str(), &st) == 0;
}

void put_file(const std::string& path, std::string_view content, mode_t mode) {
  Fd fd(path, O_WRONLY | O_CREAT | O_TRUNC, mode);
  ASSERT_TRUE(fd.ok()) << path << ": " << strerror(fd.error());
  while (!content.empty()) {
    const ssize_t written = ::write(fd, content.data(), content.size());
    ASSERT_GT(written, 0) << path << ": " << strerror(errno);
    content.remove_prefix(static_cast<size_t>(written));
  }
}

std::string get_file(const std::string& path) {
  Fd fd(path, O_RDONLY);
  EXPECT_TRUE(fd.ok()) << path << ": " << strerror(fd.error());
  std::string content;
  std::vector<char> buffer(1 << 18);
  for (;;) {
    const ssize_t bytes = ::read(fd, buffer.data(), buffer.size());
    EXPECT_GE(bytes, 0) << path << ": " << strerror(errno);
    if (bytes <= 0) return content;
    content.append(buffer.data(), static_cast<size_t>(bytes));
  }
}

std::map<std::string, unsigned char> list(const std::string& path) {
  std::map<std::string, unsigned char> names;
  const std::unique_ptr<DIR, int (*)(DIR*)> directory(opendir(path.c_str()), closedir);
  EXPECT_TRUE(directory) << path << ": " << strerror(errno);
  if (!directory) return names;
  errno = 0;
  while (const dirent* entry = readdir(directory.get())) {
    const std::string name = entry->d_name;
    if (name == "." || name == "..") continue;
    EXPECT_TRUE(names.emplace(name, entry->d_type).second) << name << " was listed twice";
  }
  EXPECT_EQ(errno, 0) << strerror(errno);
  return names;
}

std::string noise(size_t bytes, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::string text(bytes, '\0');
  size_t i = 0;
  for (; i + 8 <= bytes; i += 8) {
    const uint64_t word = random();
    memcpy(text.data() + i, &word, 8);
  }
  for (; i < bytes; ++i) text[i] = static_cast<char>(random());
  return text;
}

void let_time_pass() {
  const timespec pause = {.tv_sec = 0, .tv_nsec = 20'000'000};
  nanosleep(&pause, nullptr);
}

int in_child(const std::function<int()>& work) {
  const pid_t child = fork();
  if (child == 0) _exit(work());
  int status = 0;
  if (child < 0 || waitpid(child, &status, 0) != child || !WIFEXITED(status)) return 255;
  return WEXITSTATUS(status);
}

int as_user(uid_t user, gid_t group, const std::vector<gid_t>& groups, const std::function<int()>& work) {
  return in_child([&] {
    if (setgroups(groups.size(), groups.data()) != 0 || setresgid(group, group, group) != 0 ||
        setresuid(user, user, user) != 0) {
      return 255;
    }
    return work();
  });
}

}  // namespace posix_suite

int main(int argc, char** argv) {
  ::testing::InitGoogleTest(&argc, argv);
  if (argc != 2) {
    fprintf(stderr, "usage: posix_suite [--gtest_...] DIRECTORY\n");
    return 2;
  }
  if (geteuid() != 0) {
    fprintf(stderr, "posix_suite plays several users: it must run as root\n");
    return 77;
  }
  const std::unique_ptr<char, decltype(&free)> real(realpath(argv[1], nullptr), &free);
  if (!real) {
    perror(argv[1]);
    return 2;
  }
  posix_suite::g_directory = real.get();
  const char* seed = getenv("POSIX_SUITE_SEED");
  posix_suite::g_seed = seed != nullptr ? strtoull(seed, nullptr, 0) : std::random_device()();
  printf("POSIX_SUITE_SEED=%llu on %s\n", static_cast<unsigned long long>(posix_suite::g_seed), real.get());
  return RUN_ALL_TESTS();
}
