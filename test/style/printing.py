#!/usr/bin/env python3
"""Only main and the log print or end the process: everything else returns an error.

Text is built with snprintf and asprintf, or written to a stream that is called `out`, which the caller has opened.
"""
import re

import lib

PRINTERS = ("plugin/main.c", "plugin/base/log.c")
# A process that was forked for one call ends behind it.
FORKED = {"netlink/link_aside.c": "_exit(", "netlink/macvlan_try.c": "_exit("}

FORBIDDEN = re.compile(
    r"(?<![\w.>])(?:"
    r"(?:v?printf|puts|putchar|v?dprintf|perror|v?errx?|v?warnx?|_?exit|quick_exit)\s*\("
    r"|(?:v?fprintf|putc_unlocked)\s*\(\s*(?!out\b)"
    r"|(?:fputs|fputc|putc|fwrite)\s*\((?![^;]*\bout\s*\))"
    r"|std(?:out|err)\b)"
)


def findings():
    for name in lib.files(".c", ".h", under=lib.ROOMS):
        if name in PRINTERS:
            continue
        text = lib.code(lib.read(name))
        for match in FORBIDDEN.finditer(text):
            if match.group() == FORKED.get(name):
                continue
            yield f"{name}:{text.count(chr(10), 0, match.start()) + 1}: {match.group().strip()}"


lib.verdict(findings())
