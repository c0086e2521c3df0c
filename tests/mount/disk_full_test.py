"""A full pool.

Goal: ENOSPC comes from write() and nothing that was acknowledged is lost; names can still be removed, their space comes back, and
the pool is as good as new.  Method: six small filesystems are filled with large files, then with small ones, and emptied.
"""

import errno
import os
import time

from mount_lane import MIB, Content, check, main, say


def free_bytes(path):
    info = os.statvfs(path)
    return info.f_bavail * info.f_frsize


def fill(directory, size, count):
    """Writes files until ENOSPC.  Returns how many bytes of each were acknowledged."""
    acknowledged = {}
    for number in range(count):
        path = os.path.join(directory, f"{size}-{number}")
        content = Content(f"{size}/{number}", size)
        try:
            with open(path, "wb", buffering=0) as file:
                acknowledged[path] = (content, 0)
                for i in content.blocks():
                    written = file.write(content.block(i))
                    acknowledged[path] = (content, acknowledged[path][1] + written)
                    if written < len(content.block(i)):
                        break
        except OSError as error:
            check(error.errno == errno.ENOSPC, f"a full pool answers {errno.errorcode[error.errno]}")
            return acknowledged
    check(False, f"{count} files of {size} bytes did not fill the pool")


def verify(acknowledged):
    for path, (content, size) in acknowledged.items():
        if not os.path.exists(path):
            check(size == 0, f"{path} is gone")
            continue
        with open(path, "rb") as file:
            found = file.read()
        check(len(found) == size, f"{path}: {size} bytes were acknowledged, {len(found)} are there")
        check(content.all()[:size] == found, f"{path}: other bytes")


def wait_for_space(lane, wanted):
    deadline = time.monotonic() + 60
    while free_bytes(lane.mountpoint) < wanted:
        check(time.monotonic() < deadline, f"{free_bytes(lane.mountpoint) / MIB:.0f} MiB are free after the deletion, "
                                           f"{wanted / MIB:.0f} were expected")
        time.sleep(0.2)


def test(lane, _):
    disks = lane.tmpfs_disks(6, 400 * MIB)
    lane.create(disks)
    lane.start()
    bucket = os.path.join(lane.mountpoint, "bucket")
    os.mkdir(bucket)
    at_first = free_bytes(lane.mountpoint)
    say(f"{at_first / MIB:.0f} MiB are free in a new pool of six disks of 400 MiB")
    check(at_first > 500 * MIB, "a new pool of 1.6 GiB has hardly any room")

    for number in range(3):
        say(f"round {number + 1}")
        acknowledged = fill(bucket, 50 * MIB, 1000)
        total = sum(size for _, size in acknowledged.values())
        say(f"full after {total / MIB:.0f} MiB; df: {free_bytes(lane.mountpoint) / MIB:.0f} MiB")
        check(total > 0.8 * at_first, "the pool is full long before df said so")
        verify(acknowledged)
        lane.shell(f"sync -f {bucket} || true", quiet=True)
        acknowledged.update(fill(bucket, 20_000, 100_000))
        lane.shell(f"for f in {bucket}/*; do sync $f || exit 1; done")
        verify(acknowledged)
        lane.stop()
        lane.start()
        verify(acknowledged)
        status = lane.status()
        check(status["verdict"] in ("HEALTHY", "DEGRADED"), f"a full pool is {status['verdict']}")
        say("everything acknowledged is there after a remount; now it is deleted")
        for path in acknowledged:
            if os.path.exists(path):
                os.unlink(path)
        check(os.listdir(bucket) == [], "the bucket is not empty")
        wait_for_space(lane, 0.9 * at_first)
        say(f"{free_bytes(lane.mountpoint) / MIB:.0f} MiB are free again")
    Content("last", 100 * MIB).write(os.path.join(bucket, "last"))
    Content("last", 100 * MIB).verify(os.path.join(bucket, "last"))
    lane.stop()


main(test)
