#!/usr/bin/env python3
"""Proves that no address ever has two owners: many processes call kube-ipam at random, as the runtimes of a cluster's nodes do.

Usage: owner.py [options] --conf FILE FOLDER

FILE is a configuration of type macvlan with ipam.type kube-ipam, with etcdConfig or without. FOLDER, best in memory, gets what the
nodes keep, and the truth: each worker has the kernel's exclusive lock on an address's file from the moment when ADD has given it the
address until just before it calls DEL. Workers ADD, with fixed and dynamic addresses; repeat an ADD; take over a pod's addresses for
a new sandbox; CHECK; DEL, and once more when the address may be another's by now; forget a sandbox altogether; and call GC with what
is left. Plugins are killed at random moments, now and then a worker too.

--workers N      processes (32)               --operations N   ends after so many calls (100000)
--nodes N        names of nodes (4)           --seconds N      ends after this time (120)
--addresses N    size of the pool (64)        --kills SHARE    of the ADDs and DELs that are killed (0.12)
--plugin FILE    (/opt/cni/bin/kube-ipam)     --seed N         repeats the choices of a run, if not its moments
--worker-kills N seconds between two (3)      --collect SHARE  of the steps that begin with GC (0.01)
--kube FILE      an API server with all pods: {"url", "ca", "token"}. Annotations come from there; a pod that is gone there, before
                 its DEL or without one, may be taken over from. Half of the nodes are not known there: the cluster-wide
                 `lamina ip gc` collects what they leave.

At the end all is DELed and collected; then nothing may be left but what is kept for namespaces. Prints what was done; stops at the
first violation, tells what happened to that address, and fails.
"""
import argparse
import collections
import ctypes
import ipaddress
import json
import os
import random
import signal
import subprocess
import sys
import time

import etcd
import kube
import runtime
from truth import Board, Truth
from worker import NAMESPACES, SANDBOXES, Worker

PR_SET_CHILD_SUBREAPER = 36
PROGRESS = 600  # seconds from word to word


class Crowd:
    """The workers' parent."""

    def __init__(self, options, truth):
        self.options, self.truth = options, truth
        self.board = Board(options)
        self.lives = collections.Counter()
        self.pids = {}
        self.random = random.Random(options.seed)
        self.kube = options.kube and kube.Kube(options.kube)

    def spawn(self, number):
        self.lives[number] += 1
        pid = os.fork()
        if pid == 0:
            try:
                Worker(number, self.lives[number], self.options, self.truth, self.board).live()
            finally:
                os._exit(0)
        self.pids[pid] = number

    def kill_one(self):
        """A worker with the plugin that it runs: nobody is left to hear what that says."""
        pid = self.random.choice(list(self.pids))
        os.kill(pid, signal.SIGSTOP)
        if not os.WIFSTOPPED(os.waitpid(pid, os.WUNTRACED)[1]):
            del self.pids[pid]
            return
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
            children = [int(child) for child in file.read().split()]
        for victim in [*children, pid]:
            os.kill(victim, signal.SIGKILL)
        # Then its plugin is our child, and the worker's number starts anew only when that is dead, too.
        for victim in [pid, *children]:
            os.waitpid(victim, 0)
        self.spawn(self.pids.pop(pid))

    def run(self):
        for number in range(self.options.workers):
            self.spawn(number)
        next_kill = self.options.worker_kills
        workers_killed = 0
        next_beat = 0
        next_word = PROGRESS
        while not self.board.finished():
            time.sleep(0.05)
            if self.options.kube and self.board.seconds() > next_beat:
                next_beat += 10
                for node in self.options.known_nodes:
                    self.kube.alive(node)
            if self.options.worker_kills and self.board.seconds() > next_kill:
                next_kill += self.options.worker_kills
                self.kill_one()
                workers_killed += 1
            if self.board.seconds() > next_word:
                next_word += PROGRESS
                print(f"{self.board.sums()['operations']} operations in {self.board.seconds():.0f} s", file=sys.stderr, flush=True)
        for pid in self.pids:
            os.waitpid(pid, 0)
        return workers_killed


def read_leaks(options):
    """What the store has although everybody is gone."""
    config = options.conf["ipam"].get("etcdConfig")
    if config:
        return etcd.leaks(etcd.Etcd(config).keys("/"), options.conf["name"])
    said = subprocess.run([options.lamina, "ip", "ls", "--json", "--conf", options.command_conf], stdout=subprocess.PIPE, check=True).stdout
    return [entry["address"] for entry in json.loads(said) if entry["kind"] != "kept"]


def collect_all(options):
    """One GC for each node, with nothing that is valid."""
    caller = runtime.Runtime(options.plugin)
    for node in options.node_names:
        outcome = caller.call("GC", {**options.confs[node], runtime.VALID: []})
        if not outcome.ok:
            sys.exit(f"owner.py: GC of {node}: {outcome}")


def tell_violations(options):
    """What went wrong, and what happened before to the addresses that are named there, in the order in which it began."""
    with open(f"{options.folder}/violations", encoding="utf-8") as file:
        violations = file.read()
    words = set(violations.replace(",", " ").replace("'", " ").split())
    named = words & set(options.pool)
    events = []
    for name in os.listdir(options.folder):
        if name.startswith("events."):
            with open(f"{options.folder}/{name}", encoding="utf-8") as file:
                events += json.load(file)
    concerned = {event[4] for event in events if named & set(f"{event[5]} {event[6]}".split())}
    concerned |= {word for word in words if "." in word}
    for event in sorted(event for event in events if event[4] in concerned or "gc" in event[3].lower())[-80:]:
        print(f"{event[0] % 10000:10.4f} -{event[1] % 10000:10.4f}", *event[2:])
    print(violations, end="")
    return violations.count("\n")


def arrange(options):
    """The nodes' configurations, the pool, the sandboxes' namespaces, and the API server's."""
    with open(options.conf, encoding="utf-8") as file:
        options.conf = json.load(file)
    ipam = options.conf["ipam"]
    first = ipaddress.ip_address(ipam["rangeStart"])
    options.pool = [str(first + i) for i in range(options.addresses)]
    ipam["rangeEnd"] = options.pool[-1]
    options.fixed = options.pool[::4]
    options.node_names = [f"node-{i}" for i in range(options.nodes)]
    options.confs = {node: {**options.conf, "nodeName": node, "cniDir": f"{options.folder}/{node}/cni",
                            "dataDir": f"{options.folder}/{node}/data", "reuseDelay": 60 * (i % 2)}
                     for i, node in enumerate(options.node_names)}
    options.lamina = os.path.join(os.path.dirname(options.plugin), "lamina")
    options.command_conf = f"{options.folder}/command.json"
    with open(options.command_conf, "w", encoding="utf-8") as file:
        json.dump({**options.confs[options.node_names[0]], "type": "lamina", "delegates": [options.conf]}, file)
    if options.kube:
        arrange_kube(options)
    names = [f"own-{worker}-{i}" for worker in range(options.workers) for i in range(SANDBOXES)]
    have = set(os.listdir("/run/netns")) if os.path.isdir("/run/netns") else set()
    subprocess.run(["ip", "-batch", "-"], input="".join(f"netns add {name}\n" for name in names if name not in have),
                   text=True, check=True)


def arrange_kube(options):
    with open(options.kube, encoding="utf-8") as file:
        options.kube = json.load(file)
    api = kube.Kube(options.kube)
    for i in range(NAMESPACES):
        api.put_namespace(f"ns-{i}")
    options.known_nodes = options.node_names[::2]
    for node in options.known_nodes:
        api.put_node(node)


def parse():
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("folder")
    parser.add_argument("--conf", required=True)
    parser.add_argument("--plugin", default="/opt/cni/bin/kube-ipam")
    parser.add_argument("--kube")
    for name, value in {"workers": 32, "nodes": 4, "addresses": 64, "operations": 100000, "seconds": 120,
                        "seed": random.randrange(1 << 32)}.items():
        parser.add_argument(f"--{name}", type=int, default=value)
    for name, value in {"kills": 0.12, "collect": 0.01, "worker-kills": 3}.items():
        parser.add_argument(f"--{name}", type=float, default=value)
    return parser.parse_args()


def main():
    options = parse()
    arrange(options)
    truth = Truth(options.folder, options.node_names)
    # Plugins whose worker was killed are ours to wait for.
    if ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        sys.exit("owner.py: cannot become a subreaper")
    crowd = Crowd(options, truth)
    workers_killed = crowd.run()
    seconds = crowd.board.seconds()
    sums = crowd.board.sums()
    violations = tell_violations(options) if crowd.board.stopped() else 0
    before = after = "?"
    if not violations:
        before = len(read_leaks(options))
        collect_all(options)
        left = read_leaks(options)
        after = len(left)
        print(*left[:20], sep="\n", end="\n" * bool(left))
    print(f"seed {options.seed}:", ", ".join(f"{number} {name}" for name, number in sums.items()),
          f"{workers_killed} workers killed, {seconds:.0f} s, {sums['operations'] / seconds:.0f} operations/s")
    print(f"{violations} violations, {before} leaks before gc, {after} after")
    return 1 if violations or after else 0


if __name__ == "__main__":
    sys.exit(main())
