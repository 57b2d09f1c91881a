#!/usr/bin/env python3
"""The machine that is measured on: what it is, the servers on it, and who goes first.

Usage: machine.py PROGRAM ARGUMENT ...       runs it inside of a node as the bench's own scripts run: ahead of everything else
"""
import gc
import os
import platform
import sys

SERVERS = ("etcd", "kube-apiserver")


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def describe():
    cpu = next((line.split(":")[1].strip() for line in read("/proc/cpuinfo").splitlines() if line.startswith("model name")),
               platform.machine())
    return {
        "cpu": cpu,
        "cores": os.cpu_count(),
        "memory_gib": round(int(read("/proc/meminfo").split()[1]) / 2**20, 1),
        "kernel": platform.release(),
        "system": platform.freedesktop_os_release()["PRETTY_NAME"],
    }


class Servers:
    """The processes of etcd's members and of the API server: all that run in this node."""

    def __init__(self):
        self.folders = [f"/proc/{pid}/task" for pid in os.listdir("/proc") if pid.isdigit() and self.name(pid) in SERVERS]

    @staticmethod
    def name(pid):
        try:
            return read(f"/proc/{pid}/comm").strip()
        except OSError:
            return None

    def threads(self):
        return [f"{folder}/{thread}" for folder in self.folders for thread in os.listdir(folder)]

    def used(self):
        """Microseconds of processor time of all their threads so far."""
        return sum(int(read(f"{thread}/schedstat").split()[0]) for thread in self.threads()) / 1e3

    def processes(self):
        return [folder.split("/")[2] for folder in self.folders]


def prefer(process):
    """Ahead of the rest by niceness, of the process's threads and (some kernels look there first) of its session."""
    for thread in os.listdir(f"/proc/{process}/task"):
        os.setpriority(os.PRIO_PROCESS, int(thread), -20)
    if os.path.exists(f"/proc/{process}/autogroup"):
        with open(f"/proc/{process}/autogroup", "w", encoding="ascii") as file:
            file.write("-20")


def go_first(servers):
    """
    Nothing of ours happens while somebody else's time is taken, and as little as possible of what else runs on the machine: those who
    are measured, and the servers that they ask, go ahead of all of that, and are equals among themselves. Real time priority would be
    too much: two etcd members at that keep two processors from everybody else, the third one included.
    """
    gc.disable()
    for process in [str(os.getpid()), *servers.processes()]:
        prefer(process)


if __name__ == "__main__":
    go_first(Servers())
    os.execvp(sys.argv[1], sys.argv[1:])
