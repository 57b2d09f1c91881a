/* NetworkAttachmentDefinitions: where a cluster keeps the configurations of its networks. Reads only. */
#pragma once

#include "delegate/kube.h"

/** Owned strings, NULL when not found. */
struct nad {
	bool found; /* false: 404 */
	char *ns, *name;
	char *config;   /* spec.config as it stands; "" when it is absent: a file has it */
	char *resource; /* annotation k8s.v1.cni.cncf.io/resourceName; NULL: none */
};

void nad_clear(struct nad *nad);
#define cleanup_nad CLEANUP(nad_clear)

/** Whether a definition can have this name; a name of a configuration may be another one. */
bool nad_is_name(const char *name);

struct nad_call;

/**
 * Starts the GET of one, a linearizable read; several may be under way at once, each on the same connection. Names that
 * the API cannot have are refused (ERROR_CONFIG): they would lead to another path. *ret is freed with nad_call_free.
 */
int nad_start(struct kube *kube, const char *ns, const char *name, struct nad_call **ret, struct error *e);

/**
 * Awaits it, with repetitions and errors as kube_pod_await has them. No such object, or no such namespace: success, and
 * ret->found is false. A server that knows of no NetworkAttachmentDefinitions at all is an error that says so. Cleared
 * with nad_clear.
 */
int nad_await(struct nad_call *call, struct nad *ret, struct error *e);

void nad_call_free(struct nad_call *call);
DEFINE_CLEANUP(struct nad_call, nad_call_free)
#define cleanup_nad_call CLEANUP(nad_call_free_cleanup)

/** What nad_await reads of the API server's object. Wrong types, no name: ERROR_TRY_AGAIN. */
int nad_read(const cJSON *json, struct nad *ret, struct error *e);
