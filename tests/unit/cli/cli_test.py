#!/usr/bin/env python3
"""The command line without a mount: create, import, status, disk list, and every way to get them wrong.

Goal: wrong input is refused with a sentence that names the thing, the exit code of the interface, and nothing
changed, neither on the disks nor in the host's directories.
Method: run the real program on directories (as --demo allows them) and, as root, on small tmpfs mounts that
stand for disks; take a snapshot of everything before each refused command and compare after.

Usage: cli_test.py STAVEFS
"""

import hashlib
import json
import os
import shutil
import stat
import subprocess
import sys
import tempfile
import unittest

STAVEFS = ""
MIB = 1 << 20
OK, FAILED, USAGE, DAMAGED, DEGRADED, BUSY, NO_SUCH_POOL, IN_USE = 0, 1, 2, 3, 4, 5, 10, 11


def snapshot(*roots):
    """Path -> type, mode, size, mtime and hash of everything below the roots."""
    seen = {}
    for root in roots:
        for directory, names, files in os.walk(root):
            for name in names + files + ["."]:
                path = os.path.normpath(os.path.join(directory, name))
                info = os.lstat(path)
                digest = ""
                if stat.S_ISREG(info.st_mode):
                    with open(path, "rb") as file:
                        digest = hashlib.file_digest(file, "sha256").hexdigest()
                seen[path] = (info.st_mode, info.st_size, info.st_mtime_ns, digest)
    return seen


def can_mount():
    if os.geteuid() != 0:
        return False
    probe = tempfile.mkdtemp(prefix="stavefs-cli-probe-")
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", probe], check=False,
                             capture_output=True).returncode == 0
    if mounted:
        subprocess.run(["umount", probe], check=True)
    os.rmdir(probe)
    return mounted


class CliCase(unittest.TestCase):
    def setUp(self):
        self.work = tempfile.mkdtemp(prefix="stavefs-cli-")
        self.addCleanup(shutil.rmtree, self.work)
        self.environment = dict(os.environ, NO_COLOR="1", LC_ALL="C")
        self.host = os.path.join(self.work, "host")
        for name in ("config", "state", "run"):
            os.makedirs(os.path.join(self.host, name))
            self.environment[f"STAVEFS_{name.upper()}_DIR"] = os.path.join(self.host, name)
        self.disks_root = os.path.join(self.work, "disks")
        os.mkdir(self.disks_root)

    def path(self, *parts):
        return os.path.join(self.work, *parts)

    def run_cli(self, *words):
        return subprocess.run([STAVEFS, *words], env=self.environment, text=True, capture_output=True, timeout=120,
                              check=False, stdin=subprocess.DEVNULL)

    def run_ok(self, *words):
        done = self.run_cli(*words)
        self.assertEqual(done.returncode, OK, f"{words}: {done.stdout}{done.stderr}")
        return done

    def run_json(self, *words, code=OK):
        done = self.run_cli("--json", *words)
        self.assertEqual(done.returncode, code, f"{words}: {done.stdout}{done.stderr}")
        report = json.loads(done.stdout)
        self.assertEqual(report["output_version"], 1)
        return report

    def refused(self, code, part, *words, says_unchanged=False):
        """The command fails with `code` and a sentence that contains `part`, and nothing has changed."""
        before = snapshot(self.work)
        done = self.run_cli(*words)
        self.assertEqual(done.returncode, code, f"{words}: {done.stdout}{done.stderr}")
        self.assertIn(part, done.stderr, words)
        self.assertTrue(done.stderr.startswith("stavefs: "), done.stderr)
        self.assertEqual(done.stdout, "", words)
        if says_unchanged:
            self.assertIn("nothing was changed", done.stderr)
        self.assertEqual(snapshot(self.work), before, f"{words} has changed something")
        in_json = self.run_cli("--json", *words)
        self.assertEqual(in_json.returncode, code)
        self.assertEqual(json.loads(in_json.stdout)["error"]["exit_code"], code)
        self.assertEqual(snapshot(self.work), before, f"--json {words} has changed something")

    def plain_disks(self, count, prefix="d"):
        directories = [os.path.join(self.disks_root, f"{prefix}{i + 1}") for i in range(count)]
        for directory in directories:
            os.mkdir(directory)
        return directories

    def mounted_disks(self, count, size=128 * MIB, prefix="m"):
        directories = self.plain_disks(count, prefix)
        for directory in directories:
            subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=755", "tmpfs", directory], check=True)
            self.addCleanup(subprocess.run, ["umount", "-l", directory], check=False, capture_output=True)
        return directories


class Usage(CliCase):
    def test_unknown_words_get_the_nearest_known_one(self):
        for words, part in ((["craete"], 'did you mean "create"?'), (["disk", "lst"], 'did you mean "list"?'),
                            (["bucket", "remove"], "unknown command"), (["frobnicate"], "stavefs --help")):
            done = self.run_cli(*words)
            self.assertEqual(done.returncode, USAGE, words)
            self.assertIn(part, done.stderr)

    def test_missing_and_surplus_words_are_usage_errors(self):
        for words in ([], ["create"], ["create", "tank"], ["mount"], ["umount"], ["disk"], ["disk", "list"],
                      ["status", "a", "b"], ["bucket", "create", "tank"], ["--frobnicate"], ["status", "--frob"]):
            done = self.run_cli(*words)
            self.assertEqual(done.returncode, USAGE, words)
            self.assertIn("stavefs", done.stderr)

    def test_help_and_version_succeed(self):
        for words in (["--help"], ["create", "--help"], ["bucket", "create", "--help"], ["--version"]):
            done = self.run_ok(*words)
            self.assertIn("stavefs" if words[0] == "--version" else "Usage", done.stdout)

    def test_unknown_pool_has_its_own_exit_code(self):
        for words in (["status", "nope"], ["disk", "list", "nope"], ["bucket", "list", "nope"],
                      ["bucket", "create", "nope", "b"], ["bucket", "delete", "nope", "b"],
                      ["mount", "nope", self.work], ["enable", "nope", self.work], ["disable", "nope"]):
            self.refused(NO_SUCH_POOL, '"nope"', *words)
        self.refused(NO_SUCH_POOL, "no pool on this host", "status")

    def test_paths_outside_any_mount(self):
        self.refused(USAGE, "is not in a mounted stavefs pool", "info", self.work)
        self.refused(FAILED, "No such file", "info", self.path("gone"))
        self.refused(FAILED, "is not the mount point of a stavefs pool", "umount", self.work)
        self.refused(FAILED, "is not the mount point of a stavefs pool", "umount", self.path("gone"))

    def test_called_as_mount_helper_without_words(self):
        link = self.path("mount.stavefs")
        os.symlink(STAVEFS, link)
        done = subprocess.run([link], env=self.environment, text=True, capture_output=True, check=False)
        self.assertEqual(done.returncode, USAGE)
        self.assertIn("mount.stavefs POOL DIR", done.stderr)
        done = subprocess.run([link, "tank", self.work, "-f", "-o", "ro"], env=self.environment, check=False)
        self.assertEqual(done.returncode, OK, "-f of mount(8) means: do nothing")


class CreateRefusals(CliCase):
    def create(self, *words, code, part):
        self.refused(code, part, "create", *words, says_unchanged=True)

    def test_names(self):
        disks = self.plain_disks(2)
        for name in ("Tank", "a b", "a/b", "..", "a" * 64, ""):
            self.create(name, *disks, "--demo", code=USAGE, part="cannot be a pool's name")

    def test_shapes(self):
        disks = self.plain_disks(3)
        self.create("tank", *disks, "--demo", "--class", "4+2", code=USAGE, part="needs 6 disks, 3 given")
        self.create("tank", disks[0], "--demo", code=USAGE, part="at least two disks")
        for shape in ("4", "0+2", "2+0", "a+b", "60+10", "4+2+1", "-1+2", "+", "999+1"):
            before = snapshot(self.work)
            done = self.run_cli("create", "tank", *disks, "--demo", f"--class={shape}")
            self.assertEqual(done.returncode, USAGE, shape)
            self.assertIn("class", done.stderr)
            self.assertEqual(snapshot(self.work), before)

    def test_checksum(self):
        disks = self.plain_disks(2)
        self.refused(USAGE, "crc32", "create", "tank", *disks, "--demo", "--checksum", "crc32")

    def test_directories(self):
        disks = self.plain_disks(3)
        self.create("tank", disks[0], self.path("gone"), "--demo", code=FAILED, part="gone cannot be used as a disk")
        self.create("tank", disks[0], disks[0], "--demo", code=USAGE, part="is given twice")
        os.symlink(disks[0], self.path("alias"))
        self.create("tank", disks[0], self.path("alias"), "--demo", code=USAGE, part="is given twice")
        with open(self.path("file"), "w", encoding="utf-8") as file:
            file.write("x")
        self.create("tank", disks[0], self.path("file"), "--demo", code=USAGE, part="is not a directory")
        with open(os.path.join(disks[1], ".hidden"), "w", encoding="utf-8") as file:
            file.write("precious")
        self.create("tank", disks[0], disks[1], "--demo", code=FAILED, part='is not empty (it contains ".hidden")')
        self.create("tank", disks[0], disks[2], code=USAGE, part="is not a mounted filesystem of its own")

    def test_storage_file(self):
        disks = self.plain_disks(12)
        storage = self.path("storage.toml")
        for text, code, part in (
                ("[storage]\ndata_drives = 8\nparity_drives = 4\nread_quorum = 6\n", USAGE,
                 "storage.toml:4:15: 8 data drives cannot be read from a quorum of 6"),
                ("[storage]\ndata_drive = 8\n", USAGE, 'did you mean "data_drives"?'),
                ("[storage]\nhealing_enabled = true\n", FAILED, "no healer"),
                ("[storage\n", USAGE, "storage.toml:1:")):
            with open(storage, "w", encoding="utf-8") as file:
                file.write(text)
            self.refused(code, part, "create", "tank", *disks, "--demo", "--storage", storage)
        self.refused(FAILED, "gone.toml", "create", "tank", *disks, "--demo", "--storage", self.path("gone.toml"))

    def test_path_that_no_configuration_file_can_hold(self):
        disks = self.plain_disks(1) + [os.path.join(self.disks_root, "bad\udcff")]
        os.mkdir(disks[1])
        before = snapshot(self.work)
        done = subprocess.run([STAVEFS, "create", "tank", *disks, "--demo"], env=self.environment,
                              capture_output=True, check=False)
        self.assertEqual(done.returncode, USAGE, done.stderr)
        self.assertIn(b"nothing was changed", done.stderr)
        self.assertEqual(snapshot(self.work), before)

    def test_known_name(self):
        disks = self.plain_disks(2)
        with open(os.path.join(self.host, "config", "tank.toml"), "w", encoding="utf-8") as file:
            file.write('name = "tank"\ndisks = ["/elsewhere"]\n')
        self.create("tank", *disks, "--demo", code=FAILED, part='already has a pool "tank"')
        with open(os.path.join(self.host, "config", "tank.toml"), "w", encoding="utf-8") as file:
            file.write("damaged")
        self.create("tank", *disks, "--demo", code=FAILED, part='already has a pool "tank"')


class DryRun(CliCase):
    def test_changes_nothing_and_tells_what_would_be(self):
        disks = self.plain_disks(6)
        before = snapshot(self.work)
        done = self.run_ok("create", "tank", *disks, "--demo", "--class", "4+2", "--dry-run")
        self.assertIn("would make pool tank: class 4+2 on 6 disks", done.stdout)
        self.assertIn("any 2 disks", done.stdout)
        report = self.run_json("create", "tank", *disks, "--demo", "--class", "4+2", "--dry-run")
        self.assertEqual((report["class"], report["created"], report["disks"]), ("4+2", False, disks))
        self.assertLess(report["usable_bytes"], report["raw_bytes"] * 4 / 6)
        self.assertEqual(snapshot(self.work), before)

    def test_parity_follows_the_number_of_disks(self):
        disks = self.plain_disks(9)
        for count, shape in ((2, "1+1"), (3, "2+1"), (4, "2+2"), (5, "3+2"), (6, "3+3"), (7, "4+3"), (8, "4+4"),
                             (9, "5+4")):
            report = self.run_json("create", "tank", *disks[:count], "--demo", "--dry-run")
            self.assertEqual(report["class"], shape)


@unittest.skipUnless(can_mount(), "needs root and the right to mount a tmpfs")
class OnMountedDisks(CliCase):
    def create(self, name, disks, *words):
        return self.run_json("create", name, *disks, *words)

    def config(self, name):
        return os.path.join(self.host, "config", f"{name}.toml")

    def test_life_of_a_pool_that_is_not_mounted(self):
        disks = self.mounted_disks(4)
        os.mkdir(os.path.join(disks[0], "lost+found"))
        made = self.create("tank", disks, "--class", "2+2", "--checksum", "sha256")
        self.assertEqual((made["class"], made["checksum"], made["created"]), ("2+2", "sha256", True))

        report = self.run_json("status", "tank")
        self.assertEqual((report["verdict"], report["mounted"], report["id"]), ("HEALTHY", False, made["id"]))
        self.assertEqual(report["next_command"], "stavefs mount tank DIR")
        listed = self.run_json("disk", "list", "tank")["disks"]
        self.assertEqual([(d["name"], d["path"], d["state"]) for d in listed],
                         [(f"d{i + 1}", disk, "active") for i, disk in enumerate(disks)])
        self.assertIn("tank: HEALTHY", self.run_ok("status").stdout)
        self.assertIn("d4", self.run_ok("disk", "list", "tank").stdout)

        # Disks go one by one.
        for gone, verdict in ((0, "DEGRADED"), (1, "DEGRADED"), (2, "UNAVAILABLE")):
            self.hide(disks[gone])
            report = self.run_json("status", "tank", code=DEGRADED)
            self.assertEqual(report["verdict"], verdict)
            self.assertEqual([d["state"] for d in report["disks"]].count("absent"), gone + 1)
        self.hide(disks[3])
        self.refused(DEGRADED, 'no disk of pool "tank" is here', "status", "tank")
        self.refused(DEGRADED, "no disk of pool", "disk", "list", "tank")

    def hide(self, disk):
        """The disk is unmounted, its empty directory stands there: nothing may be written into it."""
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m,ro", "tmpfs", disk], check=True)
        self.addCleanup(subprocess.run, ["umount", "-l", disk], check=False, capture_output=True)

    def test_same_device_is_refused(self):
        first = self.mounted_disks(1)[0]
        second = self.plain_disks(1, "bind")[0]
        subprocess.run(["mount", "--bind", first, second], check=True)
        self.addCleanup(subprocess.run, ["umount", "-l", second], check=False, capture_output=True)
        self.refused(USAGE, "is given twice", "create", "tank", first, second, says_unchanged=True)
        inner = os.path.join(first, "lost+found")
        os.mkdir(inner)
        subprocess.run(["umount", second], check=True)
        subprocess.run(["mount", "--bind", inner, second], check=True)
        self.refused(USAGE, "is on the same device as", "create", "tank", first, second, says_unchanged=True)

    def test_small_disk_is_refused(self):
        disks = self.mounted_disks(1) + self.mounted_disks(1, 64 * MIB, "small")
        self.refused(FAILED, "at least 96 MiB are needed", "create", "tank", *disks, says_unchanged=True)

    def test_disk_of_another_pool_is_never_taken(self):
        disks = self.mounted_disks(2)
        made = self.create("tank", disks)
        fresh = self.mounted_disks(1, prefix="fresh")
        for words in ((), ("--demo",), ("--dry-run",)):
            self.refused(FAILED, f'is disk d1 of pool "tank" ({made["id"]})', "create", "other", disks[0], *fresh,
                         *words, says_unchanged=True)

    def test_damaged_superblock_is_not_blank(self):
        disks = self.mounted_disks(2)
        self.create("tank", disks)
        superblock = os.path.join(disks[0], "superblock")
        with open(superblock, "rb") as file:
            good = file.read()
        fresh = self.mounted_disks(1, prefix="fresh")
        damages = {
            "a bit of every copy": bytes(b ^ 1 if i % 512 == 100 else b for i, b in enumerate(good)),
            "random bytes": os.urandom(len(good)),
            "cut short": good[:1000],
        }
        for name, bad in damages.items():
            with self.subTest(name):
                with open(superblock, "wb") as file:
                    file.write(bad)
                self.refused(FAILED, "superblock", "create", "other", disks[0], *fresh, says_unchanged=True)
                self.refused(FAILED, disks[0], "import", disks[0], says_unchanged=True)
        with open(superblock, "wb") as file:
            file.write(b"")
        self.refused(FAILED, disks[0], "create", "other", disks[0], *fresh, says_unchanged=True)

    def test_one_good_copy_is_enough(self):
        disks = self.mounted_disks(2)
        self.create("tank", disks)
        for disk in disks:
            with open(os.path.join(disk, "superblock"), "r+b") as file:
                pages = [at for at in range(0, 1 << 20, 1 << 18)]
                held = [at for at in pages if (file.seek(at), file.read(8))[1] != b"\0" * 8]
                for at in held[1:]:
                    file.seek(at + 64)
                    file.write(b"\xff" * 32)
        self.assertEqual(self.run_json("status", "tank")["verdict"], "HEALTHY")

    def test_import_writes_the_same_file_again(self):
        disks = self.mounted_disks(3)
        self.create("tank", disks)
        with open(self.config("tank"), encoding="utf-8") as file:
            saved = file.read()
        os.remove(self.config("tank"))
        before = snapshot(self.disks_root)
        self.assertEqual(self.run_json("import", *disks)["absent"], [])
        with open(self.config("tank"), encoding="utf-8") as file:
            self.assertEqual(file.read(), saved)
        self.assertEqual(snapshot(self.disks_root), before, "import must not write to the disks")

        self.assertEqual(self.run_json("import", disks[0], disks[2])["absent"], ["d2"])
        self.assertIn("d2", self.run_ok("import", disks[0], disks[2]).stdout)

    def test_import_finds_pools_on_mounted_filesystems(self):
        disks = self.mounted_disks(3)
        made = self.create("findme", disks)
        os.remove(self.config("findme"))
        # Other disks of this machine are looked at, too, and may have troubles of their own.
        done = self.run_cli("--json", "import")
        found = {pool.get("id"): pool for pool in json.loads(done.stdout)["pools"]}
        self.assertEqual(sorted(found[made["id"]]["disks"]), disks)
        self.assertTrue(os.path.exists(self.config("findme")))

    def test_import_keeps_what_the_host_decided(self):
        disks = self.mounted_disks(2)
        self.create("tank", disks)
        with open(self.config("tank"), "a", encoding="utf-8") as file:
            file.write('mount_point = "/tank"\n')
        with open(self.config("tank"), encoding="utf-8") as file:
            text = file.read().replace('"2G"', '"512M"')
        with open(self.config("tank"), "w", encoding="utf-8") as file:
            file.write(text)
        self.run_ok("import", *disks)
        with open(self.config("tank"), encoding="utf-8") as file:
            text = file.read()
        self.assertIn('mount_point = "/tank"', text.replace("'", '"'))
        self.assertIn("512M", text)

    def test_import_refusals(self):
        first, second = self.mounted_disks(2, prefix="a"), self.mounted_disks(2, prefix="b")
        self.create("tank", first)
        self.create("other", second)
        blank = self.mounted_disks(1, prefix="blank")[0]
        self.refused(FAILED, 'to pool "', "import", first[0], second[0], says_unchanged=True)
        self.refused(FAILED, "is not a disk of a pool", "import", blank, says_unchanged=True)
        self.refused(FAILED, "gone", "import", self.path("gone"), says_unchanged=True)
        # Another pool of the same name.
        with open(self.config("tank"), encoding="utf-8") as file:
            mine = file.read()
        with open(self.config("other"), encoding="utf-8") as file:
            theirs = file.read()
        identity = next(line for line in theirs.splitlines() if line.startswith("id"))
        with open(self.config("tank"), "w", encoding="utf-8") as file:
            file.write("\n".join(identity if line.startswith("id") else line for line in mine.splitlines()))
        self.refused(FAILED, 'already has another pool "tank"', "import", *first, says_unchanged=True)

    def test_copied_disk_is_refused(self):
        disks = self.mounted_disks(2)
        self.create("tank", disks)
        copy = self.mounted_disks(1, prefix="copy")[0]
        shutil.copytree(disks[0], copy, dirs_exist_ok=True)
        before = snapshot(self.host)
        done = self.run_cli("import", *disks, copy)
        self.assertEqual(done.returncode, FAILED, done.stdout + done.stderr)
        self.assertEqual(snapshot(self.host), before)

    def test_mount_points_that_cannot_be(self):
        disks = self.mounted_disks(2)
        self.create("tank", disks)
        inside = os.path.join(disks[0], "lost+found")
        os.mkdir(inside)
        self.refused(USAGE, "where to?", "mount", "tank")
        self.refused(FAILED, "mkdir", "mount", "tank", self.path("gone"))
        self.refused(USAGE, "is inside", "mount", "tank", inside)
        self.refused(USAGE, "is inside", "mount", "tank", disks[0])
        self.refused(USAGE, "would hide", "mount", "tank", self.disks_root)
        for words in (["bucket", "list", "tank"], ["bucket", "create", "tank", "b"], ["bucket", "delete", "tank", "b"]):
            self.refused(FAILED, "is not mounted; mount it first: stavefs mount tank", *words)
        if not os.path.isdir("/run/systemd/system"):
            self.refused(FAILED, "does not run systemd", "enable", "tank", self.work)
            self.refused(FAILED, "does not run systemd", "disable", "tank")

    def test_status_of_all_pools_goes_on_after_a_bad_one(self):
        disks = self.mounted_disks(2)
        self.create("tank", disks)
        with open(self.config("broken"), "w", encoding="utf-8") as file:
            file.write("name = 7\n")
        done = self.run_cli("status")
        self.assertIn("tank: HEALTHY", done.stdout)
        self.assertIn("broken.toml:1:8", done.stderr)
        self.assertEqual(done.returncode, USAGE)
        report = json.loads(self.run_cli("--json", "status").stdout)
        self.assertEqual([pool["pool"] for pool in report["pools"]], ["broken", "tank"])
        self.assertIn("error", report["pools"][0])


if __name__ == "__main__":
    STAVEFS = os.path.abspath(sys.argv[1])
    unittest.main(argv=sys.argv[:1], verbosity=2)
