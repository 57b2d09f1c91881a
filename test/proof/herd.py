#!/usr/bin/env python3
"""Many nodes claim addresses at once, as many as there are: how long that takes, and that each gets one of its own.

Usage: herd.py [options] --conf FILE FOLDER

FILE is a configuration as owner.py takes it. Each process is a node of its own name, and calls kube-ipam for its share of the pods,
one after the other; all processes begin at the same moment.

--processes N    at a time (200)              --addresses N    of the pool (0: as many as pods)
--pods N         together (1000)              --rounds N       of ADDs and then DELs of them all (1)
--plugin FILE    (/opt/cni/bin/kube-ipam)     --json FILE      gets the figures, too
--bare           the plugin is none and does nothing: what ADDs cost beside it

An ADD that has no answer from etcd in time is tried anew, in a new sandbox after a DEL, as a kubelet does it. Fails when an ADD says
anything else, such as that no address is free; when two have one address; when a pool that is full gives out another one; or when
something is left at the end. Prints what it took, how many calls had to be done anew, and how many requests beyond one each etcd has seen.
"""
import argparse
import collections
import functools
import ipaddress
import json
import os
import resource
import statistics
import subprocess
import sys
import time

import etcd
import runtime
import servers
import together

SANDBOXES = 16
TRIES = 20
Call = collections.namedtuple("Call", "pod cid addresses seconds said again")


class Herd:
    def __init__(self, options):
        self.options = options
        with open(options.conf, encoding="utf-8") as file:
            self.conf = json.load(file)
        ipam = self.conf["ipam"]
        first = ipaddress.ip_address(ipam["rangeStart"])
        ipam["rangeEnd"] = str(first + (options.addresses or options.pods) - 1)
        self.figures, self.cids, self.servers = {}, {}, servers.Servers()
        self.etcd = etcd.Etcd(ipam["etcdConfig"]) if "etcdConfig" in ipam else None
        names = [f"herd-{i}" for i in range(SANDBOXES)]
        have = set(os.listdir("/run/netns")) if os.path.isdir("/run/netns") else set()
        subprocess.run(["ip", "-batch", "-"], input="".join(f"netns add {name}\n" for name in names if name not in have),
                       text=True, check=True)

    def node_conf(self, node):
        # Without etcd the addresses are one node's.
        place = f"{self.options.folder}/{node if self.etcd else 'node'}"
        return {**self.conf, "nodeName": node, "cniDir": f"{place}/cni", "dataDir": f"{place}/data"}

    @staticmethod
    def container(pod, cid):
        return runtime.Container(cid, "eth0", f"/run/netns/herd-{pod % SANDBOXES}", ("herd", f"pod-{pod}", f"uid-{pod}"))

    def share(self, verb, process):
        """What one process does: all is prepared that can be before it begins, and what came of it is looked at when all is over."""
        caller = runtime.Runtime(self.options.plugin)
        conf = runtime.with_annotations(self.node_conf(f"node-{process}"), {})
        calls = []
        for pod in range(process, self.options.pods, self.options.processes):
            container = self.container(pod, self.cids.get(pod, f"pod-{pod}-0"))
            calls.append((pod, container, runtime.Prepared(self.options.plugin, verb, conf, container)))
        follow = self.add if verb == "ADD" else self.delete

        def go():
            made = [follow(caller, conf, *call) for call in calls]
            return lambda: [self.look_at(*call) for call in made]

        return go

    def look_at(self, pod, container, outcome, seconds, again):
        outcome = outcome()
        addresses = outcome.addresses if outcome.ok and not self.options.bare and outcome.answer else []
        again = "is queued" in outcome.log if again is None else again
        return Call(pod, container.cid, addresses, seconds, "" if outcome.ok else str(outcome), again)

    def add(self, caller, conf, pod, container, first):
        if first.start():
            return pod, container, first.outcome, first.seconds, 0
        start, outcome = time.monotonic() - first.seconds, first.outcome()
        for again in range(TRIES):
            if outcome.ok or outcome.code != runtime.CODE_TRY_AGAIN or not self.may_pass(outcome):
                break
            caller.call("DEL", conf, container)
            self.drain(caller, conf)
            container = self.container(pod, f"pod-{pod}-{again + 1}")
            outcome = caller.call("ADD", conf, container)
        return pod, container, lambda: outcome, time.monotonic() - start, again

    def delete(self, caller, conf, pod, container, call):
        call.start()
        self.drain(caller, conf)
        return pod, container, call.outcome, call.seconds, None

    def may_pass(self, outcome):
        """Without an answer in time; or there is no free address while what such an ADD has claimed is not given back yet."""
        mark = f"{self.options.folder}/away"
        if "no free address" not in outcome.answer["msg"]:
            with open(mark, "w", encoding="ascii"):
                return True
        time.sleep(0.2)
        return os.path.exists(mark)

    def drain(self, caller, conf):
        """What a DEL could not tell etcd in time is queued."""
        folder = f"{conf['cniDir']}/outbox"
        for _ in range(TRIES):
            if os.path.isdir(folder) and os.listdir(folder):
                caller.call("GC", conf)

    def all_at_once(self, verb):
        """All calls, and how long they took together."""
        asked = self.etcd and self.etcd.requests()
        before = self.cpu()
        shares, took = together.together([functools.partial(self.share, verb, process) for process in range(self.options.processes)])
        calls = [Call(*call) for share in shares for call in share]
        cpu = [now - then for now, then in zip(self.cpu(), before)]
        self.tell(verb, calls, took, cpu, asked)
        failed = [f"{verb} of pod-{call.pod}: {call.said}" for call in calls if call.said]
        if failed or len(calls) != self.options.pods:
            sys.exit("\n".join(failed[:10]) or f"{len(calls)} calls of {self.options.pods}")
        return calls

    def cpu(self):
        """Seconds of processor time so far: of all processes, and of the servers."""
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        return used.ru_utime + used.ru_stime, self.servers.used() / 1e6

    def tell(self, verb, calls, took, cpu, asked):
        seconds = sorted(call.seconds for call in calls)
        figures = {"calls": len(calls), "processes": self.options.processes, "seconds": took, "per_second": len(calls) / took,
                   "median_ms": statistics.median(seconds) * 1000, "slowest_ms": seconds[-1] * 1000,
                   "cpu_seconds": cpu[0], "servers_cpu_seconds": cpu[1]}
        said = ("{calls} {verb}s, {processes} at a time: {seconds:.2f} s ({cpu_seconds:.2f} s of CPU, servers' "
                "{servers_cpu_seconds:.2f}), {per_second:.0f}/s, median {median_ms:.0f} ms, slowest {slowest_ms:.0f} ms")
        if self.etcd:
            figures["again"] = sum(call.again for call in calls)
            said += "; {again} anew"
        now = self.etcd and self.etcd.requests()
        if asked is not None and now is not None:
            figures["further_requests"] = now - asked - len(calls)
            said += ", {further_requests} requests beyond one each"
        print(said.format(verb=verb, **figures), flush=True)
        self.figures[verb] = figures

    def expect_distinct(self, calls):
        owners = collections.defaultdict(list)
        for call in calls:
            for address in call.addresses:
                owners[address].append(call.pod)
        twice = {address: pods for address, pods in owners.items() if len(pods) > 1}
        if twice or len(owners) != self.options.pods:
            sys.exit(f"given twice: {twice}; {len(owners)} addresses for {self.options.pods} pods")
        self.figures["ADD"]["distinct"] = len(owners)

    def expect_full(self):
        one_more = runtime.Runtime(self.options.plugin).call(
            "ADD", runtime.with_annotations(self.node_conf("node-0"), {}), self.container(0, "one-more"))
        if one_more.code != runtime.CODE_TRY_AGAIN:
            sys.exit(f"all addresses are taken, and one more ADD says: {one_more}")

    def run(self):
        if self.options.bare:
            self.all_at_once("ADD")
        for _ in range(0 if self.options.bare else self.options.rounds):
            calls = self.all_at_once("ADD")
            self.cids = {call.pod: call.cid for call in calls}
            self.expect_distinct(calls)
            if not self.options.addresses:
                self.expect_full()
            self.all_at_once("DEL")
        left = etcd.leaks(self.etcd.keys("/"), self.conf["name"]) if self.etcd else []
        if left:
            sys.exit("left: " + " ".join(left[:20]))
        if self.options.json:
            with open(self.options.json, "w", encoding="utf-8") as file:
                json.dump(self.figures, file)


def parse():
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("folder")
    parser.add_argument("--conf", required=True)
    parser.add_argument("--plugin", default="/opt/cni/bin/kube-ipam")
    parser.add_argument("--json")
    parser.add_argument("--bare", action="store_true")
    for name, value in {"processes": 200, "pods": 1000, "addresses": 0, "rounds": 1}.items():
        parser.add_argument(f"--{name}", type=int, default=value)
    return parser.parse_args()


Herd(parse()).run()
