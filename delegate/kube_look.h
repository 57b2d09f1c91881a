/* Whether the API server can be reached, and lets a node's user read what lamina needs: each thing tried once. */
#pragma once

#include "delegate/kube.h"

struct kube_look {
	struct error pods, nodes, leases; /* why a pod, the Node and its Lease cannot be read; .err 0: they can */
	bool node_found, lease_found;
};

/** Reads a pod that nobody has, and the Node of that name with its Lease, all at once; errors as kube_node's and
 * kube_pod_await's. Cleared with kube_look_clear. */
void kube_look(struct kube *kube, const char *node, struct kube_look *ret);

void kube_look_clear(struct kube_look *look);
