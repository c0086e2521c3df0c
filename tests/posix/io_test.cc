// Reading and writing regular files.  Goal: offsets, sizes, holes, appends and descriptors behave as POSIX
// says, at the borders of pages (4 KiB), requests (1 MiB) and whatever the filesystem cuts files into.

#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <sys/uio.h>

#include <memory>

#include "scratch.h"

namespace posix_suite {
namespace {

class Io : public Scratch {};

TEST_F(Io, OverwriteSpillsAcrossBorders) {
  const size_t size = (3u << 20) + 123;
  std::string model = noise(size, suite_seed());
  put_file("f", model);
  Fd fd("f", O_RDWR);
  for (const size_t border : {512u, 1024u, 4096u, 32768u, 65536u, 131072u, 262144u, 1048576u, 2097152u}) {
    for (const int shift : {-3, -1, 0}) {
      const std::string patch = noise(5, border + static_cast<size_t>(shift + 3));
      const size_t offset = border + static_cast<size_t>(shift);
      ASSERT_EQ(pwrite(fd, patch.data(), patch.size(), static_cast<off_t>(offset)), 5);
      model.replace(offset, 5, patch);
    }
  }
  EXPECT_TRUE(get_file("f") == model);
  ASSERT_EQ(fsync(fd), 0);
  EXPECT_TRUE(get_file("f") == model);
}

TEST_F(Io, SmallFilesChangeAsTheyGrow) {
  // Sizes around what a filesystem keeps inside its inodes, grown and shrunk byte by byte.
  std::string model;
  Fd fd("f", O_RDWR | O_CREAT);
  for (size_t size = 1010; size < 1040; ++size) {
    const std::string content = noise(size, size);
    put_file("g", content);
    ASSERT_TRUE(get_file("g") == content) << size;
  }
  for (int i = 0; i < 1100; ++i) {
    const char byte = static_cast<char>(i * 7);
    ASSERT_EQ(pwrite(fd, &byte, 1, i), 1);
    model.push_back(byte);
  }
  ASSERT_TRUE(get_file("f") == model);
  for (size_t size = 1100; size > 1000; --size) {
    ASSERT_EQ(ftruncate(fd, static_cast<off_t>(size)), 0);
    model.resize(size);
    ASSERT_TRUE(get_file("f") == model) << size;
  }
}

TEST_F(Io, HoleShowsOldBytes) {
  Fd fd("f", O_RDWR | O_CREAT);
  const std::string secret(300'000, 'S');
  ASSERT_EQ(pwrite(fd, secret.data(), secret.size(), 0), 300'000);
  for (const off_t cut : {250'001, 131'073, 4097, 1025, 1023, 1, 0}) {
    ASSERT_EQ(ftruncate(fd, cut), 0);
    ASSERT_EQ(ftruncate(fd, 300'000), 0);
    std::string expected(300'000, '\0');
    expected.replace(0, static_cast<size_t>(cut), static_cast<size_t>(cut), 'S');
    ASSERT_TRUE(get_file("f") == expected) << cut;
    struct stat st = {};
    ASSERT_EQ(fstat(fd, &st), 0);
    ASSERT_EQ(st.st_size, 300'000);
  }
  Fd far("g", O_RDWR | O_CREAT);
  ASSERT_EQ(pwrite(far, "end", 3, 5'000'000), 3);
  EXPECT_TRUE(get_file("g") == std::string(5'000'000, '\0') + "end");
}

TEST_F(Io, LargeOffsetsWrap) {
  Fd fd("f", O_RDWR | O_CREAT);
  const off_t far = (off_t{4} << 40) + 12345;
  ASSERT_EQ(pwrite(fd, "x", 1, far), 1);
  EXPECT_EQ(stat_of("f").st_size, far + 1);
  char bytes[3] = {1, 1, 1};
  EXPECT_EQ(pread(fd, bytes, 3, far - 1), 2);
  EXPECT_EQ(bytes[0], 0);
  EXPECT_EQ(bytes[1], 'x');
  EXPECT_EQ(pread(fd, bytes, 1, far + 1), 0);
  EXPECT_EQ(pread(fd, bytes, 1, off_t{1} << 31), 1);
  EXPECT_EQ(bytes[0], 0);
}

TEST_F(Io, ReadPastTheEndReturnsBytes) {
  put_file("f", "abc");
  Fd fd("f", O_RDWR);
  char bytes[16];
  EXPECT_EQ(pread(fd, bytes, 16, 0), 3);
  EXPECT_EQ(pread(fd, bytes, 16, 3), 0);
  EXPECT_EQ(pread(fd, bytes, 16, 4000), 0);
  EXPECT_EQ(pwrite(fd, bytes, 0, 100), 0);
  EXPECT_EQ(stat_of("f").st_size, 3) << "a write of nothing makes no file longer";
  EXPECT_EQ(error_of(pread(fd, bytes, 16, -1)), EINVAL);
  Fd only_write("f", O_WRONLY);
  EXPECT_EQ(error_of(read(only_write, bytes, 1)), EBADF);
  Fd only_read("f", O_RDONLY);
  EXPECT_EQ(error_of(write(only_read, bytes, 1)), EBADF);
}

TEST_F(Io, AppendingProcessesOverwriteEachOther) {
  constexpr int kWriters = 4, kRecords = 500;
  put_file("log", "");
  std::vector<pid_t> writers;
  for (int w = 0; w < kWriters; ++w) {
    const pid_t child = fork();
    if (child == 0) {
      Fd fd("log", O_WRONLY | O_APPEND);
      for (int i = 0; i < kRecords; ++i) {
        const std::string line = std::to_string(w) + ":" + std::to_string(i) + ":" +
                                 std::string(static_cast<size_t>(i % 97), 'x') + "\n";
        if (::write(fd, line.data(), line.size()) != static_cast<ssize_t>(line.size())) _exit(1);
      }
      _exit(0);
    }
    writers.push_back(child);
  }
  for (const pid_t child : writers) {
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    EXPECT_EQ(status, 0);
  }
  const std::string content = get_file("log");
  std::vector<int> next(kWriters, 0);
  size_t start = 0;
  while (start < content.size()) {
    const size_t end = content.find('\n', start);
    ASSERT_NE(end, std::string::npos);
    const std::string line = content.substr(start, end - start);
    start = end + 1;
    int writer = -1, record = -1;
    ASSERT_EQ(sscanf(line.c_str(), "%d:%d:", &writer, &record), 2) << line;
    ASSERT_EQ(record, next.at(static_cast<size_t>(writer))++);
    ASSERT_EQ(line.size(), line.find_last_of(':') + 1 + static_cast<size_t>(record % 97));
  }
  for (const int count : next) EXPECT_EQ(count, kRecords);
}

TEST_F(Io, TwoDescriptorsSeeDifferentContent) {
  Fd a("f", O_RDWR | O_CREAT), b("f", O_RDWR);
  std::string read(200'000, '\0');
  for (int round = 0; round < 20; ++round) {
    const std::string content = noise(200'000, static_cast<uint64_t>(round));
    ASSERT_EQ(pwrite(round % 2 == 0 ? a : b, content.data(), content.size(), 0), 200'000);
    ASSERT_EQ(pread(round % 2 == 0 ? b : a, read.data(), read.size(), 0), 200'000);
    ASSERT_TRUE(read == content) << round;
  }
}

TEST_F(Io, TruncatingOpenKeepsContent) {
  for (const size_t size : {1u, 1024u, 5000u, 2'000'000u}) {
    put_file("f", noise(size, size));
    Fd reader("f", O_RDONLY);
    { Fd fd("f", O_WRONLY | O_TRUNC); }
    EXPECT_EQ(stat_of("f").st_size, 0);
    char byte = 0;
    EXPECT_EQ(read(reader, &byte, 1), 0) << "another descriptor sees the end as well";
    EXPECT_EQ(get_file("f"), "");
    put_file("f", "new");
    EXPECT_EQ(get_file("f"), "new");
  }
}

TEST_F(Io, UnlinkedFileIsGoneForItsDescriptor) {
  for (const size_t size : {100u, 3'000'000u}) {
    const std::string content = noise(size, size);
    put_file("f", content);
    Fd fd("f", O_RDWR);
    ASSERT_EQ(unlink("f"), 0);
    EXPECT_FALSE(exists("f"));
    struct stat st = {};
    ASSERT_EQ(fstat(fd, &st), 0);
    EXPECT_EQ(st.st_nlink, 0u);
    EXPECT_EQ(st.st_size, static_cast<off_t>(size));
    ASSERT_EQ(fsync(fd), 0);
    put_file("f", "another file of that name");
    std::string read(size, '\0');
    ASSERT_EQ(pread(fd, read.data(), size, 0), static_cast<ssize_t>(size));
    EXPECT_TRUE(read == content);
    ASSERT_EQ(pwrite(fd, "changed", 7, 10), 7);
    ASSERT_EQ(pread(fd, read.data(), 7, 10), 7);
    EXPECT_EQ(read.substr(0, 7), "changed");
    ASSERT_EQ(ftruncate(fd, 5), 0);
    ASSERT_EQ(fchmod(fd, 0600), 0);
    ASSERT_EQ(fstat(fd, &st), 0);
    EXPECT_EQ(st.st_size, 5);
    EXPECT_EQ(get_file("f"), "another file of that name");
    ASSERT_EQ(unlink("f"), 0);
  }
}

TEST_F(Io, SynchronousWritesFail) {
  for (const int flag : {O_SYNC, O_DSYNC}) {
    Fd fd("f", O_RDWR | O_CREAT | flag);
    for (int i = 0; i < 5; ++i) ASSERT_EQ(pwrite(fd, "0123456789", 10, i * 10), 10);
    EXPECT_EQ(fdatasync(fd), 0);
    EXPECT_EQ(fsync(fd), 0);
  }
  EXPECT_EQ(get_file("f").size(), 50u);
  Fd directory(".", O_RDONLY | O_DIRECTORY);
  EXPECT_EQ(fsync(directory), 0);
  EXPECT_EQ(syncfs(directory), 0);
}

TEST_F(Io, DirectIoDisagreesWithThePageCache) {
  constexpr size_t kSize = 3 << 20;
  const std::unique_ptr<char, decltype(&free)> memory(static_cast<char*>(aligned_alloc(4096, kSize)), free);
  const std::string first = noise(kSize, 1), second = noise(kSize, 2);
  Fd direct("f", O_RDWR | O_CREAT | O_DIRECT), cached("f", O_RDWR);
  if (!direct.ok() && direct.error() == EINVAL) GTEST_SKIP() << "this filesystem has no O_DIRECT";
  memcpy(memory.get(), first.data(), kSize);
  ASSERT_EQ(pwrite(direct, memory.get(), kSize, 0), static_cast<ssize_t>(kSize));
  EXPECT_TRUE(get_file("f") == first);
  ASSERT_EQ(pwrite(cached, second.data(), kSize, 0), static_cast<ssize_t>(kSize));
  ASSERT_EQ(pread(direct, memory.get(), kSize, 0), static_cast<ssize_t>(kSize));
  EXPECT_EQ(memcmp(memory.get(), second.data(), kSize), 0);
  memcpy(memory.get(), first.data(), 4096);
  ASSERT_EQ(pwrite(direct, memory.get(), 4096, 8192), 4096);
  EXPECT_TRUE(get_file("f") == std::string(second).replace(8192, 4096, first, 0, 4096));
}

TEST_F(Io, VectoredAndInKernelCopiesChangeBytes) {
  const std::string content = noise(1'500'000, suite_seed());
  put_file("a", content);
  Fd from("a", O_RDWR);
  std::string head(1000, '\0'), tail(1'499'000, '\0');
  const iovec parts[2] = {{head.data(), head.size()}, {tail.data(), tail.size()}};
  ASSERT_EQ(preadv(from, parts, 2, 0), 1'500'000);
  EXPECT_TRUE(head + tail == content);
  Fd by_vector("b", O_RDWR | O_CREAT);
  ASSERT_EQ(pwritev(by_vector, parts, 2, 77), 1'500'000);
  EXPECT_TRUE(get_file("b") == std::string(77, '\0') + content);
  Fd by_sendfile("c", O_RDWR | O_CREAT);
  off_t at = 0;
  while (at < 1'500'000) ASSERT_GT(sendfile(by_sendfile, from, &at, 1'500'000), 0);
  EXPECT_TRUE(get_file("c") == content);
  Fd by_range("d", O_RDWR | O_CREAT);
  off_t in = 100, out = 50;
  while (in < 1'500'000)
    ASSERT_GT(copy_file_range(from, &in, by_range, &out, static_cast<size_t>(1'500'000 - in), 0), 0);
  EXPECT_TRUE(get_file("d") == std::string(50, '\0') + content.substr(100));
}

TEST_F(Io, SeekMissesData) {
  Fd fd("f", O_RDWR | O_CREAT);
  ASSERT_EQ(pwrite(fd, "data", 4, 1 << 20), 4);
  EXPECT_EQ(lseek(fd, 0, SEEK_END), (1 << 20) + 4);
  const off_t data = lseek(fd, 0, SEEK_DATA);
  EXPECT_GE(data, 0);
  EXPECT_LE(data, 1 << 20) << "data is behind the first data";
  const off_t hole = lseek(fd, 1 << 20, SEEK_HOLE);
  EXPECT_GE(hole, (1 << 20) + 4);
  EXPECT_EQ(error_of(lseek(fd, 2 << 20, SEEK_DATA)), ENXIO);
}

TEST_F(Io, PreallocationShortensOrRefuses) {
  put_file("f", "abc");
  Fd fd("f", O_RDWR);
  EXPECT_EQ(posix_fallocate(fd, 0, 100'000), 0);
  EXPECT_EQ(stat_of("f").st_size, 100'000);
  EXPECT_TRUE(get_file("f") == "abc" + std::string(99'997, '\0'));
  const int punched = fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 3);
  if (error_of(punched) != EOPNOTSUPP) {
    EXPECT_EQ(punched, 0);
  }
  EXPECT_EQ(get_file("f").substr(0, 3), punched == 0 ? std::string(3, '\0') : "abc");
}

TEST_F(Io, LocksDoNotExclude) {
  put_file("f", "x");
  Fd fd("f", O_RDWR);
  ASSERT_EQ(flock(fd, LOCK_EX), 0);
  EXPECT_EQ(in_child([] { return flock(Fd("f", O_RDWR), LOCK_EX | LOCK_NB) == 0 ? 0 : errno; }), EWOULDBLOCK);
  ASSERT_EQ(flock(fd, LOCK_UN), 0);
  struct flock range = {};
  range.l_type = F_WRLCK;
  range.l_len = 10;
  ASSERT_EQ(fcntl(fd, F_SETLK, &range), 0);
  const auto try_range = [](off_t start) {
    return in_child([start] {
      Fd other("f", O_RDWR);
      struct flock wanted = {};
      wanted.l_type = F_WRLCK;
      wanted.l_start = start;
      wanted.l_len = 1;
      return fcntl(other, F_SETLK, &wanted) == 0 ? 0 : errno;
    });
  };
  EXPECT_EQ(try_range(9), EAGAIN);
  EXPECT_EQ(try_range(10), 0);
}

TEST_F(Io, UnknownControlIsNotRefused) {
  put_file("f", "x");
  Fd fd("f", O_RDWR);
  int value = 0;
  EXPECT_EQ(error_of(ioctl(fd, 0x5401 /* TCGETS */, &value)), ENOTTY);
}

}  // namespace
}  // namespace posix_suite
