#!/usr/bin/env python3
"""What lamina and its peers take when there is more than one pod, as JSON. run.sh runs it inside of a node.

Usage: scale.py burst FOLDER ROUNDS       as many ADDs at once as BURSTS has, then their DELs; FOLDER: see peers.Site
       scale.py full CONF ROUNDS FOLDER   ADD and DEL of kube-ipam alone while as many addresses as SIZES has are in use, with CONF's
                                          etcd and with a store of the node's own; FOLDER, in memory, gets the latter
"""
import functools
import glob
import ipaddress
import json
import os
import random
import sqlite3
import subprocess
import sys
import time

import etcd
import peers
import priority
import runtime
import together

BURSTS = (1, 10, 50)
SIZES = (10, 1000, 60000)
PAUSE = 0.01
FIRST, LAST = "10.188.0.10", "10.188.255.250"
FIXED = "10.188.0.5"


def make_namespaces(names):
    subprocess.run(["ip", "-batch", "-"], input="".join(f"netns add {name}\n" for name in names), text=True, check=True)


class Burst:
    """Pods of one peer that come and go at once."""

    def __init__(self, program, conf_of, nothing=False):
        """conf_of: a pod's configuration. nothing: the program is none, what is measured is what it costs to start programs."""
        self.program, self.conf_of, self.nothing = program, conf_of, nothing

    def prepare(self, verb, turn, number):
        cid = f"burst-{turn}-{number}"
        container = runtime.Container(cid, "eth0", f"/run/netns/burst-{number}", ("default", f"burst-{number}", f"uid-{cid}"))
        call = runtime.Prepared(self.program, verb, self.conf_of(number), container)

        def go():
            call.start()
            return lambda: "" if self.good(verb, call) else f"{verb} by {self.program}: {call.outcome()}"

        return go

    def good(self, verb, call):
        return call.status == 0 and (verb != "ADD" or self.nothing or "10." in str(call.outcome().answer))

    def run(self, verb, turn, count):
        """Seconds from the first one's begin to the last one's end."""
        said, took = together.together([functools.partial(self.prepare, verb, turn, number) for number in range(count)])
        failed = [text for text in said if text]
        if failed:
            sys.exit("\n".join(failed[:3]))
        time.sleep(PAUSE)
        return took


def bursts(folder, rounds):
    site = peers.Site(folder)
    plugins = peers.PLUGINS
    everybody = {
        "lamina-pod": Burst(f"{plugins}/lamina", lambda number: site.pod_conf(f"10.188.1.{number + 1}")),
        "lamina-etcd": Burst(f"{plugins}/lamina", lambda number: site.etcd_conf(f"10.188.1.{number + 1}")),
        "flannel": Burst(f"{plugins}/flannel", lambda _: {**site.flannel, "cniVersion": ""}),
        "multus": Burst(f"{plugins}/real-multus", lambda _: site.multus_conf()),
        "true": Burst("/bin/true", lambda _: site.seed, True),
    }
    priority.go_first()
    make_namespaces([f"burst-{number}" for number in range(max(BURSTS))])
    found = {name: {count: {"ADD": [], "DEL": []} for count in BURSTS} for name in everybody}
    for turn in range(-1, rounds):
        for count in BURSTS:
            for name, burst in everybody.items():
                for verb in ("ADD", "DEL"):
                    took = burst.run(verb, f"{name}-{turn}", count)
                    if turn >= 0:
                        found[name][count][verb].append(took)
    return found


class OwnStore:
    """Of the node: SQLite."""

    def __init__(self, conf):
        self.folder = conf["dataDir"]

    def fill(self, addresses, name, _):
        """As the one claim that is there."""
        with sqlite3.connect(*glob.glob(f"{self.folder}/*.db")) as db:
            network, ifname, domain, value, sandbox = db.execute("SELECT network, ifname, domain, value, sandbox FROM claim").fetchone()
            db.executemany("INSERT INTO claim(network, cid, ifname, domain, addr, value, sandbox) VALUES(?, ?, ?, ?, ?, ?, ?)",
                           [(network, name(address), ifname, domain, b"\4" + ipaddress.ip_address(address).packed, value, sandbox)
                            for address in addresses])
        db.close()


class Cluster:
    """etcd's."""

    def __init__(self, conf):
        self.etcd = etcd.Etcd(conf["ipam"]["etcdConfig"])

    def fill(self, addresses, name, pattern):
        """pattern: container and address of the one claim that is there."""
        found = self.etcd.keys("/")
        keys = [(key, value) for key, value in found.items() if any(part in key + value for part in pattern) and "/fixed/" not in key]
        for start in range(0, len(addresses), 30):
            self.etcd.put({self.like(key, pattern, address, name): self.like(value, pattern, address, name)
                           for address in addresses[start:start + 30] for key, value in keys if pattern[1] in key or pattern[0] in key})

    @staticmethod
    def like(text, pattern, address, name):
        return text.replace(pattern[0], name(address)).replace(pattern[1], address)


class Full:
    def __init__(self, name, store, conf):
        self.name, self.store, self.conf = name, store, conf
        self.used = 0

    def call(self, verb, kind, turn):
        container = runtime.Container(f"{kind}-{turn}", "net1", "/run/netns/full", ("default", f"pod-{kind}", f"uid-{kind}-{turn}"))
        annotations = peers.fixed(FIXED) if kind == "fixed" else {}
        call = runtime.Prepared(f"{peers.PLUGINS}/kube-ipam", verb, runtime.with_annotations(self.conf, annotations), container)
        good = call.start()
        outcome = call.outcome()
        for fd in call.files:
            os.close(fd)
        if not good:
            sys.exit(f"{verb} with {self.name}: {outcome}")
        time.sleep(PAUSE)
        return call.seconds, outcome

    def fill(self, addresses):
        """So many more are in use."""
        pattern = ("dynamic-pattern", self.call("ADD", "dynamic", "pattern")[1].addresses[0])
        self.store.fill([address for address in addresses if address != pattern[1]],
                        lambda address: f"full-{address.replace('.', '-')}", pattern)
        self.call("DEL", "dynamic", "pattern")

    def measure(self, rounds, size):
        found = {kind: {"ADD": [], "DEL": []} for kind in ("fixed", "dynamic")}
        for turn in range(-2, rounds):
            for kind, verbs in found.items():
                for verb, seconds in verbs.items():
                    took, _ = self.call(verb, kind, f"{size}-{turn}")
                    if turn >= 0:
                        seconds.append(took)
        return found


def full(conf_file, rounds, folder):
    conf = peers.read(conf_file, json.load)
    conf["ipam"] |= {"rangeStart": FIRST, "rangeEnd": LAST}
    conf |= {"nodeName": "node-1", "cniDir": f"{folder}/cni", "dataDir": f"{folder}/data"}
    own = {**conf, "ipam": {key: value for key, value in conf["ipam"].items() if key != "etcdConfig"}}
    make_namespaces(["full"])
    priority.go_first()
    stores = [Full("own store", OwnStore(own), own), Full("etcd", Cluster(conf), conf)]
    first, last = (int(ipaddress.ip_address(text)) for text in (FIRST, LAST))
    # Taken and free ones are mixed, as pods leave them that come and go.
    order = random.Random(1).sample(range(first, last + 1), max(SIZES))
    found, used = {store.name: {} for store in stores}, 0
    for size in SIZES:
        for store in stores:
            store.fill([str(ipaddress.ip_address(number)) for number in order[used:size]])
        used = size
        for store in stores:
            found[store.name][size] = store.measure(rounds, size)
    return found


def main():
    what, where, rounds, *folder = sys.argv[1:]
    json.dump({"burst": bursts, "full": full}[what](where, int(rounds), *folder), sys.stdout)


if __name__ == "__main__":
    main()
