"""A bench's figures, made from its samples."""
import datetime
import os
import platform
import random
import statistics

RESAMPLES = 2000
MIB = 1024  # in KiB

# What, the peers in it (lamina first), verb, ceiling of the ratio; True: with the servers' processor time taken off.
COMPARISONS = [
    # Check 90: ADD of net1 alone against macvlan + host-local in the same run, with its ceiling
    ("net1 alone / macvlan + host-local", "lamina-net1", "macvlan", "ADD", 0.25, False),
    ("whole pod / flannel alone", "lamina-pod", "flannel", "ADD", 1.10, False),
    ("whole pod, etcd and API / flannel alone", "lamina-cluster", "flannel", "ADD", 1.25, False),
    ("the same without the servers' CPU time", "lamina-cluster", "flannel", "ADD", 1.25, True),
    ("whole pod / flannel alone", "lamina-pod", "flannel", "DEL", 1.45, False),
    ("whole pod, etcd and API / flannel alone", "lamina-cluster", "flannel", "DEL", 1.45, False),
    ("start, answer, exit / true", "lamina", "true", "VERSION", 3.33, False),
    ("net1 alone / macvlan + host-local", "lamina-net1", "macvlan", "DEL", None, False),
    ("net1 alone / macvlan + host-local", "lamina-net1", "macvlan", "CHECK", None, False),
    ("whole pod, etcd / flannel alone", "lamina-etcd", "flannel", "ADD", None, False),
    ("the same without the servers' CPU time", "lamina-etcd", "flannel", "ADD", None, True),
    ("whole pod / multus + its delegates", "lamina-pod", "multus", "ADD", None, False),
    ("whole pod / multus + its delegates", "lamina-pod", "multus", "DEL", None, False),
    ("start, answer, exit / host-local", "lamina", "host-local", "VERSION", None, False),
]
NETWORK_COMPARISONS = [
    ("flannel + two NADs / the same by multus", "lamina-networks", "multus-networks", "ADD", None, False),
    ("flannel + two NADs / the same by multus", "lamina-networks", "multus-networks", "DEL", None, False),
    ("flannel, no annotation / the same by multus", "lamina-asks", "multus-asks", "ADD", None, False),
    ("flannel, no annotation / without kubeconfig", "lamina-asks", "lamina-flannel", "ADD", None, False),
    ("flannel, no annotation / flannel alone", "lamina-asks", "flannel", "ADD", None, False),
    ("the same without the servers' CPU time", "lamina-asks", "flannel", "ADD", None, True),
    ("flannel, without kubeconfig / flannel alone", "lamina-flannel", "flannel", "ADD", None, False),
]
MEMORY_CEILING = 8  # MiB
HERD = "lamina, three etcd members, 200 at a time"
HERD_CEILING = 2.0  # seconds
# Noise of a median is below that.
FLAT = 1.25


def percentile(values, share):
    """The smallest value that at least this share of all does not exceed."""
    ordered = sorted(values)
    return ordered[max(0, -int(-share * len(ordered) // 1) - 1)]


def summary(calls, needs):
    wall, cpu, servers = zip(*calls)
    own, largest, programs, system = zip(*needs)
    return {
        "median_ms": statistics.median(wall) / 1e3,
        "p95_ms": percentile(wall, 0.95) / 1e3,
        "cpu_ms": statistics.median(cpu) / 1e3,
        "servers_ms": statistics.median(servers) / 1e3,
        "own_mib": max(own) / MIB,
        "largest_mib": max(largest) / MIB,
        "programs": statistics.median(programs),
        "system_calls": statistics.median(system),
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


def compare(samples, what, own, peer, verb, ceiling, without_servers):
    mine, theirs = samples[own][verb], samples[peer][verb]
    wall = [call[0] - (call[2] if without_servers else 0) for call in mine], [call[0] for call in theirs]
    ratio = statistics.median(wall[0]) / statistics.median(wall[1])
    return {
        "what": what,
        "verb": verb,
        "ratio": ratio,
        "between": spread(*wall),
        "cpu_ratio": statistics.median(call[1] for call in mine) / statistics.median(call[1] for call in theirs),
        "ceiling": ceiling,
        "reached": None if ceiling is None else ratio <= ceiling,
    }


def goal(what, value, unit, ceiling):
    return {"what": what, "value": value, "unit": unit, "ceiling": ceiling, "reached": value <= ceiling}


def summaries(report, measured):
    """Of calls that took turns."""
    report["load"], report["rounds"] = measured["load"], measured["rounds"]
    return {name: {verb: summary(calls, measured["needs"][name][verb]) for verb, calls in verbs.items()}
            for name, verbs in measured["samples"].items()}


def memory_goal(what, summarized):
    peak = max(figures["own_mib"] for name, verbs in summarized.items() if name.startswith("lamina") for figures in verbs.values())
    return goal(f"peak memory of lamina itself{what}", peak, "MiB", MEMORY_CEILING)


def calls_part(report, measured):
    report["calls"] = summaries(report, measured)
    report["cannot"] = measured["cannot"]
    report["comparisons"] = [compare(measured["samples"], *row) for row in COMPARISONS]
    report["goals"] += [goal(f"{row['verb']}, {row['what']}", row["ratio"], "x", row["ceiling"])
                        for row in report["comparisons"] if row["ceiling"] is not None]
    report["goals"].append(memory_goal("", report["calls"]))


def networks_part(report, measured):
    report["networks"] = summaries(report, measured)
    report["network_comparisons"] = [compare(measured["samples"], *row) for row in NETWORK_COMPARISONS]
    report["goals"].append(memory_goal(", two NADs", report["networks"]))


def claims_part(report, claims):
    report["claims"] = claims
    herd = claims[HERD]["ADD"]
    report["goals"].append(goal(f"{herd['calls']} claims of {herd['processes']} processes", herd["seconds"], "s", HERD_CEILING))
    report["goals"].append(goal("addresses that two of them got", herd["calls"] - herd["distinct"], "", 0))


def burst_part(report, measured):
    report["burst"] = {name: {count: {verb: statistics.median(seconds) for verb, seconds in verbs.items()}
                              for count, verbs in counts.items()} for name, counts in measured.items()}


def full_part(report, measured):
    report["full"] = {store: {size: {kind: {verb: statistics.median(seconds) * 1e3 for verb, seconds in verbs.items()}
                                     for kind, verbs in kinds.items()} for size, kinds in sizes.items()}
                      for store, sizes in measured.items()}
    report["flat"] = {}
    for store, sizes in report["full"].items():
        few, *_, many = sizes.values()
        for kind, verbs in few.items():
            for verb, before in verbs.items():
                times = many[kind][verb] / before
                report["flat"][f"{verb} {kind}, {store}"] = {"times": times, "flat": times <= FLAT}


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def machine():
    cpu = next((line.split(":")[1].strip() for line in read("/proc/cpuinfo").splitlines() if line.startswith("model name")),
               platform.machine())
    return {
        "cpu": cpu,
        "cores": os.cpu_count(),
        "memory_gib": round(int(read("/proc/meminfo").split()[1]) / 2**20, 1),
        "kernel": platform.release(),
        "system": platform.freedesktop_os_release()["PRETTY_NAME"],
    }


def make(samples):
    report = {
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "machine": machine(),
        "command": samples["command"],
        "lamina_mb": samples["lamina_bytes"] / 1e6,
        "goals": [],
    }
    parts = {"calls": calls_part, "networks": networks_part, "claims": claims_part, "burst": burst_part, "full": full_part}
    for name, part in parts.items():
        if name in samples:
            part(report, samples[name])
    return report
