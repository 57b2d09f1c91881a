#!/usr/bin/env python3
"""Many pods at a time, for tests that run this inside of a node: starts lamina itself, so that a call costs one process.

Usage: crowd.py add|check|del COUNT JOBS FOLDER <CONFIGURATION
       crowd.py storm COUNT JOBS <CONFIGURATION

add, check and del call lamina for pod-0 to pod-(COUNT - 1), whose namespaces exist, JOBS at a time; each fifth pod asks for a fixed
address. FOLDER keeps what ADD printed. Fails unless every call succeeds.

storm brings COUNT sandboxes up and down, in the namespaces pod-0 to pod-(JOBS - 1). Most lives end with a kill -9 of lamina at a
random moment of its ADD, some at one of its DEL; a DEL follows at once, must succeed, and must have left nothing of the container.
Stops at the first thing that is wrong and tells all about it. LAMINA_STORM_SEED repeats the choices of a run, if not its moments.
"""
import collections
import concurrent.futures
import ctypes
import glob
import json
import os
import random
import select
import socket
import statistics
import subprocess
import sys
import threading
import time

LIBC = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNET = 0x40000000
ANNOTATIONS = "io.kubernetes.cri.pod-annotations"
LAMINA = "/opt/cni/bin/lamina"
STATE = "/var/lib/cni"


def enter(namespace):
    """Moves this thread into a network namespace."""
    if LIBC.setns(namespace.fileno(), CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")


class Pod:
    def __init__(self, conf, number, fixed, cid=None):
        self.name = f"pod-{number}"
        self.cid = cid or self.name
        conf = json.loads(conf)
        conf["runtimeConfig"] = {ANNOTATIONS: {"kube-ipam.ip": f"10.188.200.{number + 1}"} if fixed else {}}
        self.conf = conf
        self.env = {
            "PATH": os.environ["PATH"],
            "CNI_CONTAINERID": self.cid,
            "CNI_NETNS": f"/run/netns/{self.name}",
            "CNI_IFNAME": "eth0",
            "CNI_PATH": "/opt/cni/bin",
            "CNI_ARGS": f"IgnoreUnknown=1;K8S_POD_NAMESPACE=crowd;K8S_POD_NAME={self.name};K8S_POD_UID=uid-{self.cid}",
        }
        # A build with a sanitizer is told where to report.
        self.env.update({key: value for key, value in os.environ.items() if key.endswith("SAN_OPTIONS")})

    def call(self, verb, kill_after=None, **env):
        """Runs lamina: (exit status, or None when it was killed; stdout; stderr; seconds)."""
        out, err = os.memfd_create("stdout"), os.memfd_create("stderr")
        start = time.monotonic()
        process = subprocess.Popen([LAMINA], stdin=subprocess.PIPE, stdout=out, stderr=err, cwd="/",
                                   env=self.env | {"CNI_COMMAND": verb} | env)
        try:
            process.stdin.write(json.dumps(self.conf).encode())
            process.stdin.close()
            if kill_after is not None:
                self.kill(process, start + kill_after)
            status = process.wait(120)
        finally:
            process.kill()
            process.wait()
        texts = [os.pread(fd, 1 << 20, 0).decode() for fd in (out, err)]
        os.close(out)
        os.close(err)
        return None if status == -9 else status, *texts, time.monotonic() - start

    @staticmethod
    def kill(process, moment):
        fd = os.pidfd_open(process.pid)
        poll = select.poll()
        poll.register(fd, select.POLLIN)
        if not poll.poll(max(0, (moment - time.monotonic()) * 1000)):
            process.kill()
        os.close(fd)

    def links(self):
        """The names of all links of its namespace."""
        with open("/proc/thread-self/ns/net", encoding="utf-8") as own, open(self.env["CNI_NETNS"], encoding="utf-8") as its:
            enter(its)
            try:
                return [name for _, name in socket.if_nameindex()]
            finally:
                enter(own)

    def leftovers(self):
        """What a DEL should have removed, but for the store's rows: these are looked at when all is over."""
        found = [f"link {name} of {self.name}" for name in self.links() if name != "lo"]
        for pattern in (f"multus/{self.cid}", f"multus/.{self.cid}.tmp", f"multus/results/*-{self.cid}-*",
                        f"multus/results/.*-{self.cid}-*", f"flannel/{self.cid}"):
            found += glob.glob(f"{STATE}/{pattern}")
        for path in glob.glob(f"{STATE}/networks/*/*"):
            try:
                with open(path, encoding="utf-8") as file:
                    if self.cid in file.read().split():
                        found.append(path)
            except FileNotFoundError:
                pass
        return found


class Failed(Exception):
    pass


def expect(good, what, *told):
    if not good:
        raise Failed("\n".join([what, *(str(it).rstrip() for it in told)]))


def call_all(verb, conf, count, jobs, folder):
    def one(number):
        pod = Pod(conf, number, fixed=number % 5 == 0)
        if verb == "CHECK":
            with open(f"{folder}/{pod.name}", encoding="utf-8") as file:
                pod.conf["prevResult"] = json.load(file)
        status, out, err, _ = pod.call(verb)
        expect(status == 0, f"{verb} of {pod.name}: {status}", out, err)
        if verb == "ADD":
            with open(f"{folder}/{pod.name}", "w", encoding="utf-8") as file:
                file.write(out)

    with concurrent.futures.ThreadPoolExecutor(jobs) as threads:
        list(threads.map(one, range(count)))


class Storm:
    def __init__(self, conf, count, jobs):
        self.conf = conf
        self.jobs = jobs
        self.lives = iter(range(count))
        self.lock = threading.Lock()
        self.took = {"ADD": collections.deque(maxlen=50), "DEL": collections.deque(maxlen=50)}
        self.killed = collections.Counter()
        self.failed = None
        self.seed = int(os.environ.get("LAMINA_STORM_SEED") or random.randrange(1 << 32))
        self.random = random.Random(self.seed)

    def moment(self, verb):
        """A random one of a call: of its first milliseconds, where lamina does most of its own work, or of all, and a bit later."""
        return self.random.uniform(0, self.random.choice((0.006, 1.2 * statistics.median(self.took[verb]))))

    def perhaps(self, share, value):
        return value if self.random.random() < share else None

    def next_life(self, slot):
        """What happens to it: the choices are made in one order, whatever thread makes them."""
        with self.lock:
            number = next(self.lives, None)
            if number is None or self.failed:
                return None
            return (Pod(self.conf, slot, self.perhaps(0.4, True), f"life-{number}"), self.perhaps(0.75, self.moment("ADD")),
                    self.perhaps(0.5, self.moment("DEL")), self.perhaps(0.2, {"CNI_NETNS": ""}) or {},
                    self.perhaps(0.3, {"LAMINA_FAULT": "macvlan_name:fail"}) or {})

    def live(self, pod, kill_add=None, kill_del=None, del_env=None, add_env=None):
        history = []

        def call(verb, kill_after=None, **env):
            status, out, err, seconds = pod.call(verb, kill_after, LAMINA_TRACE="1", **env)
            history.append(f"--- {verb}{env}, to be killed after {kill_after}: {status} after {seconds:.3f} s\n{out}{err}")
            steps = [line.split(None, 2)[2] for line in err.splitlines() if line.startswith("trace")]
            with self.lock:
                if status is None:
                    self.killed[f"{verb}, after {steps[-1] if steps else 'its start'!r}"] += 1
                elif status == 0 and kill_after is None:
                    self.took[verb].append(seconds)
            return status

        # A build with fault points makes net1 under another name first, as old kernels need it.
        added = call("ADD", kill_add, **(add_env or {}))
        expect(added in (0, None), f"the ADD of {pod.cid} failed", *history)
        if added == 0 and kill_del is not None:
            expect(call("DEL", kill_del) in (0, None), f"the DEL of {pod.cid} that was to be killed failed", *history)
        # The runtime does not always know where the namespace was.
        expect(call("DEL", **(del_env or {})) == 0, f"the DEL of {pod.cid} failed", *history)
        expect(not (left := pod.leftovers()), f"DEL left of {pod.cid}: {left}", *history)

    def first(self, slot):
        self.work(slot, [(Pod(self.conf, slot, True, f"first-{slot}"),)])

    def work(self, slot, lives=None):
        try:
            for life in lives or iter(lambda: self.next_life(slot), None):
                self.live(*life)
        except Exception as error:  # whatever it is, the others must stop and it must be told
            self.failed = self.failed or error

    def run(self):
        # The first lives end well: how long a call takes when others are under way is what a random moment is one of.
        for slots in (self.first, self.work):
            threads = [threading.Thread(target=slots, args=(slot,)) for slot in range(self.jobs)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        print(f"seed {self.seed}; killed:", *(f"{count:5} {step}" for step, count in self.killed.most_common()), sep="\n")
        if self.failed:
            raise self.failed


def main():
    verb, count, jobs = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    conf = sys.stdin.read()
    try:
        if verb == "storm":
            Storm(conf, count, jobs).run()
        else:
            call_all(verb.upper(), conf, count, jobs, sys.argv[4])
    except Failed as failed:
        sys.exit(str(failed))


main()
