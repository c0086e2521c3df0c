"""kill -9 of the daemon in the middle of writing: alone, together with two disks, and together with the power of all disks.

Goal: what was fsynced is there and correct after the next mount; everything else is a whole prefix of what was written, or absent.
Method: writers note on the host what they have synced, and only after the sync has returned.  Four kinds of them:
  files     new files of all sizes, some synced
  log       one file, appended to and synced record by record
  versions  one file whose blocks are overwritten in place, synced after each pass: after a crash it is the last pass, with a prefix of
            the blocks of the next one
  renames   new content is synced, then renamed over the old: one of the two, whole
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time

from mount_lane import GIB, MIB, Content, check, main, say

VERSION_BLOCKS = 40
VERSION_BLOCK_BYTES = 30_000


def add_arguments(parser):
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--writer", nargs=3, metavar=("KIND", "DIR", "NOTES"), help="used by the test for its own children")


# The writers; each runs in its own process and ends by the error that the daemon's death gives it.

class Notes:
    """Lines on the host, on disk before the next step."""

    def __init__(self, path):
        self.file = open(path, "a", encoding="utf-8")

    def add(self, *fields):
        self.file.write(json.dumps(fields) + "\n")
        self.file.flush()


def record(number):
    return f"record {number} {'.' * (number % 300)}\n".encode()


def version_block(version, block):
    return Content(f"v{version}b{block}", VERSION_BLOCK_BYTES).all()


def write_files(directory, notes, rng):
    number = 0
    while True:
        size = rng.choice([0, 10, 1000, 5000, 100_000, 400_000, 3_000_000])
        content = Content(f"file{number}", size)
        notes.add("start", number, size)
        path = os.path.join(directory, str(number))
        with open(path, "wb", buffering=0) as file:
            file.write(content.all())
            if rng.random() < 0.4:
                os.fsync(file.fileno())
                notes.add("synced", number, size)
        number += 1


def write_log(directory, notes, _):
    with open(os.path.join(directory, "log"), "ab", buffering=0) as file:
        number = 0
        while True:
            file.write(record(number))
            if number % 3 == 0:
                os.fdatasync(file.fileno())
                notes.add("synced", number)
            number += 1


def write_versions(directory, notes, _):
    fd = os.open(os.path.join(directory, "versions"), os.O_RDWR | os.O_CREAT, 0o644)
    version = 0
    while True:
        for block in range(VERSION_BLOCKS):
            os.pwrite(fd, version_block(version, block), block * VERSION_BLOCK_BYTES)
        os.fsync(fd)
        notes.add("synced", version)
        version += 1


def write_renames(directory, notes, rng):
    path, new = os.path.join(directory, "current"), os.path.join(directory, "current.new")
    number = 0
    while True:
        size = rng.choice([100, 3000, 200_000, 1_000_000])
        notes.add("start", number, size)
        with open(new, "wb", buffering=0) as file:
            file.write(Content(f"r{number}", size).all())
            os.fsync(file.fileno())
        os.rename(new, path)
        fd = os.open(directory, os.O_RDONLY)
        os.fsync(fd)
        os.close(fd)
        notes.add("synced", number, size)
        number += 1


WRITERS = {"files": write_files, "log": write_log, "versions": write_versions, "renames": write_renames}


def run_writer(kind, directory, notes_path, rng):
    try:
        WRITERS[kind](directory, Notes(notes_path), rng)
    except OSError as error:
        # What a program sees when the daemon dies; anything else is a finding.
        if error.errno in (107, 103, 5):  # ENOTCONN, ECONNABORTED, EIO
            sys.exit(0)
        print(f"writer {kind}: {error}", file=sys.stderr)
        sys.exit(1)


# The checks.

def read(path):
    with open(path, "rb") as file:
        return file.read()


def verify_files(directory, notes):
    started = {number: size for what, number, size in notes if what == "start"}
    synced = {number for what, number, _ in notes if what == "synced"}
    present = set(os.listdir(directory))
    for number, size in started.items():
        path = os.path.join(directory, str(number))
        if number in synced:
            check(str(number) in present, f"{path} was synced and is gone")
        if str(number) not in present:
            continue
        found, whole = read(path), Content(f"file{number}", size).all()
        check(whole.startswith(found), f"{path} is no prefix of what was written ({len(found)} of {size} bytes)")
        check(number not in synced or len(found) == size, f"{path} was synced and has {len(found)} of {size} bytes")
    check(present <= {str(number) for number in started}, "there are files that nobody wrote")
    return len(synced)


def verify_log(directory, notes):
    synced = max((fields[1] for fields in notes), default=-1)
    path = os.path.join(directory, "log")
    if synced < 0 and not os.path.exists(path):
        return 0
    found = read(path)
    whole = b"".join(record(i) for i in range(synced + 1))
    check(len(found) >= len(whole), f"the log has {len(found)} bytes, {len(whole)} were synced")
    number = synced
    while len(whole) < len(found):
        number += 1
        whole += record(number)
    check(whole.startswith(found), "the log is no prefix of what was written")
    return synced + 1


def verify_versions(directory, notes):
    synced = max((fields[1] for fields in notes), default=-1)
    path = os.path.join(directory, "versions")
    if not os.path.exists(path):
        check(synced < 0, "the synced file is gone")
        return 0
    found = read(path)
    if synced < 0:
        whole = b"".join(version_block(0, block) for block in range(VERSION_BLOCKS))
        check(whole.startswith(found), "the first pass is no prefix of what was written")
        return 0
    check(len(found) == VERSION_BLOCKS * VERSION_BLOCK_BYTES, f"the file has {len(found)} bytes")
    blocks = [found[i * VERSION_BLOCK_BYTES:(i + 1) * VERSION_BLOCK_BYTES] for i in range(VERSION_BLOCKS)]
    newest = synced
    # The sync of a later pass may have ended without its note; at most one pass is in flight after that.
    for version in (synced, synced + 1):
        if blocks[0] == version_block(version, 0) or blocks[0] == version_block(version + 1, 0):
            newest = version
            break
    ahead = 0
    while ahead < VERSION_BLOCKS and blocks[ahead] == version_block(newest + 1, ahead):
        ahead += 1
    for block in range(ahead, VERSION_BLOCKS):
        check(blocks[block] == version_block(newest, block),
              f"block {block} is not that of pass {newest} (synced: {synced}, {ahead} blocks of the next one before it)")
    return synced + 1


def verify_renames(directory, notes):
    sizes = {fields[1]: fields[2] for fields in notes if fields[0] == "start"}
    synced = max((fields[1] for fields in notes if fields[0] == "synced"), default=-1)
    path = os.path.join(directory, "current")
    if not os.path.exists(path):
        check(synced < 0, "the renamed file is gone")
        return 0
    found = read(path)
    allowed = [n for n in (synced, synced + 1) if n in sizes]
    check(any(found == Content(f"r{n}", sizes[n]).all() for n in allowed),
          f"the renamed file ({len(found)} bytes) is neither number {synced} nor the next one")
    return synced + 1


VERIFIERS = {"files": verify_files, "log": verify_log, "versions": verify_versions, "renames": verify_renames}


def verify(lane, round_number, notes_directory):
    for kind, verifier in VERIFIERS.items():
        directory = os.path.join(lane.mountpoint, "bucket", f"{kind}{round_number}")
        with open(os.path.join(notes_directory, kind), encoding="utf-8") as file:
            notes = [json.loads(line) for line in file if line.endswith("\n")]
        say(f"round {round_number}, {kind}: {verifier(directory, notes)} syncs held")


def write_until_death(lane, round_number, notes_directory, die):
    os.mkdir(notes_directory)
    writers = []
    for kind in WRITERS:
        directory = os.path.join(lane.mountpoint, "bucket", f"{kind}{round_number}")
        os.mkdir(directory)
        notes = os.path.join(notes_directory, kind)
        open(notes, "w", encoding="utf-8").close()
        writers.append(subprocess.Popen([sys.executable, __file__, lane.stavefs, "--seed", str(lane.random.randrange(1 << 30) + 1),
                                         "--writer", kind, directory, notes], stderr=subprocess.PIPE, text=True))
    # The directories are durable before anything is counted on in them.
    fd = os.open(os.path.join(lane.mountpoint, "bucket"), os.O_RDONLY)
    os.fsync(fd)
    os.close(fd)
    time.sleep(lane.random.uniform(0.5, 4.0))
    for writer in writers:
        if writer.poll() is not None:
            check(False, f"a writer ended before the daemon: {writer.communicate()[1]}")
    die()
    for writer in writers:
        try:
            _, errors = writer.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            writer.send_signal(signal.SIGKILL)
            raise
        check(writer.returncode == 0, f"a writer saw more than the daemon's death: {errors}")


def crash_alone(lane, rounds):
    disks = lane.plain_disks(6, 4 * GIB)
    lane.create(disks, "--demo")
    lane.start()
    os.mkdir(os.path.join(lane.mountpoint, "bucket"))
    for number in range(rounds):
        notes = os.path.join(lane.work, f"notes{number}")
        write_until_death(lane, number, notes, lane.kill)
        lane.start()
        for earlier in range(number + 1):
            verify(lane, earlier, os.path.join(lane.work, f"notes{earlier}"))
    lane.stop()
    lane.start()
    for earlier in range(rounds):
        verify(lane, earlier, os.path.join(lane.work, f"notes{earlier}"))
    lane.stop()


def loop_pool(lane, name):
    disks = lane.loop_disks(6, 2 * GIB, prefix=f"{name}-")
    lane.create(disks, name=name)
    lane.start(name=name)
    os.mkdir(os.path.join(lane.mountpoint, "bucket"))
    return disks


def crash_with_disks(lane, number):
    """Two disks die with the daemon, one after the other in any order; later they come back as they were."""
    name = f"two{number}"
    disks = loop_pool(lane, name)
    victims = lane.random.sample(range(6), 2)

    def die():
        say(f"the daemon and disks {[v + 1 for v in victims]} die together")
        threads = [threading.Thread(target=lane.shut_down, args=(disks.directories[v],)) for v in victims]
        threads.insert(lane.random.randrange(3), threading.Thread(target=lane.kill))
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    notes = os.path.join(lane.work, f"{name}-notes")
    write_until_death(lane, number, notes, die)
    for victim in victims:
        lane.unmount_disk(disks.directories[victim])
    lane.start(name=name)
    verify(lane, number, notes)
    Content("new", 10 * MIB).write(os.path.join(lane.mountpoint, "bucket", "new"))
    lane.stop()
    # They have what had reached them: they are stale and must not outvote anything.
    for victim in victims:
        lane.mount_disk(disks.directories[victim])
    lane.start(name=name)
    verify(lane, number, notes)
    Content("new", 10 * MIB).verify(os.path.join(lane.mountpoint, "bucket", "new"))
    lane.stop()


def power_cut(lane, number):
    """All disks lose what they had not flushed, at one moment; then two of them do not come back."""
    name = f"power{number}"
    disks = loop_pool(lane, name)
    lost = lane.random.sample(range(6), 2)

    def die():
        say("power cut")
        lane.freeze()
        for directory in disks.directories:
            lane.shut_down(directory)
        lane.kill()

    notes = os.path.join(lane.work, f"{name}-notes")
    write_until_death(lane, number, notes, die)
    for directory in disks.directories:
        lane.unmount_disk(directory)
    for number_of_disk, directory in enumerate(disks.directories):
        if number_of_disk not in lost:
            lane.mount_disk(directory)
    say(f"without disks {[v + 1 for v in lost]}")
    lane.start(name=name)
    verify(lane, number, notes)
    lane.stop()
    for number_of_disk in lost:
        lane.mount_disk(disks.directories[number_of_disk])
    lane.start(name=name)
    verify(lane, number, notes)
    lane.stop()


def test(lane, arguments):
    crash_alone(lane, arguments.rounds)
    for number in range(max(1, arguments.rounds // 2)):
        crash_with_disks(lane, number)
        power_cut(lane, number)


if "--writer" in sys.argv:
    import random
    at = sys.argv.index("--writer")
    run_writer(*sys.argv[at + 1:at + 4], random.Random(int(sys.argv[sys.argv.index("--seed") + 1])))
main(test, add_arguments)
