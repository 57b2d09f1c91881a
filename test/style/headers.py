#!/usr/bin/env python3
"""A header is the manual of its module: every function that it declares has a /** comment directly before it.

Only destructors (void x_free, x_clear, x_close) need none: these names mean one thing everywhere.
"""
import re

import lib

TOKEN = re.compile(rf"{lib.COMMENT}|{lib.STRING}|^[ \t]*#(?:\\\n|[^\n])*|^[A-Z][A-Z0-9_]*\([^\n;]*\)[ \t]*$|[{{}};]|[^\s{{}};\"'/#]+|\S", re.S | re.M)


DESTRUCTOR = re.compile(r"void \w+_(free|clear|close)\(")


def is_function(text):
    """Whether a declaration, or what stands before a {, is a function's: a name, a parenthesis, no = and no (* before."""
    text = re.sub(r"__attribute__\s*\(\(.*?\)\)(?!\))", " ", text, flags=re.S)
    if re.match(r"\s*(typedef|_?[Ss]tatic_assert)\b", text):
        return False
    return re.match(r"[^=(]*\w\s*\(\s*(?!\*)", text) is not None


def declarations(source):
    """Offset, text up to the first {, and whether a manual stands before it: of everything outside of braces."""
    depth, start, brace, manual = 0, None, None, False
    for match in TOKEN.finditer(source):
        token = match.group()
        if token.startswith(("/*", "//")):
            manual = token.startswith("/**") if start is None else manual
            continue
        if token.lstrip().startswith("#") or (start is None and re.fullmatch(r"[A-Z][A-Z0-9_]*\(.+", token)):
            # A directive, or a macro that declares. Only a condition may stand between a manual and its function.
            manual = manual and re.match(r"\s*#\s*(if|else|endif)", token) is not None if start is None else manual
            continue
        start = match.start() if start is None else start
        if token == "{":
            brace = match.start() if depth == 0 and brace is None else brace
            depth += 1
        depth -= token == "}"
        text = source[start:brace if brace is not None else match.start()]
        if depth == 0 and (token == ";" or (token == "}" and is_function(text))):
            yield start, text, manual
            start, brace, manual = None, None, False


def findings():
    for name in lib.files(".h", under=lib.ROOMS):
        source = lib.read(name)
        for start, text, manual in declarations(source):
            head = " ".join(text.split())
            if is_function(text) and not manual and not DESTRUCTOR.match(head) and not head.startswith("static inline"):
                yield f"{name}:{source.count(chr(10), 0, start) + 1}: no /** comment before: {head[:80]}"


lib.verdict(findings())
