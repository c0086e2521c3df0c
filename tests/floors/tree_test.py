#!/usr/bin/env python3
"""The architecture as a test: floors, rooms, dead files, lengths, places of this machine.

Goal: a rule that the architecture states is broken by nobody unseen.
Method: the rules of rules.py are applied to the tree; before, each is applied to small trees with a planted
offence, which it must find, and to a clean one, which it must let pass.

Usage: tree_test.py SOURCE_ROOT BUILD_ROOT STAVEFS_BINARY
"""

import os
import shutil
import subprocess
import sys
import tempfile
import unittest

import rules
from tree import Tree, tracked_or_new

SOURCE, BUILD, BINARY = "", "", ""

CLEAN = {
    "meson.build": "subdir('src')\n",
    "src/base/README.md": "base\n",
    "src/base/meson.build": "static_library('base', 'a.cc')\n",
    "src/base/a.h": "#pragma once\n",
    "src/base/a.cc": '#include "base/a.h"\n',
    "src/disk/README.md": "disk\n",
    "src/disk/meson.build": "static_library('disk', 'd.cc')\n",
    "src/disk/d.h": '#pragma once\n#include "base/a.h"\n',
    "src/disk/d.cc": '#include "disk/d.h"\n#include <liburing.h>\n',
    "src/disk/sim/meson.build": "static_library('sim', 's.cc')\n",
    "src/disk/sim/s.h": '#pragma once\n#include "disk/d.h"\n',
    "src/disk/sim/s.cc": '#include "disk/sim/s.h"\n',
}

# rule -> files that are added to the clean tree (None: taken away)
PLANTED = {
    "modules_have_floors": [{"src/attic/x.h": '#pragma once\n#include "base/a.h"\n'}],
    "includes_go_down": [
        {"src/base/a.h": '#pragma once\n#include "disk/d.h"\n'},
        {"src/disk/d.cc": '#include "disk/d.h"\n#include "disk/sim/s.h"\n'},
        {"src/codec/c.h": "#pragma once\n", "src/metrics/m.h": '#pragma once\n#include "codec/c.h"\n'},
        {"src/engine/e.h": "#pragma once\n", "fuse/f.cc": '#include "engine/e.h"\n'},
        {"src/fs/f.h": "#pragma once\n", "src/heal/h.cc": '#include "fs/f.h"\n'},
        {"tests/t.h": "#pragma once\n", "src/base/a.cc": '#include "tests/t.h"\n'},
    ],
    "quoted_includes_are_found": [{"src/base/a.cc": '#include "base/gone.h"\n'}],
    "libraries_stay_in_their_rooms": [{"src/base/a.cc": "#include <liburing.h>\n"},
                                      {"src/disk/d.cc": "#include <rocksdb/db.h>\n"}],
    "every_source_is_built": [{"src/base/dead.cc": "\n"}, {"src/base/a.cc": None}],
    "every_header_is_included": [{"src/base/dead.h": "#pragma once\n"}],
    "headers_are_guarded": [{"src/base/a.h": "\n"}],
    "files_are_short": [{"src/base/a.cc": "\n" * 801}],
    "nothing_is_left_for_later": [{"src/base/a.cc": "// TO" "DO: later\n"}],
    "modules_are_described": [{"src/base/README.md": None}],
}


def plant(directory, files):
    for path, text in files.items():
        target = os.path.join(directory, path)
        if text is None:
            os.remove(target)
            continue
        os.makedirs(os.path.dirname(target), exist_ok=True)
        with open(target, "w", encoding="utf-8") as file:
            file.write(text)


class TestOfTheTests(unittest.TestCase):
    def setUp(self):
        self.directory = tempfile.mkdtemp(prefix="stavefs-floors-")
        self.addCleanup(shutil.rmtree, self.directory)
        plant(self.directory, CLEAN)

    def test_clean_tree_passes_every_rule(self):
        for rule in rules.RULES:
            self.assertEqual(list(rule(Tree(self.directory))), [], rule.__name__)

    def test_every_rule_finds_what_is_planted(self):
        self.assertEqual(set(PLANTED), {rule.__name__ for rule in rules.RULES})
        for rule in rules.RULES:
            for files in PLANTED[rule.__name__]:
                with self.subTest(rule=rule.__name__, files=list(files)):
                    shutil.rmtree(self.directory)
                    plant(self.directory, CLEAN)
                    plant(self.directory, files)
                    self.assertTrue(list(rule(Tree(self.directory))))

    def test_place_of_a_machine_is_found(self):
        plant(self.directory, {"README.md": "first\nsee /home/somebody/notes\n"})
        self.assertEqual(list(rules.mentions(Tree(self.directory), ["/home/somebody"])),
                         ["README.md:2: mentions /home/somebody"])


class TheTree(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.tree = Tree(SOURCE)
        known = tracked_or_new(SOURCE)
        if known is not None:
            # What git ignores is not part of the tree.
            cls.tree.files = sorted(set(known) & set(cls.tree.files))

    def test_files_are_seen(self):
        self.assertGreater(len(self.tree.code()), 100)

    def test_no_place_of_this_machine_is_mentioned(self):
        places = {os.path.realpath(SOURCE), os.path.abspath(SOURCE), os.path.realpath(BUILD)}
        home = os.path.expanduser("~")
        if home.count("/") >= 1 and len(home) > 1:
            places.add(home + "/")
        parent = os.path.dirname(os.path.realpath(SOURCE))
        if parent.count("/") == 1 and parent not in ("/usr", "/opt", "/srv", "/tmp", "/home", "/var", "/mnt", "/"):
            places.add(parent + "/")
        self.assertEqual(list(rules.mentions(self.tree, sorted(places))), [])

    def test_simulated_disk_is_not_in_the_daemon(self):
        names = subprocess.run(["nm", "-C", BINARY], text=True, capture_output=True, check=True).stdout
        self.assertIn("stavefs::Pool::open", names, "the binary has no symbols: the test would see nothing")
        self.assertNotIn("stavefs::sim::", names)


def add_rule(rule):
    def run(self):
        offences = list(rule(self.tree))
        self.assertFalse(offences, "\n" + "\n".join(offences))

    setattr(TheTree, f"test_{rule.__name__}", run)


for each_rule in rules.RULES:
    add_rule(each_rule)

if __name__ == "__main__":
    SOURCE, BUILD, BINARY = sys.argv[1:4]
    unittest.main(argv=sys.argv[:1], verbosity=2)
