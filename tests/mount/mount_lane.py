"""What every test of a real mount stands on: a work directory, disks, a pool, the daemon, and cleaning up whatever happens.

A test is a function that takes a Lane.  main() gives it one, prints the seed, and takes down mounts, loop devices and processes
in reverse order of their making, also after a failure or a signal.  Exit codes: 0 passed, 1 failed, 77 this machine has no
/dev/fuse.
"""

import argparse
import contextlib
import hashlib
import json
import os
import random
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time

MIB = 1 << 20
GIB = 1 << 30
BLOCK = MIB
START_SECONDS = 60


class Failure(Exception):
    """The test has found what it looks for."""


def check(condition, message):
    if not condition:
        raise Failure(message)


def say(text):
    print(f"[{time.strftime('%H:%M:%S')}] {text}", flush=True)


class Disks:
    """The directories of a pool's disks."""

    def __init__(self, directories):
        self.directories = directories

    def hide(self, numbers):
        for number in numbers:
            os.rename(self.directories[number], self.directories[number] + ".away")

    def bring_back(self, numbers):
        for number in numbers:
            os.rename(self.directories[number] + ".away", self.directories[number])


class Lane:
    def __init__(self, stavefs, seed, keep=False):
        self.stavefs = os.path.abspath(stavefs)
        self.random = random.Random(seed)
        self.work = tempfile.mkdtemp(prefix="stavefs-test.", dir=os.environ.get("STAVEFS_TEST_DIR"))
        self.cleanups = [] if keep else [lambda: shutil.rmtree(self.work, ignore_errors=True)]
        self.devices = {}  # loop device of a directory
        self.daemon = None
        self.daemon_log = os.path.join(self.work, "daemon.log")
        self.mountpoint = os.path.join(self.work, "mnt")
        os.mkdir(self.mountpoint)
        self.environment = dict(os.environ, NO_COLOR="1")
        for name in ("CONFIG", "STATE", "RUN"):
            path = os.path.join(self.work, name.lower())
            os.mkdir(path)
            self.environment[f"STAVEFS_{name}_DIR"] = path

    # Processes.

    def run(self, *command, expect=0, quiet=False, **options):
        """Runs a command, returns its CompletedProcess.  `expect`: exit code or codes, None for any."""
        if not quiet:
            say("$ " + " ".join(str(part) for part in command))
        done = subprocess.run([str(part) for part in command], env=self.environment, text=True, errors="replace",
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)
        expected = expect if isinstance(expect, (tuple, list, set)) else (expect,)
        if expect is not None and done.returncode not in expected:
            raise Failure(f"{' '.join(map(str, command))}\nexit code {done.returncode}, expected {expect}\n"
                          f"{done.stdout[-4000:]}{done.stderr[-4000:]}")
        return done

    def cli(self, *arguments, expect=0, **options):
        return self.run(self.stavefs, *arguments, expect=expect, **options)

    def shell(self, command, **options):
        return self.run("bash", "-ec", "set -o pipefail; " + command, **options)

    # Disks.

    def plain_disks(self, count, needed_bytes):
        """Directories of one tmpfs when there is memory for it, otherwise of the work directory.  Need --demo."""
        parent = os.path.join(self.work, "disks")
        os.mkdir(parent)
        with open("/proc/meminfo", encoding="ascii") as info:
            available = next(int(line.split()[1]) * 1024 for line in info if line.startswith("MemAvailable"))
        if available > 2 * needed_bytes:
            self.mount_tmpfs(parent, max(needed_bytes, 8 * GIB))
        directories = [os.path.join(parent, f"d{i + 1}") for i in range(count)]
        for directory in directories:
            os.mkdir(directory)
        return Disks(directories)

    def mount_tmpfs(self, path, size):
        os.makedirs(path, exist_ok=True)
        self.run("mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", path, quiet=True)
        self.cleanups.append(lambda: self.run("umount", "-l", path, expect=None, quiet=True))

    def tmpfs_disks(self, count, size, prefix=""):
        directories = [os.path.join(self.work, f"{prefix}disk{i + 1}") for i in range(count)]
        for directory in directories:
            self.mount_tmpfs(directory, size)
        return Disks(directories)

    def loop_disks(self, count, size, prefix=""):
        """ext4 on loop devices over sparse images."""
        directories = []
        for i in range(count):
            image = os.path.join(self.work, f"{prefix}image{i + 1}")
            with open(image, "wb") as file:
                file.truncate(size)
            self.run("mkfs.ext4", "-q", "-F", image, quiet=True)
            directory = os.path.join(self.work, f"{prefix}disk{i + 1}")
            os.mkdir(directory)
            self.mount_loop(image, directory)
            directories.append(directory)
        return Disks(directories)

    def mount_loop(self, image, directory):
        device = self.run("losetup", "-f", "--show", image, quiet=True).stdout.strip()
        self.cleanups.append(lambda: self.run("losetup", "-d", device, expect=None, quiet=True))
        self.devices[directory] = device
        self.mount_disk(directory)
        self.cleanups.append(lambda: self.run("umount", "-l", directory, expect=None, quiet=True))

    def mount_disk(self, directory):
        self.run("mount", "-t", "ext4", self.devices[directory], directory, quiet=True)

    def shut_down(self, directory):
        """The filesystem under a disk drops what it has not flushed and fails every request from now on."""
        say(f"disk {directory} dies")
        self.run("xfs_io", "-x", "-c", "shutdown", directory, quiet=True)

    def unmount_disk(self, directory):
        """The kernel takes the rings of a killed daemon down, and with them their files, a little later."""
        deadline = time.monotonic() + 30
        while self.run("umount", directory, expect=None, quiet=True).returncode != 0:
            check(time.monotonic() < deadline, f"{directory} stays busy")
            time.sleep(0.05)

    # The pool and its daemon.

    def create(self, disks, *options, name="tank", klass="4+2"):
        return self.cli("create", name, *disks.directories, "--class", klass, *options)

    def start(self, *options, name="tank"):
        """Mounts with a daemon that stays in the foreground, so that its process is known."""
        check(self.daemon is None, "the test starts a second daemon")
        command = [self.stavefs, "mount", name, self.mountpoint, "-f", *options]
        say("$ " + " ".join(command))
        with open(self.daemon_log, "ab") as log:
            self.daemon = subprocess.Popen(command, env=self.environment, stdout=log, stderr=log,
                                           stdin=subprocess.DEVNULL)
        deadline = time.monotonic() + START_SECONDS
        while not self.answers():
            if self.daemon.poll() is not None:
                code, self.daemon = self.daemon.returncode, None
                raise Failure(f"mount ended with exit code {code}\n{self.log_tail()}")
            check(time.monotonic() < deadline, f"no mount after {START_SECONDS} s\n{self.log_tail()}")
            time.sleep(0.02)
        # The mount answers a moment before its daemon has noted in the host's file where it is.
        noted = os.path.join(self.environment["STAVEFS_CONFIG_DIR"], name + ".toml")
        while self.mountpoint not in open(noted, encoding="utf-8").read():
            check(time.monotonic() < deadline, "the mount point was not noted in the host's file")
            time.sleep(0.02)

    def answers(self):
        """A mount is there, and it is not one whose daemon has died (of which the kernel still knows the attributes)."""
        try:
            os.statvfs(self.mountpoint)
        except OSError:
            return False
        return self.is_mounted()

    def is_mounted(self):
        with open("/proc/self/mountinfo", encoding="utf-8") as table:
            return any(line.split()[4] == self.mountpoint for line in table)

    def stop(self):
        """Unmounts and waits for the daemon's end, which must be a clean one."""
        self.cli("umount", self.mountpoint)
        check(not self.is_mounted(), "umount has returned and the mount is still there")
        if self.daemon is not None:
            code = self.daemon.wait(timeout=START_SECONDS)
            self.daemon = None
            check(code == 0, f"the daemon ended with exit code {code}\n{self.log_tail()}")

    def freeze(self):
        """The daemon stands still; what it has handed to the kernel goes on."""
        self.daemon.send_signal(signal.SIGSTOP)

    def kill(self):
        say("kill -9 of the daemon")
        self.daemon.send_signal(signal.SIGKILL)
        self.daemon.wait()
        self.daemon = None

    def detach(self):
        self.run("umount", "-l", self.mountpoint, expect=None, quiet=True)

    def status(self, name="tank", expect=(0, 4)):
        return json.loads(self.cli("status", name, "--json", expect=expect, quiet=True).stdout)

    def memory_peak(self):
        """VmHWM of the daemon in bytes."""
        with open(f"/proc/{self.daemon.pid}/status", encoding="ascii") as file:
            return next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmHWM"))

    def log_tail(self, lines=40):
        with contextlib.suppress(OSError):
            with open(self.daemon_log, encoding="utf-8", errors="replace") as log:
                return "--- the daemon says:\n" + "".join(log.readlines()[-lines:])
        return "(the daemon has said nothing)"

    def close(self):
        if self.daemon is not None:
            self.run("umount", "-l", self.mountpoint, expect=None, quiet=True)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.daemon.terminate()
                self.daemon.wait(timeout=10)
            if self.daemon.poll() is None:
                self.daemon.kill()
                self.daemon.wait()
        elif self.is_mounted():
            # Daemonised: it ends when it is unmounted.
            self.run(self.stavefs, "umount", self.mountpoint, expect=None, quiet=True)
            self.run("umount", "-l", self.mountpoint, expect=None, quiet=True)
        while self.cleanups:
            with contextlib.suppress(Exception):
                self.cleanups.pop()()


# Content that can be checked at any place: noise, stamped with its position.

class Content:
    """`size` bytes that depend on `key` alone."""

    _noise = {}

    def __init__(self, key, size):
        self.key = str(key)
        self.size = size

    def block(self, number):
        """Bytes [number * BLOCK, ...) clipped to the size."""
        slot = number % 16
        if slot not in Content._noise:
            Content._noise[slot] = random.Random(slot).randbytes(BLOCK)
        stamp = hashlib.sha256(f"{self.key}/{number}".encode()).digest()
        length = min(BLOCK, self.size - number * BLOCK)
        return (stamp + Content._noise[slot][len(stamp):])[:length]

    def blocks(self):
        return range((self.size + BLOCK - 1) // BLOCK)

    def all(self):
        return b"".join(self.block(i) for i in self.blocks())

    def write(self, path):
        with open(path, "wb", buffering=0) as file:
            for i in self.blocks():
                write_all(file.fileno(), self.block(i))

    def verify(self, path):
        with open(path, "rb", buffering=0) as file:
            check(os.fstat(file.fileno()).st_size == self.size,
                  f"{path} has {os.fstat(file.fileno()).st_size} bytes instead of {self.size}")
            for i in self.blocks():
                check(read_all(file.fileno(), BLOCK) == self.block(i), f"{path} differs in MiB {i}")


def write_all(fd, data):
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view):]


def read_all(fd, size):
    parts = []
    while size > 0:
        part = os.read(fd, size)
        if not part:
            break
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


# Trees.

def describe(path):
    """Everything about one object that a copy must keep, but its content."""
    info = os.lstat(path)
    kind = stat.S_IFMT(info.st_mode)
    facts = [oct(info.st_mode), info.st_uid, info.st_gid, info.st_mtime_ns]
    if kind == stat.S_IFLNK:
        facts.append(os.readlink(path))
    if kind == stat.S_IFREG:
        facts.append(info.st_size)
    if kind in (stat.S_IFCHR, stat.S_IFBLK):
        facts.append(info.st_rdev)
    if kind in (stat.S_IFREG, stat.S_IFDIR):
        facts.append(sorted((name, os.getxattr(path, name)) for name in os.listxattr(path)
                            if name.startswith(b"user." if isinstance(name, bytes) else "user.")))
    return facts


def snapshot(root):
    """path -> facts, and the groups of hard links."""
    tree, links = {}, {}
    for directory, directories, files in os.walk(os.fsencode(root)):
        for name in directories + files:
            path = os.path.join(directory, name)
            relative = os.path.relpath(path, os.fsencode(root))
            tree[relative] = describe(path)
            info = os.lstat(path)
            if info.st_nlink > 1 and not stat.S_ISDIR(info.st_mode):
                links.setdefault(info.st_ino, []).append(relative)
    return tree, sorted(sorted(group) for group in links.values())


def compare_trees(lane, source, copy):
    """Names, kinds, modes, owners, times to the nanosecond, xattrs, targets, hard links; then every byte by rsync's checksums."""
    (wanted, wanted_links), (found, found_links) = snapshot(source), snapshot(copy)
    for path in sorted(set(wanted) | set(found)):
        check(path in found, f"{path!r} is missing in {copy}")
        check(path in wanted, f"{path!r} is in {copy} and should not be")
        check(wanted[path] == found[path], f"{path!r}: {wanted[path]} in {source}, {found[path]} in {copy}")
    check(wanted_links == found_links, f"hard links differ: {wanted_links[:5]} ... {found_links[:5]} ...")
    done = lane.run("rsync", "-aHnc", "--delete", "--itemize-changes", "--modify-window=-1", f"{source}/", f"{copy}/",
                    quiet=True)
    check(done.stdout == "", f"rsync -anc finds differences between {source} and {copy}:\n{done.stdout[:2000]}")
    say(f"{copy} is identical ({len(wanted)} objects)")


def make_odd_tree(root, random_source):
    """What trees of sources do not have: hard links, odd names and modes, owners, times, xattrs, holes, special files."""
    os.mkdir(root)
    for i in range(40):
        path = os.path.join(root, f"file{i}")
        Content(f"odd{i}", random_source.choice([0, 1, 1023, 1024, 1025, 4096, 70_000, 1_500_000])).write(path)
        os.chmod(path, random_source.choice([0o600, 0o644, 0o755, 0o4755, 0o2755, 0o000, 0o777]))
    for i in range(10):
        os.link(os.path.join(root, f"file{i}"), os.path.join(root, f"link{i}"))
        os.symlink(random_source.choice(["file1", "../odd/file2", "/nowhere", "x" * 1500]), os.path.join(root, f"sym{i}"))
        directory = os.path.join(root, f"dir{i}")
        os.mkdir(directory, 0o755)
        os.link(os.path.join(root, f"file{i + 10}"), os.path.join(directory, "other name"))
        os.chmod(directory, random_source.choice([0o700, 0o1777, 0o2755, 0o555]))
        os.setxattr(os.path.join(root, f"file{i}"), "user.color", random_source.randbytes(i * 20))
    for name in (b"\xff\xfe raw", "ümläut".encode(), b"new\nline", b" ", b"-n", b"n" * 255):
        Content(name, 100).write(os.path.join(os.fsencode(root), name))
    with open(os.path.join(root, "sparse"), "wb") as file:
        file.seek(50 * MIB)
        file.write(b"end")
    os.mkfifo(os.path.join(root, "fifo"), 0o620)
    os.mknod(os.path.join(root, "null"), stat.S_IFCHR | 0o666, os.makedev(1, 3))
    for directory, directories, files in os.walk(root, topdown=False):
        for name in files + directories:
            path = os.path.join(directory, name)
            info = os.lstat(path)
            os.chown(path, random_source.randrange(70_000), random_source.randrange(70_000), follow_symlinks=False)
            if not stat.S_ISLNK(info.st_mode):
                os.chmod(path, stat.S_IMODE(info.st_mode))  # chown has cleared set-id bits
            nanoseconds = random_source.randrange(0, 4_000_000_000) * 10**9 + random_source.randrange(10**9)
            os.utime(path, ns=(nanoseconds, nanoseconds + 7), follow_symlinks=False)


def copy_part(source, target, limit_bytes):
    """Copies whole top-level entries of `source` until `limit_bytes`: a part of a large tree, always the same."""
    os.mkdir(target)
    total = 0
    for name in sorted(os.listdir(source)):
        path = os.path.join(source, name)
        size = sum(os.lstat(os.path.join(where, file)).st_size for where, _, files in os.walk(path) for file in files)
        if total + size > limit_bytes:
            continue
        total += size
        subprocess.run(["cp", "-a", path, target], check=True)
    return total


def main(test, add_arguments=None):
    parser = argparse.ArgumentParser(description=sys.modules["__main__"].__doc__)
    parser.add_argument("stavefs", help="the program under test")
    parser.add_argument("--seed", type=int, default=int(os.environ.get("STAVEFS_TEST_SEED", "0")) or random.randrange(1, 1 << 31))
    parser.add_argument("--keep", action="store_true", help="leave the work directory")
    if add_arguments:
        add_arguments(parser)
    arguments = parser.parse_args()
    if not os.path.exists("/dev/fuse"):
        print("SKIPPED: this machine has no /dev/fuse")
        sys.exit(77)
    if os.geteuid() != 0:
        print("FAILED: tests of real mounts need root")
        sys.exit(1)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    lane = Lane(arguments.stavefs, arguments.seed, arguments.keep)
    print(f"seed {arguments.seed} (again: STAVEFS_TEST_SEED={arguments.seed}), work directory {lane.work}", flush=True)
    try:
        test(lane, arguments)
    except (Failure, AssertionError, OSError, subprocess.SubprocessError) as failure:
        print(f"FAILED (seed {arguments.seed}): {type(failure).__name__}: {failure}\n{lane.log_tail()}", flush=True)
        if not isinstance(failure, Failure):
            import traceback
            traceback.print_exc()
        sys.exit(1)
    finally:
        lane.close()
    print(f"passed (seed {arguments.seed})", flush=True)
