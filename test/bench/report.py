#!/usr/bin/env python3
"""Prints the table of a bench's samples, and writes its figures as JSON.

Usage: report.py SAMPLES CLAIMS JSON      CLAIMS: what herd.py measured. JSON may be empty: none is written
"""
import datetime
import json
import os
import platform
import random
import statistics
import sys

# What, the peers in it (lamina first), verb, ceiling of the ratio.
COMPARISONS = [
    ("net1 alone / macvlan + host-local", "lamina-net1", "macvlan", "ADD", 0.35),
    ("net1 alone / macvlan + host-local", "lamina-net1", "macvlan", "DEL", None),
    ("whole pod / flannel alone", "lamina-pod", "flannel", "ADD", 1.15),
    ("whole pod / flannel alone", "lamina-pod", "flannel", "DEL", 1.45),
    ("with etcd and API / flannel alone", "lamina-cluster", "flannel", "ADD", 1.25),
    ("with etcd and API / flannel alone", "lamina-cluster", "flannel", "DEL", None),
    ("whole pod / multus + its delegates", "lamina-pod", "multus", "ADD", None),
    ("whole pod / multus + its delegates", "lamina-pod", "multus", "DEL", None),
    ("start and exit / host-local", "lamina-version", "host-local", "VERSION", None),
    ("start and exit / true", "lamina-version", "true", "VERSION", None),
]
MEMORY_CEILING = 8 * 1024  # KiB

NAMES = {
    "lamina-net1": "lamina, net1 alone",
    "macvlan": "macvlan + host-local",
    "lamina-pod": "lamina, the whole pod",
    "lamina-cluster": "lamina, etcd and API",
    "flannel": "flannel alone",
    "multus": "multus + flannel + macvlan",
    "lamina-version": "lamina",
    "host-local": "host-local",
    "true": "/bin/true",
}

RESAMPLES = 2000


def percentile(values, share):
    """The smallest value that at least this share of all does not exceed."""
    ordered = sorted(values)
    return ordered[max(0, -int(-share * len(ordered) // 1) - 1)]


def summary(calls):
    wall, cpu = zip(*calls)
    return {
        "median_ms": statistics.median(wall) / 1e3,
        "p95_ms": percentile(wall, 0.95) / 1e3,
        "cpu_median_ms": statistics.median(cpu) / 1e3,
    }


def spread(own, theirs):
    """Where the ratio of the medians lies with 95 % certainty: the rounds drawn anew, many times."""
    draw = random.Random(1)
    rounds = list(zip(own, theirs))
    ratios = []
    for _ in range(RESAMPLES):
        left, right = zip(*draw.choices(rounds, k=len(rounds)))
        ratios.append(statistics.median(left) / statistics.median(right))
    return [percentile(ratios, 0.025), percentile(ratios, 0.975)]


def compare(samples, what, own, peer, verb, ceiling):
    wall = [[call[0] for call in samples[name][verb]] for name in (own, peer)]
    cpu = [[call[1] for call in samples[name][verb]] for name in (own, peer)]
    ratio = statistics.median(wall[0]) / statistics.median(wall[1])
    return {
        "what": what,
        "verb": verb,
        "ratio": ratio,
        "between": spread(*wall),
        "cpu_ratio": statistics.median(cpu[0]) / statistics.median(cpu[1]),
        "ceiling": ceiling,
        "reached": None if ceiling is None else ratio <= ceiling,
    }


def machine():
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        cpu = next((line.split(":")[1].strip() for line in file if line.startswith("model name")), platform.machine())
    with open("/proc/meminfo", encoding="ascii") as file:
        memory = int(file.readline().split()[1])
    return {
        "cpu": cpu,
        "cores": os.cpu_count(),
        "memory_gib": round(memory / 2**20, 1),
        "kernel": platform.release(),
        "system": platform.freedesktop_os_release()["PRETTY_NAME"],
    }


def make_report(measured, claims):
    samples, peaks = measured["samples"], measured["peak_kib"]
    peak = max(max(runs) for verbs in peaks.values() for runs in verbs.values())
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "machine": machine(),
        "load": measured["load"],
        "rounds": measured["rounds"],
        "calls": {name: {verb: summary(calls) for verb, calls in verbs.items()} for name, verbs in samples.items()},
        "comparisons": [compare(samples, *row) for row in COMPARISONS],
        "memory": {
            "peak_kib": {name: {verb: max(runs) for verb, runs in verbs.items()} for name, verbs in peaks.items()},
            "ceiling_kib": MEMORY_CEILING,
            "reached": peak <= MEMORY_CEILING,
        },
        "claims": claims,
    }


def verdict(reached):
    return {None: "", True: "reached", False: "NOT REACHED"}[reached]


def print_calls(report):
    print(f"{'':28}{'':9}{'median':>9}{'p95':>9}{'CPU':>9}   ms")
    for name, verbs in report["calls"].items():
        for verb, figures in verbs.items():
            print(f"{NAMES[name]:28}{verb:9}", end="")
            print("".join(f"{figures[key]:9.2f}" for key in ("median_ms", "p95_ms", "cpu_median_ms")))


def print_comparisons(report):
    print(f"{'':37}{'':9}{'ratio':>6}{'95 % between':>16}{'of CPU':>8}{'ceiling':>9}")
    for row in report["comparisons"]:
        between = "{:.2f} and {:.2f}".format(*row["between"])
        ceiling = "" if row["ceiling"] is None else f"{row['ceiling']:.2f}"
        line = f"{row['what']:37}{row['verb']:9}{row['ratio']:6.2f}{between:>16}{row['cpu_ratio']:8.2f}{ceiling:>9}"
        print(f"{line}  {verdict(row['reached'])}".rstrip())


def print_memory(report):
    memory = report["memory"]
    for name, verbs in memory["peak_kib"].items():
        figures = ", ".join(f"{verb} {kib / 1024:.1f}" for verb, kib in verbs.items())
        print(f"peak memory of {NAMES[name]}: {figures} MiB")
    print(f"peak memory: ceiling {memory['ceiling_kib'] / 1024:.0f} MiB  {verdict(memory['reached'])}")


def print_claims(report):
    for name, verbs in report["claims"].items():
        for verb, figures in verbs.items():
            print("{name:28}{verb:9}{per_second:6.0f} a second, {calls} in {seconds:.1f} s, {processes} at a time".format(
                name=name, verb=verb, **figures))


def read(path):
    with open(path, encoding="utf-8") as file:
        return json.load(file)


def main():
    report = make_report(read(sys.argv[1]), read(sys.argv[2]))
    print("{date}, {rounds} rounds, load {load[0]:.1f} before and {load[1]:.1f} after".format(**report))
    print("{cpu}, {cores} cores, {memory_gib} GiB, Linux {kernel}, {system}\n".format(**report["machine"]))
    print_calls(report)
    print()
    print_comparisons(report)
    print()
    print_memory(report)
    print()
    print_claims(report)
    if sys.argv[3]:
        with open(sys.argv[3], "w", encoding="utf-8") as file:
            json.dump(report, file, indent=2)
            file.write("\n")


main()
