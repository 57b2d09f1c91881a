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

At the end all is DELed and collected; then nothing may be left but what is kept for namespaces. Prints what was done; stops at the
first violation, tells what happened to that address, and fails.
"""
import argparse
import collections
import fcntl
import ipaddress
import json
import mmap
import os
import random
import signal
import struct
import subprocess
import sys
import time
import traceback

import etcd
import runtime
from truth import Truth, Violation

NAMESPACES = 4
SANDBOXES = 4  # network namespaces of a worker
PODS = 4       # of a worker, at most
COUNTERS = ("operations", "granted", "refused", "takeovers", "repeated", "checked", "collections", "forgotten", "killed")


class Pod:
    """A pod that runs in a sandbox. locks: its addresses, each with the descriptor by which it has it."""

    def __init__(self, name, namespace, uid, fixed):
        self.name, self.namespace, self.uid, self.fixed = name, namespace, uid, fixed
        self.container, self.locks, self.result = None, {}, None

    def __str__(self):
        return f"{self.namespace}/{self.name} in {self.container.name}"

    def unlock(self):
        for fd in self.locks.values():
            os.close(fd)
        self.locks = {}


class Stop(Exception):
    pass


class Worker:
    """Some of a node's sandboxes. Each life of a worker makes other choices."""

    def __init__(self, number, life, options, truth, board):
        self.number, self.options, self.truth, self.board = number, options, truth, board
        self.random = random.Random(f"{options.seed} {number} {life}")
        self.node = options.node_names[number % len(options.node_names)]
        self.conf = options.confs[self.node]
        self.runtime = runtime.Runtime(options.plugin)
        self.pods = []
        self.late = []  # containers whose DEL is still due
        self.events = collections.deque(maxlen=4000)
        self.serial = f"{number}-{life}"
        self.made = 0

    # Calls.

    def call(self, verb, container=None, conf=None, killed=False):
        moment = fault = None
        if killed and self.chance(0.5):
            fault = self.random.choice(runtime.FAULTS[verb])
        elif killed:
            moment = self.random.uniform(0, self.random.choice((0.5, 1.2)) * self.runtime.typical(verb))
        start = time.monotonic()
        outcome = self.runtime.call(verb, conf or self.conf, container, moment, fault)
        self.events.append((start, time.monotonic(), self.node, verb, container.name if container else "",
                            json.dumps((conf or self.conf).get("runtimeConfig", {}).get(runtime.ANNOTATIONS, "")), str(outcome) + (f" at {fault}" if outcome.killed and fault else "")))
        self.board.count("operations", self.number)
        if outcome.killed:
            self.board.count("killed", self.number)
        elif not outcome.ok and outcome.code != runtime.CODE_TRY_AGAIN:
            raise Violation(f"{verb} of {container.name if container else self.node}: {outcome}")
        return outcome

    def chance(self, share):
        return self.random.random() < share

    # What happens.

    def step(self):
        live = len(self.pods)
        actions = {
            self.start: 30 if live < 2 else 8 if live < PODS else 0,
            self.stop: 6 * live,
            self.take_over: 3 * live,
            self.repeat: 2 * live,
            self.check: 3 * live,
            self.lose: 0.5 * live if self.options.collect else 0,
            self.late_del: 4 * len(self.late),
        }
        action = self.random.choices(list(actions), list(actions.values()))[0]
        if self.chance(self.options.collect):
            with self.truth.gate(self.node, fcntl.LOCK_EX):
                self.collect()
        with self.truth.gate(self.node, fcntl.LOCK_SH):
            action()

    def new_container(self, pod):
        self.made += 1
        return runtime.Container(f"c{self.serial}-{self.made}", self.random.choice(("eth0", "eth0", "net1")),
                                 f"/run/netns/own-{self.number}-{self.random.randrange(SANDBOXES)}",
                                 (pod.namespace, pod.name, pod.uid))

    def new_pod(self):
        namespace = f"ns-{self.random.randrange(NAMESPACES)}"
        self.made += 1
        uid, name = f"uid-{self.serial}-{self.made}", f"web-{self.serial}-{self.made}"
        if not self.chance(0.45):
            return Pod(name, namespace, uid, [])
        fixed = self.random.sample(self.options.fixed, self.random.choice((1, 1, 1, 2)))
        # Mostly a namespace's own, now and then somebody else's.
        if self.chance(0.85):
            fixed = fixed[:1]
            namespace = f"ns-{self.options.fixed.index(fixed[0]) % NAMESPACES}"
        return Pod(f"db-{fixed[0]}", namespace, uid, fixed)

    def add(self, pod, container, killed):
        """An ADD as the runtime calls it: what is under way is known."""
        self.truth.know(self.node, container.name, self.number)
        annotations = {"kube-ipam.ip": ",".join(pod.fixed)} if pod.fixed else {}
        return self.call("ADD", container, runtime.with_annotations(self.conf, annotations), killed)

    def granted(self, pod, outcome):
        """The pod has what ADD printed, and keeps what it had."""
        self.board.count("granted", self.number)
        pod.result = outcome.answer
        if pod.fixed and sorted(outcome.addresses) != sorted(pod.fixed):
            raise Violation(f"{pod} asked for {pod.fixed} and got {outcome.addresses}")
        for address in outcome.addresses:
            if address not in self.options.pool:
                raise Violation(f"{pod} got {address}, which is not of the pool")
            if address not in pod.locks:
                pod.locks[address] = self.truth.take(address, str(pod))
            self.truth.keep(address, pod.namespace, bool(pod.fixed))

    def start(self):
        pod = self.new_pod()
        pod.container = self.new_container(pod)
        outcome = self.add(pod, pod.container, self.chance(self.options.kills))
        if outcome.killed and self.chance(0.1):
            outcome = self.add(pod, pod.container, False)
        if outcome.ok:
            self.granted(pod, outcome)
            self.pods.append(pod)
            return
        if outcome.code:
            self.board.count("refused", self.number)
        self.end(pod.container, later=0.2 if outcome.killed else 0.1)

    def stop(self):
        pod = self.pods.pop(self.random.randrange(len(self.pods)))
        pod.unlock()
        self.end(pod.container, killed=self.chance(self.options.kills))
        if self.chance(0.3):
            self.late += [pod.container] * 2

    def end(self, container, killed=False, later=0.0):
        """DEL until it succeeds; or later, when the runtime may know no more of it."""
        if self.chance(later):
            self.late.append(container)
            if self.chance(0.5):
                self.truth.forget(self.node, container.name)
            return
        while not self.call("DEL", container, killed=killed).ok:
            killed = False
            if self.board.stopped():
                raise Stop
        self.truth.forget(self.node, container.name)

    def late_del(self):
        container = self.late.pop(self.random.randrange(len(self.late)))
        self.end(container)

    def take_over(self):
        """A new sandbox for a pod whose old one is dead, though nobody has said so yet."""
        pod = self.random.choice(self.pods)
        old, pod.container = pod.container, None
        new = self.new_container(pod)
        while new.ifname != old.ifname:
            new = self.new_container(pod)
        pod.container = new
        outcome = self.add(pod, new, self.chance(self.options.kills))
        if outcome.ok:
            self.board.count("takeovers", self.number)
            before = set(pod.locks)
            self.granted(pod, outcome)
            for address in before - set(outcome.addresses):
                os.close(pod.locks.pop(address))
            self.end(old, later=0.5)
        elif outcome.killed:
            pod.unlock()
            self.pods.remove(pod)
            for container in self.random.sample((old, new), 2):
                self.end(container)
        else:
            # The pod that has it goes on as it was: what was refused must not be felt.
            self.board.count("refused", self.number)
            self.end(new)
            pod.container = old

    def repeat(self):
        pod = self.random.choice(self.pods)
        outcome = self.add(pod, pod.container, False)
        if outcome.ok:
            self.board.count("repeated", self.number)
            if sorted(outcome.addresses) != sorted(pod.locks):
                raise Violation(f"{pod} has {sorted(pod.locks)}, and a repeated ADD says {outcome.addresses}")

    def check(self):
        pod = self.random.choice(self.pods)
        outcome = self.call("CHECK", pod.container, {**self.conf, "prevResult": pod.result})
        if outcome.ok:
            self.board.count("checked", self.number)

    def lose(self):
        """A node that loses power for a moment knows nothing of a sandbox, and it does not run any more."""
        pod = self.pods.pop(self.random.randrange(len(self.pods)))
        pod.unlock()
        self.truth.forget(self.node, pod.container.name)
        self.board.count("forgotten", self.number)

    def collect(self):
        names = (name.rsplit(".", 1) for name in self.truth.known(self.node))
        valid = [{"containerID": cid, "ifname": ifname} for cid, ifname in names]
        if self.call("GC", conf={**self.conf, runtime.VALID: valid}).ok:
            self.board.count("collections", self.number)

    # A life.

    def recover(self):
        """What a worker of this number knew when it was killed, runs no more: as a kubelet that starts anew, DEL it."""
        for name in list(self.truth.known_of(self.node, self.number)):
            cid, ifname = name.rsplit(".", 1)
            with self.truth.gate(self.node, fcntl.LOCK_SH):
                self.end(runtime.Container(cid, ifname, ""))

    def drain(self):
        for pod in self.pods:
            pod.unlock()
        for container in [pod.container for pod in self.pods] + self.late:
            with self.truth.gate(self.node, fcntl.LOCK_SH):
                self.end(container)

    def live(self):
        try:
            self.recover()
            while not self.board.finished():
                self.step()
            if not self.board.stopped():
                self.drain()
        except Stop:
            pass
        except Violation as violation:
            self.tell(str(violation))
        except Exception:  # pylint: disable=broad-exception-caught  # whatever it is, the others must stop and it must be told
            self.tell(traceback.format_exc())
        if self.board.stopped():
            with open(f"{self.options.folder}/events.{self.serial}", "w", encoding="utf-8") as file:
                json.dump(list(self.events), file)

    def tell(self, text):
        with open(f"{self.options.folder}/violations", "a", encoding="utf-8") as file:
            file.write(text + "\n")
        self.board.stop()


class Board:
    """Numbers that all processes see, each worker's written by itself alone: nobody can be killed with a lock."""

    def __init__(self, options):
        self.options = options
        self.width = len(COUNTERS)
        self.memory = mmap.mmap(-1, 8 * (1 + options.workers * self.width))
        self.start = time.monotonic()

    def cell(self, index, change=0):
        value = struct.unpack_from("q", self.memory, 8 * index)[0] + change
        if change:
            struct.pack_into("q", self.memory, 8 * index, value)
        return value

    def count(self, name, worker):
        self.cell(1 + worker * self.width + COUNTERS.index(name), 1)

    def sums(self):
        cells = struct.unpack_from(f"{self.options.workers * self.width}q", self.memory, 8)
        return {name: sum(cells[i::self.width]) for i, name in enumerate(COUNTERS)}

    def stop(self):
        self.cell(0, 1)

    def stopped(self):
        return self.cell(0) > 0

    def seconds(self):
        return time.monotonic() - self.start

    def finished(self):
        return (self.stopped() or self.seconds() > self.options.seconds
                or self.sums()["operations"] >= self.options.operations)


class Crowd:
    """The workers' parent."""

    def __init__(self, options, truth):
        self.options, self.truth = options, truth
        self.board = Board(options)
        self.lives = collections.Counter()
        self.pids = {}
        self.random = random.Random(options.seed)

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
        while not self.board.finished():
            time.sleep(0.05)
            if self.options.worker_kills and self.board.seconds() > next_kill:
                next_kill += self.options.worker_kills
                self.kill_one()
                workers_killed += 1
        for pid in self.pids:
            os.waitpid(pid, 0)
        return workers_killed


def read_leaks(options):
    """What the store has although everybody is gone."""
    config = options.conf["ipam"].get("etcdConfig")
    if config:
        return etcd.leaks(etcd.Etcd(config).keys("/"), options.conf["name"])
    with open(f"{options.folder}/conf", "w", encoding="utf-8") as file:
        json.dump(options.confs[options.node_names[0]], file)
    said = subprocess.run([os.path.join(os.path.dirname(options.plugin), "lamina"), "ip", "ls", "--json", "--conf", file.name],
                          stdout=subprocess.PIPE, check=True).stdout
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
    named = {address for address in options.pool if address in violations.replace(",", " ").replace("'", " ").split()}
    events = []
    for name in os.listdir(options.folder):
        if name.startswith("events."):
            with open(f"{options.folder}/{name}", encoding="utf-8") as file:
                events += json.load(file)
    concerned = {event[4] for event in events for address in named
                 if address in event[6].split() or address in json.dumps(event[5]).replace("\\", '"').replace(",", '"').split('"')}
    concerned |= {word for word in violations.split() if "." in word}
    for event in sorted(event for event in events if event[4] in concerned or (named and event[3] == "GC"))[-60:]:
        print(f"{event[0] % 10000:10.4f} -{event[1] % 10000:10.4f}", *event[2:])
    print(violations, end="")
    return violations.count("\n")


def arrange(options):
    """The nodes' configurations and folders, the pool, and the sandboxes' namespaces."""
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
    names = [f"own-{worker}-{i}" for worker in range(options.workers) for i in range(SANDBOXES)]
    have = set(os.listdir("/run/netns")) if os.path.isdir("/run/netns") else set()
    subprocess.run(["ip", "-batch", "-"], input="".join(f"netns add {name}\n" for name in names if name not in have),
                   text=True, check=True)


def parse():
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("folder")
    parser.add_argument("--conf", required=True)
    parser.add_argument("--plugin", default="/opt/cni/bin/kube-ipam")
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
    # Children of killed workers are ours to wait for.
    if ctypes_subreaper() != 0:
        sys.exit("owner.py: no subreaper")
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


def ctypes_subreaper():
    import ctypes
    return ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)


if __name__ == "__main__":
    sys.exit(main())
