#!/usr/bin/env python3
"""Counts the requests that kube-ipam's calls send to etcd, by the log of a proxy (test/lab/proxy.py) in front of it.

Usage: trips.py --conf FILE --log LOG [--cases N] [--churn N] WHAT FOLDER

FILE is a configuration as owner.py takes it, with a proxy's address in etcdURL. WHAT is
fixed      ADD and DEL of a fixed address: the first time, when it is kept for the namespace by then, and of two addresses
dynamic    N ADDs while four of five addresses are taken, most by other nodes, and their DELs. Before each, other nodes free and
           take as many addresses as --churn says (3)
full       an ADD when none is free, and one when just one is

Prints one JSON object: for each kind of call, how many requests it took how many times. Fails when a call answers something else.
"""
import argparse
import collections
import ipaddress
import json
import random
import subprocess
import sys

import etcd
import runtime

OWN_PODS = 20
NETNS = "trips"
STRANGER = json.dumps({"v": 1, "kind": "dynamic", "ns": "default", "pod": "stranger", "uid": "uid-stranger", "cid": "stranger",
                       "ifname": "eth0", "node": "elsewhere", "nonce": "00000000000000ff", "time": 1700000000})


class Pool:
    """The range of the configuration, of which others have some."""

    def __init__(self, conf, cluster):
        ipam, self.network, self.etcd = conf["ipam"], conf["name"], cluster
        first, last = (int(ipaddress.ip_address(ipam[key])) for key in ("rangeStart", "rangeEnd"))
        self.all = [str(ipaddress.ip_address(number)) for number in range(first, last + 1)]
        self.strangers = set()

    def keys(self, address):
        return {f"/networks/{self.network}/used/{address}": STRANGER, f"/domain/default/{address}": self.network}

    def occupy(self, addresses):
        self.etcd.put({key: value for address in addresses for key, value in self.keys(address).items()})
        self.strangers |= set(addresses)

    def vacate(self, address):
        self.etcd.delete(self.keys(address))
        self.strangers.discard(address)


class Counter:
    """Calls, each with the requests that came by while it ran."""

    def __init__(self, options, conf):
        self.conf = conf
        self.log = open(options.log, encoding="utf-8")
        self.plugin = runtime.Runtime(options.plugin)
        self.found = collections.defaultdict(collections.Counter)
        self.number = 0

    def requests(self):
        return sum("method" in json.loads(line) for line in self.log)

    def call(self, what, verb, container, fixed=None, expect=0):
        self.requests()
        annotations = {"kube-ipam.ip": fixed} if fixed else {}
        outcome = self.plugin.call(verb, runtime.with_annotations(self.conf, annotations), container)
        if expect not in (outcome.status, outcome.code):
            sys.exit(f"{what}: {outcome}")
        self.found[what][self.requests()] += 1
        return outcome

    def container(self):
        self.number += 1
        return runtime.Container(f"pod-{self.number}", "eth0", f"/run/netns/{NETNS}", ("default", f"pod-{self.number}", "uid"))


def fixed(counter, pool, options):
    address = pool.all[7]
    for what in ["fixed ADD"] + ["fixed ADD of a kept address"] * options.cases:
        pod = counter.container()
        counter.call(what, "ADD", pod, address)
        counter.call("repeated ADD", "ADD", pod, address)
        counter.call("DEL", "DEL", pod)
        counter.call("second DEL", "DEL", pod)
    pod = counter.container()
    counter.call("ADD of two fixed addresses", "ADD", pod, f"{pool.all[8]},{pool.all[9]}")
    counter.call("DEL of two addresses", "DEL", pod)


def dynamic(counter, pool, options):
    pods = {}
    pool.occupy(random.sample(pool.all, len(pool.all) * 4 // 5 - OWN_PODS))
    for _ in range(options.cases):
        for _ in range(options.churn):
            pool.vacate(random.choice(sorted(pool.strangers)))
            pool.occupy([random.choice(sorted(set(pool.all) - pool.strangers - set(pods)))])
        pod = counter.container()
        pods[counter.call("dynamic ADD", "ADD", pod).addresses[0]] = pod
        if len(pods) > OWN_PODS:
            counter.call("DEL", "DEL", pods.pop(random.choice(list(pods))))


def full(counter, pool, options):
    pool.occupy(pool.all)
    for _ in range(options.cases):
        counter.call("ADD when none is free", "ADD", counter.container(), expect=runtime.CODE_TRY_AGAIN)
        free = random.choice(pool.all)
        pool.vacate(free)
        pod = counter.container()
        outcome = counter.call("ADD when one is free", "ADD", pod)
        if outcome.addresses != [free]:
            sys.exit(f"{free} is free, and ADD says: {outcome}")
        counter.call("DEL", "DEL", pod)
        pool.occupy([free])


def main():
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--conf", required=True)
    parser.add_argument("--log", required=True)
    parser.add_argument("--cases", type=int, default=1)
    parser.add_argument("--churn", type=int, default=3)
    parser.add_argument("--plugin", default="/opt/cni/bin/kube-ipam")
    parser.add_argument("what", choices=("fixed", "dynamic", "full"))
    parser.add_argument("folder")
    options = parser.parse_args()
    with open(options.conf, encoding="utf-8") as file:
        conf = json.load(file)
    direct = etcd.Etcd({**conf["ipam"]["etcdConfig"], "etcdURL": conf["etcd"]})
    subprocess.run(["ip", "netns", "add", NETNS], check=True)
    conf |= {"nodeName": "node-1", "cniDir": f"{options.folder}/cni", "dataDir": f"{options.folder}/data"}
    counter = Counter(options, conf)
    {"fixed": fixed, "dynamic": dynamic, "full": full}[options.what](counter, Pool(conf, direct), options)
    json.dump(counter.found, sys.stdout)


main()
