#!/usr/bin/env python3
"""What two plugins that are called by one name make of one and the same call; side.bash uses it.

  side.py note                      prints what the node that it runs in shows: which plugins were called with what, the links, addresses,
                                    routes and rules of all namespaces, the files. As JSON.
  side.py steps FOLDER INPUTS       prints a folder of noted steps as one object, with what is random replaced.
  side.py compare ID LIST MULTUS LAMINA INPUTS [USED]
                                    compares two folders of noted steps. Differences that the table LIST (differences.md) has for the
                                    scenario ID are expected: it fails when another one is found, and when one of those is missing.
                                    INPUTS is a file with all that the scenario has put in: what is written there is not random.
                                    In the folder USED a file of the scenario's name gets the patterns that were met.
  side.py unused LIST USED BINARY   fails for each pattern of LIST that none of its row's scenarios has met, where all of these have
                                    left their files since LIST and BINARY were written.

A difference is one line: `PATH: OLD -> NEW`, `PATH - OLD` (only multus) or `PATH + NEW` (only lamina); values are JSON. A row of the
table has a pattern of such a line in which `*` stands for anything.
"""
import base64
import contextlib
import difflib
import ipaddress
import json
import os
import re
import sqlite3
import subprocess
import sys
from pathlib import Path

CALLS = Path("/run/side/calls")
# Where plugins keep files.
FOLDERS = ("/var/lib/cni", "/run/lamina", "/run/k8s.cni.cncf.io")
# Records that kube-ipam writes when a plugin executes it, and what is random or a time in these and in the store.
OF_LAMINA = re.compile(r"/multus/(lease/.*|imported|node)$")
PASSING = ("cookie", "inode", "nonce", "time", "at", "sandbox")
MAC = re.compile(r"\b(?:[0-9a-f]{2}:){5}[0-9a-f]{2}\b")
# How client-go logs an event.
EVENT = re.compile(r"Event\(v1\.ObjectReference\{Kind:\"Pod\", .*? Name:\"([^\"]*)\".*\): type: '(\w+)' reason: '(\w+)' (.*)")
# What it says in an error when it has posted a warning about it.
MISSING = re.compile(r"cannot find a network-attachment-definition \(.*", re.S)
VETH = re.compile(r"\bveth[0-9a-f]{8}\b")
# Lists that have no order: what the kernel has, events, variables. All other ones are compared with theirs.
BAG = re.compile(r"^[^.]+\.((pods\.[^.]+|host)\.(addrs|routes|rules|qdiscs)|api\.[^.]+\.events|calls\.[^.]*\.env)$")
# Interfaces, addresses, what delegates were called with: only rows whose names begin with E, for exceptions, may excuse that.
SACRED = re.compile(r"^[^.]+\.(calls\.(?!order\b)|(pods\.[^.]+|host)\.(links|addrs)\b)")


def ask(options, *questions):
    """What ip says to each of these, as many lists as questions."""
    done = subprocess.run(["ip", *options, "-j", "-d", "-batch", "-"], input="\n".join(questions), capture_output=True, text=True,
                          check=True)
    answers, at, decoder = [], 0, json.JSONDecoder()
    while at < len(done.stdout.rstrip()):
        answer, at = decoder.raw_decode(done.stdout, at)
        at += len(done.stdout[at:]) - len(done.stdout[at:].lstrip())
        answers.append(answer)
    return answers


def link(it):
    kind = it.get("linkinfo", {})
    data = kind.get("info_data", {})
    shown = {
        "kind": kind.get("info_kind"), "mtu": it.get("mtu"), "mac": it.get("address"), "txqlen": it.get("txqlen"),
        "master": it.get("master"), "parent": it.get("link"), "group": it.get("group"), "alias": it.get("ifalias"),
        "promiscuity": it.get("promiscuity"), "flags": sorted(set(it["flags"]) - {"LOWER_UP", "NO-CARRIER", "M-DOWN"}),
    }
    if kind.get("info_kind") == "macvlan":
        shown["macvlan"] = data
    if kind.get("info_kind") == "bridge":
        shown["bridge"] = {key: data.get(key) for key in ("vlan_filtering", "stp_state")}
        # It follows its ports.
        del shown["mac"], shown["mtu"]
    return {key: value for key, value in shown.items() if value is not None}


def words(it, *keys):
    return " ".join(f"{key} {it[key]}" for key in keys if it.get(key) not in (None, "", []))


def own(text):
    """Link-local addresses follow random MACs, and come when the kernel likes."""
    return not str(text).startswith(("fe80", "ff00"))


def is_of_address(it):
    """IPv6 has it as soon as duplicate detection is through with an address."""
    return it.get("table") == "local" and ":" in it["dst"]


def route(it):
    flags = [flag for flag in it.get("flags", []) if flag not in ("linkdown", "dead")]
    return " ".join(filter(None, (it.get("type", ""), it["dst"], words(it, "gateway", "dev", "table", "protocol", "scope", "prefsrc",
                                                                     "metric", "pref"), " ".join(flags))))


def rule(it):
    source = f"{it['src']}/{it['srclen']}" if "srclen" in it else it["src"]
    return f"{it['priority']}: from {source} " + words(it, "dst", "iif", "oif", "fwmark", "table", "protocol")


def sysctls(name):
    """All settings of all interfaces. Read by a process in the namespace: what /proc shows is the reader's."""
    enter = ["nsenter", f"--net=/run/netns/{name}"] if name else []
    said = subprocess.run([*enter, "grep", "-srH", ".", "ipv4/conf", "ipv6/conf", "ipv4/ip_forward"], capture_output=True, text=True,
                          check=False, cwd="/proc/sys/net")
    return dict(line.split(":", 1) for line in said.stdout.splitlines())


def namespace(name):
    where = ["-n", name] if name else []
    links, addrs = ask(where, "link show", "addr show")
    routes, rules = map(sum, zip(*(ask([*where, family], "route show table all", "rule show") for family in ("-4", "-6"))), ([], []))
    shaped = json.loads(subprocess.run(["tc", *where, "-j", "qdisc", "show"], capture_output=True, text=True, check=True).stdout)
    return {
        "links": {it["ifname"]: link(it) for it in sorted(links, key=lambda it: it["ifindex"])},
        "addrs": sorted(f"{one['ifname']} {it['local']}/{it['prefixlen']} " + words(it, "broadcast", "scope", "label")
                        for one in addrs for it in one["addr_info"] if own(it["local"])),
        "routes": sorted(route(it) for it in routes if own(it["dst"]) and it.get("type") != "anycast" and not is_of_address(it)),
        "rules": sorted(map(rule, rules)),
        "qdiscs": sorted(words(it, "kind", "dev", "options") for it in shaped if it["kind"] not in ("noqueue", "fq_codel", "pfifo_fast")),
        "sysctls": sysctls(name),
    }


def parsed(text):
    try:
        return json.loads(text)
    except ValueError:
        return text


def decoded(it):
    """multus's and libcni's files hold configurations in base64."""
    if isinstance(it, list):
        return [decoded(each) for each in it]
    if isinstance(it, dict):
        return {key: parsed(base64.b64decode(value).decode(errors="replace")) if key in ("Bytes", "config") and isinstance(value, str)
                else decoded(value) for key, value in it.items()}
    return it


def steady(it):
    """What lamina's store and its records as kube-ipam say, without what is never the same twice."""
    if isinstance(it, list):
        return [steady(each) for each in it]
    if isinstance(it, dict):
        return {key: "any" if key in PASSING else steady(parsed(value) if key in ("value", "leaseValue") else value)
                for key, value in it.items()}
    return it


def store(path):
    """Of each table of a database its rows."""
    def readable(value):
        # Addresses have their family in front.
        if isinstance(value, bytes) and len(value) in (5, 17):
            return str(ipaddress.ip_address(value[1:]))
        return value.hex() if isinstance(value, bytes) else value

    with contextlib.closing(sqlite3.connect(f"file:{path}?immutable=1", uri=True)) as database:
        database.row_factory = sqlite3.Row
        tables = [name for name, in database.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")]
        return steady({table: sorted(({key: readable(row[key]) for key in row.keys()} for row in database.execute(f"SELECT * FROM {table}")),
                                     key=str) for table in tables})


def content(path):
    data = path.read_bytes()
    if data.startswith(b"SQLite format 3\0"):
        return store(path)
    if b"\0" in data:
        return "binary"
    text = decoded(parsed(data.decode(errors="replace")))
    return steady(text) if OF_LAMINA.search(str(path)) else text


def files():
    found = {}
    for folder in FOLDERS:
        for path in sorted([Path(folder), *Path(folder).rglob("*")]):
            if path.is_symlink():
                found[str(path)] = {"to": os.readlink(path)}
            if path.is_symlink() or not path.exists():
                continue
            mode = oct(path.stat().st_mode & 0o7777)
            if path.is_dir():
                found[f"{path}/"] = {"mode": mode}
            if not path.is_file():
                continue
            found[str(path)] = {"mode": mode, "is": content(path)}
    return found


def calls():
    made = []
    for folder in sorted(CALLS.glob("*")):
        environment = (folder / "env").read_bytes().decode().split("\0")[:-1]
        made.append({"plugin": (folder / "name").read_text().strip(), "env": sorted(environment),
                     "stdin": parsed((folder / "stdin").read_text())})
    return made


def filters():
    """The rules of nftables, and so of iptables: of each table its chains and sets, of each of them its lines."""
    said = subprocess.run(["nft", "-s", "list", "ruleset"], capture_output=True, text=True, check=False).stdout
    found, table, part = {}, None, None
    for line in map(str.strip, said.splitlines()):
        if line.startswith("table ") and line.endswith("{"):
            table = found.setdefault(line[len("table "):-1].strip(), {})
        elif re.match(r"(chain|set|map|flowtable|ct|counter|limit|quota|secmark|synproxy)\b.*\{$", line) and part is None:
            part = table.setdefault(line[:-1].strip(), [])
        elif line == "}":
            part = None
        elif line and part is not None:
            part.append(line)
    return found


def note():
    names = sorted(path.name for path in Path("/run/netns").glob("*") if os.path.ismount(path))
    json.dump({"calls": calls(), "pods": {name: namespace(name) for name in names}, "host": namespace(None), "files": files(),
               "filters": filters()}, sys.stdout)


def keyed(made):
    """Calls by what they are for, so that those of two runs find each other whatever lies between them."""
    order, found = [], {}
    for call in made:
        env = dict(line.split("=", 1) for line in call["env"])
        label = f"{call['plugin']} {env.get('CNI_COMMAND')}/{env.get('CNI_IFNAME')}/{env.get('CNI_CONTAINERID')}"
        count = sum(1 for known in order if known.split("#")[0] == label) + 1
        label += f"#{count}" if count > 1 else ""
        order.append(label)
            # In a list: a variable may be there twice.
        found[label] = {"env": call["env"], "stdin": call["stdin"]}
    return {**found, "order": order}


def one_form(said):
    """A result of any version in the words of the newest one: what it holds is compared, whatever version it is printed in."""
    if not isinstance(said, dict) or "code" in said or "supportedVersions" in said:
        return said
    said = dict(said)
    for family in ("ip4", "ip6"):
        if family in said:
            its = dict(said.pop(family))
            said["routes"] = said.get("routes", []) + (its.pop("routes", None) or [])
            said["ips"] = said.get("ips", []) + [{"address" if key == "ip" else key: value for key, value in its.items()}]
    if isinstance(said.get("ips"), list):
        said["ips"] = [{key: value for key, value in it.items() if key != "version"} for it in said["ips"]]
    return {key: value for key, value in said.items() if key not in ("ips", "routes") or value}


class Side:
    """The noted steps of one side, with what is random replaced."""

    def __init__(self, folder, inputs):
        self.names, self.events, self.is_multus = {}, {}, Path(folder).name == "multus"
        self.known = set(MAC.findall(inputs.lower()))
        self.steps = {}
        for path in sorted(Path(folder).glob("*.json")):
            step = json.loads(path.read_text(encoding="utf-8"))
            name = path.stem.split("-", 1)[1]
            step["stdout"] = one_form(parsed(step["stdout"]))
            self.learn(step)
            self.add_events(step)
            step["calls"] = keyed(step["calls"])
            if step.pop("unordered"):
                step["calls"]["order"].sort()
            self.steps[name] = json.loads(self.plain(json.dumps(step)))

    def learn(self, step):
        """A name for each MAC of a pod's interface: it appears in results, annotations and files as well."""
        for text, name in step.pop("aliases").items():
            self.names.setdefault(text, name)
        for pod, state in step["pods"].items():
            for name, it in state["links"].items():
                if it.get("mac") and it["mac"] not in self.known | {"00:00:00:00:00:00"}:
                    self.names.setdefault(it["mac"], f"<mac of {pod} {name}>")
        for name in step["host"]["links"]:
            if VETH.fullmatch(name):
                self.names.setdefault(name, f"veth-{len([1 for it in self.names if VETH.fullmatch(it)]) + 1}")

    def add_events(self, step):
        """multus posts its events while it goes on, and now and then ends before they are sent: mostly, its log and its error tell of
        them as well."""
        told = EVENT.findall(step.pop("log"))
        text = step["stdout"].get("msg", "") if self.is_multus and isinstance(step["stdout"], dict) else ""
        told += [(step["pod"], "Warning", "NoNetworkFound", it) for it in MISSING.findall(text)]
        for pod, kind, reason, text in told:
            self.events.setdefault(pod, set()).add(f"{kind} {reason} {text}")
        for pod, of_pod in step["api"].items():
            of_pod["events"] = sorted(self.events.setdefault(pod, set()).union(of_pod["events"]))
            self.events[pod].update(of_pod["events"])
        del step["pod"]

    def plain(self, text):
        for random, name in sorted(self.names.items(), key=lambda it: -len(it[0])):
            text = re.sub(rf"(?<!\w){re.escape(random)}(?!\w|\.\d)", name, text)
        text = MAC.sub(lambda it: it[0] if it[0] in self.known | {"00:00:00:00:00:00", "ff:ff:ff:ff:ff:ff"} else "<mac>", text)
        return VETH.sub("veth-gone", text)


def shown(value):
    return json.dumps(value, sort_keys=True, ensure_ascii=False)


def are_texts(*values):
    return all(isinstance(value, list) and all(isinstance(it, str) for it in value) for value in values)


def of_texts(path, old, new):
    """Lists whose order counts: what has another place is missing in the one and new in the other."""
    for what, first, last, start, end in difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if what != "equal":
            yield from (f"{path} - {shown(it)}" for it in old[first:last])
            yield from (f"{path} + {shown(it)}" for it in new[start:end])


def of_bags(path, old, new):
    for it in sorted(set(old) | set(new)):
        for _ in range(old.count(it) - new.count(it)):
            yield f"{path} - {it}"
        for _ in range(new.count(it) - old.count(it)):
            yield f"{path} + {it}"


def of_calls(path, old, new):
    """A call that only one has made is missing in the order, and that is all that there is to say."""
    both = old.keys() & new.keys() - {"order"}
    for label in sorted(both):
        yield from differences(f"{path}.{label}", old[label], new[label])
    yield from of_bags(f"{path}.order", old["order"], new["order"])
    orders = [[label for label in it["order"] if label in both] for it in (old, new)]
    if orders[0] != orders[1]:
        yield f"{path}.order: {shown(orders[0])} -> {shown(orders[1])}"


def of_both(old, new):
    """Settings: an interface that only one has is missing among the links, and that is all that there is to say."""
    both = {key.rpartition("/")[0] for key in old} & {key.rpartition("/")[0] for key in new}
    return [{key: value for key, value in it.items() if key.rpartition("/")[0] in both} for it in (old, new)]


def differences(path, old, new):
    if path.endswith(".sysctls"):
        old, new = of_both(old, new)
    if path.endswith(".calls"):
        yield from of_calls(path, old, new)
    elif isinstance(old, dict) and isinstance(new, dict):
        for key in sorted(old.keys() | new.keys()):
            where = f"{path}.{key}" if path else key
            if key not in new:
                yield f"{where} - {shown(old[key])}"
            elif key not in old:
                yield f"{where} + {shown(new[key])}"
            else:
                yield from differences(where, old[key], new[key])
    elif are_texts(old, new):
        yield from (of_bags if BAG.search(path) else of_texts)(path, old, new)
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for number, pair in enumerate(zip(old, new)):
            yield from differences(f"{path}.{number}", *pair)
    elif old != new or isinstance(old, bool) != isinstance(new, bool):
        yield f"{path}: {shown(old)} -> {shown(new)}"


def numbers(text):
    """S01-S03 S07: the scenarios that a row is about."""
    found = set()
    for first, last in re.findall(r"S(\d+)(?:-S(\d+))?", text):
        found |= set(range(int(first), int(last or first) + 1))
    return found


def rows(table, scenario):
    """The differences that are listed, for a scenario or (None) for any: name, patterns, whether they must be there (not: "at times"),
    scenarios."""
    for line in Path(table).read_text(encoding="utf-8").splitlines():
        cells = [cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        if len(cells) > 3 and re.fullmatch(r"[DE]\d+", cells[0]) and (not scenario or int(scenario[1:]) in numbers(cells[1])):
            patterns = {pattern: re.compile(".*".join(map(re.escape, pattern.split("*"))), re.S)
                        for pattern in re.findall(r"`([^`]+)`", cells[2])}
            yield cells[0], patterns, "at times" not in cells[1], numbers(cells[1])


def steps(folder, inputs):
    return Side(folder, Path(inputs).read_text(encoding="utf-8")).steps


def compare(scenario, table, multus, lamina, inputs, folder=None):
    found = list(differences("", steps(multus, inputs), steps(lamina, inputs)))
    wrong, used = [], set()
    listed = list(rows(table, scenario))
    for line in found:
        met = {(name, pattern) for name, patterns, _, _ in listed for pattern, it in patterns.items()
               if it.fullmatch(line) and (name[0] == "E" or not SACRED.match(line))}
        used |= met
        if not met:
            wrong.append(line)
    missing = [name for name, _, must, _ in listed if must and name not in {name for name, _ in used}]
    for line in wrong:
        print(f"{scenario}: not listed: {line}")
    for name in missing:
        print(f"{scenario}: listed as {name}, and not found")
    if folder:
        Path(folder).mkdir(parents=True, exist_ok=True)
        Path(folder, scenario).unlink(missing_ok=True)
        if not wrong and not missing:
            Path(folder, scenario).write_text("".join(f"{name} {pattern}\n" for name, pattern in sorted(used)), encoding="utf-8")
    return 1 if wrong or missing else 0


def unused(table, folder, binary):
    since = max(os.stat(table).st_mtime, os.stat(binary).st_mtime)
    used = {int(path.name[1:]): path.read_text(encoding="utf-8").splitlines() for path in Path(folder).glob("S*")
            if path.stat().st_mtime > since}
    idle = [(name, pattern) for name, patterns, must, scenarios in rows(table, None) if must and scenarios <= used.keys()
            for pattern in patterns if not any(f"{name} {pattern}" in used[it] for it in scenarios)]
    for name, pattern in idle:
        print(f"{name}: found in none of its scenarios: {pattern}")
    return 1 if idle else 0


if __name__ == "__main__":
    if sys.argv[1:] == ["note"]:
        note()
    elif len(sys.argv) == 4 and sys.argv[1] == "steps":
        json.dump(steps(*sys.argv[2:]), sys.stdout)
    elif len(sys.argv) in (7, 8) and sys.argv[1] == "compare":
        sys.exit(compare(*sys.argv[2:]))
    elif len(sys.argv) == 5 and sys.argv[1] == "unused":
        sys.exit(unused(*sys.argv[2:]))
    else:
        sys.exit(__doc__)
