#!/usr/bin/env python3
"""The top level of the repository is fixed: a new module has its room in one of these, not beside them."""
import lib

ALLOWED = {"meson.build", "plugin", "netlink", "ipam", "delegate", "test", "deploy", "README.md", "LICENSE", "meson_options.txt"}

entries = sorted({name.split("/")[0] for name in lib.files()})
lib.verdict(f"{entry}: not one of {' '.join(sorted(ALLOWED))}" for entry in entries if entry not in ALLOWED and entry[0] != ".")
