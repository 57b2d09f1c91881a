"""Who is measured, with which configuration, and one call of theirs as a runtime makes it."""
import hashlib
import json
import os
import subprocess
import sys
import time

PLUGINS = "/opt/cni/bin"
ANNOTATIONS = "io.kubernetes.cri.pod-annotations"
POD_ARGS = "IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME={pod};K8S_POD_INFRA_CONTAINER_ID={cid};K8S_POD_UID={uid}"
# The one of whom the API server knows, unless said otherwise.
POD = "database-1-0"
# The first version that has CHECK; the seed's file is older.
CHECKED = "0.4.0"


def read(path, how):
    with open(path, encoding="utf-8") as file:
        return how(file)


class Peer:
    """A program in a namespace of its own. Folder gets what it reads and writes."""

    def __init__(self, folder, name, program, conf, ifname="eth0", pod=POD, uid=None, place=None):
        self.name, self.program, self.ifname, self.pod, self.uid = name, program, ifname, pod, uid
        self.place = place or name
        self.stdin, self.stdout = f"{folder}/{self.place}.in", f"{folder}/{self.place}.out"
        self.configure(conf)
        subprocess.run(["ip", "netns", "add", self.place], check=True)
        subprocess.run(["ip", "-n", self.place, "link", "set", "lo", "up"], check=True)

    def configure(self, conf):
        self.conf = conf
        with open(self.stdin, "w", encoding="utf-8") as file:
            json.dump(conf, file)

    def environment(self, verb, turn):
        digest = hashlib.sha256(f"{self.place} {turn}".encode()).hexdigest()
        uid = self.uid or f"{digest[:8]}-{digest[8:12]}-{digest[12:16]}-{digest[16:20]}-{digest[20:32]}"
        return {
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
            "CNI_COMMAND": verb,
            "CNI_CONTAINERID": digest,
            "CNI_NETNS": f"/run/netns/{self.place}",
            "CNI_IFNAME": self.ifname,
            "CNI_PATH": PLUGINS,
            "CNI_ARGS": POD_ARGS.format(pod=self.pod, cid=digest, uid=uid),
        }

    def said(self):
        return read(self.stdout, lambda file: file.read())

    def expect(self, verb, status):
        """A call that failed, or made something else than an address, is no measurement."""
        if status != 0 or (verb == "ADD" and "10." not in self.said()):
            sys.exit(f"bench: {verb} of {self.name} failed, wait status {status}: {self.said()}")

    def call(self, verb, turn):
        """One call: wait status, microseconds, and microseconds of processor time, of all descendants that were waited for, too."""
        environment = self.environment(verb, turn)
        actions = [
            (os.POSIX_SPAWN_OPEN, 0, self.stdin, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, self.stdout, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600),
        ]
        argv = [self.program]
        start = time.perf_counter_ns()
        pid = os.posix_spawn(self.program, argv, environment, file_actions=actions)
        _, status, used = os.wait4(pid, 0)
        end = time.perf_counter_ns()
        return status, (end - start) / 1e3, (used.ru_utime + used.ru_stime) * 1e6


def fixed(address):
    return {"kube-ipam.ip": address, "kube-ipam.netmask": "255.255.0.0", "kube-ipam.gateway": "10.188.0.1"}


class Site:
    """The seed's configuration on this node, and what of it each one serves. FOLDER has seed.json (without etcd and API server),
    cluster.json (byte for byte) and pods.json: the UIDs of the pods in the API server, by name."""

    def __init__(self, folder):
        self.folder = folder
        self.seed, self.cluster = (read(f"{folder}/{name}.json", json.load) for name in ("seed", "cluster"))
        self.uids = read(f"{folder}/pods.json", json.load)
        self.flannel, self.net1 = self.seed["delegates"]
        same = {key: self.net1["ipam"][key] for key in ("subnet", "rangeStart", "rangeEnd", "gateway", "routes")}
        self.macvlan = {**self.net1, "ipam": {**same, "type": "host-local"}}

    def net1_conf(self, address):
        return {**self.seed, "runtimeConfig": {ANNOTATIONS: fixed(address)}, "delegates": [self.net1]}

    def pod_conf(self, address):
        return {**self.seed, "runtimeConfig": {ANNOTATIONS: fixed(address)}}

    def etcd_conf(self, address):
        net1 = {**self.net1, "ipam": {**self.net1["ipam"], "etcdConfig": self.cluster["delegates"][1]["ipam"]["etcdConfig"]}}
        return {**self.seed, "runtimeConfig": {ANNOTATIONS: fixed(address)}, "delegates": [self.flannel, net1]}

    def multus_conf(self):
        return {**self.seed, "delegates": [self.flannel, self.macvlan]}

    def kubeconfig_conf(self):
        """The plugin itself asks the API server: the pod's annotations name its other networks, and its status gets written."""
        return {**self.flannel_conf(), "kubeconfig": self.cluster["delegates"][1]["ipam"]["kubeConfig"]}

    def flannel_conf(self):
        return {key: self.seed[key] for key in ("cniVersion", "name", "type")} | {"delegates": [self.versioned_flannel()]}

    def versioned_flannel(self):
        """The seed's has no version: its result then names no interface, and nobody writes a status for it."""
        return {"cniVersion": self.seed["cniVersion"], **self.flannel}

    def peer(self, name, program, conf, version=None, prefix="", **more):
        if version is not None:
            conf = {**conf, "cniVersion": version}
        return Peer(self.folder, name, f"{PLUGINS}/{program}", conf, place=f"{prefix}{name}", **more)

    def pods(self, version=None, prefix=""):
        """Those that make interfaces."""
        seed = version or self.seed["cniVersion"]
        return [
            self.peer("lamina-net1", "lamina", self.net1_conf("10.188.0.218"), version, prefix, ifname="net1"),
            self.peer("macvlan", "macvlan", self.macvlan, seed, prefix, ifname="net1"),
            self.peer("lamina-pod", "lamina", self.pod_conf("10.188.0.219"), version, prefix),
            self.peer("lamina-etcd", "lamina", self.etcd_conf("10.188.0.220"), version, prefix),
            self.peer("lamina-cluster", "lamina", self.cluster, version, prefix, uid=self.uids[POD]),
            # lamina and multus hand a delegate without a version an empty one.
            self.peer("flannel", "flannel", self.flannel, version or "", prefix),
            self.peer("multus", "real-multus", self.multus_conf(), version, prefix),
        ]

    def networks(self):
        """Those whose networks the API server knows, with one configuration, and what it costs to ask it. A pod each: who writes its
        status must be the only one."""
        asking = self.kubeconfig_conf()
        asks = [("lamina-networks", "lamina"), ("multus-networks", "real-multus"), ("lamina-asks", "lamina"), ("multus-asks", "real-multus")]
        return [
            *(self.peer(name, program, asking, pod=name, uid=self.uids[name]) for name, program in asks),
            self.peer("lamina-flannel", "lamina", self.flannel_conf()),
            self.peer("flannel", "flannel", self.versioned_flannel()),
        ]

    def others(self):
        """Those that start, answer and exit."""
        return [
            self.peer("lamina", "lamina", self.seed),
            self.peer("host-local", "host-local", self.seed),
            Peer(self.folder, "true", "/bin/true", self.seed),
        ]
