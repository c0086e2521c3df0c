"""Two of six disks die while cp is writing.

Goal: no error reaches cp, everything reads back, and also after a remount without the two.  A third one is too many: then fsync must
say so, nothing hangs, and what was synced before is there when the disks are back.  Method: ext4 on loop devices;
`xfs_io -x -c shutdown` drops what was not flushed and fails every request from then on.  Pair and moments are drawn from the seed.
"""

import os
import subprocess
import threading
import time

from mount_lane import GIB, MIB, Content, check, compare_trees, copy_part, main, say


def add_arguments(parser):
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--big-bytes", type=int, default=512 * MIB)


def one_round(lane, number, arguments, source):
    name = f"tank{number}"
    disks = lane.loop_disks(6, 3 * GIB, prefix=f"r{number}-")
    lane.create(disks, name=name)
    lane.start(name=name)
    bucket = os.path.join(lane.mountpoint, "bucket")
    os.mkdir(bucket)
    Content("before", 50 * MIB).write(os.path.join(bucket, "before"))

    victims = lane.random.sample(range(6), 2)
    moments = sorted(lane.random.uniform(0.1, 3.0) for _ in victims)
    say(f"disks {[v + 1 for v in victims]} die after {moments[0]:.2f} and {moments[1]:.2f} s")
    writers = [
        subprocess.Popen(["cp", "-a", source, os.path.join(bucket, "tree")], stderr=subprocess.PIPE, text=True),
        subprocess.Popen(["cp", os.path.join(lane.work, "big"), os.path.join(bucket, "big")], stderr=subprocess.PIPE, text=True),
        subprocess.Popen(["dd", "if=" + os.path.join(lane.work, "big"), "of=" + os.path.join(bucket, "synced"), "bs=1M",
                          "count=100", "oflag=dsync", "status=none"], stderr=subprocess.PIPE, text=True),
    ]
    started = time.monotonic()

    def kill_disks():
        for victim, moment in zip(victims, moments):
            time.sleep(max(0.0, started + moment - time.monotonic()))
            lane.shut_down(disks.directories[victim])

    killer = threading.Thread(target=kill_disks)
    killer.start()
    for writer in writers:
        _, errors = writer.communicate(timeout=1200)
        check(writer.returncode == 0 and not errors, f"{writer.args[0]} got an error: {errors}")
    say(f"the writers ended without an error after {time.monotonic() - started:.1f} s")
    killer.join()
    Content("late", 30 * MIB).write(os.path.join(bucket, "late"))
    lane.shell(f"sync -f {bucket} && sync {bucket}/late")

    def verify():
        Content("before", 50 * MIB).verify(os.path.join(bucket, "before"))
        Content("big", arguments.big_bytes).verify(os.path.join(bucket, "big"))
        Content("late", 30 * MIB).verify(os.path.join(bucket, "late"))
        compare_trees(lane, source, os.path.join(bucket, "tree"))
        lane.run("cmp", "-n", str(100 * MIB), os.path.join(lane.work, "big"), os.path.join(bucket, "synced"), quiet=True)

    verify()
    deadline = time.monotonic() + 10
    while True:
        status = lane.status(name, expect=(0, 4))
        if status["verdict"] == "DEGRADED":
            break
        check(time.monotonic() < deadline, f"two disks are dead and the verdict is {status['verdict']}")
        time.sleep(0.5)
    lane.stop()
    for victim in victims:
        lane.unmount_disk(disks.directories[victim])  # an empty directory stands in its place
    lane.start(name=name)
    verify()
    for victim in victims:
        check(os.listdir(disks.directories[victim]) == [], "something was written into the directory of a disk that is not mounted")
    Content("new", 10 * MIB).write(os.path.join(bucket, "new"))
    Content("new", 10 * MIB).verify(os.path.join(bucket, "new"))
    lane.stop()


def one_too_many(lane):
    disks = lane.loop_disks(6, 2 * GIB, prefix="three-")
    lane.create(disks, name="three")
    lane.start(name="three")
    bucket = os.path.join(lane.mountpoint, "bucket")
    os.mkdir(bucket)
    Content("synced", 40 * MIB).write(os.path.join(bucket, "synced"))
    lane.run("sync", os.path.join(bucket, "synced"))
    victims = lane.random.sample(range(6), 3)
    for victim in victims:
        lane.shut_down(disks.directories[victim])
    # In a process of its own: it must not hang, and if it does the test must not.
    writer = subprocess.run(["dd", "if=/dev/zero", f"of={bucket}/late", "bs=1M", "count=200", "conv=fsync", "status=none"],
                            stderr=subprocess.PIPE, text=True, timeout=120)
    check(writer.returncode != 0, "three of six disks are dead, and 200 MiB were written and synced without an error")
    say(f"the writer is told: {writer.stderr.strip()}")
    reader = subprocess.run(["cat", os.path.join(bucket, "synced")], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, timeout=120)
    say(f"a reader: {reader.stderr.decode().strip() or 'reads on (from memory)'}")
    lane.cli("status", "three", expect=(1, 3, 4))
    lane.cli("umount", lane.mountpoint, "--force", expect=None)
    lane.daemon.wait(timeout=60)
    lane.daemon = None
    for victim in victims:
        lane.unmount_disk(disks.directories[victim])
        lane.mount_disk(disks.directories[victim])
    lane.start(name="three")
    Content("synced", 40 * MIB).verify(os.path.join(bucket, "synced"))
    Content("new", 10 * MIB).write(os.path.join(bucket, "new"))
    lane.stop()


def test(lane, arguments):
    source = os.path.join(lane.work, "source")
    copy_part("/usr/include", source, 80 * MIB)
    Content("big", arguments.big_bytes).write(os.path.join(lane.work, "big"))
    for number in range(arguments.rounds):
        one_round(lane, number, arguments, source)
    one_too_many(lane)


main(test, add_arguments)
