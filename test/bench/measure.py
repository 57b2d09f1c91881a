#!/usr/bin/env python3
"""Calls lamina and its peers as a runtime does and prints what each call took, as JSON. run.sh runs it inside of a node.

Usage: measure.py FOLDER ROUNDS        FOLDER has seed.json (the seed on one node), cluster.json (byte for byte) and uid (of the pod
                                       in the API server), and gets what is written

Each peer has a pod namespace of its own, made once: ADD and DEL take turns in it. After its DEL a namespace is as it was, so that
every ADD finds the same. A fresh one for each round would be more like a node's day, but the kernel takes a namespace apart in the
background, for as long as several calls last, and the next peer would be measured against that; and where that was waited for, all
figures were the same (tried). Container IDs are new in each round.

The time of a call is from before posix_spawn to after wait4, by which its processor time comes too: user and system, with all
descendants that were waited for. Between two calls is a pause, in which the kernel finishes what it has put off.
"""
import ctypes
import gc
import hashlib
import json
import os
import signal
import subprocess
import sys
import time

WARM_UP = 5
PAUSE = 0.01
MEMORY_RUNS = 5

ANNOTATIONS = "io.kubernetes.cri.pod-annotations"
FIXED = {"kube-ipam.ip": "10.188.0.218", "kube-ipam.netmask": "255.255.0.0", "kube-ipam.gateway": "10.188.0.1"}
POD_ARGS = "IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=database-1-0;K8S_POD_INFRA_CONTAINER_ID={cid};K8S_POD_UID={uid}"

PTRACE_TRACEME, PTRACE_CONT, PTRACE_SETOPTIONS = 0, 7, 0x4200
PTRACE_O_TRACEEXIT, PTRACE_O_EXITKILL, PTRACE_EVENT_EXIT = 0x40, 0x100000, 6


class Peer:
    """Who is called, with which configuration, in a namespace of its own."""

    def __init__(self, folder, name, program, conf, verbs=("ADD", "DEL"), ifname="eth0", uid=None):
        self.name, self.program, self.verbs, self.ifname, self.uid = name, program, verbs, ifname, uid
        self.stdin, self.stdout = f"{folder}/{name}.in", f"{folder}/{name}.out"
        with open(self.stdin, "w", encoding="utf-8") as file:
            json.dump(conf, file)
        subprocess.run(["ip", "netns", "add", name], check=True)
        subprocess.run(["ip", "-n", name, "link", "set", "lo", "up"], check=True)

    def environment(self, verb, turn):
        digest = hashlib.sha256(f"{self.name} {turn}".encode()).hexdigest()
        uid = self.uid or f"{digest[:8]}-{digest[8:12]}-{digest[12:16]}-{digest[16:20]}-{digest[20:32]}"
        return {
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
            "CNI_COMMAND": verb,
            "CNI_CONTAINERID": digest,
            "CNI_NETNS": f"/run/netns/{self.name}",
            "CNI_IFNAME": self.ifname,
            "CNI_PATH": "/opt/cni/bin",
            "CNI_ARGS": POD_ARGS.format(cid=digest, uid=uid),
        }

    def check(self, verb, status):
        """A call that failed, or made something else than an address, is no measurement."""
        with open(self.stdout, encoding="utf-8") as file:
            said = file.read()
        if status != 0 or (verb == "ADD" and "10." not in said):
            sys.exit(f"measure.py: {verb} of {self.name} failed, wait status {status}: {said}")


def read(path, how):
    with open(path, encoding="utf-8") as file:
        return how(file)


def peers(folder):
    """The seed's configuration, and what of it each one serves."""
    seed, cluster = (read(f"{folder}/{name}.json", json.load) for name in ("seed", "cluster"))
    flannel, net1 = seed["delegates"]
    runtime = {"runtimeConfig": {ANNOTATIONS: FIXED}}
    same = {key: net1["ipam"][key] for key in ("subnet", "rangeStart", "rangeEnd", "gateway", "routes")}
    macvlan = {**net1, "ipam": {**same, "type": "host-local"}}
    plugins = "/opt/cni/bin"
    return [
        Peer(folder, "lamina-net1", f"{plugins}/lamina", {**seed, **runtime, "delegates": [net1]}, ifname="net1"),
        Peer(folder, "macvlan", f"{plugins}/macvlan", {**macvlan, "cniVersion": seed["cniVersion"]}, ifname="net1"),
        Peer(folder, "lamina-pod", f"{plugins}/lamina", {**seed, **runtime}),
        Peer(folder, "lamina-cluster", f"{plugins}/lamina", cluster, uid=read(f"{folder}/uid", lambda file: file.read().strip())),
        # lamina and multus hand a delegate without a version an empty one.
        Peer(folder, "flannel", f"{plugins}/flannel", {**flannel, "cniVersion": ""}),
        Peer(folder, "multus", f"{plugins}/real-multus", {**seed, "delegates": [flannel, macvlan]}),
        Peer(folder, "lamina-version", f"{plugins}/lamina", seed, ("VERSION",)),
        Peer(folder, "host-local", f"{plugins}/host-local", seed, ("VERSION",)),
        Peer(folder, "true", "/bin/true", seed, ("VERSION",)),
    ]


def call(peer, verb, turn):
    """One call: microseconds, and microseconds of processor time."""
    environment = peer.environment(verb, turn)
    actions = [
        (os.POSIX_SPAWN_OPEN, 0, peer.stdin, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, peer.stdout, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600),
    ]
    argv = [peer.program]
    start = time.perf_counter_ns()
    pid = os.posix_spawn(peer.program, argv, environment, file_actions=actions)
    _, status, used = os.wait4(pid, 0)
    end = time.perf_counter_ns()
    peer.check(verb, status)
    return (end - start) / 1e3, (used.ru_utime + used.ru_stime) * 1e6


def one_round(order, turn, samples):
    for peer in order:
        for verb in peer.verbs:
            sample = call(peer, verb, turn)
            if samples is not None:
                samples.setdefault(peer.name, {}).setdefault(verb, []).append(sample)
            time.sleep(PAUSE)


def rounds(everybody, count):
    """Everybody once in each round, each time behind another neighbour."""
    samples = {}
    for turn in range(-WARM_UP, count):
        first = turn % len(everybody)
        order = everybody[first:] + everybody[:first]
        one_round(order[:: -1 if turn % 2 else 1], turn, samples if turn >= 0 else None)
    return samples


def exec_traced(peer, environment, ptrace):
    """What the child does. ptrace has the parent find it stopped behind its execve."""
    os.dup2(os.open(peer.stdin, os.O_RDONLY), 0)
    os.dup2(os.open(peer.stdout, os.O_WRONLY | os.O_TRUNC), 1)
    ptrace(PTRACE_TRACEME, 0, None, None)
    os.execve(peer.program, [peer.program], environment)


def read_peak(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmHWM:"))


def peak(peer, verb, turn):
    """
    VmHWM in KiB of the program itself. wait4's maximum would be that of its delegates, which are larger, and of this interpreter,
    whose memory a spawned process has until it execs. So the program is held at its very end, with its memory still there.
    """
    ptrace = ctypes.CDLL(None, use_errno=True).ptrace
    ptrace.argtypes = [ctypes.c_long, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p]
    environment = peer.environment(verb, turn)
    pid = os.fork()
    if pid == 0:
        try:
            exec_traced(peer, environment, ptrace)
        finally:
            os._exit(127)
    _, status = os.waitpid(pid, 0)
    if os.WIFSTOPPED(status):
        ptrace(PTRACE_SETOPTIONS, pid, None, PTRACE_O_TRACEEXIT | PTRACE_O_EXITKILL)
    highest, handed_on = 0, None
    while os.WIFSTOPPED(status):
        ptrace(PTRACE_CONT, pid, None, handed_on)
        _, status = os.waitpid(pid, 0)
        if status >> 8 == signal.SIGTRAP | PTRACE_EVENT_EXIT << 8:
            highest, handed_on = read_peak(pid), None
        elif os.WIFSTOPPED(status):
            handed_on = os.WSTOPSIG(status)
    peer.check(verb, status)
    if highest == 0:
        sys.exit(f"measure.py: the memory of {peer.name} could not be read")
    return highest


def peaks(everybody):
    found = {}
    for peer in everybody:
        if peer.program.endswith("/lamina"):
            for turn in range(MEMORY_RUNS):
                for verb in peer.verbs:
                    found.setdefault(peer.name, {}).setdefault(verb, []).append(peak(peer, verb, f"memory {turn}"))
    return found


def go_first():
    """
    Nothing of ours happens while somebody else's time is taken, and as little as possible of what else runs on the machine: ahead of
    all of that by real time priority, or where that is not to be had by niceness, of the process and (some kernels look there first)
    of its session.
    """
    gc.disable()
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    except PermissionError:
        os.setpriority(os.PRIO_PROCESS, 0, -20)
        if os.path.exists("/proc/self/autogroup"):
            with open("/proc/self/autogroup", "w", encoding="ascii") as file:
                file.write("-20")


def main():
    folder, count = sys.argv[1], int(sys.argv[2])
    everybody = peers(folder)
    go_first()
    load = [os.getloadavg()[0]]
    samples = rounds(everybody, count)
    load.append(os.getloadavg()[0])
    json.dump({"rounds": count, "load": load, "samples": samples, "peak_kib": peaks(everybody)}, sys.stdout)


if __name__ == "__main__":
    main()
