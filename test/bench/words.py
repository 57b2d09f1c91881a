"""A bench's figures as tables: for a terminal, and for the README."""

NAMES = {
    "lamina-net1": "lamina, net1 alone",
    "macvlan": "macvlan + host-local",
    "lamina-pod": "lamina, whole pod, own store",
    "lamina-etcd": "lamina, whole pod, etcd",
    "lamina-cluster": "lamina, whole pod, etcd and API",
    "flannel": "flannel alone",
    "multus": "multus + flannel + macvlan + host-local",
    "lamina-networks": "lamina, flannel + two NADs",
    "multus-networks": "multus, flannel + two NADs",
    "lamina-asks": "lamina, flannel, no annotation",
    "multus-asks": "multus, flannel, no annotation",
    "lamina-flannel": "lamina, flannel, without kubeconfig",
    "lamina": "lamina",
    "host-local": "host-local",
    "true": "/bin/true",
}
VERBS = ("ADD", "DEL", "CHECK", "VERSION")


class Table:
    """Rows of texts; of the first column(s) the text stands left, of the others right."""

    def __init__(self, title, header, left=1):
        self.title, self.header, self.left, self.rows, self.notes = title, header, left, [], []

    def add(self, *cells):
        self.rows.append([str(cell) for cell in cells])

    def text(self):
        lines = [self.header, *self.rows]
        widths = [max(len(line[column]) for line in lines) for column in range(len(self.header))]
        said = [self.title, ""] if self.title else []
        for line in lines:
            cells = [cell.ljust(width) if column < self.left else cell.rjust(width)
                     for column, (cell, width) in enumerate(zip(line, widths))]
            said.append("  ".join(cells).rstrip())
        return "\n".join(said + self.notes) + "\n"

    def markdown(self):
        ruler = ["---" if column < self.left else "---:" for column in range(len(self.header))]
        lines = [f"| {' | '.join(line)} |" for line in (self.header, ruler, *self.rows)]
        said = [f"**{self.title}**", ""] if self.title else []
        return "\n".join(said + lines) + "\n" + "".join(f"\n{note}\n" for note in self.notes)


def verdict(reached):
    return {None: "", True: "reached", False: "NOT REACHED"}[reached]


def number(value, unit=""):
    text = f"{value:.0f}" if unit == "" else f"{value:.2f}"
    return f"{text} {unit}".rstrip()


def times_table(title, calls):
    table = Table(title, ["", "", "median", "p95", "CPU", "servers' CPU", "MiB", "programs", "system calls"], 2)
    for verb in VERBS:
        for name, verbs in calls.items():
            if verb in verbs:
                call = verbs[verb]
                memory = call["own_mib" if name.startswith("lamina") else "largest_mib"]
                table.add(verb, NAMES[name], *(f"{call[key]:.2f}" for key in ("median_ms", "p95_ms", "cpu_ms", "servers_ms")),
                          f"{memory:.1f}", f"{call['programs']:.0f}", f"{call['system_calls']:.0f}")
    return table


def ratios_table(rows):
    table = Table("Ratios of the medians", ["", "", "ratio", "95 % between", "of CPU"], 2)
    for row in rows:
        table.add(row["verb"], row["what"], f"{row['ratio']:.2f}", "{:.2f} and {:.2f}".format(*row["between"]), f"{row['cpu_ratio']:.2f}")
    return table


def calls_tables(report):
    table = times_table("One call, in milliseconds", report["calls"])
    table.notes = ["CPU: of all processes that the call started. Servers' CPU: what etcd's three members and the API server, with an etcd of its own, "
                   "used meanwhile, also when nobody asked them. MiB: the highest resident memory, of lamina itself, else of the largest process."]
    for name, said in report["cannot"].items():
        table.notes.append(f"CHECK of {NAMES[name]} fails: {' '.join(said.split())}")
    return [table, ratios_table(report["comparisons"])]


def networks_tables(report):
    table = times_table("With the plugin's own kubeconfig, in milliseconds", report["networks"])
    table.notes = ["Two NADs: the pod's annotation names a macvlan and a bridge, both with host-local. Without an annotation, too, the default "
                   "network waits for the pod's GET, since one could replace it. Network-status and Events are written in each ADD."]
    return [table, ratios_table(report["network_comparisons"])]


def burst_tables(report):
    counts = list(next(iter(report["burst"].values())))
    table = Table("So many pods at once: seconds from the first one's begin to the last one's end",
                  ["", "", *counts, f"ms a pod, {counts[-1]}"], 2)
    for verb in ("ADD", "DEL"):
        for name, times in report["burst"].items():
            seconds = [times[count][verb] for count in counts]
            table.add(verb, NAMES[name], *(f"{value:.3f}" for value in seconds), f"{seconds[-1] / int(counts[-1]) * 1e3:.1f}")
    table.notes = ["/bin/true: what starting that many programs costs. One alone begins cold here, unlike in the table of calls."]
    return [table]


def claims_tables(report):
    table = Table("Claims of many nodes at once", ["", "", "calls", "seconds", "CPU", "servers' CPU", "a second", "median ms", "slowest ms"], 2)
    for name, verbs in report["claims"].items():
        for verb, figures in verbs.items():
            table.add(verb, name, figures["calls"], *(f"{figures[key]:.2f}" for key in ("seconds", "cpu_seconds", "servers_cpu_seconds")), f"{figures['per_second']:.0f}",
                      f"{figures['median_ms']:.0f}", f"{figures['slowest_ms']:.0f}")
    return [table]


def full_tables(report):
    stores = report["full"]
    sizes = list(next(iter(stores.values())))
    table = Table("kube-ipam alone, by how many addresses are in use: median milliseconds", ["", "", *sizes, "", ""], 2)
    for store, found in stores.items():
        for kind in next(iter(found.values())):
            for verb in ("ADD", "DEL"):
                flat = report["flat"][f"{verb} {kind}, {store}"]
                table.add(verb, f"{kind} address, {store}", *(f"{found[size][kind][verb]:.2f}" for size in sizes),
                          f"x {flat['times']:.2f}", "flat" if flat["flat"] else "GROWS")
    table.notes = ["Of 65,521 addresses; taken and free ones are mixed. A dynamic claim tries some at a time: when most are taken, it needs more of "
                   "them, with etcd more often a second round trip."]
    return [table]


def goals_table(report):
    table = Table("Ceilings", ["", "is", "ceiling", ""])
    for row in report["goals"]:
        table.add(row["what"], number(row["value"], row["unit"]), number(row["ceiling"], row["unit"]), verdict(row["reached"]))
    return table


PARTS = {"calls": calls_tables, "networks": networks_tables, "burst": burst_tables, "claims": claims_tables, "full": full_tables}


def tables(report):
    return [table for part, make in PARTS.items() if part in report for table in make(report)]


def circumstances(report):
    its = report["machine"]
    said = f"{its['cpu']}, {its['cores']} cores, {its['memory_gib']} GiB, Linux {its['kernel']}, {its['system']}; {report['date'][:10]}"
    said += f"; lamina of {report['lamina_mb']:.1f} MB"
    if "rounds" in report:
        said += "; {} rounds, load {:.1f} before and {:.1f} after".format(report["rounds"], *report["load"])
    return said


def text(report):
    goals = [goals_table(report)] if report["goals"] else []
    return "\n".join([circumstances(report) + "\n", *(table.text() for table in tables(report) + goals)])


def markdown(report):
    """The section of the README."""
    said = [f"`{report['command']}` measures lamina's release binary against what it replaces, in one run, taking turns.\n"]
    if report["goals"]:
        said.append(goals_table(report).markdown())
    pictures = {"calls": "calls", "scale": "burst"}
    said += [f"![{picture}](test/bench/{picture}.svg)\n" for picture, part in pictures.items() if part in report]
    said += [table.markdown() for table in tables(report)]
    said.append(f"({circumstances(report)}.)\n")
    return "\n".join(said)
