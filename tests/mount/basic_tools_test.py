"""The main job with ordinary tools, then with any two of six disks gone.

Goal: cp, rsync, tar and git leave on the mount exactly what they were given; after an unmount, every chosen pair of disks is taken
away in turn (each time from the same state), and everything is still there to the byte, new files can be written, and when
the disks come back status says what is behind and nothing is lost.
"""

import itertools
import os
import shutil

from mount_lane import GIB, MIB, Content, Disks, check, compare_trees, copy_part, main, make_odd_tree, say


def add_arguments(parser):
    parser.add_argument("--big-bytes", type=int, default=GIB)
    parser.add_argument("--small-files", type=int, default=10_000)
    parser.add_argument("--pairs", type=int, default=3, help="how many of the 15 pairs of disks are taken away")


def prepare_sources(lane):
    sources = os.path.join(lane.work, "sources")
    os.mkdir(sources)
    shutil.copytree("/usr/include", os.path.join(sources, "include"), symlinks=True)
    lane.run("rsync", "-a", "/usr/include/", os.path.join(sources, "include") + "/", quiet=True)  # times of directories
    copied = copy_part("/usr/share/doc", os.path.join(sources, "doc"), 60 * MIB)
    say(f"/usr/share/doc: {copied >> 20} MiB of it")
    make_odd_tree(os.path.join(sources, "odd"), lane.random)
    return sources


def use_git(lane, bucket):
    repository = os.path.join(bucket, "repository")
    lane.shell(f"git init -q {repository} && cp -r /usr/include/linux {repository}/ && cd {repository} && "
               "git -c user.name=t -c user.email=t@t add . && "
               "git -c user.name=t -c user.email=t@t commit -qm first && git gc -q && git fsck --strict && "
               f"git clone -q {repository} {bucket}/clone && cd {bucket}/clone && git fsck --strict && "
               "test -z \"$(git status --porcelain)\" && diff -r linux ../repository/linux")


def fill(lane, sources, arguments):
    bucket = os.path.join(lane.mountpoint, "bucket")
    os.mkdir(bucket)
    lane.run("cp", "-a", os.path.join(sources, "include"), bucket)
    lane.run("rsync", "-a", os.path.join(sources, "doc"), bucket)
    lane.run("cp", "-a", os.path.join(sources, "odd"), bucket)
    lane.shell(f"cd {sources} && tar --format=posix -cf - include | (mkdir {bucket}/tar && cd {bucket}/tar && tar -xpf -)")
    use_git(lane, bucket)
    say(f"{arguments.small_files} files of 4 KiB")
    for i in range(arguments.small_files):
        directory = os.path.join(bucket, "small", str(i // 1000))
        if i % 1000 == 0:
            os.makedirs(directory)
        Content(f"small{i}", 4096).write(os.path.join(directory, str(i)))
    say(f"one file of {arguments.big_bytes >> 20} MiB")
    Content("big", arguments.big_bytes).write(os.path.join(bucket, "big"))


def compare(lane, sources, arguments):
    bucket = os.path.join(lane.mountpoint, "bucket")
    for name in ("include", "doc", "odd"):
        compare_trees(lane, os.path.join(sources, name), os.path.join(bucket, name))
    compare_trees(lane, os.path.join(sources, "include"), os.path.join(bucket, "tar", "include"))
    for i in range(arguments.small_files):
        Content(f"small{i}", 4096).verify(os.path.join(bucket, "small", str(i // 1000), str(i)))
    Content("big", arguments.big_bytes).verify(os.path.join(bucket, "big"))
    lane.shell(f"cd {bucket}/clone && git fsck --strict && test -z \"$(git status --porcelain)\"", quiet=True)
    say("files of 4 KiB, the big file and the repository are identical")


def write_more(lane, key):
    directory = os.path.join(lane.mountpoint, "bucket", f"more-{key}")
    os.mkdir(directory)
    for i in range(50):
        Content(f"{key}{i}", i * 3000).write(os.path.join(directory, str(i)))
    Content(key, 20 * MIB).write(os.path.join(directory, "large"))


def verify_more(lane, key):
    directory = os.path.join(lane.mountpoint, "bucket", f"more-{key}")
    for i in range(50):
        Content(f"{key}{i}", i * 3000).verify(os.path.join(directory, str(i)))
    Content(key, 20 * MIB).verify(os.path.join(directory, "large"))


def lose(lane, disks, pair, sources, arguments):
    say(f"without disks {pair[0] + 1} and {pair[1] + 1}")
    disks.hide(pair)
    lane.start()
    status = lane.status(expect=4)
    check(status["verdict"] == "DEGRADED", f"two disks are missing and the verdict is {status['verdict']}")
    compare(lane, sources, arguments)
    write_more(lane, "degraded")
    lane.stop()
    lane.start()
    verify_more(lane, "degraded")
    lane.stop()
    disks.bring_back(pair)
    lane.start()
    status = lane.status(expect=4)
    check(status["exit_code"] == 4, "disks that missed writes are back, and status says that all is well")
    say(f"back again: {status['explanation']}")
    verify_more(lane, "degraded")
    compare(lane, sources, arguments)
    write_more(lane, "after")
    verify_more(lane, "after")
    lane.stop()


def save(disks, where):
    os.mkdir(where)
    for directory in disks.directories:
        shutil.copytree(directory, os.path.join(where, os.path.basename(directory)), copy_function=copy_sparse)


def copy_sparse(source, target):
    import subprocess
    subprocess.run(["cp", "-a", "--sparse=always", source, target], check=True)


def restore(disks, where):
    for directory in disks.directories:
        shutil.rmtree(directory)
        shutil.copytree(os.path.join(where, os.path.basename(directory)), directory, copy_function=copy_sparse)


def test(lane, arguments):
    sources = prepare_sources(lane)
    needed = int(2 * 1.6 * (arguments.big_bytes + 600 * MIB))
    disks: Disks = lane.plain_disks(6, needed)
    lane.create(disks, "--demo")
    lane.start()
    check(lane.status(expect=0)["verdict"] == "HEALTHY", "a new pool is not healthy")
    fill(lane, sources, arguments)
    compare(lane, sources, arguments)
    lane.stop()
    lane.cli("mount", "tank", lane.mountpoint)  # as a daemon of its own
    check(lane.is_mounted(), "mount has returned and nothing is mounted")
    compare(lane, sources, arguments)
    lane.cli("umount", lane.mountpoint)

    pairs = list(itertools.combinations(range(6), 2))
    lane.random.shuffle(pairs)
    saved = os.path.join(os.path.dirname(disks.directories[0]), "saved")
    state, state_saved = lane.environment["STAVEFS_STATE_DIR"], lane.environment["STAVEFS_STATE_DIR"] + ".saved"
    save(disks, saved)
    shutil.copytree(state, state_saved)
    for number, pair in enumerate(pairs[:arguments.pairs]):
        if number > 0:
            restore(disks, saved)
            shutil.rmtree(state)
            shutil.copytree(state_saved, state)
        lose(lane, disks, pair, sources, arguments)


main(test, add_arguments)
