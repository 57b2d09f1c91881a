#!/usr/bin/python3
"""Sends etcd what kube-ipam 0.2 sends, for tests of living side by side with it and of moving away from it.

As a CNI plugin (with CNI_COMMAND): kube-ipam's IPAM part. The annotations of a pod with a fixed address are the API server's (kubeConfig);
OLD_ADDRESS=ADDRESS/LENGTH in its environment stands for them. Such an address is recorded nowhere, as kube-ipam does it.

  kubeipam.py add NETWORK CONTAINER RANGE ...   takes one address of each range, and prints them
  kubeipam.py del NETWORK CONTAINER             frees what the container has
  kubeipam.py lock NETWORK SECONDS              holds the network's lock for so long; prints `locked` once it has it
RANGE is SUBNET,FIRST,LAST[,GATEWAY]: 10.188.0.0/16,10.188.0.10,10.188.0.200,10.188.0.1
"""
import argparse
import base64
import http.client
import ipaddress
import json
import os
import ssl
import sys
import time
import urllib.request

import yaml

ROOT = "/etcd-cni/networks"
LOCK_SECONDS = 10
LOCK_TRIES = 20
LOCK_PAUSE = 2
SSL_FOLDER = "/etc/kubernetes/ssl"


def encode(text):
    return base64.b64encode(text.encode()).decode()


def decode(text):
    return base64.b64decode(text).decode()


class Etcd:
    """etcd v3 by the JSON gateway of the first endpoint that can be reached."""

    def __init__(self, urls, cert, key, authority):
        context = ssl.create_default_context(cafile=authority)
        context.load_cert_chain(cert, key)
        for url in urls.split(","):
            address, _, port = url.removeprefix("https://").rpartition(":")
            self.connection = http.client.HTTPSConnection(address, int(port), context=context, timeout=5)
            try:
                self.connection.connect()
                return
            except OSError as error:
                failure = error
        raise failure

    def ask(self, path, body):
        self.connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
        response = self.connection.getresponse()
        text = response.read()
        if response.status != 200:
            raise RuntimeError(f"etcd answers {response.status}: {text[:200]!r}")
        return json.loads(text)

    def get(self, key):
        found = self.ask("/v3/kv/range", {"key": encode(key)}).get("kvs")
        return decode(found[0].get("value", "")) if found else None

    def get_prefix(self, prefix):
        last = prefix[:-1] + chr(ord(prefix[-1]) + 1)
        found = self.ask("/v3/kv/range", {"key": encode(prefix), "range_end": encode(last)}).get("kvs", [])
        return {decode(pair["key"]): decode(pair.get("value", "")) for pair in found}

    def put(self, key, value):
        self.ask("/v3/kv/put", {"key": encode(key), "value": encode(value)})

    def delete(self, key):
        self.ask("/v3/kv/deleterange", {"key": encode(key)})

    def grant(self, seconds):
        return self.ask("/v3/lease/grant", {"TTL": str(seconds)})["ID"]

    def revoke(self, lease):
        self.ask("/v3/lease/revoke", {"ID": lease})

    def put_new_with_lease(self, key, value, lease):
        body = {"compare": [{"key": encode(key), "target": "CREATE", "result": "EQUAL", "create_revision": "0"}],
                "success": [{"request_put": {"key": encode(key), "value": encode(value), "lease": lease}}]}
        return self.ask("/v3/kv/txn", body).get("succeeded", False)


class Network:
    """One network's keys."""

    def __init__(self, etcd, name, ranges):
        self.etcd = etcd
        self.root = f"{ROOT}/{name}"
        self.ranges = ranges

    def note_ranges(self):
        self.etcd.put(self.root, json.dumps([[spec] for spec in self.ranges], separators=(",", ":")))

    # It goes on without the lock when it does not get it.
    def lock(self):
        for _ in range(LOCK_TRIES):
            lease = self.etcd.grant(LOCK_SECONDS)
            if self.etcd.put_new_with_lease(f"{self.root}/lock", lease, lease):
                return
            time.sleep(LOCK_PAUSE)

    # Whoever's it is by now.
    def unlock(self):
        lease = self.etcd.get(f"{self.root}/lock")
        if lease:
            self.etcd.revoke(lease)

    def add(self, container):
        self.note_ranges()
        taken = []
        for index, spec in enumerate(self.ranges):
            self.lock()
            try:
                taken.append(self.add_one(container, index, spec))
            finally:
                self.unlock()
        return taken

    def add_one(self, container, index, spec):
        last = self.etcd.get(f"{self.root}/lastReserved/{index}")
        for address in candidates(spec, last):
            key = f"{self.root}/used/{address}"
            if self.etcd.get(key) is None:
                self.etcd.put(key, container)
                self.etcd.put(f"{self.root}/lastReserved/{index}", address)
                return address
        raise RuntimeError(f"no IP addresses available in range set: {spec['rangeStart']}-{spec['rangeEnd']}")

    def delete(self, container):
        if self.ranges:
            self.note_ranges()
        for _ in self.ranges or [None]:
            self.lock()
            try:
                for key, value in self.etcd.get_prefix(f"{self.root}/used/").items():
                    if value == container:
                        self.etcd.delete(key)
            finally:
                self.unlock()


def candidates(spec, last):
    """All addresses of a range, those behind the last one first; never the gateway's."""
    first, end = int(ipaddress.ip_address(spec["rangeStart"])), int(ipaddress.ip_address(spec["rangeEnd"]))
    start = first
    if last and first <= int(ipaddress.ip_address(last)) < end:
        start = int(ipaddress.ip_address(last)) + 1
    for number in [*range(start, end + 1), *range(first, start)]:
        address = str(ipaddress.ip_address(number))
        if address != spec.get("gateway"):
            yield address


def parse_range(text):
    subnet, first, last, *gateway = text.split(",")
    spec = {"rangeStart": first, "rangeEnd": last, "subnet": subnet}
    if gateway:
        spec["gateway"] = gateway[0]
    return spec


def conf_ranges(ipam):
    ranges = [spec for group in ipam.get("ranges", []) for spec in group]
    if "subnet" in ipam:
        ranges.insert(0, {key: ipam[key] for key in ("rangeStart", "rangeEnd", "subnet", "gateway") if key in ipam})
    return ranges


def annotated(path):
    """ADDRESS/LENGTH of the pod's annotations, if it has them; nothing without a kubeconfig."""
    args = dict(pair.split("=", 1) for pair in os.environ.get("CNI_ARGS", "").split(";") if "=" in pair)
    if "K8S_POD_NAME" not in args or not path or not os.path.exists(path):
        return None
    with open(path, encoding="utf-8") as file:
        kubeconfig = yaml.safe_load(file)
    cluster = kubeconfig["clusters"][0]["cluster"]
    context = ssl.create_default_context(cadata=base64.b64decode(cluster["certificate-authority-data"]).decode())
    request = urllib.request.Request(
        f"{cluster['server']}/api/v1/namespaces/{args['K8S_POD_NAMESPACE']}/pods/{args['K8S_POD_NAME']}",
        headers={"Authorization": f"Bearer {kubeconfig['users'][0]['user']['token']}"})
    # Whatever goes wrong, it takes the pod for one without a fixed address.
    try:
        with urllib.request.urlopen(request, context=context, timeout=10) as answer:
            annotations = json.load(answer)["metadata"].get("annotations", {})
    except OSError:
        return None
    if "kube-ipam.ip" not in annotations:
        return None
    return str(ipaddress.ip_interface(f"{annotations['kube-ipam.ip']}/{annotations['kube-ipam.netmask']}"))


def plugin():
    """The CNI side, of version 0.3.1."""
    conf = json.load(sys.stdin)
    ipam, verb, container = conf["ipam"], os.environ["CNI_COMMAND"], os.environ["CNI_CONTAINERID"]
    access = ipam["etcdConfig"]
    etcd = Etcd(access["etcdURL"], access["etcdCertFile"], access["etcdKeyFile"], access["etcdTrustedCAFileFile"])
    ranges = conf_ranges(ipam)
    network = Network(etcd, conf["name"], ranges)
    if verb == "DEL":
        network.delete(container)
    if verb != "ADD":
        return
    fixed = os.environ.get("OLD_ADDRESS") or annotated(ipam.get("kubeConfig"))
    if fixed:
        network.note_ranges()
        addresses = [fixed]
    else:
        addresses = [f"{address}/{spec['subnet'].partition('/')[2]}"
                     for address, spec in zip(network.add(container), ranges)]
    ips = [{"version": "4", "address": address, "gateway": ipam.get("gateway", "")} for address in addresses]
    print(json.dumps({"cniVersion": "0.3.1", "ips": ips, "routes": ipam.get("routes", []), "dns": {}}))


def command_line():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--urls", default="https://192.168.122.11:2379,https://192.168.122.12:2379,https://192.168.122.13:2379")
    parser.add_argument("verb", choices=("add", "del", "lock"))
    parser.add_argument("network")
    parser.add_argument("container", metavar="CONTAINER|SECONDS")
    parser.add_argument("ranges", nargs="*", type=parse_range, metavar="RANGE")
    args = parser.parse_args()
    etcd = Etcd(args.urls, f"{SSL_FOLDER}/kubernetes.pem", f"{SSL_FOLDER}/kubernetes-key.pem", f"{SSL_FOLDER}/k8s-root-ca.pem")
    network = Network(etcd, args.network, args.ranges)
    if args.verb == "add":
        print("\n".join(network.add(args.container)))
    elif args.verb == "del":
        network.delete(args.container)
    else:
        network.lock()
        print("locked", flush=True)
        time.sleep(float(args.container))
        network.unlock()


if os.environ.get("CNI_COMMAND"):
    plugin()
else:
    command_line()
