/* The Kubernetes API: the pods, nodes and leases that decide about addresses. What is written is in kube_status.h and
 * events.h. */
#pragma once

#include "delegate/kubeconfig.h"
#include "plugin/base/http.h"
#include "plugin/base/json.h"

struct kube;

/** Asks nobody yet. config and http are borrowed. deadline (clock_now) bounds all calls. Freed with kube_free. */
int kube_open(const struct kubeconfig *config, struct http *http, int64_t deadline, struct kube **ret, struct error *e);

/** For the calls that follow, and for those under way that have to be repeated. */
void kube_set_deadline(struct kube *kube, int64_t deadline);

void kube_free(struct kube *kube);
DEFINE_CLEANUP(struct kube, kube_free)
#define cleanup_kube CLEANUP(kube_free_cleanup)

/** A pod as far as it matters. Owned strings, NULL when absent. */
struct kube_pod {
	bool found; /* false: 404 */
	char *ns, *name;
	char *uid;          /* the one that the kubelet knows: of a static pod's mirror, config.mirror or config.hash */
	char *object_uid;   /* the API server's own: what a write to the pod names */
	char *version;      /* metadata.resourceVersion */
	char *node;         /* spec.nodeName */
	char *phase;        /* Pending, Running, Succeeded, Failed, Unknown */
	bool terminating;   /* has a deletionTimestamp */
	cJSON *annotations; /* an object of strings, never NULL when found; values that are no strings are dropped */
};

void kube_pod_clear(struct kube_pod *pod);
#define cleanup_kube_pod CLEANUP(kube_pod_clear)

/** The pod that is written to, or that an event is about. Borrowed. */
struct kube_target {
	const char *ns, *name;
	const char *uid; /* the API server's (object_uid) or, where nobody has asked it, the runtime's; NULL: unknown */
	const char *version; /* NULL: unknown */
};

struct kube_call;

/** Whether these are names that Kubernetes allows (RFC 1123), so that none leads to another path. ERROR_ENVIRONMENT. */
int kube_check_pod(const char *ns, const char *name, struct error *e);

/**
 * Starts GET of one pod, whose names kube_check_pod must allow. latest: a linearizable read (no resourceVersion); else
 * one that the API server may answer from its cache (resourceVersion=0).
 */
int kube_pod_start(
	struct kube *kube, const char *ns, const char *name, bool latest, struct kube_call **ret, struct error *e);

/**
 * Awaits it, with repetitions until the deadline, with growing pauses: no answer, a lost connection, 429 (Retry-After
 * is respected), 500-599. 401: the token is read again once. 404 is pod.found == false. Errors: ERROR_TRY_AGAIN when
 * the API server is away or failing; 401 and 403 are ERROR_TRY_AGAIN too and name user and missing right as the server
 * states it; certificates ERROR_CONFIG; what is no API server ERROR_TRY_AGAIN. Cleared with kube_pod_clear.
 */
int kube_pod_await(struct kube_call *call, struct kube_pod *ret, struct error *e);

void kube_call_free(struct kube_call *call);
DEFINE_CLEANUP(struct kube_call, kube_call_free)
#define cleanup_kube_call CLEANUP(kube_call_free_cleanup)

/** Start and await in one, always a linearizable read. */
int kube_pod(struct kube *kube, const char *ns, const char *name, struct kube_pod *ret, struct error *e);

struct kube_node {
	bool found;
	bool out_of_service; /* has the taint node.kubernetes.io/out-of-service */
	bool alive; /* its Lease in kube-node-lease was renewed within its own duration (by the API server's clock: the
		       Date header of the reply), and it has no taint node.kubernetes.io/unreachable */
};

/** The Node and its Lease, both linearizable, asked at once. Errors as kube_pod_await. */
int kube_node(struct kube *kube, const char *name, struct kube_node *ret, struct error *e);

/** All pods of the cluster, or of one node (node may be NULL), in pages of 500, the first one linearizable. *ret is
 * freed with kube_pods_free. */
int kube_pods(struct kube *kube, const char *node, struct kube_pod **ret, size_t *ret_count, struct error *e);

void kube_pods_free(struct kube_pod *pods, size_t count);
