/* What is known of the pod whose interfaces are made: its annotations, as the runtime hands them over or, where it does
 * not, as the API server has them. A pod that might have a fixed address never gets a random one: what cannot be found
 * out is an error. */
#pragma once

#include "plugin/run.h"

enum pod_source {
	POD_NONE,    /* a container that is no pod: it has none */
	POD_RUNTIME, /* runtimeConfig has them; present, even empty, is an answer */
	POD_API,
};

struct pod {
	enum pod_source source;
	const cJSON *annotations; /* borrowed; NULL: none, or not known yet */
	struct kube_call *call;   /* under way */
	struct kube_pod object;   /* POD_API */
};

/** Says where the pod's annotations come from. A known pod (K8S_POD_NAME) of which neither runtime nor configuration
 * can say them: ERROR_CONFIG. Asks nobody. pod_clear is needed after failure too. */
int pod_find(struct pod *ret, const struct request *request, const struct config *config, struct error *e);

/** POD_API: whether the API server can be asked, as far as files and names tell; else nothing. Asks nobody. */
int pod_check(const struct pod *pod, struct run *run, struct error *e);

/** POD_API: sends the request, which may have been answered from a cache; else nothing. */
int pod_ask(struct pod *pod, struct run *run, struct error *e);

/**
 * POD_API: awaits the answer; a pod that is not there, or has another UID than K8S_POD_UID, is asked for again for a
 * few seconds, linearizably. Then ERROR_TRY_AGAIN. Names the node as the API server does, when the UID is known. Sets
 * .annotations.
 */
int pod_await(struct pod *pod, struct run *run, struct error *e);

/** Asks the API server for the pod just once: .annotations are set when that pod is there, else .object.found is false
 * and that is success. For who can do without. */
int pod_look(struct pod *pod, struct run *run, struct error *e);

void pod_clear(struct pod *pod);
#define cleanup_pod CLEANUP(pod_clear)
