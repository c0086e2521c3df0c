// Result, Error and the two macros: what fails must arrive with its code, errno and context; what succeeds
// must arrive whole, even when it can only be moved.

#include "base/result.h"

#include <gtest/gtest.h>

#include <memory>
#include <vector>

#include "base/check.h"

namespace stavefs {
namespace {

Result<int> parse_digit(char c) {
  if (c < '0' || c > '9') return Error(ErrorCode::kInvalid, EINVAL, "not a digit");
  return c - '0';
}

Result<int> add_digits(char a, char b) {
  ASSIGN_OR_RETURN(const int x, parse_digit(a));
  ASSIGN_OR_RETURN(const int y, parse_digit(b));
  return x + y;
}

Status run_steps(std::vector<int>& ran, int failing) {
  const auto step = [&](int i) -> Status {
    ran.push_back(i);
    if (i == failing) return errno_error(ENOSPC, "step");
    return ok();
  };
  TRY(step(1));
  TRY(step(2));
  TRY(step(3));
  return ok();
}

TEST(Result, AssignOrReturnYieldsValuesAndStopsAtTheFirstError) {
  EXPECT_EQ(add_digits('3', '4').value(), 7);
  for (const char* bad : {"x4", "3x"}) {
    const auto result = add_digits(bad[0], bad[1]);
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().code(), ErrorCode::kInvalid);
    EXPECT_EQ(result.error().errno_value(), EINVAL);
  }
}

TEST(Result, TryRunsNoStepAfterTheFailingOne) {
  std::vector<int> ran;
  EXPECT_TRUE(run_steps(ran, 0));
  EXPECT_EQ(ran, (std::vector<int>{1, 2, 3}));
  ran.clear();
  const Status status = run_steps(ran, 2);
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code(), ErrorCode::kNoSpace);
  EXPECT_EQ(ran, (std::vector<int>{1, 2}));
}

TEST(Result, CarriesMoveOnlyValues) {
  const auto make = []() -> Result<std::unique_ptr<int>> { return std::make_unique<int>(42); };
  const auto pass = [&]() -> Result<std::unique_ptr<int>> {
    ASSIGN_OR_RETURN(auto p, make());
    *p += 1;
    return p;
  };
  EXPECT_EQ(**pass(), 43);
}

TEST(Error, CodeFollowsFromErrno) {
  const std::pair<int, ErrorCode> expected[] = {
      {ENOENT, ErrorCode::kNotFound},    {EEXIST, ErrorCode::kExists},
      {ENOSPC, ErrorCode::kNoSpace},     {EDQUOT, ErrorCode::kNoSpace},
      {EBUSY, ErrorCode::kBusy},         {EAGAIN, ErrorCode::kBusy},
      {ENOMEM, ErrorCode::kNoMemory},    {EMFILE, ErrorCode::kNoMemory},
      {ENFILE, ErrorCode::kNoMemory},    {EACCES, ErrorCode::kNoPermission},
      {EPERM, ErrorCode::kNoPermission}, {EROFS, ErrorCode::kNoPermission},
      {ENOSYS, ErrorCode::kUnsupported}, {EOPNOTSUPP, ErrorCode::kUnsupported},
      {EINVAL, ErrorCode::kInvalid},     {EIO, ErrorCode::kIo},
      {ENXIO, ErrorCode::kIo},           {ENODEV, ErrorCode::kIo},
  };
  for (const auto& [number, code] : expected) {
    const Error error = errno_error(number, "open d");
    EXPECT_EQ(error.code(), code) << "errno " << number;
    EXPECT_EQ(error.errno_value(), number);
  }
  EXPECT_EQ(posix_error(ENOTEMPTY).code(), ErrorCode::kPosix);
  EXPECT_EQ(posix_error(ENOTEMPTY).errno_value(), ENOTEMPTY);
}

TEST(Error, TextNamesContextMessageAndErrno) {
  EXPECT_EQ(errno_error(EIO, "read d1").to_text(), "read d1 (Input/output error)");
  EXPECT_EQ(errno_error(EIO, "read d1").with_context("group 7").to_text(),
            "group 7: read d1 (Input/output error)");
  EXPECT_EQ(posix_error(ENOTEMPTY).to_text(), "posix (Directory not empty)");
  EXPECT_EQ(posix_error(ENOTEMPTY).with_context("rmdir").message(), "rmdir");
  EXPECT_EQ(Error(ErrorCode::kCorrupt, 0, "bad magic").to_text(), "bad magic");
}

TEST(Error, RemembersWhereItWasMade) {
  const Error error(ErrorCode::kIo, EIO, "x");
  const auto line = static_cast<unsigned>(__LINE__ - 1);
  EXPECT_EQ(error.where().line(), line);
  EXPECT_NE(std::string_view(error.where().file_name()).find("result_test.cc"), std::string_view::npos);
}

TEST(Error, EveryCodeHasANameOfItsOwn) {
  std::vector<std::string_view> seen;
  for (int i = 0; i <= static_cast<int>(ErrorCode::kPosix); ++i) {
    const std::string_view name = to_string(static_cast<ErrorCode>(i));
    EXPECT_NE(name, "unknown") << i;
    for (const std::string_view other : seen) EXPECT_NE(name, other);
    seen.push_back(name);
  }
}

TEST(CheckDeathTest, FailedCheckAbortsWithConditionAndPlace) {
  CHECK(1 + 1 == 2);
  EXPECT_DEATH(CHECK(1 + 1 == 3), "internal check failed: 1 \\+ 1 == 3 at .*result_test.cc");
}

}  // namespace
}  // namespace stavefs
