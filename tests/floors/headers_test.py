#!/usr/bin/env python3
"""Every header compiles alone, with the flags of its module.

Goal: a header brings what it needs, so that the order of includes never matters.
Method: each header is compiled by itself (-fsyntax-only) with the include directories and definitions that
compile_commands.json has for a source of the same directory; several at once.  A planted header that lacks an
include must fail.

Usage: headers_test.py SOURCE_ROOT BUILD_ROOT
"""

import concurrent.futures
import json
import os
import shlex
import subprocess
import sys
import tempfile

from tree import Tree

KEEP = ("-I", "-D", "-std=", "-isystem", "-f", "-W")


def flags_by_directory(build):
    """Compiler and flags of one source per source directory; absolute include paths."""
    with open(os.path.join(build, "compile_commands.json"), encoding="utf-8") as file:
        commands = json.load(file)
    known = {}
    for entry in commands:
        words = shlex.split(entry["command"])
        source = os.path.realpath(os.path.join(entry["directory"], entry["file"]))
        compiler = [word for word in words[:2] if not word.startswith("-")]
        if os.path.basename(compiler[0]) == "ccache":
            compiler = compiler[1:]
        flags = []
        for word in words[1:]:
            if word.startswith("-I"):
                flags.append("-I" + os.path.normpath(os.path.join(entry["directory"], word[2:])))
            elif word.startswith(KEEP):
                flags.append(word)
        known.setdefault(os.path.dirname(source), (compiler[0], flags))
    return known


def flags_for(directory, known):
    """Those of the directory, else of the nearest one above, else of any below the same top."""
    probe = directory
    while probe != os.path.dirname(probe):
        if probe in known:
            return known[probe]
        probe = os.path.dirname(probe)
    below = sorted(path for path in known if path.startswith(directory + os.sep))
    return known[below[0]] if below else None


def compile_alone(header, compiler, flags):
    command = [compiler, *flags, "-Wno-pragma-once-outside-header", "-fsyntax-only", "-x", "c++", header]
    if "clang" not in os.path.basename(compiler):
        command.remove("-Wno-pragma-once-outside-header")
        # GCC warns of #pragma once in a main file and has no switch for it: include it instead.
        command[-1] = "-"
        source = f'#include "{header}"\n'
    else:
        source = None
    done = subprocess.run(command, input=source, text=True, capture_output=True, check=False)
    return done.returncode, done.stderr


def main():
    source, build = os.path.realpath(sys.argv[1]), os.path.realpath(sys.argv[2])
    known = flags_by_directory(build)
    headers = [os.path.join(source, path) for path in Tree(source).headers()]
    jobs, unknown = [], []
    for header in headers:
        found = flags_for(os.path.dirname(header), known)
        if found is None:
            unknown.append(header)
        else:
            jobs.append((header, *found))

    with tempfile.TemporaryDirectory(prefix="stavefs-headers-") as directory:
        planted = os.path.join(directory, "planted.h")
        with open(planted, "w", encoding="utf-8") as file:
            file.write("#pragma once\ninline std::vector<int> numbers() { return {}; }\n")
        if compile_alone(planted, *jobs[0][1:])[0] == 0:
            print("a header without its include has passed: this test sees nothing")
            return 1

    failures = 0
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count() or 2) as pool:
        for (header, *_), (code, errors) in zip(jobs, pool.map(lambda job: compile_alone(*job), jobs)):
            if code != 0:
                failures += 1
                print(f"{os.path.relpath(header, source)} does not compile alone:\n{errors[:2000]}")
    for header in unknown:
        print(f"{os.path.relpath(header, source)}: no source is compiled beside it")
    print(f"{len(jobs)} headers, {failures} fail")
    return 1 if failures or unknown or len(jobs) < 50 else 0


sys.exit(main())
