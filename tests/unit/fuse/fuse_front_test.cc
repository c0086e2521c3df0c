// The parts of the front end that need no mount: errno table, times, mount table and options, raw requests.

#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/fuse.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>

#include "fuse/attributes.h"
#include "fuse/errno_map.h"
#include "fuse/kernel_mount.h"
#include "fuse/request_frame.h"

namespace stavefs::test {
namespace {

TEST(ErrnoMap, ADisksErrnoReachesAProgram) {
  // Goal: what a disk's system call said (ENODEV, EBADF, EROFS of the host) is EIO on the mount; POSIX
  // outcomes pass as they are.
  for (const int of_disk : {ENODEV, ENXIO, EBADF, EROFS, EACCES, ENOENT, EIO, 0, -5}) {
    EXPECT_EQ(errno_for(ErrorCode::kIo, of_disk), EIO) << of_disk;
    EXPECT_EQ(errno_for(ErrorCode::kCorrupt, of_disk), EIO) << of_disk;
    EXPECT_EQ(errno_for(ErrorCode::kDegraded, of_disk), EIO) << of_disk;
  }
  EXPECT_EQ(errno_for(posix_error(ENOTEMPTY)), ENOTEMPTY);
  EXPECT_EQ(errno_for(posix_error(ESTALE)), ESTALE);
  EXPECT_EQ(errno_for(ErrorCode::kPosix, 0), EIO) << "0 would be success";
  EXPECT_EQ(errno_for(ErrorCode::kPosix, 5000), EIO) << "the kernel refuses such a reply";
  EXPECT_EQ(errno_for(ErrorCode::kNoSpace, ENOSPC), ENOSPC);
  EXPECT_EQ(errno_for(ErrorCode::kNoSpace, EDQUOT), EDQUOT);
  EXPECT_EQ(errno_for(ErrorCode::kNoMemory, EMFILE), ENOMEM);
  EXPECT_EQ(errno_for(ErrorCode::kInvalid, EFBIG), EFBIG);
}

TEST(ErrnoMap, ACodeHasNoErrno) {
  // Goal: every code gives a positive errno, whatever came with it.
  for (int code = 0; code <= static_cast<int>(ErrorCode::kPosix); ++code) {
    for (int number = -1; number < 140; ++number)
      EXPECT_GT(errno_for(static_cast<ErrorCode>(code), number), 0);
  }
}

TEST(Times, BeforeTheEpochAreWrong) {
  // Goal: nanoseconds are never negative in a timespec, and every time survives the way there and back.
  for (const TimeNs time : {TimeNs{0}, TimeNs{1}, TimeNs{-1}, TimeNs{-1'000'000'000}, TimeNs{-1'500'000'000},
                            TimeNs{1'700'000'000'123'456'789}, TimeNs{INT64_MAX}, TimeNs{INT64_MIN}}) {
    const timespec there = to_timespec(time);
    EXPECT_GE(there.tv_nsec, 0);
    EXPECT_LT(there.tv_nsec, 1'000'000'000);
    EXPECT_EQ(to_time_ns(there), time);
  }
  EXPECT_EQ(to_timespec(-1).tv_sec, -1);
  EXPECT_EQ(to_time_ns({.tv_sec = INT64_MAX, .tv_nsec = 0}), INT64_MAX);
  EXPECT_EQ(to_time_ns({.tv_sec = INT64_MIN, .tv_nsec = 0}), INT64_MIN);
}

TEST(MountTable, AnOddLineIsMisread) {
  // Goal: optional fields, octal escapes, and lines that are none.
  const auto plain =
      parse_mountinfo_line("36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 shared:7 - ext3 /dev/root rw");
  ASSERT_TRUE(plain);
  EXPECT_EQ(plain->device, "98:0");
  EXPECT_EQ(plain->path, "/mnt2");
  EXPECT_EQ(plain->type, "ext3");
  EXPECT_EQ(plain->source, "/dev/root");
  const auto escaped =
      parse_mountinfo_line("36 35 0:44 / /a\\040b\\134c\\011 rw - fuse.stavefs my\\040pool rw");
  ASSERT_TRUE(escaped);
  EXPECT_EQ(escaped->path, "/a b\\c\t");
  EXPECT_EQ(escaped->source, "my pool");
  for (const char* line : {"", "36 35", "36 35 98:0 / /mnt rw master:1", "36 35 98:0 / /mnt rw -"}) {
    EXPECT_FALSE(parse_mountinfo_line(line)) << line;
  }
  EXPECT_TRUE(find_mount("/proc"));
  EXPECT_FALSE(find_mount("/proc/self"));
}

TEST(MountOptions, AnUnknownWordIsAccepted) {
  // Goal: later words win, fstab's own words pass, anything else is named.
  const auto parsed =
      parse_options({"nosuid,nodev,ro", "dev,noatime", "defaults,x-systemd.automount,_netdev,nofail"});
  ASSERT_TRUE(parsed);
  EXPECT_EQ(parsed->flags, static_cast<unsigned long>(MS_NOSUID | MS_RDONLY | MS_NOATIME));
  EXPECT_FALSE(parsed->allow_other);
  EXPECT_TRUE(parse_options({"allow_other"})->allow_other);
  const auto wrong = parse_options({"ro,alow_other"});
  ASSERT_FALSE(wrong);
  EXPECT_EQ(wrong.error().code(), ErrorCode::kInvalid);
  EXPECT_NE(wrong.error().message().find("alow_other"), std::string::npos);
}

TEST(MountPoint, AWrongOneIsAccepted) {
  // Goal: each way a mount point can be wrong has its code, and the sentence names the path.
  char pattern[] = "/tmp/stavefs-mount-point-XXXXXX";
  const std::string directory = mkdtemp(pattern);
  const std::string file = directory + "/file", missing = directory + "/missing", link = directory + "/link";
  close(open(file.c_str(), O_CREAT | O_WRONLY, 0600));
  ASSERT_EQ(symlink(directory.c_str(), link.c_str()), 0);
  const auto code_of = [](const std::string& path) {
    return prepare_mount_point(path, "stavefs").error().code();
  };
  EXPECT_EQ(code_of(missing), ErrorCode::kNotFound);
  EXPECT_EQ(code_of(file), ErrorCode::kInvalid);
  EXPECT_EQ(code_of("/proc"), ErrorCode::kBusy);
  EXPECT_EQ(code_of("/proc/"), ErrorCode::kBusy);
  EXPECT_NE(prepare_mount_point(missing, "stavefs").error().message().find(missing), std::string::npos);
  EXPECT_EQ(prepare_mount_point(link + "/", "stavefs").value(),
            std::filesystem::canonical(directory).string());
  std::filesystem::remove_all(directory);
}

/// A request of `opcode` with `body` behind its header, as the kernel writes it.
template <class Body>
void receive(RequestFrame& frame, uint32_t opcode, const Body& body) {
  fuse_in_header header = {};
  header.len = sizeof header + sizeof body;
  header.opcode = opcode;
  std::memcpy(frame.request(), &header, sizeof header);
  std::memcpy(frame.request() + sizeof header, &body, sizeof body);
  frame.set_received(header.len);
}

TEST(RequestFrame, APayloadIsNotAligned) {
  // Goal: a WRITE's payload and the room for replies start at a page, where the request of a READ has ended.
  const RequestFrame frame_on_stack;
  RequestFrame& frame = *RequestFrame::current();
  EXPECT_EQ(&frame, &frame_on_stack);
  const uint8_t* payload = frame.request() + sizeof(fuse_in_header) + sizeof(fuse_write_in);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(payload) % kPageBytes, 0u);
  EXPECT_EQ(frame.reply_space().data(), payload);
  EXPECT_GE(frame.reply_space().size(), kMaxPayloadBytes);
}

TEST(RequestFrame, FlagsOfAnotherRequestAreRead) {
  // Goal: the flag is seen in its own request only, and never in one that is too short to have it.
  RequestFrame frame;
  fuse_write_in write = {};
  write.write_flags = FUSE_WRITE_KILL_SUIDGID;
  receive(frame, FUSE_WRITE, write);
  EXPECT_TRUE(frame.write_kills_privileges());
  EXPECT_FALSE(frame.open_kills_privileges());
  frame.set_received(sizeof(fuse_in_header) + 8);
  EXPECT_FALSE(frame.write_kills_privileges());
  write.write_flags = FUSE_WRITE_CACHE;
  receive(frame, FUSE_WRITE, write);
  EXPECT_FALSE(frame.write_kills_privileges());
  fuse_open_in open_request = {};
  open_request.open_flags = FUSE_OPEN_KILL_SUIDGID;
  receive(frame, FUSE_OPEN, open_request);
  EXPECT_TRUE(frame.open_kills_privileges());
  EXPECT_FALSE(frame.write_kills_privileges());
  fuse_create_in create = {};
  create.open_flags = FUSE_OPEN_KILL_SUIDGID;
  receive(frame, FUSE_CREATE, create);
  EXPECT_TRUE(frame.open_kills_privileges());
}

TEST(RequestFrame, FlagsAreClaimedThatTheKernelDidNotOffer) {
  // Goal: FUSE_HANDLE_KILLPRIV_V2 is in the reply to INIT when it was offered, never else, and nothing else
  // is changed. Method: the reply goes into a pipe.
  RequestFrame frame;
  for (const uint32_t offered :
       {uint32_t{FUSE_ASYNC_READ}, uint32_t{FUSE_ASYNC_READ | FUSE_HANDLE_KILLPRIV_V2}}) {
    fuse_init_in init = {};
    init.major = 7;
    init.flags = offered;
    receive(frame, FUSE_INIT, init);
    int ends[2];
    ASSERT_EQ(pipe(ends), 0);
    fuse_out_header header = {};
    header.len = sizeof header + sizeof(fuse_init_out);
    fuse_init_out reply = {};
    reply.major = 7;
    reply.minor = 38;
    reply.flags = FUSE_ASYNC_READ;
    reply.max_write = 1 << 20;
    const iovec parts[2] = {{&header, sizeof header}, {&reply, sizeof reply}};
    EXPECT_EQ(frame.send(ends[1], parts, 2), static_cast<ssize_t>(header.len));
    fuse_out_header got_header = {};
    fuse_init_out got = {};
    ASSERT_EQ(read(ends[0], &got_header, sizeof got_header), static_cast<ssize_t>(sizeof got_header));
    ASSERT_EQ(read(ends[0], &got, sizeof got), static_cast<ssize_t>(sizeof got));
    close(ends[0]);
    close(ends[1]);
    EXPECT_EQ(got.flags, FUSE_ASYNC_READ | (offered & FUSE_HANDLE_KILLPRIV_V2));
    EXPECT_EQ(reply.flags, static_cast<uint32_t>(FUSE_ASYNC_READ)) << "libfuse's own reply is not touched";
    got.flags = reply.flags;
    EXPECT_EQ(std::memcmp(&got, &reply, sizeof got), 0);
  }
}

}  // namespace
}  // namespace stavefs::test
