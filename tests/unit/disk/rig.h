// The disks that the tests of this directory run on: one rig per implementation and decorator.

#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/buffer.h"
#include "disk/disk.h"

namespace stavefs::test {

/// A directory of its own below `parent`, removed with everything in it at the end.
class ScratchDirectory {
 public:
  explicit ScratchDirectory(const std::string& parent);
  ~ScratchDirectory();
  ScratchDirectory(const ScratchDirectory&) = delete;
  ScratchDirectory& operator=(const ScratchDirectory&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

/// TMPDIR, or /var/tmp, which is seldom a memory filesystem.
std::string scratch_parent();

/// An empty disk and the engine for it.
class Rig {
 public:
  virtual ~Rig() = default;
  virtual Disk& disk() = 0;
  virtual IoEngine& engine() = 0;
};

struct Backend {
  std::string name;
  std::function<std::unique_ptr<Rig>()> make;
  bool cheap_no_space = false;  ///< asking for more than the disk holds fails at once, without filling it
};

/// Every implementation and decorator that this host can run.
std::vector<Backend> all_backends();

/// `bytes` bytes that depend on `seed`.
std::string pattern(uint64_t seed, size_t bytes);

/// A copy of `bytes` in aligned memory.
AlignedBuffer aligned_copy(std::string_view bytes);

// Batches of one; buffers are aligned, so that they fit direct files too.
Status write(IoEngine& engine, DiskFile& file, uint64_t offset, std::string_view bytes, bool durable = false);
Result<std::string> read(IoEngine& engine, DiskFile& file, uint64_t offset, size_t bytes);
Status sync(IoEngine& engine, DiskFile& file);

/// The file; the test fails and stops when it cannot be opened.
std::unique_ptr<DiskFile> must_open(Disk& disk, std::string_view name, const OpenOptions& options);

/// "ok" or the text of the error, for messages.
template <class T>
std::string text(const Result<T>& result) {
  return result ? "ok" : result.error().to_text();
}

}  // namespace stavefs::test

#define EXPECT_OK(expr)                                         \
  do {                                                          \
    const auto& ok_result = (expr);                             \
    EXPECT_TRUE(ok_result) << ::stavefs::test::text(ok_result); \
  } while (false)

#define EXPECT_CODE(expr, expected)                                                   \
  do {                                                                                \
    const auto& code_result = (expr);                                                 \
    ASSERT_FALSE(code_result) << #expr " succeeded";                                  \
    EXPECT_EQ(code_result.error().code(), expected) << code_result.error().to_text(); \
  } while (false)
