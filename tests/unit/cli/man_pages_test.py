#!/usr/bin/env python3
"""The manual and the program say the same.

Goal: no command or option exists unmentioned, and none is promised that does not exist.
Method: walk --help of every command; compare with stavefs.1; render both pages with groff's warnings when it is
installed.

Usage: man_pages_test.py STAVEFS MAN_DIRECTORY
"""

import os
import re
import shutil
import subprocess
import sys
import unittest

STAVEFS, MAN = "", ""


def help_of(*words):
    done = subprocess.run([STAVEFS, *words, "--help"], text=True, capture_output=True, check=True)
    return done.stdout


def section(text, title):
    found = re.search(rf"^{title}:\n((?:  .*\n|\n)*)", text, re.M)
    return found.group(1) if found else ""


def commands(*words):
    """Every command line word sequence below `words`."""
    text = help_of(*words)
    names = re.findall(r"^  (\w[\w-]*)", section(text, "Subcommands"), re.M)
    if not names:
        return [words]
    return [leaf for name in names for leaf in commands(*words, name)]


def options(*words):
    return set(re.findall(r"(--[a-z][a-z-]+)", section(help_of(*words), "Options")))


def plain(page):
    with open(os.path.join(MAN, page), encoding="utf-8") as file:
        text = file.read()
    text = re.sub(r"\\f[A-Z]", "", text).replace("\\-", "-")
    return re.sub(r"^\.[A-Z]+ ", "", text, flags=re.M)


class ManPages(unittest.TestCase):
    def test_every_command_is_described(self):
        page = plain("stavefs.1")
        leaves = commands()
        self.assertGreater(len(leaves), 10)
        for words in leaves:
            self.assertRegex(page, rf"(?m)^{' '.join(words)}( |$)", " ".join(words))

    def test_every_option_is_described_and_exists(self):
        page = plain("stavefs.1")
        there = options()
        for words in commands():
            there |= options(*words)
        for option in there - {"--foreground"}:
            self.assertIn(option, page)
        self.assertLessEqual(set(re.findall(r"(--[a-z][a-z-]+)", page)), there)

    def test_pages_render_without_warnings(self):
        if shutil.which("groff") is None:
            self.skipTest("groff is not installed")
        for page in os.listdir(MAN):
            done = subprocess.run(["groff", "-man", "-Tutf8", "-ww", "-z", os.path.join(MAN, page)], text=True,
                                  capture_output=True, check=False)
            self.assertEqual((done.returncode, done.stderr), (0, ""), page)


if __name__ == "__main__":
    STAVEFS, MAN = sys.argv[1:3]
    unittest.main(argv=sys.argv[:1], verbosity=2)
