#!/usr/bin/python3
"""Prints the pods that a cluster makes of StatefulSets and Deployments: name, namespace and annotations, one JSON object a line.

Usage: pods.py MANIFEST ...
"""
import hashlib
import json
import sys

import yaml

# What Kubernetes makes generated names of.
ALPHABET = "bcdfghjklmnpqrstvwxz2456789"


def generated(text, length):
    digest = hashlib.sha256(text.encode()).digest()
    return "".join(ALPHABET[byte % len(ALPHABET)] for byte in digest[:length])


def pod_name(workload, number):
    name = workload["metadata"]["name"]
    if workload["kind"] == "StatefulSet":
        return f"{name}-{number}"
    template = json.dumps(workload["spec"]["template"], sort_keys=True)
    return f"{name}-{generated(template, 10)}-{generated(f'{template}{number}', 5)}"


for manifest in sys.argv[1:]:
    with open(manifest, encoding="utf-8") as file:
        for workload in yaml.safe_load_all(file):
            if not workload or workload["kind"] not in ("StatefulSet", "Deployment"):
                continue
            for number in range(workload["spec"].get("replicas", 1)):
                print(json.dumps({
                    "name": pod_name(workload, number),
                    "namespace": workload["metadata"].get("namespace", "default"),
                    "annotations": workload["spec"]["template"]["metadata"].get("annotations", {}),
                }))
