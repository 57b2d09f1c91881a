#!/usr/bin/env python3
"""Writes what goes with the binary: lamina.spdx.json (what is inside), SOURCES.md (where its sources are), LICENSES.txt.

papers.py --map FILE --binary FILE --version TEXT --licence FILE --parts FOLDER --time SECONDS OUT

What is inside is what the linker has taken objects from, as its map says; dpkg knows which package such an archive is of. The
archives in the folders release-NAME of --parts were built from source packages, whose .dsc files lie beside them.
"""
import argparse
import datetime
import hashlib
import json
import os
import pathlib
import re
import subprocess
import sys

# By Debian's source package: SPDX's name of the licence that the linked code is under, and the project's home.
KNOWN = {
    "c-ares": ("MIT", "https://c-ares.org/"),
    "cjson": ("MIT", "https://github.com/DaveGamble/cJSON"),
    "curl": ("curl", "https://curl.se/"),
    "gcc-12": ("GPL-3.0-or-later WITH GCC-exception-3.1", "https://gcc.gnu.org/"),
    "glibc": ("LGPL-2.1-or-later", "https://www.gnu.org/software/libc/"),
    "libnl3": ("LGPL-2.1-only", "https://github.com/thom311/libnl"),
    "libyaml": ("MIT", "https://pyyaml.org/wiki/LibYAML"),
    "openssl": ("Apache-2.0", "https://www.openssl.org/"),
    "sqlite3": ("blessing", "https://www.sqlite.org/"),
    "zlib": ("Zlib", "https://zlib.net/"),
}

COMMON_LICENCES = ("LGPL-2.1", "GPL-3", "Apache-2.0")

SOURCES = """\
# The sources of lamina {version}

`lamina` is one static file. Its own source is under the Apache License 2.0. Linked into it are these libraries, exactly as Debian 12
has them: the version is that of the source package, whose files (original source, Debian's patches, build rules) Debian keeps for good
at the address in the last column.

| library | version | licence | source |
|---|---|---|---|
{rows}

`lamina.spdx.json` says the same to programs, `LICENSES.txt` has the licences in full.

## A changed libnl or C library

libnl and the C library are under the GNU Lesser General Public License 2.1: whoever has this binary may link it with a changed
version of them, and may take it apart to find faults in that. No object files are needed for it, since lamina's source is free, and
its `deploy/release.sh`, on Debian 12, is how this binary was made:

1. `apt-get source libnl3={libnl}` (or `glibc={glibc}`), change it, build it with `dpkg-buildpackage -b` and install the packages; or build
   and install it anywhere else, and set PKG_CONFIG_PATH to the folder of its .pc files.
2. Take the source of lamina {version} and run `deploy/release.sh`. It links the archives that are installed.
"""


def sha256(path):
    return hashlib.sha256(pathlib.Path(path).read_bytes()).hexdigest()


def run(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def linked_archives(link_map):
    """The archives that the linker has taken objects from."""
    pattern = re.compile(r"^(/\S+\.a)\(\S+\)", re.MULTILINE)
    return sorted({os.path.realpath(path) for path in pattern.findall(pathlib.Path(link_map).read_text())})


def owner(archive):
    """Debian's package that has this file."""
    for path in (archive, archive.removeprefix("/usr")):
        said = subprocess.run(("dpkg", "-S", path), capture_output=True, text=True).stdout
        if said:
            return said.splitlines()[0].split(":")[0]
    return None


def of_package(archive):
    """An archive of an installed package. One that is of none was put there by whoever builds this."""
    package = owner(archive)
    if not package:
        return {"name": pathlib.Path(archive).stem, "copyright": []}
    source, version = run("dpkg-query", "-W", "-f", "${source:Package} ${source:Version}", package).split()
    return {"name": source, "version": version, "copyright": [f"/usr/share/doc/{package}/copyright"]}


def of_source(archive, parts):
    """One that deploy/release.sh has built."""
    folder = pathlib.Path(archive).parent
    if folder.parent != parts:
        return None
    dsc = next(folder.glob("*.dsc"))
    return {"name": dsc.name.split("_")[0], "version": (folder / "version").read_text().strip(),
            "copyright": [str(folder / "copyright")], "dsc": dsc}


def components(link_map, parts):
    found = {}
    for archive in linked_archives(link_map):
        # lamina's own are thin ones in the build folder, without an absolute path.
        it = of_source(archive, parts) or of_package(archive)
        if it.get("version") and it["name"] not in KNOWN:
            sys.exit(f"papers.py: {archive} is of the package {it['name']}, whose licence KNOWN does not say")
        found.setdefault(it["name"], it).setdefault("archives", []).append(archive)
    return sorted(found.values(), key=lambda it: it["name"])


def snapshot(it):
    return f"https://snapshot.debian.org/package/{it['name']}/{it['version']}/" if it.get("version") else None


def spdx_id(name):
    return "SPDXRef-" + re.sub(r"[^A-Za-z0-9.-]", "-", name)


def spdx_package(it):
    licence, home = KNOWN.get(it["name"], ("NOASSERTION", None))
    package = {
        "SPDXID": spdx_id(it["name"]),
        "name": it["name"],
        "versionInfo": it.get("version", "NOASSERTION"),
        "supplier": "Organization: Debian" if it.get("version") else "NOASSERTION",
        "downloadLocation": snapshot(it) or "NOASSERTION",
        "filesAnalyzed": False,
        "licenseConcluded": licence,
        "licenseDeclared": licence,
        "copyrightText": "NOASSERTION",
    }
    if home:
        package["homepage"] = home
        package["externalRefs"] = [{
            "referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl",
            "referenceLocator": f"pkg:deb/debian/{it['name']}@{it['version'].replace('+', '%2B').replace('~', '%7E')}?arch=source",
        }]
    if "dsc" in it:
        package["packageFileName"] = it["dsc"].name
        package["checksums"] = [{"algorithm": "SHA256", "checksumValue": sha256(it["dsc"])}]
        package["comment"] = "Built from the source package with Debian's patches; the checksum is that of its .dsc."
    else:
        package["comment"] = "Linked: " + ", ".join(f"{os.path.basename(path)} (SHA256 {sha256(path)})" for path in it["archives"])
    return package


def spdx(options, inside):
    digest = sha256(options.binary)
    licences = sorted({"Apache-2.0"} | {KNOWN[it["name"]][0] for it in inside if it["name"] in KNOWN})
    binary = {
        "SPDXID": "SPDXRef-lamina",
        "name": "lamina",
        "versionInfo": options.version,
        "packageFileName": "lamina",
        "primaryPackagePurpose": "APPLICATION",
        "supplier": "NOASSERTION",
        "downloadLocation": "NOASSERTION",
        "filesAnalyzed": False,
        "checksums": [{"algorithm": "SHA256", "checksumValue": digest}],
        "licenseConcluded": " AND ".join(f"({name})" if " " in name else name for name in licences),
        "licenseDeclared": "Apache-2.0",
        "copyrightText": "NOASSERTION",
    }
    relations = [("SPDXRef-DOCUMENT", "DESCRIBES", "SPDXRef-lamina")]
    relations += [("SPDXRef-lamina", "STATIC_LINK", spdx_id(it["name"])) for it in inside]
    return {
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": f"lamina-{options.version}",
        # Names this very binary, and is the same for the same one.
        "documentNamespace": f"https://spdx.org/spdxdocs/lamina-{options.version}-{digest}",
        "creationInfo": {
            "created": datetime.datetime.fromtimestamp(options.time, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "creators": [f"Tool: lamina-release-{options.version}"],
        },
        "packages": [binary] + [spdx_package(it) for it in inside],
        "relationships": [{"spdxElementId": one, "relationshipType": kind, "relatedSpdxElement": other}
                          for one, kind, other in relations],
    }


def sources(options, inside):
    version = {it["name"]: it.get("version", "VERSION") for it in inside}
    rows = [f"| {it['name']} | {it.get('version', 'not of Debian')} | {KNOWN.get(it['name'], ('ask who built it',))[0]} | "
            f"{snapshot(it) or 'ask who built it'} |" for it in inside]
    return SOURCES.format(version=options.version, rows="\n".join(rows), libnl=version.get("libnl3", "VERSION"),
                          glibc=version.get("glibc", "VERSION"))


def licences(options, inside):
    texts = [("lamina", options.licence)]
    texts += [(it["name"], path) for it in inside for path in it["copyright"]]
    texts += [(f"{name}, in full", f"/usr/share/common-licenses/{name}") for name in COMMON_LICENCES]
    return "\n".join(f"{'=' * 80}\n{title}\n{'=' * 80}\n\n{pathlib.Path(path).read_text().strip()}\n" for title, path in texts)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("map", "binary", "version", "licence", "parts"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--time", type=int, required=True)
    parser.add_argument("out", type=pathlib.Path)
    options = parser.parse_args()
    inside = components(options.map, pathlib.Path(os.path.realpath(options.parts)))
    (options.out / "lamina.spdx.json").write_text(json.dumps(spdx(options, inside), indent=1) + "\n")
    (options.out / "SOURCES.md").write_text(sources(options, inside))
    (options.out / "LICENSES.txt").write_text(licences(options, inside))


main()
