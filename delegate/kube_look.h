/* Whether the API server can be reached, and lets a node's user read what lamina needs: each thing tried once. */
#pragma once

#include "delegate/kube.h"

struct kube_look {
	struct error pods;                      /* why a pod cannot be read; .err 0: it can */
	struct error nodes, leases;             /* this node's own Node and Lease */
	struct error other_nodes, other_leases; /* another node's */
	bool node_found, lease_found;           /* this node's */
};

/**
 * Reads a pod that nobody has, the Node of that name with its Lease, and a Node and a Lease that nobody has, all at
 * once: who may read all gets a 404, and who may not a 403, whether the object is there or not. Errors as kube_node's
 * and kube_pod_await's. Cleared with kube_look_clear.
 */
void kube_look(struct kube *kube, const char *node, struct kube_look *ret);

void kube_look_clear(struct kube_look *look);

/** What a plugin needs that reads networks annotations and writes network-status. */
struct kube_look_networks {
	struct error definitions; /* why a NetworkAttachmentDefinition cannot be read; .err 0: it can */
	struct error rights;      /* why nobody says what may be written; .err 0: */
	bool writes_status;       /* patch or update pods/status */
	bool writes_events;       /* create events */
};

/** Reads a definition that nobody has, and asks for its own rights (SelfSubjectAccessReview), all at once: nothing is
 * written. Errors as kube_pod_await's. Cleared with kube_look_networks_clear. */
void kube_look_networks(struct kube *kube, struct kube_look_networks *ret);

void kube_look_networks_clear(struct kube_look_networks *look);
