#!/usr/bin/env python3
"""Nothing grows without end: a file has at most 500 lines, a function of C at most 70 (from the { in the first column to the } in
the first column). And there is no goto: cleanup attributes do its work."""
import re

import lib

FILE_LINES = 500
FUNCTION_LINES = 70


def functions(lines):
    """Name, first and last line of each function."""
    name, start = "", None
    for number, line in enumerate(lines, 1):
        head = re.match(r"[A-Za-z_][^(]*?(\w+)\s*\(", line)
        if start is None and head:
            name = head[1]
        if line.startswith("{"):
            start = number
        elif line.startswith("}") and start is not None:
            yield name, start, number
            start = None


def findings():
    for name in lib.files(".c", ".h", ".sh", ".bash", ".bats", ".py"):
        length = lib.read(name).count("\n")
        if length > FILE_LINES:
            yield f"{name}: {length} lines ({FILE_LINES} at most)"
    for name in lib.files(".c", ".h"):
        lines = lib.code(lib.read(name)).split("\n")
        for function, start, end in functions(lines):
            if end - start + 1 > FUNCTION_LINES:
                yield f"{name}:{start}: {function} has {end - start + 1} lines ({FUNCTION_LINES} at most)"
        for number, line in enumerate(lines, 1):
            if re.search(r"\bgoto\b", line):
                yield f"{name}:{number}: goto"


lib.verdict(findings())
