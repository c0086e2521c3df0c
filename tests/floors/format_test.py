#!/usr/bin/env python3
"""All C++ is formatted as .clang-format says.  Skipped where clang-format is not installed.

Usage: format_test.py SOURCE_ROOT
"""

import os
import shutil
import subprocess
import sys

from tree import Tree

SKIP = 77


def main():
    if shutil.which("clang-format") is None:
        print("skipped: clang-format is not installed")
        return SKIP
    root = os.path.realpath(sys.argv[1])
    files = Tree(root).code()
    bad = []
    for start in range(0, len(files), 50):
        part = files[start:start + 50]
        done = subprocess.run(["clang-format", "--dry-run", *part], cwd=root, text=True, capture_output=True,
                              check=False)
        bad += sorted({line.split(":")[0] for line in done.stderr.splitlines() if "clang-format-violations" in line})
        if done.returncode != 0:
            print(done.stderr)
            return 1
    for path in bad:
        print(f"{path}: run clang-format -i")
    return 1 if bad else 0


sys.exit(main())
