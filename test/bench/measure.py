#!/usr/bin/env python3
"""Calls lamina and its peers as a runtime does and prints what each call took, as JSON. run.sh runs it inside of a node.

Usage: measure.py calls|networks FOLDER ROUNDS        FOLDER: see peers.Site; it gets what is written

Each peer has a pod namespace of its own, made once: ADD and DEL take turns in it. After its DEL a namespace is as it was, so that
every ADD finds the same. A fresh one for each round would be more like a node's day, but the kernel takes a namespace apart in the
background, for as long as several calls last, and the next peer would be measured against that; and where that was waited for, all
figures were the same (tried). Container IDs are new in each round.

The time of a call is from before posix_spawn to after wait4, by which its processor time comes too: user and system, with all
descendants that were waited for; beside it the processor time that the servers had meanwhile. Between two calls is a pause, in which
the kernel finishes what it has put off. CHECK is called for pods that stay, of a version that has it. What a call needs beside time
is counted when all that is timed is over.
"""
import json
import os
import sys
import time

import peers
import priority
import servers
import tracer

WARM_UP = 5
PAUSE = 0.01
TRACED_RUNS = 3


class Rounds:
    """Everybody once in each round, each time behind another neighbour."""

    def __init__(self, everybody, verbs):
        """verbs: what is called, by the peer's name."""
        self.servers, self.everybody, self.verbs = servers.Servers(), everybody, verbs
        self.samples = {peer.name: {verb: [] for verb in verbs[peer.name]} for peer in everybody}

    def call(self, peer, verb, turn, container):
        before = self.servers.used()
        status, wall, cpu = peer.call(verb, container)
        theirs = self.servers.used() - before
        peer.expect(verb, status)
        if turn >= 0:
            self.samples[peer.name][verb].append((wall, cpu, theirs))
        time.sleep(PAUSE)

    def run(self, count, container=None):
        """container: the one that all calls are for; None: a new one in each round."""
        for turn in range(-WARM_UP, count):
            first = turn % len(self.everybody)
            order = self.everybody[first:] + self.everybody[:first]
            for peer in order[:: -1 if turn % 2 else 1]:
                for verb in self.verbs[peer.name]:
                    self.call(peer, verb, turn, container or turn)
        return self.samples


def needs(everybody, verbs, container=None):
    """What calls need beside time."""
    found = {peer.name: {verb: [] for verb in verbs[peer.name]} for peer in everybody}
    for peer in everybody:
        for turn in range(TRACED_RUNS):
            for verb in verbs[peer.name]:
                what = tracer.trace(peer.program, peer.environment(verb, container or f"traced {turn}"), peer.stdin, peer.stdout)
                peer.expect(verb, what.status)
                found[peer.name][verb].append(what[1:])
    return found


def stay(everybody):
    """Their pods come, and stay; who can CHECK his, and what the others say to that."""
    able, cannot = [], {}
    for peer in everybody:
        status, _, _ = peer.call("ADD", "stays")
        peer.expect("ADD", status)
        conf = peer.conf
        peer.configure({**conf, "prevResult": json.loads(peer.said())})
        if peer.call("CHECK", "stays")[0] == 0:
            able.append(peer)
        else:
            cannot[peer.name] = peer.said()
            peer.configure(conf)
    return able, cannot


def leave(everybody):
    for peer in everybody:
        status, _, _ = peer.call("DEL", "stays")
        peer.expect("DEL", status)


def merge(into, more):
    for name, verbs in more.items():
        into.setdefault(name, {}).update(verbs)


def come_and_go(pods, others, count):
    verbs = {peer.name: ("ADD", "DEL") for peer in pods} | {peer.name: ("VERSION",) for peer in others}
    return Rounds(pods + others, verbs).run(count), needs(pods + others, verbs)


def check(staying, count, samples, needed):
    """Adds their CHECKs to both. Returns who cannot, and why."""
    able, cannot = stay(staying)
    checks = {peer.name: ("CHECK",) for peer in able}
    merge(samples, Rounds(able, checks).run(count, "stays"))
    merge(needed, needs(able, checks, "stays"))
    leave(staying)
    return cannot


def main():
    part, site, count = sys.argv[1], peers.Site(sys.argv[2]), int(sys.argv[3])
    if part == "calls":
        pods, others, staying = site.pods(), site.others(), site.pods(peers.CHECKED, "check-")
    else:
        pods, others, staying = site.networks(), [], []
    priority.go_first()
    load = [os.getloadavg()[0]]
    samples, needed = come_and_go(pods, others, count)
    cannot = check(staying, count, samples, needed) if staying else {}
    load.append(os.getloadavg()[0])
    json.dump({"rounds": count, "load": load, "samples": samples, "needs": needed, "cannot": cannot}, sys.stdout)


if __name__ == "__main__":
    main()
