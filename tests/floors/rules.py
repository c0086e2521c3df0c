"""The rules of the tree.  Each takes a Tree and yields one line per offence.

Floors (src/ARCHITECTURE.md): a module includes only what is on lower floors; rooms on one floor do not see
each other.  Exceptions are listed here and nowhere else.
"""

import re

FLOORS = {
    "src/base": 1,
    "src/codec": 2,
    "src/metrics": 2,
    "src/disk": 3,
    "src/pool": 4,
    "src/journal": 5,
    "src/index": 5,
    "src/store": 6,
    "src/fs": 7,
    "src/heal": 7,
    "src/services": 8,
    "src/engine": 9,
    "src/control": 9,
    "fuse": 10,
    "tools": 10,
}
# The control API serves an engine; the command line starts the front end.
SAME_FLOOR = {("src/control", "src/engine"), ("tools", "fuse")}
# Request translation needs the filesystem and nothing above it.
FORBIDDEN = {("fuse", "src/engine"), ("fuse", "src/control"), ("fuse", "src/store"), ("fuse", "src/pool"),
             ("fuse", "src/index"), ("fuse", "src/journal"), ("fuse", "src/disk")}
# A library is known in one room; the others see our own interface.
LIBRARIES = {
    r"rocksdb/": {"src/index"},
    r"liburing\.h": {"src/disk"},
    r"isa-l": {"src/codec"},
    r"(xxhash|xxh3|xxh_x86dispatch)\.h": {"src/codec"},
    r"zstd\.h": {"src/codec"},
    r"openssl/": {"src/codec"},
    r"spdlog/": {"src/base"},
    r"fuse(3/fuse)?(_lowlevel|_opt|_common|_log|_kernel)?\.h": {"fuse"},
    r"httplib\.h": {"src/control"},
    r"nlohmann/": {"src/control", "tools"},
    r"toml\+\+/": {"src/control", "tools"},
    r"CLI/": {"tools"},
    r"systemd/": {"tools"},
}
MAX_LINES = 800
UNFINISHED = re.compile(r"\b(TO" r"DO|FIX" r"ME|HA" r"CK)\b")


def module_of(path):
    parts = path.split("/")
    return "/".join(parts[:2]) if parts[0] == "src" else parts[0]


def is_simulation(path):
    return path.startswith("src/disk/sim/")


def modules_have_floors(tree):
    for path in tree.code():
        module = module_of(path)
        if module not in FLOORS and module not in ("tests", "include"):
            yield f"{path}: module {module} has no floor"


def includes_go_down(tree):
    for path in tree.code():
        module = module_of(path)
        if module not in FLOORS:
            continue
        for line, spelling, quoted in tree.includes(path):
            target = tree.resolve(path, spelling) if quoted else None
            if target is None:
                continue
            other = module_of(target)
            where = f"{path}:{line}: includes {spelling}"
            if other == "tests":
                yield f"{where}: tests are not for production"
            elif is_simulation(target) and not is_simulation(path):
                yield f"{where}: the simulated disk is for tests"
            elif (module, other) in FORBIDDEN:
                yield f"{where}: {module} must not know {other}"
            elif other == module or (module, other) in SAME_FLOOR:
                continue
            elif FLOORS.get(other, 0) == FLOORS[module]:
                yield f"{where}: {module} and {other} are on one floor"
            elif FLOORS.get(other, 0) > FLOORS[module]:
                yield f"{where}: {other} is above {module}"


def quoted_includes_are_found(tree):
    generated = {"version.h"}
    for path in tree.code():
        for line, spelling, quoted in tree.includes(path):
            if quoted and spelling not in generated and tree.resolve(path, spelling) is None:
                yield f"{path}:{line}: \"{spelling}\" is not in the tree"


def libraries_stay_in_their_rooms(tree):
    for path in tree.code():
        module = module_of(path)
        if module == "tests":
            continue
        for line, spelling, quoted in tree.includes(path):
            for pattern, rooms in LIBRARIES.items():
                if not quoted and re.match(pattern, spelling) and module not in rooms:
                    yield f"{path}:{line}: <{spelling}> belongs in {', '.join(sorted(rooms))}"


def every_source_is_built(tree):
    builds = [path for path in tree.files if path.endswith("meson.build")]
    listed = set()
    for build in builds:
        directory = build.rpartition("/")[0]
        for name in re.findall(r"'([^'\s]+\.cc)'", tree.text(build)):
            parts = (f"{directory}/{name}" if directory else name).split("/")
            clean = []
            for part in parts:
                if part == ".." and clean:
                    clean.pop()
                elif part != ".":
                    clean.append(part)
            listed.add("/".join(clean))
    for path in tree.code():
        if path.endswith(".cc") and path not in listed:
            yield f"{path}: no meson.build lists it"
    for path in sorted(listed):
        if path.split("/")[0] in ("src", "fuse", "tools", "tests") and path not in tree.files:
            yield f"{path}: listed in a meson.build, but not there"


def every_header_is_included(tree):
    seen = set()
    for path in tree.code():
        for _, spelling, quoted in tree.includes(path):
            target = tree.resolve(path, spelling) if quoted else None
            if target is not None and target != path:
                seen.add(target)
    for path in tree.headers():
        if path not in seen and not path.startswith("include/"):
            yield f"{path}: nobody includes it"


def headers_are_guarded(tree):
    for path in tree.headers():
        if "#pragma once" not in tree.text(path):
            yield f"{path}: no #pragma once"


def files_are_short(tree):
    for path in tree.code():
        lines = tree.text(path).count("\n")
        if lines > MAX_LINES:
            yield f"{path}: {lines} lines; split it ({MAX_LINES} at most)"


def nothing_is_left_for_later(tree):
    for path in tree.code():
        for number, line in enumerate(tree.text(path).splitlines(), 1):
            if UNFINISHED.search(line):
                yield f"{path}:{number}: {line.strip()}"


def modules_are_described(tree):
    for module in FLOORS:
        if any(path.startswith(module + "/") and path.endswith(".cc") for path in tree.files):
            if module.startswith("src/") and f"{module}/README.md" not in tree.files:
                yield f"{module}: no README.md"


RULES = [modules_have_floors, includes_go_down, quoted_includes_are_found, libraries_stay_in_their_rooms,
         every_source_is_built, every_header_is_included, headers_are_guarded, files_are_short,
         nothing_is_left_for_later, modules_are_described]


def mentions(tree, words):
    """Offences of text files that contain one of `words` (places of a machine)."""
    for path in tree.files:
        text = tree.text(path)
        for word in words:
            if word in text:
                line = text[:text.index(word)].count("\n") + 1
                yield f"{path}:{line}: mentions {word}"
