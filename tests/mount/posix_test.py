"""The POSIX suite (tests/posix), run on a mount.

Goal: all of its tests pass on a healthy pool, after a remount, and with two of six disks gone.
"""

import os
import sys

from mount_lane import GIB, check, main, say


def add_arguments(parser):
    parser.add_argument("posix_suite")
    parser.add_argument("--filter", default="*")


def run_suite(lane, arguments):
    bucket = os.path.join(lane.mountpoint, "bucket")
    os.makedirs(bucket, exist_ok=True)
    os.chmod(lane.work, 0o755)
    done = lane.run(os.path.abspath(arguments.posix_suite), f"--gtest_filter={arguments.filter}", "--gtest_brief=1", bucket, expect=None)
    sys.stdout.write(done.stdout[-20_000:] + done.stderr[-2_000:])
    check(done.returncode == 0, "the POSIX suite fails on the mount")
    check(os.listdir(bucket) == [], f"the suite left something: {os.listdir(bucket)}")


def test(lane, arguments):
    disks = lane.plain_disks(6, 3 * GIB)
    lane.create(disks, "--demo")
    lane.start()
    run_suite(lane, arguments)
    lane.stop()
    lane.start()
    run_suite(lane, arguments)
    lane.stop()
    say("now without two disks")
    disks.hide([1, 4])
    lane.start()
    run_suite(lane, arguments)
    lane.stop()


main(test, add_arguments)
