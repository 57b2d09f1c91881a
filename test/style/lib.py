"""What the checks of this folder share. Each runs as `CHECK.py [ROOT]`, prints one line per finding and fails if there was any."""
import os
import re
import subprocess
import sys

ROOT = sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")

ROOMS = ("plugin/", "netlink/", "ipam/", "delegate/")

COMMENT = r"/\*.*?\*/|//[^\n]*"
STRING = r"\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])+'"


def files(*endings, under=("",)):
    """The repository's files under these folders with one of these endings: what is not committed yet counts, what is ignored does not."""
    names = subprocess.run(
        ["git", "-C", ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard"], check=True, stdout=subprocess.PIPE, text=True
    ).stdout.split("\0")
    return sorted({
        name
        for name in names
        if name.endswith(endings or "") and name.startswith(tuple(under)) and name and os.path.lexists(os.path.join(ROOT, name))
    })


def read(name):
    with open(os.path.join(ROOT, name), encoding="utf-8") as file:
        return file.read()


def code(source):
    """The source without comments, and with empty strings. Lines stay where they are."""
    def blank(match):
        text = match.group()
        quote = text[0] if text[0] in "\"'" else ""
        return quote + re.sub(r"[^\n]", " ", text)[2:] + quote if quote else re.sub(r"[^\n]", " ", text)

    # Strings come first only where they begin first: one pattern for both.
    return re.sub(f"{COMMENT}|{STRING}", blank, source, flags=re.S)


def verdict(findings):
    findings = list(findings)
    for finding in findings:
        print(finding)
    sys.exit(1 if findings else 0)
