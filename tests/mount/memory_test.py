"""The daemon's memory while a large file is written and read.

Goal: the peak stays within the budget of 2 GiB, and dirty data is bounded.  The peak is the kernel's VmHWM.
"""

import os
import time

from mount_lane import GIB, MIB, Content, check, main, say

BUDGET = 2 * GIB


def add_arguments(parser):
    parser.add_argument("--big-bytes", type=int, default=2 * GIB)
    parser.add_argument("--small-files", type=int, default=5_000)


def test(lane, arguments):
    disks = lane.plain_disks(6, int(2 * arguments.big_bytes))
    lane.create(disks, "--demo")
    lane.start()
    bucket = os.path.join(lane.mountpoint, "bucket")
    os.mkdir(bucket)
    say(f"after the mount: {lane.memory_peak() / MIB:.0f} MiB")
    size = arguments.big_bytes / MIB

    started = time.monotonic()
    Content("big", arguments.big_bytes).write(os.path.join(bucket, "big"))
    lane.run("sync", os.path.join(bucket, "big"), quiet=True)
    say(f"written at {size / (time.monotonic() - started):.0f} MiB/s; peak {lane.memory_peak() / MIB:.0f} MiB")

    lane.shell("echo 3 > /proc/sys/vm/drop_caches", quiet=True)
    started = time.monotonic()
    Content("big", arguments.big_bytes).verify(os.path.join(bucket, "big"))
    say(f"read at {size / (time.monotonic() - started):.0f} MiB/s; peak {lane.memory_peak() / MIB:.0f} MiB")

    os.mkdir(os.path.join(bucket, "small"))
    for i in range(arguments.small_files):
        Content(f"small{i}", 4096).write(os.path.join(bucket, "small", str(i)))
    peak = lane.memory_peak()
    say(f"with {arguments.small_files} small files: peak {peak / MIB:.0f} MiB of {BUDGET / MIB:.0f}")
    check(peak < BUDGET, f"the daemon's memory peaked at {peak / MIB:.0f} MiB")
    lane.stop()


main(test, add_arguments)
