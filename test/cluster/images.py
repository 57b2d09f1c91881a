#!/usr/bin/python3
"""Writes container images as one docker-archive, for `ctr images import`: each has busybox as its only layer.

Usage: images.py BUSYBOX FILE
"""
import hashlib
import io
import json
import sys
import tarfile

# Process 1 of a container gets no default action for signals: without a trap each pod would take its whole grace period to end.
STAY = "trap 'exit 0' TERM INT; sleep 2147483647 & wait"
PAGE = """<!DOCTYPE html>
<html>
<head>
<title>Welcome to nginx!</title>
</head>
<body>
<h1>Welcome to nginx!</h1>
</body>
</html>
"""
IMAGES = {
    "lamina.test/pause:1": STAY,
    "192.168.122.12:5000/nginx:1.7.9": f"httpd -h /www -p 80; {STAY}",
    # A database: whoever reaches it by TCP gets an answer.
    "192.168.122.12:5000/db:v1.0": f"httpd -h /www -p 3306; {STAY}",
}
APPLETS = ("arping", "cat", "hostname", "httpd", "ip", "ls", "nc", "ping", "ps", "sh", "sleep", "wget")


def add(archive, name, data=b"", **fields):
    info = tarfile.TarInfo(name)
    info.size = len(data)
    info.mode = 0o755
    for key, value in fields.items():
        setattr(info, key, value)
    archive.addfile(info, io.BytesIO(data))


def layer(busybox):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for folder in ("bin", "etc", "proc", "sys", "dev", "tmp", "www"):
            add(archive, folder, type=tarfile.DIRTYPE)
        add(archive, "bin/busybox", busybox)
        for applet in APPLETS:
            add(archive, f"bin/{applet}", type=tarfile.SYMTYPE, linkname="busybox")
        add(archive, "www/index.html", PAGE.encode(), mode=0o644)
    return buffer.getvalue()


def main():
    with open(sys.argv[1], "rb") as file:
        data = layer(file.read())
    digest = hashlib.sha256(data).hexdigest()
    manifest = []
    with tarfile.open(sys.argv[2], "w") as archive:
        add(archive, "layer.tar", data)
        for number, (tag, script) in enumerate(IMAGES.items()):
            config = json.dumps({
                "architecture": "amd64", "os": "linux",
                "config": {"Cmd": ["/bin/sh", "-c", script], "Env": ["PATH=/bin"]},
                "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
            }).encode()
            add(archive, f"{number}.json", config)
            manifest.append({"Config": f"{number}.json", "RepoTags": [tag], "Layers": ["layer.tar"]})
        add(archive, "manifest.json", json.dumps(manifest).encode())


main()
