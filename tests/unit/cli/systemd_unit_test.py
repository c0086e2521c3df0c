#!/usr/bin/env python3
"""The service mounts where everybody sees it and tells systemd the truth.

Goal: no setting gives the daemon a mount namespace of its own; it is ready only when the mount answers.
Method: read the unit; let systemd-analyze verify it where that is installed.

Usage: systemd_unit_test.py UNIT_FILE
"""

import configparser
import os
import shutil
import subprocess
import sys
import tempfile
import unittest

UNIT = ""
# systemd.exec(5), "Sandboxing": each of these implies a mount namespace.
HIDES_MOUNTS = {
    "bindpaths", "bindreadonlypaths", "dynamicuser", "execpaths", "exepaths", "extensiondirectories",
    "extensionimages", "inaccessiblepaths", "mountflags", "mountimages", "noexecpaths", "privatedevices",
    "privateipc", "privatemounts", "privatetmp", "privateusers", "protectcontrolgroups", "protecthome",
    "protecthostname", "protectkernellogs", "protectkernelmodules", "protectkerneltunables", "protectproc",
    "protectsystem", "procsubset", "readonlypaths", "readwritepaths", "rootdirectory", "rootimage",
    "temporaryfilesystem", "mountapivfs",
}


class SystemdUnit(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.unit = configparser.ConfigParser(interpolation=None, strict=True)
        with open(UNIT, encoding="utf-8") as file:
            cls.unit.read_file(file)
        cls.service = cls.unit["Service"]

    def test_no_setting_hides_the_mount(self):
        self.assertEqual(set(self.service) & HIDES_MOUNTS, set())

    def test_ready_means_that_the_mount_answers(self):
        self.assertEqual(self.service["Type"], "notify")
        self.assertRegex(self.service["ExecStart"], r"^/\S+/stavefs mount %i -f$")

    def test_hopeless_starts_are_not_repeated(self):
        self.assertEqual(self.service["Restart"], "on-failure")
        self.assertEqual(set(self.service["RestartPreventExitStatus"].split()), {"2", "3", "10", "11"})

    def test_capabilities_for_mounting_are_left(self):
        self.assertIn("CAP_SYS_ADMIN", self.service["CapabilityBoundingSet"].split())
        self.assertIn("AF_UNIX", self.service["RestrictAddressFamilies"].split())

    def test_systemd_understands_it(self):
        if shutil.which("systemd-analyze") is None:
            self.skipTest("systemd-analyze is not installed")
        with tempfile.TemporaryDirectory() as directory:
            path = os.path.join(directory, "stavefs@tank.service")
            with open(UNIT, encoding="utf-8") as file:
                text = file.read().replace(self.service["ExecStart"].split()[0], "/bin/true")
            with open(path, "w", encoding="utf-8") as file:
                file.write(text)
            done = subprocess.run(["systemd-analyze", "verify", "--man=no", path], text=True,
                                  capture_output=True, check=False)
            ours = [line for line in (done.stdout + done.stderr).splitlines() if "stavefs@" in line]
            self.assertEqual(ours, [])


if __name__ == "__main__":
    UNIT = sys.argv[1]
    unittest.main(argv=sys.argv[:1], verbosity=2)
