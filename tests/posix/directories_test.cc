// Directories: listings that are complete, fresh, and stable while the directory changes.

#include <string.h>

#include <set>

#include "scratch.h"

namespace posix_suite {
namespace {

class Directories : public Scratch {
 protected:
  static void make_files(const std::string& directory, int count) {
    ASSERT_EQ(mkdir(directory.c_str(), 0755), 0);
    for (int i = 0; i < count; ++i) {
      const Fd fd(directory + "/file-number-" + std::to_string(i), O_CREAT | O_WRONLY);
      ASSERT_TRUE(fd.ok());
    }
  }
};

TEST_F(Directories, EntryTypeOrInodeIsWrong) {
  put_file("f", "x");
  ASSERT_EQ(mkdir("d", 0755), 0);
  ASSERT_EQ(symlink("f", "s"), 0);
  DIR* directory = opendir(".");
  ASSERT_NE(directory, nullptr);
  std::set<std::string> seen;
  while (const dirent* entry = readdir(directory)) {
    const std::string name = entry->d_name;
    EXPECT_TRUE(seen.insert(name).second);
    if (name != "..") {
      EXPECT_EQ(entry->d_ino, stat_of(name).st_ino) << name;
    }
    const unsigned char expected = name == "f" ? DT_REG : name == "s" ? DT_LNK : DT_DIR;
    EXPECT_EQ(entry->d_type, expected) << name;
  }
  closedir(directory);
  EXPECT_EQ(seen, (std::set<std::string>{".", "..", "f", "d", "s"}));
}

TEST_F(Directories, LargeListingIsCutOrRepeats) {
  constexpr int kFiles = 5000;
  make_files("d", kFiles);
  for (int round = 0; round < 3; ++round) {
    const auto listed = list("d");
    ASSERT_EQ(listed.size(), static_cast<size_t>(kFiles));
    for (int i = 0; i < kFiles; ++i) ASSERT_EQ(listed.count("file-number-" + std::to_string(i)), 1u);
  }
}

TEST_F(Directories, ListingIsStaleAfterAChange) {
  ASSERT_EQ(mkdir("d", 0755), 0);
  std::set<std::string> model;
  std::mt19937_64 random(suite_seed());
  for (int step = 0; step < 300; ++step) {
    const std::string name = "n" + std::to_string(random() % 40);
    const std::string path = "d/" + name;
    if (model.erase(name) != 0) {
      ASSERT_EQ(remove(path.c_str()), 0);
    } else {
      model.insert(name);
      switch (random() % 4) {
        case 0: ASSERT_EQ(mkdir(path.c_str(), 0755), 0); break;
        case 1: ASSERT_EQ(symlink("x", path.c_str()), 0); break;
        case 2:
          put_file("outside", "x");
          ASSERT_EQ(rename("outside", path.c_str()), 0);
          break;
        default: put_file(path, "x"); break;
      }
    }
    std::set<std::string> listed;
    for (const auto& [entry, type] : list("d")) listed.insert(entry);
    ASSERT_EQ(listed, model) << "step " << step << ", POSIX_SUITE_SEED=" << suite_seed();
  }
}

TEST_F(Directories, RemovingWhileListingLosesEntries) {
  constexpr int kFiles = 3000;
  make_files("d", kFiles);
  DIR* directory = opendir("d");
  ASSERT_NE(directory, nullptr);
  std::set<std::string> seen;
  while (const dirent* entry = readdir(directory)) {
    const std::string name = entry->d_name;
    if (name[0] == '.') continue;
    EXPECT_TRUE(seen.insert(name).second) << name << " twice";
    ASSERT_EQ(unlinkat(dirfd(directory), name.c_str(), 0), 0) << name;
  }
  closedir(directory);
  EXPECT_EQ(seen.size(), static_cast<size_t>(kFiles));
  EXPECT_TRUE(list("d").empty());
  EXPECT_EQ(rmdir("d"), 0);
}

TEST_F(Directories, AddingWhileListingRepeatsEntries) {
  constexpr int kFiles = 1500;
  make_files("d", kFiles);
  DIR* directory = opendir("d");
  ASSERT_NE(directory, nullptr);
  std::map<std::string, int> seen;
  int added = 0;
  while (const dirent* entry = readdir(directory)) {
    ++seen[entry->d_name];
    if (added < 500) put_file("d/added-" + std::to_string(added++), "");
  }
  closedir(directory);
  for (int i = 0; i < kFiles; ++i) EXPECT_EQ(seen["file-number-" + std::to_string(i)], 1) << i;
  for (const auto& [name, count] : seen) EXPECT_LE(count, 1) << name;
  EXPECT_EQ(list("d").size(), static_cast<size_t>(kFiles + added));
}

TEST_F(Directories, SeekGoesToAnotherPlace) {
  make_files("d", 1000);
  DIR* directory = opendir("d");
  ASSERT_NE(directory, nullptr);
  std::vector<std::pair<long, std::string>> places;
  for (;;) {
    const long place = telldir(directory);
    const dirent* entry = readdir(directory);
    if (entry == nullptr) break;
    places.emplace_back(place, entry->d_name);
  }
  ASSERT_EQ(places.size(), 1002u);
  std::mt19937_64 random(suite_seed());
  for (int i = 0; i < 200; ++i) {
    const auto& [place, name] = places[random() % places.size()];
    seekdir(directory, place);
    const dirent* entry = readdir(directory);
    ASSERT_NE(entry, nullptr);
    EXPECT_EQ(entry->d_name, name);
  }
  put_file("d/new", "");
  rewinddir(directory);
  size_t count = 0;
  bool found = false;
  while (const dirent* entry = readdir(directory)) {
    ++count;
    found |= strcmp(entry->d_name, "new") == 0;
  }
  EXPECT_EQ(count, 1003u);
  EXPECT_TRUE(found) << "rewinddir() must see new names";
  closedir(directory);
}

TEST_F(Directories, RemovedDirectoryStillLists) {
  ASSERT_EQ(mkdir("d", 0755), 0);
  put_file("d/f", "");
  Fd fd("d", O_RDONLY | O_DIRECTORY);
  ASSERT_EQ(unlink("d/f"), 0);
  ASSERT_EQ(rmdir("d"), 0);
  DIR* directory = fdopendir(dup(fd));
  ASSERT_NE(directory, nullptr);
  errno = 0;
  const dirent* entry = readdir(directory);
  EXPECT_TRUE(entry == nullptr || entry->d_name[0] == '.') << entry->d_name;
  closedir(directory);
}

TEST_F(Directories, DeepTreeIsUnreachable) {
  constexpr int kDepth = 300;
  int at = open(".", O_RDONLY | O_DIRECTORY);
  for (int i = 0; i < kDepth; ++i) {
    ASSERT_EQ(mkdirat(at, "level", 0755), 0);
    const int next = openat(at, "level", O_RDONLY | O_DIRECTORY);
    ASSERT_GE(next, 0);
    close(at);
    at = next;
  }
  const int file = openat(at, "bottom", O_CREAT | O_WRONLY, 0644);
  ASSERT_GE(file, 0);
  close(file);
  for (int i = 0; i < kDepth; ++i) {
    const int up = openat(at, "..", O_RDONLY | O_DIRECTORY);
    ASSERT_GE(up, 0);
    close(at);
    at = up;
  }
  struct stat here = {};
  ASSERT_EQ(fstat(at, &here), 0);
  EXPECT_EQ(here.st_ino, stat_of(".").st_ino);
  close(at);
}

TEST_F(Directories, FileHandleNamesAnotherFile) {
  // What an NFS server does: an object is opened by a handle that says nothing of its name.
  put_file("f", "content");
  ASSERT_EQ(mkdir("d", 0755), 0);
  for (const char* path : {"f", "d"}) {
    std::vector<char> memory(sizeof(file_handle) + MAX_HANDLE_SZ);
    auto* handle = reinterpret_cast<file_handle*>(memory.data());
    handle->handle_bytes = MAX_HANDLE_SZ;
    int mount = 0;
    ASSERT_EQ(name_to_handle_at(AT_FDCWD, path, handle, &mount, 0), 0) << strerror(errno);
    Fd root(".", O_RDONLY | O_DIRECTORY);
    const int opened = open_by_handle_at(root, handle, O_RDONLY);
    ASSERT_GE(opened, 0) << path << ": " << strerror(errno);
    struct stat st = {};
    EXPECT_EQ(fstat(opened, &st), 0);
    EXPECT_EQ(st.st_ino, stat_of(path).st_ino);
    close(opened);
    ASSERT_EQ(remove(path), 0);
    errno = 0;
    const int stale = open_by_handle_at(root, handle, O_RDONLY);
    EXPECT_LT(stale, 0) << "a removed object must not come back";
    if (stale >= 0) close(stale);
  }
}

}  // namespace
}  // namespace posix_suite
