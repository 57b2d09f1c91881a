"""A real API server's pods, as kubelets and controllers make and remove them (test/lab/kube.sh starts it)."""
import datetime
import http.client
import json
import ssl
import time
import urllib.parse

LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"


class Kube:
    """config: url, ca (a file) and token of somebody who may do everything."""

    def __init__(self, config):
        self.url = urllib.parse.urlsplit(config["url"])
        self.token = config["token"]
        self.context = ssl.create_default_context(cafile=config["ca"])
        self.connection = None

    def call(self, method, path, body=None, mime="application/json", fine=()):
        """Once more over a new connection when the old one was closed in the meantime."""
        for again in (True, False):
            try:
                self.connection = self.connection or http.client.HTTPSConnection(
                    self.url.hostname, self.url.port, timeout=30, context=self.context)
                self.connection.request(method, path, json.dumps(body) if body else None,
                                        {"Authorization": f"Bearer {self.token}", "Content-Type": mime})
                reply = self.connection.getresponse()
                said = reply.read()
                break
            except (OSError, http.client.HTTPException):
                self.connection = None
                if not again:
                    raise
        if reply.status >= 300 and reply.status not in fine:
            raise OSError(f"{method} {path}: {reply.status} {said[:300]}")
        return json.loads(said)

    def put_namespace(self, name):
        self.call("POST", "/api/v1/namespaces", {"metadata": {"name": name}}, fine=(409,))

    def put_pod(self, namespace, name, node, worker, annotations):
        """Makes it and tells its UID."""
        pod = {"metadata": {"name": name, "annotations": annotations, "labels": {"worker": str(worker)}},
               "spec": {"nodeName": node, "automountServiceAccountToken": False, "containers": [{"name": "c", "image": "none"}]}}
        return self.call("POST", f"/api/v1/namespaces/{namespace}/pods", pod, fine=())["metadata"]["uid"]

    def delete_pod(self, namespace, name):
        self.call("DELETE", f"/api/v1/namespaces/{namespace}/pods/{name}?gracePeriodSeconds=0", fine=(404,))

    def delete_pods_of(self, namespace, worker):
        self.call("DELETE", f"/api/v1/namespaces/{namespace}/pods?gracePeriodSeconds=0&labelSelector=worker%3D{worker}")

    def put_node(self, name):
        """A node that is alive as long as alive is called for it."""
        self.call("POST", "/api/v1/nodes", {"metadata": {"name": name}}, fine=(409,))
        self.call("POST", LEASES, self.lease(name), fine=(409,))

    def alive(self, name):
        self.call("PATCH", f"{LEASES}/{name}", self.lease(name), "application/merge-patch+json")

    @staticmethod
    def lease(name):
        now = datetime.datetime.fromtimestamp(time.time(), datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        return {"metadata": {"name": name}, "spec": {"holderIdentity": name, "leaseDurationSeconds": 40, "renewTime": now}}
