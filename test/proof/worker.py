"""Some of a node's sandboxes, started and stopped at random: what each process of owner.py does."""
import collections
import fcntl
import json
import os
import random
import subprocess
import time
import traceback

import kube
import runtime
from truth import Violation

NAMESPACES = 4
SANDBOXES = 4  # network namespaces of a worker
PODS = 4       # of a worker, at most


class Pod:
    """A pod that runs in a sandbox. locks: its addresses, each with the descriptor by which it has it."""

    def __init__(self, name, namespace, fixed):
        self.name, self.namespace, self.fixed = name, namespace, fixed
        self.uid = f"uid-{name}"
        self.container, self.locks, self.result = None, {}, None

    def __str__(self):
        return f"{self.namespace}/{self.name} in {self.container.name}"

    @property
    def annotations(self):
        return {"kube-ipam.ip": ",".join(self.fixed)} if self.fixed else {}

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
        self.kube = options.kube and kube.Kube(options.kube)
        self.pods = []
        self.late = []  # containers whose DEL is still due
        self.events = collections.deque(maxlen=4000)
        self.serial = f"{number}-{life}"
        self.made = 0

    # Calls.

    def call(self, verb, container=None, conf=None, killed=False, said=""):
        moment = fault = None
        if killed and self.runtime.fault_points and self.chance(0.5):
            fault = self.random.choice(runtime.FAULTS[verb])
        elif killed:
            moment = self.random.uniform(0, self.random.choice((0.5, 1.2)) * self.runtime.typical(verb))
        start = time.monotonic()
        outcome = self.runtime.call(verb, conf or self.conf, container, moment, fault)
        self.note(start, verb, container, said, f"{outcome} at {fault}" if outcome.killed and fault else str(outcome))
        self.board.count("operations", self.number)
        if outcome.killed:
            self.board.count("killed", self.number)
        elif not outcome.ok and outcome.code != runtime.CODE_TRY_AGAIN:
            raise Violation(f"{verb} of {container.name if container else self.node}: {outcome}")
        return outcome

    def note(self, start, verb, container, said, answer):
        self.events.append((start, time.monotonic(), self.node, verb, container.name if container else "", said, answer))

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
            if self.kube and self.chance(0.5):
                self.collect_cluster()
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
        self.made += 1
        name, namespace, fixed = f"pod-{self.serial}-{self.made}", f"ns-{self.random.randrange(NAMESPACES)}", []
        if self.chance(0.45):
            fixed = self.random.sample(self.options.fixed, self.random.choice((1, 1, 1, 2)))
            # Mostly a namespace's own, now and then somebody else's.
            if self.chance(0.85):
                fixed = fixed[:1]
                namespace = f"ns-{self.options.fixed.index(fixed[0]) % NAMESPACES}"
        pod = Pod(name, namespace, fixed)
        if self.kube:
            pod.uid = self.kube.put_pod(namespace, name, self.node, self.number, pod.annotations)
        return pod

    def gone(self, pod):
        """Nothing of the pod runs any more, and the API server hears of it."""
        if self.kube:
            self.kube.delete_pod(pod.namespace, pod.name)

    def add(self, pod, container, killed):
        """An ADD as the runtime calls it: what is under way is known."""
        self.truth.know(self.node, container.name, self.number)
        conf = self.conf if self.kube else runtime.with_annotations(self.conf, pod.annotations)
        return self.call("ADD", container, conf, killed, f"{pod.namespace} {' '.join(pod.fixed)}")

    def granted(self, pod, outcome):
        """The pod has what ADD printed, and keeps what it had."""
        self.board.count("granted", self.number)
        pod.result = outcome.answer
        pod.container.fixed = pod.fixed
        if pod.fixed and sorted(outcome.addresses) != sorted(pod.fixed):
            raise Violation(f"{pod} asked for {pod.fixed} and got {outcome.addresses}")
        for address in outcome.addresses:
            if address not in self.options.pool:
                raise Violation(f"{pod} got {address}, which is not of the pool")
            if address not in pod.locks:
                pod.locks[address] = self.truth.take(address, str(pod))
                self.board.count("inherited", self.number, bool(pod.fixed and self.truth.left(address)))
                self.truth.clear(pod.fixed, self.truth.left(address))
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
        self.gone(pod)

    def stop(self):
        pod = self.pods.pop(self.random.randrange(len(self.pods)))
        pod.unlock()
        first = self.chance(0.5)
        if first:
            self.gone(pod)
        self.end(pod.container, self.chance(self.options.kills), later=0.3 if self.kube else 0)
        if not first:
            self.gone(pod)
        if self.chance(0.3):
            self.late += [pod.container] * 2

    def end(self, container, killed=False, later=0.0):
        """DEL until it succeeds; or later, when the runtime may know no more of it."""
        if self.chance(later):
            self.late.append(container)
            self.truth.leave(container.fixed, container.name)
            if self.chance(0.5):
                self.truth.forget(self.node, container.name)
            return
        while not self.call("DEL", container, killed=killed).ok:
            killed = False
            if self.board.stopped():
                raise Stop
        self.truth.forget(self.node, container.name)
        self.truth.clear(container.fixed, container.name)

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
            old.fixed = []
            self.end(old, later=0.5)
        elif outcome.killed:
            pod.unlock()
            self.pods.remove(pod)
            for container in self.random.sample((old, new), 2):
                self.end(container)
            self.gone(pod)
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
        if self.chance(0.5):
            self.gone(pod)

    def collect(self):
        names = (name.rsplit(".", 1) for name in self.truth.known(self.node))
        valid = [{"containerID": cid, "ifname": ifname} for cid, ifname in names]
        if self.call("GC", conf={**self.conf, runtime.VALID: valid}).ok:
            self.board.count("collections", self.number)

    def collect_cluster(self):
        """At any time, from anywhere."""
        start = time.monotonic()
        done = subprocess.run([self.options.lamina, "ip", "gc", "--json", "--conf", self.options.command_conf],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        self.note(start, "ip gc", None, "", done.stdout)
        self.board.count("operations", self.number)
        if done.returncode < 0:
            raise Violation(f"lamina ip gc: {done.returncode} {done.stdout}")
        self.board.count("cluster_collections", self.number)

    # A life.

    def recover(self):
        """What a worker of this number knew when it was killed, runs no more: as a kubelet that starts anew, DEL it."""
        if self.kube:
            for i in range(NAMESPACES):
                self.kube.delete_pods_of(f"ns-{i}", self.number)
        for name in list(self.truth.known_of(self.node, self.number)):
            cid, ifname = name.rsplit(".", 1)
            with self.truth.gate(self.node, fcntl.LOCK_SH):
                self.end(runtime.Container(cid, ifname, ""))

    def drain(self):
        for pod in self.pods:
            pod.unlock()
            self.gone(pod)
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
