"""Looks into etcd, and puts keys there, beside the code under test: its JSON gateway with Python's own TLS."""
import base64
import http.client
import json
import re
import ssl
import time
import urllib.parse

PREFIX = "/etcd-cni"


def encode(text):
    return base64.b64encode(text.encode()).decode()


def decode(text):
    return base64.b64decode(text).decode()


def after(prefix):
    """The end of the range of all keys that begin with it."""
    return prefix[:-1] + chr(ord(prefix[-1]) + 1)


class Etcd:
    """One cluster, as a configuration's etcdConfig names it."""

    def __init__(self, config, patience=30):
        self.endpoints = [urllib.parse.urlsplit(url) for url in config["etcdURL"].split(",")]
        self.patience = patience
        self.connection = None
        self.context = None
        if self.endpoints[0].scheme == "https":
            self.context = ssl.create_default_context(cafile=config.get("etcdTrustedCAFile") or config["etcdTrustedCAFileFile"])
            self.context.load_cert_chain(config["etcdCertFile"], config["etcdKeyFile"])

    def connect(self):
        self.endpoints = self.endpoints[1:] + self.endpoints[:1]
        return self.open(self.endpoints[-1])

    def open(self, endpoint):
        if self.context:
            return http.client.HTTPSConnection(endpoint.hostname, endpoint.port, timeout=10, context=self.context)
        return http.client.HTTPConnection(endpoint.hostname, endpoint.port, timeout=10)

    def call(self, method, body):
        """One member after the other, for as long as patience goes."""
        end = time.monotonic() + self.patience
        while True:
            try:
                self.connection = self.connection or self.connect()
                self.connection.request("POST", f"/v3/{method}", json.dumps(body))
                reply = self.connection.getresponse()
                said = reply.read()
                if reply.status == 200:
                    return json.loads(said)
                raise OSError(f"{method}: {reply.status} {said[:200]}")
            except (OSError, http.client.HTTPException):
                self.connection = None
                if time.monotonic() > end:
                    raise
                time.sleep(0.1)

    def keys(self, prefix):
        """All keys that begin with it, with their values; prefix is what PREFIX ends with."""
        prefix = PREFIX + prefix
        reply = self.call("kv/range", {"key": encode(prefix), "range_end": encode(after(prefix))})
        return {decode(kv["key"])[len(PREFIX):]: decode(kv.get("value", "")) for kv in reply.get("kvs", [])}

    def put(self, pairs):
        """Keys under PREFIX with their values."""
        pairs = list(pairs.items())
        for start in range(0, len(pairs), 100):
            self.call("kv/txn", {"success": [{"request_put": {"key": encode(PREFIX + key), "value": encode(value)}}
                                             for key, value in pairs[start:start + 100]]})

    def delete(self, keys):
        self.call("kv/txn", {"success": [{"request_delete_range": {"key": encode(PREFIX + key)}} for key in keys]})

    def requests(self):
        """How many transactions and ranges clients have asked the members for since these were started; None when one is away."""
        try:
            return sum(self.requests_of(endpoint) for endpoint in sorted(set(self.endpoints)))
        except OSError:
            return None

    def requests_of(self, endpoint):
        connection = self.open(endpoint)
        connection.request("GET", "/metrics")
        said = connection.getresponse().read().decode()
        connection.close()
        counted = re.findall(r'^grpc_server_handled_total\{(.*)\} (\S+)$', said, re.MULTILINE)
        return int(sum(float(number) for labels, number in counted
                       if 'grpc_method="Txn"' in labels or 'grpc_method="Range"' in labels))


def is_closed(value):
    """Whether an attachment is but the mark of a DEL that came before a lost claim: that holds nothing, and goes after a minute."""
    try:
        return "closed" in json.loads(value)
    except (ValueError, TypeError):
        return False


def leaks(keys, network):
    """What keeps an address although nobody uses it: of all keys, those that are neither a hold nor its domain's word for it."""
    fixed = {key.rsplit("/", 1)[1] for key in keys if key.startswith(f"/networks/{network}/fixed/")}
    found = []
    for key, value in keys.items():
        _, kind, _, *rest = key.split("/")
        if kind == "domain" and rest[0] not in fixed:
            found.append(key)
        elif kind == "networks" and rest and (rest[0] in ("used", "lock") or rest[0] == "attachment" and not is_closed(value)):
            found.append(key)
    return found
