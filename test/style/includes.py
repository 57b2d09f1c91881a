#!/usr/bin/env python3
"""The include rule: which room may know which other, and where the headers of other people's libraries may stand."""
import os
import re
from fnmatch import fnmatch

import lib

# A room, and what its files may include of ours. The first room that holds a file is its room.
ROOMS = (
    ("plugin/base/", ("plugin/base/",)),
    ("netlink/", ("netlink/", "plugin/base/")),
    ("ipam/", ("ipam/", "plugin/base/")),
    ("delegate/", ("delegate/", "plugin/base/")),
    ("plugin/", ("plugin/", "netlink/", "ipam/", "delegate/")),
)

# Headers, as what stands between < and >, and the only files that may include them.
FOREIGN = (
    (r"curl/", "plugin/base/http*"),
    (r"openssl/", "plugin/base/http_tls*"),
    (r"(netlink|libmnl)/", "netlink/*"),
    (r"linux/(netlink|rtnetlink|genetlink|if_link|if_addr|neighbour|fib_rules)\.h$", "netlink/*"),
    (r"yaml\.h$", "delegate/kubeconfig.c"),
    (r"sqlite3\.h$", "ipam/store_sqlite*.c"),
    (r"spawn\.h$", "delegate/exec.c"),
)

INCLUDE = re.compile(r"\s*#\s*include\s*([\"<])([^\">]*)")


def ours(name, header):
    if not os.path.isfile(os.path.join(lib.ROOT, header)):
        return f'"{header}" is not a path from the top of the repository'
    allowed = next(allowed for room, allowed in ROOMS if name.startswith(room))
    return None if header.startswith(allowed) else f'this room may not include "{header}"'


def foreign(name, header):
    for pattern, place in FOREIGN:
        if re.match(pattern, header) and not fnmatch(name, place):
            return f"<{header}> belongs into {place} only"
    return None


def findings():
    for name in lib.files(".c", ".h", under=lib.ROOMS):
        for number, line in enumerate(lib.read(name).split("\n"), 1):
            match = INCLUDE.match(line)
            found = match and (ours if match[1] == '"' else foreign)(name, match[2])
            if found:
                yield f"{name}:{number}: {found}"


lib.verdict(findings())
