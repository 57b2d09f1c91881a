/* What the API server says about pods, nodes and leases, read and checked. For what asks it. */
#pragma once

#include "delegate/kube.h"

/** Whether it is a DNS label (RFC 1123: a namespace) or, with dots allowed, a subdomain (a pod, a node). Such a name
 * is one segment of a path, as it is. */
bool kube_is_name(const char *name, bool dots);

/** json_read, with the code that a server's mistake has (it may be over in a minute): ERROR_TRY_AGAIN. */
int kube_read(const cJSON *object, const char *path, const struct json_field *table, void *dst, struct error *e);

/** The UID by which the kubelet knows a pod, from its metadata: it knows a static pod by the hash of its manifest; the
 * API server gave its mirror another UID. Borrowed. */
const char *kube_kubelet_uid(const char *uid, const cJSON *annotations);

/** Fills ret (found) from a Pod. Wrong types, no uid, no name: ERROR_TRY_AGAIN. Cleared with kube_pod_clear. */
int kube_pod_read(const cJSON *json, struct kube_pod *ret, struct error *e);

struct kube_pod_list {
	struct kube_pod *pods;
	size_t count;
};

/** Appends the pods of a PodList. *ret_continue is the next page's key, borrowed from json; NULL: the last page. */
int kube_pods_read(const cJSON *json, struct kube_pod_list *list, const char **ret_continue, struct error *e);

/** Of a Node's taints, whatever their effect. */
struct kube_taints {
	bool out_of_service; /* node.kubernetes.io/out-of-service: somebody says that it is off */
	bool unreachable;    /* node.kubernetes.io/unreachable: the node controller does not hear of it any more */
};

/** What is said of a Node by its taints. Wrong types: ERROR_TRY_AGAIN. */
int kube_node_read(const cJSON *json, struct kube_taints *ret, struct error *e);

/** Whether the node's Lease was renewed within its own duration. now: seconds since 1970, by the API server's clock. */
int kube_lease_read(const cJSON *json, int64_t now, bool *ret_renewed, struct error *e);
