"""The life of a mount, and what the kernel keeps of it.

Goal: a mount ends cleanly in every way that it can end (umount(8), SIGTERM while idle, while busy, in the middle of writing), what was
acknowledged is there afterwards, and what the control socket changes is seen at once although the kernel keeps names.
"""

import errno
import os
import signal
import subprocess
import threading
import time

from mount_lane import GIB, MIB, START_SECONDS, Content, check, main, say


def bucket_path(lane, *parts):
    return os.path.join(lane.mountpoint, "bucket", *parts)


def wait_for_end(lane):
    code = lane.daemon.wait(timeout=START_SECONDS)
    lane.daemon = None
    check(code == 0, f"the daemon ended with exit code {code}\n{lane.log_tail()}")
    check(not lane.is_mounted(), "the daemon has ended and the mount is still there")


def terminate(lane):
    say("SIGTERM")
    lane.daemon.send_signal(signal.SIGTERM)
    wait_for_end(lane)


def ends_by_umount(lane):
    say("umount(8), not ours")
    Content("a", 3 * MIB).write(bucket_path(lane, "a"))
    lane.run("umount", lane.mountpoint)
    wait_for_end(lane)
    lane.start()
    Content("a", 3 * MIB).verify(bucket_path(lane, "a"))


def ends_by_signal(lane):
    Content("b", 3 * MIB).write(bucket_path(lane, "b"))
    terminate(lane)
    lane.start()
    Content("b", 3 * MIB).verify(bucket_path(lane, "b"))


def ends_by_signal_when_busy(lane):
    """A file and a directory are open: their users get errors, and what they had written is there."""
    fd = os.open(bucket_path(lane, "c"), os.O_RDWR | os.O_CREAT)
    os.write(fd, b"acknowledged")
    sleeper = subprocess.Popen(["sleep", "600"], cwd=bucket_path(lane))
    try:
        terminate(lane)
        try:
            os.write(fd, b"too late")
            check(False, "a write to a mount that has ended succeeds")
        except OSError as error:
            check(error.errno in (errno.ENOTCONN, errno.ECONNABORTED, errno.EIO), f"the write fails with {error}")
        lane.start()  # on top of the name that others still use
        with open(bucket_path(lane, "c"), "rb") as file:
            check(file.read() == b"acknowledged", "what was written before the end is gone")
    finally:
        sleeper.kill()
        sleeper.wait()
        os.close(fd)


def ends_by_signal_while_writing(lane):
    """Every acknowledged byte is there: the writer counts them."""
    acknowledged = [0]

    def write():
        try:
            fd = os.open(bucket_path(lane, "d"), os.O_WRONLY | os.O_CREAT)
            while True:
                os.write(fd, b"0123456789abcdef" * 1024)
                acknowledged[0] += 16384
        except OSError:
            pass

    writer = threading.Thread(target=write)
    writer.start()
    time.sleep(lane.random.uniform(0.3, 1.0))
    terminate(lane)
    writer.join()
    lane.start()
    size = os.stat(bucket_path(lane, "d")).st_size
    say(f"{acknowledged[0]} bytes were acknowledged, {size} are there")
    check(acknowledged[0] <= size <= acknowledged[0] + 16384, "acknowledged bytes are gone")
    with open(bucket_path(lane, "d"), "rb") as file:
        check(file.read() == (b"0123456789abcdef" * (size // 16 + 1))[:size], "other bytes than were written")


def control_changes_are_seen(lane):
    path = os.path.join(lane.mountpoint, "made-by-command")
    for _ in range(3):
        check(not os.path.exists(path), "the bucket is there before it is made")
        check("made-by-command" not in os.listdir(lane.mountpoint), "the listing has it already")
        links = os.stat(lane.mountpoint).st_nlink
        lane.cli("bucket", "create", "tank", "made-by-command")
        check(os.path.isdir(path), "the kernel still thinks that there is no such bucket")
        check("made-by-command" in os.listdir(lane.mountpoint), "the listing does not have it")
        check(os.stat(lane.mountpoint).st_nlink == links + 1, "the root's link count is an old one")
        with open(os.path.join(path, "f"), "w", encoding="ascii") as file:
            file.write("x")
        lane.cli("bucket", "delete", "tank", "made-by-command", expect=1)
        os.unlink(os.path.join(path, "f"))
        lane.cli("bucket", "delete", "tank", "made-by-command")


def starts_are_quick(lane):
    """The next mount waits for nothing that the last one left to the kernel."""
    for _ in range(5):
        lane.cli("umount", lane.mountpoint, quiet=True)
        check(lane.daemon.wait(timeout=5) == 0, "the daemon did not end with its mount")
        lane.daemon = None
        started = time.monotonic()
        lane.start()
        check(time.monotonic() - started < 3.0, f"a mount took {time.monotonic() - started:.1f} s")


def set_id_and_devices_are_off(lane):
    """nosuid and nodev hold unless asked for, and can be asked for."""
    with open("/proc/self/mountinfo", encoding="utf-8") as table:
        options = next(line.split()[5] for line in table if line.split()[4] == lane.mountpoint)
    check("nosuid" in options and "nodev" in options, f"the mount has the options {options}")
    lane.stop()
    lane.start("-o", "suid,dev")
    with open("/proc/self/mountinfo", encoding="utf-8") as table:
        options = next(line.split()[5] for line in table if line.split()[4] == lane.mountpoint)
    check("nosuid" not in options and "nodev" not in options, f"-o suid,dev gives {options}")
    null = bucket_path(lane, "null")
    os.mknod(null, 0o020666, os.makedev(1, 3))
    with open(null, "wb") as file:
        file.write(b"gone")
    lane.stop()
    lane.start()
    try:
        with open(null, "wb"):
            check(False, "a device node works on a nodev mount")
    except PermissionError:
        pass


def read_only(lane):
    lane.stop()
    lane.start("-o", "ro")
    Content("a", 3 * MIB).verify(bucket_path(lane, "a"))
    for change in (lambda: os.mkdir(bucket_path(lane, "new")), lambda: open(bucket_path(lane, "a"), "ab"),
                   lambda: os.unlink(bucket_path(lane, "a"))):
        try:
            change()
            check(False, "a read-only mount was changed")
        except OSError as error:
            check(error.errno == errno.EROFS, f"a change of a read-only mount gives {error}")
    lane.stop()
    lane.start()


def test(lane, _):
    disks = lane.plain_disks(6, GIB)
    lane.create(disks, "--demo")
    lane.start()
    os.mkdir(bucket_path(lane))
    for part in (ends_by_umount, ends_by_signal, ends_by_signal_when_busy, ends_by_signal_while_writing, control_changes_are_seen,
                 starts_are_quick, set_id_and_devices_are_off, read_only):
        say(f"-- {part.__name__}")
        part(lane)
    lane.stop()


main(test)
