// Many threads in one tree.  Goal: atomic operations stay atomic, and nothing is lost or doubled.

#include <string.h>

#include <atomic>
#include <set>
#include <thread>

#include "scratch.h"

namespace posix_suite {
namespace {

class Concurrency : public Scratch {
 protected:
  static void in_threads(int count, const std::function<void(int)>& work) {
    std::vector<std::thread> threads;
    for (int i = 0; i < count; ++i) threads.emplace_back(work, i);
    for (std::thread& thread : threads) thread.join();
  }
};

TEST_F(Concurrency, TwoWinAnExclusiveCreate) {
  for (int round = 0; round < 100; ++round) {
    std::atomic<int> files{0}, directories{0}, links{0};
    const std::string n = std::to_string(round);
    put_file("source" + n, "");
    in_threads(4, [&](int) {
      if (Fd("f" + n, O_CREAT | O_EXCL | O_WRONLY).ok()) ++files;
      if (mkdir(("d" + n).c_str(), 0755) == 0) ++directories;
      if (link(("source" + n).c_str(), ("l" + n).c_str()) == 0) ++links;
    });
    ASSERT_EQ(files, 1);
    ASSERT_EQ(directories, 1);
    ASSERT_EQ(links, 1);
  }
}

TEST_F(Concurrency, ReaderSeesAHalfReplacedFile) {
  put_file("f", std::string(100'000, 'a'));
  std::atomic<bool> done{false};
  std::atomic<int> reads{0};
  in_threads(3, [&](int thread) {
    if (thread == 0) {
      for (int i = 0; i < 150; ++i) {
        put_file("f.tmp", std::string(100'000 + static_cast<size_t>(i), static_cast<char>('a' + i % 26)));
        EXPECT_EQ(rename("f.tmp", "f"), 0);
      }
      done = true;
      return;
    }
    while (!done) {
      const std::string content = get_file("f");
      ++reads;
      ASSERT_GE(content.size(), 100'000u);
      ASSERT_EQ(content.find_first_not_of(content[0]), std::string::npos);
    }
  });
  EXPECT_GT(reads, 0);
}

TEST_F(Concurrency, SharedDirectoryLosesNames) {
  // Each thread keeps a model of its own names in directories that all of them use.
  constexpr int kThreads = 6, kSteps = 400;
  for (const char* directory : {"a", "b", "c"}) ASSERT_EQ(mkdir(directory, 0755), 0);
  std::vector<std::map<std::string, std::string>> models(kThreads);
  in_threads(kThreads, [&](int thread) {
    std::mt19937_64 random(suite_seed() + static_cast<uint64_t>(thread));
    auto& model = models[static_cast<size_t>(thread)];
    const auto any_path = [&] {
      return std::string(1, static_cast<char>('a' + random() % 3)) + "/t" + std::to_string(thread) + "-" +
             std::to_string(random() % 15);
    };
    for (int step = 0; step < kSteps; ++step) {
      const std::string path = any_path(), other = any_path();
      switch (random() % 4) {
        case 0:
        case 1:
          model[path] = noise(random() % 3000, random());
          put_file(path, model[path]);
          break;
        case 2: ASSERT_EQ(error_of(unlink(path.c_str())), model.erase(path) == 1 ? 0 : ENOENT) << path; break;
        default:
          if (path == other) break;
          ASSERT_EQ(error_of(rename(path.c_str(), other.c_str())), model.count(path) == 1 ? 0 : ENOENT)
              << path;
          if (model.count(path) == 1) {
            model[other] = model[path];
            model.erase(path);
          }
      }
    }
  });
  std::map<std::string, std::string> all;
  for (auto& model : models) all.merge(model);
  size_t listed = 0;
  for (const std::string directory : {"a", "b", "c"}) {
    for (const auto& [name, type] : list(directory)) {
      ++listed;
      const std::string path = directory + "/" + name;
      ASSERT_EQ(all.count(path), 1u) << path << " should not be there, POSIX_SUITE_SEED=" << suite_seed();
      EXPECT_TRUE(get_file(path) == all[path]) << path << ", POSIX_SUITE_SEED=" << suite_seed();
    }
  }
  EXPECT_EQ(listed, all.size()) << "POSIX_SUITE_SEED=" << suite_seed();
}

TEST_F(Concurrency, CrossedRenamesHang) {
  for (const char* directory : {"a", "b", "a/x", "b/y"}) ASSERT_EQ(mkdir(directory, 0755), 0);
  in_threads(4, [&](int thread) {
    for (int i = 0; i < 200; ++i) {
      switch (thread) {
        case 0: rename("a/x", "b/x"); break;
        case 1: rename("b/x", "a/x"); break;
        case 2: rename("b/y", "a/y"); break;
        default: rename("a/y", "b/y"); break;
      }
    }
  });
  EXPECT_EQ(list("a").size() + list("b").size(), 2u);
  EXPECT_EQ(stat_of("a").st_nlink + stat_of("b").st_nlink, 6u);
}

TEST_F(Concurrency, ParallelWritersOfOneFileMixBytes) {
  // Disjoint ranges by several threads, with other threads reading and syncing.
  constexpr int kThreads = 4;
  constexpr size_t kPart = 700'001;
  put_file("f", "");
  in_threads(kThreads + 2, [&](int thread) {
    Fd fd("f", O_RDWR);
    if (thread >= kThreads) {
      std::string buffer(50'000, '\0');
      for (int i = 0; i < 30; ++i) {
        if (thread == kThreads) {
          EXPECT_EQ(fsync(fd), 0);
        }
        EXPECT_GE(pread(fd, buffer.data(), buffer.size(), i * 40'000), 0);
      }
      return;
    }
    const std::string part = noise(kPart, static_cast<uint64_t>(thread));
    for (size_t at = 0; at < kPart;) {
      const size_t bytes = std::min<size_t>(9'999, kPart - at);
      ASSERT_EQ(
          pwrite(fd, part.data() + at, bytes, static_cast<off_t>(static_cast<size_t>(thread) * kPart + at)),
          static_cast<ssize_t>(bytes));
      at += bytes;
    }
  });
  std::string expected;
  for (int thread = 0; thread < kThreads; ++thread) expected += noise(kPart, static_cast<uint64_t>(thread));
  EXPECT_TRUE(get_file("f") == expected);
}

TEST_F(Concurrency, TreeRemovalRacesLeaveEntries) {
  for (int round = 0; round < 10; ++round) {
    ASSERT_EQ(mkdir("d", 0755), 0);
    for (int i = 0; i < 50; ++i) put_file("d/" + std::to_string(i), "x");
    std::atomic<int> removed{0};
    in_threads(3, [&](int) {
      for (int i = 0; i < 50; ++i) {
        if (unlink(("d/" + std::to_string(i)).c_str()) == 0) ++removed;
      }
    });
    ASSERT_EQ(removed, 50);
    ASSERT_EQ(rmdir("d"), 0);
  }
}

}  // namespace
}  // namespace posix_suite
