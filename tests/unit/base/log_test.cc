// The logging facade: what is below the level costs nothing and leaves nothing; what is above it reaches the
// file.  Each case runs in a child process, since the logger is the process's own.

#include "base/log.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <sstream>

namespace stavefs {
namespace {

std::string read_file(const std::string& path) {
  std::ostringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

TEST(LogDeathTest, PrintsWarningsAndErrorsUnlessToldOtherwise) {
  EXPECT_EXIT(
      {
        log_debug("quiet-debug");
        log_info("quiet-info");
        log_warning("shown {}", 42);
        const bool right = !log_enabled(LogLevel::kInfo) && log_enabled(LogLevel::kWarning);
        std::exit(right ? 0 : 1);
      },
      testing::ExitedWithCode(0), "shown 42");
  EXPECT_EXIT(
      {
        set_log_level(LogLevel::kError);
        const bool right = !log_enabled(LogLevel::kWarning) && log_enabled(LogLevel::kError);
        std::exit(right ? 0 : 1);
      },
      testing::ExitedWithCode(0), "");
}

TEST(LogDeathTest, FileGetsWhatTheLevelLetsThroughAndKeepsWhatItHad) {
  const std::string path = testing::TempDir() + "stavefs_log_test_" + std::to_string(getpid());
  std::ofstream(path) << "older line\n";
  EXPECT_EXIT(
      {
        if (!log_to_file(path)) std::exit(1);
        set_log_level(LogLevel::kInfo);
        log_debug("quiet");
        log_info("informed");
        log_error("failed {}", "badly");
        std::exit(0);
      },
      testing::ExitedWithCode(0), "");
  const std::string text = read_file(path);
  unlink(path.c_str());
  EXPECT_EQ(text.find("older line"), 0u);
  EXPECT_NE(text.find("informed"), std::string::npos);
  EXPECT_NE(text.find("failed badly"), std::string::npos);
  EXPECT_EQ(text.find("quiet"), std::string::npos);
}

TEST(LogDeathTest, UnwritableFileIsReportedAndTheLogStaysWhereItWas) {
  EXPECT_EXIT(
      {
        const bool opened = log_to_file("/proc/no/such/place");
        log_error("still here");
        std::exit(opened ? 1 : 0);
      },
      testing::ExitedWithCode(0), "still here");
}

}  // namespace
}  // namespace stavefs
