"""Counts what meson's test log tells: the cases of gtest and unittest programs, one for any other program.

Prints each failed and skipped program and, last and alone, a line like "123 passed, 0 failed, 0 skipped".
Exit code 1 when anything failed or nothing ran.
"""

import json
import re
import sys

GOOD = {"OK", "EXPECTEDFAIL"}


def gtest_counts(text):
    """(passed, failed, skipped) of a gtest program's output, None for any other."""
    if not re.search(r"^\[==========\] .* ran\.", text, re.M):
        return None

    def count(word):
        # gtest prints "[  FAILED  ] 2 tests, listed below:" once per program.
        found = re.findall(rf"^\[ *{word} *\] (\d+) tests?[.,]", text, re.M)
        return sum(int(n) for n in found)

    return count("PASSED"), count("FAILED"), count("SKIPPED")


def unittest_counts(text):
    found = re.search(r"^Ran (\d+) tests? in ", text, re.M)
    if not found:
        return None
    tail = text[found.end():]
    numbers = {name: int(value) for name, value in re.findall(r"(failures|errors|skipped)=(\d+)", tail)}
    failed = numbers.get("failures", 0) + numbers.get("errors", 0)
    skipped = numbers.get("skipped", 0)
    return max(int(found.group(1)) - failed - skipped, 0), failed, skipped


def count(entry):
    result = entry["result"]
    text = (entry.get("stdout") or "") + "\n" + (entry.get("stderr") or "")
    if result == "SKIP":
        return 0, 0, 1
    passed, failed, skipped = gtest_counts(text) or unittest_counts(text) or (
        (1, 0, 0) if result in GOOD else (0, 1, 0))
    if result not in GOOD and failed == 0:
        failed = 1  # a crash or a time-out: the cases that were left have not even run
    return passed, failed, skipped


def main(path):
    try:
        with open(path, encoding="utf-8") as log:
            entries = [json.loads(line) for line in log if line.strip()]
    except FileNotFoundError:
        entries = []
    total = [0, 0, 0]
    for entry in entries:
        counts = count(entry)
        total = [a + b for a, b in zip(total, counts)]
        if counts[1]:
            print(f"FAILED   {entry['name']} ({entry['result']})")
        elif counts[2]:
            print(f"skipped  {counts[2]} in {entry['name']}")
    passed, failed, skipped = total
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    return 0 if failed == 0 and passed > 0 else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
