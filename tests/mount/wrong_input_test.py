"""Wrong input.

Goal: each mistake gets its exit code (0 ok, 1 failed, 2 usage, 5 busy, 10 no such pool, 11 in use by another daemon), one sentence
that names what is wrong, and changes nothing.  Method: a table; before and after each line the trees of all directories are compared.
"""

import os
import shutil

from mount_lane import MIB, Content, check, main, say

FAILED, USAGE, BUSY, NO_SUCH_POOL, IN_USE = 1, 2, 5, 10, 11


def contents(*roots):
    """Names, sizes and times of everything below."""
    found = {}
    for root in roots:
        for directory, _, files in os.walk(root):
            info = os.lstat(directory)
            found[directory] = (info.st_mode, info.st_mtime_ns)
            for name in files:
                path = os.path.join(directory, name)
                info = os.lstat(path)
                found[path] = (info.st_mode, info.st_size, info.st_mtime_ns)
    return found


class Table:
    def __init__(self, lane, watched):
        self.lane = lane
        self.watched = watched

    def refused(self, code, words, *arguments):
        """The command fails with this exit code, says these words, and leaves everything as it was."""
        before = contents(*self.watched)
        done = self.lane.cli(*arguments, expect=None)
        command = "stavefs " + " ".join(map(str, arguments))
        text = (done.stdout + done.stderr).strip()
        say(f"  -> {done.returncode}: {text.splitlines()[0] if text else '(nothing)'}")
        check(done.returncode == code, f"{command}: exit code {done.returncode}, expected {code}\n{text}")
        check(done.stderr.strip() != "", f"{command}: says nothing on standard error")
        for word in words:
            check(word in done.stderr, f"{command}: the message does not say '{word}':\n{done.stderr}")
        after = contents(*self.watched)
        changed = sorted(path for path in before.keys() | after.keys() if before.get(path) != after.get(path))
        check(not changed, f"{command}: was refused, and changed {changed[:5]}")


def refuse_create(lane, table, disks, others):
    d = disks.directories
    table.refused(USAGE, ["create"], "creat", "tank", *d)
    table.refused(USAGE, [], "create", "tank")
    table.refused(FAILED, ["nowhere"], "create", "tank", *d[:5], os.path.join(lane.work, "nowhere"))
    table.refused(USAGE, [d[0]], "create", "tank", *d[:5], d[0])
    table.refused(USAGE, ["6"], "create", "tank", *d[:5], "--class", "4+2")
    table.refused(USAGE, ["4+0"], "create", "tank", *d, "--class", "4+0")
    table.refused(USAGE, [], "create", "tank", *d, "--class", "four")
    table.refused(USAGE, [], "create", "tank", *d, "--class", "60+6")
    table.refused(USAGE, ["TANK/x"], "create", "TANK/x", *d)
    table.refused(USAGE, [], "create", "tank", *d, "--no-such-option")
    plain = os.path.join(lane.work, "plain")
    os.mkdir(plain)
    table.refused(USAGE, [plain, "mount"], "create", "tank", *d[:5], plain)
    file = os.path.join(lane.work, "file")
    Content("f", 10).write(file)
    table.refused(USAGE, [file], "create", "tank", *d[:5], file)
    Content("f", 10).write(os.path.join(others.directories[0], "precious"))
    table.refused(FAILED, ["precious", "not empty"], "create", "tank", *d[:5], others.directories[0])
    os.unlink(os.path.join(others.directories[0], "precious"))
    storage = os.path.join(lane.work, "storage.toml")
    with open(storage, "w", encoding="ascii") as out:
        out.write("[storage]\ndata_drives = 8\nparity_drives = 4\nread_quorum = 6\n")
    table.refused(USAGE, ["quorum"], "create", "tank", *d, "--storage", storage)
    with open(storage, "w", encoding="ascii") as out:
        out.write("[storage]\ndata_driver = 4\n")
    table.refused(USAGE, ["data_driver", "data_drives", "2"], "create", "tank", *d, "--storage", storage)
    same_device = [os.path.join(others.directories[0], name) for name in "abcdef"]
    for path in same_device:
        os.mkdir(path)
    table.refused(USAGE, [], "create", "tank", *same_device)
    for path in same_device:
        os.rmdir(path)


def refuse_mount(lane, table, disks):
    table.refused(NO_SUCH_POOL, ["tonk"], "mount", "tonk", lane.mountpoint)
    table.refused(NO_SUCH_POOL, ["tonk"], "status", "tonk")
    missing = os.path.join(lane.work, "no-such-mount-point")
    table.refused(FAILED, [missing], "mount", "tank", missing)
    file = os.path.join(lane.work, "file")
    table.refused(FAILED, [file, "directory"], "mount", "tank", file)
    inside = os.path.join(disks.directories[0])
    table.refused(USAGE, [inside, "inside"], "mount", "tank", inside)
    busy = os.path.join(lane.work, "busy")
    lane.mount_tmpfs(busy, MIB)
    table.refused(BUSY, [busy, "busy"], "mount", "tank", busy)
    table.refused(FAILED, ["no-such-option"], "mount", "tank", lane.mountpoint, "-o", "no-such-option")
    table.refused(FAILED, [lane.mountpoint], "umount", lane.mountpoint)


def refuse_second_daemon(lane, table, disks, others):
    lane.start()
    os.mkdir(os.path.join(lane.mountpoint, "bucket"))
    second = os.path.join(lane.work, "second")
    os.mkdir(second)
    # The first daemon goes on writing its own files, so only what may not change is watched.
    quiet = Table(lane, [second, lane.environment["STAVEFS_CONFIG_DIR"]])
    quiet.refused(IN_USE, ["tank"], "mount", "tank", second)
    # Another host's files know nothing of the first daemon: the disks' own locks do.
    elsewhere = dict(lane.environment)
    for name in ("STATE", "RUN"):
        path = os.path.join(lane.work, f"elsewhere-{name}")
        os.mkdir(path)
        lane.environment[f"STAVEFS_{name}_DIR"] = path
    quiet.refused(IN_USE, [], "mount", "tank", second, "-f")
    lane.environment = elsewhere
    table_of_others = Table(lane, others.directories)
    table_of_others.refused(FAILED, ["tank"], "create", "other", *others.directories[:5], disks.directories[0], "--class", "4+2")
    keep = os.open(os.path.join(lane.mountpoint, "bucket"), os.O_RDONLY)
    quiet.refused(BUSY, ["in use", "python"], "umount", lane.mountpoint)
    os.close(keep)
    for name, code in ((".", None), ("file-at-the-top", 1)):
        if code:
            try:
                os.close(os.open(os.path.join(lane.mountpoint, name), os.O_CREAT | os.O_WRONLY))
                check(False, "a file stands at the top of the mount")
            except PermissionError:
                pass
    Content("kept", 5 * MIB).write(os.path.join(lane.mountpoint, "bucket", "kept"))
    lane.stop()


def refuse_foreign_disk(lane, disks, others):
    """A disk of another pool in the place of one of ours is named and left alone."""
    lane.create(others, name="other")
    config = os.path.join(lane.environment["STAVEFS_CONFIG_DIR"], "tank.toml")
    with open(config, encoding="utf-8") as file:
        text = file.read()
    check(disks.directories[5] in text, f"{config} does not list the disks")
    with open(config, "w", encoding="utf-8") as file:
        file.write(text.replace(disks.directories[5], others.directories[5]))
    table = Table(lane, others.directories + disks.directories)
    table.refused(FAILED, ["other", "tank", others.directories[5]], "mount", "tank", lane.mountpoint)
    with open(config, "w", encoding="utf-8") as file:
        file.write(text)


def damage_superblocks(lane, disks):
    """All copies of a superblock are overwritten: that disk counts as absent, a third one is one too many."""
    saved = os.path.join(lane.work, "saved")
    damaged = []
    for number, disk in enumerate(disks.directories[:3]):
        for name in sorted(os.listdir(disk)):
            if "super" not in name.lower():
                continue
            path = os.path.join(disk, name)
            shutil.copy2(path, os.path.join(lane.work, f"saved-{number}-{name}"))
            damaged.append((path, os.path.join(lane.work, f"saved-{number}-{name}")))
            with open(path, "r+b") as file:
                size = os.fstat(file.fileno()).st_size
                file.write(lane.random.randbytes(size))
        check(any(path.startswith(disk) for path, _ in damaged), f"no superblock found on {disk}")
        if number < 2:
            lane.start()
            Content("kept", 5 * MIB).verify(os.path.join(lane.mountpoint, "bucket", "kept"))
            check(lane.status(expect=4)["verdict"] == "DEGRADED", "a disk without a superblock is missing, and all is well")
            lane.stop()
        else:
            lane.cli("mount", "tank", lane.mountpoint, expect=(1, 3, 4))
            check(not lane.is_mounted(), "a pool with three of six disks is mounted")
    for path, copy in damaged:
        shutil.copy2(copy, path)
    shutil.rmtree(saved, ignore_errors=True)
    lane.start()
    Content("kept", 5 * MIB).verify(os.path.join(lane.mountpoint, "bucket", "kept"))
    lane.stop()


def test(lane, _):
    disks = lane.tmpfs_disks(6, 300 * MIB)
    others = lane.tmpfs_disks(6, 300 * MIB, prefix="other-")
    configuration = [lane.environment[f"STAVEFS_{name}_DIR"] for name in ("CONFIG", "STATE", "RUN")]
    table = Table(lane, disks.directories + others.directories + configuration)
    refuse_create(lane, table, disks, others)
    lane.create(disks)
    table.refused(FAILED, ["tank"], "create", "tank", *others.directories)
    table.refused(FAILED, ["tank"], "create", "fresh", *disks.directories)
    table = Table(lane, disks.directories + others.directories + [configuration[0]])
    refuse_mount(lane, table, disks)
    refuse_second_daemon(lane, table, disks, others)
    refuse_foreign_disk(lane, disks, others)
    damage_superblocks(lane, disks)


main(test)
