"""Reading the source tree: which files there are, what they include, which module they are of."""

import os
import re
import subprocess

CODE = (".cc", ".h")
ROOMS = ("src", "fuse", "tools", "tests", "include")


class Tree:
    """The sources under `root`.  Paths are relative to it, with '/'."""

    def __init__(self, root):
        self.root = os.path.abspath(root)
        self.files = sorted(self._find())
        self._text = {}

    def _find(self):
        for directory, names, files in os.walk(self.root):
            relative = os.path.relpath(directory, self.root)
            if relative == ".":
                names[:] = [name for name in names if not name.startswith((".git", "build"))]
            names[:] = [name for name in names if name != "__pycache__"]
            for name in files:
                yield os.path.normpath(os.path.join(relative, name)).replace(os.sep, "/")

    def text(self, path):
        if path not in self._text:
            with open(os.path.join(self.root, path), encoding="utf-8", errors="replace") as file:
                self._text[path] = file.read()
        return self._text[path]

    def code(self):
        return [path for path in self.files if path.endswith(CODE) and path.split("/")[0] in ROOMS]

    def headers(self):
        return [path for path in self.code() if path.endswith(".h")]

    def includes(self, path):
        """(line, spelling, quoted) of each #include."""
        for number, line in enumerate(self.text(path).splitlines(), 1):
            found = re.match(r'\s*#\s*include\s*(["<])([^">]+)[">]', line)
            if found:
                yield number, found.group(2), found.group(1) == '"'

    def resolve(self, path, spelling):
        """The file of this tree that a quoted include means, None when it is none (generated, or a library's)."""
        for candidate in (f"src/{spelling}", spelling, f"{os.path.dirname(path)}/{spelling}", f"include/{spelling}"):
            candidate = os.path.normpath(candidate)
            if candidate in self._set():
                return candidate
        return None

    def _set(self):
        if not hasattr(self, "_names"):
            self._names = set(self.files)
        return self._names


def tracked_or_new(root):
    """Files that git knows or would take, or None outside a repository."""
    done = subprocess.run(["git", "-C", root, "ls-files", "-co", "--exclude-standard"], text=True,
                          capture_output=True, check=False)
    return done.stdout.splitlines() if done.returncode == 0 else None
