#!/usr/bin/env python3
"""Counts the single tests in a log of meson (testlog.json) whose programs speak TAP as cmocka does.

Prints `PASSED FAILED SKIPPED`, and on stderr all that the failing programs said. A planned test that was never reported has failed,
and so has a program that ended badly although each of its tests was fine.
"""
import json
import re
import sys

# cmocka marks a skipped test as `not ok N # SKIP name`, which TAP means otherwise: meson's own figures do not help.
RESULT = re.compile(r"^(ok|not ok) \d+(?: -)? ?(# SKIP)?", re.M)


def count(test):
    results = RESULT.findall(test["stdout"])
    skipped = sum(1 for _, skip in results if skip)
    passed = sum(1 for result, skip in results if result == "ok" and not skip)
    planned = sum(int(last) for last in re.findall(r"^1\.\.(\d+)", test["stdout"], re.M))
    failed = max(planned, len(results)) - passed - skipped
    if failed == 0 and (planned == 0 or test["returncode"] != 0):
        failed = 1
    return passed, failed, skipped


total = (0, 0, 0)
with open(sys.argv[1], encoding="utf-8") as log:
    for line in log:
        test = json.loads(line)
        figures = count(test)
        total = tuple(map(sum, zip(total, figures)))
        if figures[1] > 0:
            print(f"=== {test['name']}: {test['result']}", test["stdout"], test.get("stderr", ""), sep="\n", file=sys.stderr)
print(*total)
