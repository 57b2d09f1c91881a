/* One request to the API server, repeated until there is an answer or no time left. Within delegate/kube_*.c only. */
#pragma once

#include "delegate/kube.h"

struct kube {
	const struct kubeconfig *config;
	struct http *http;
	int64_t deadline;
};

/** What is asked for, or written. The texts are borrowed for the call. */
struct kube_query {
	const char *what; /* "node node-1", for errors */
	const char *path; /* "/api/v1/nodes/node-1", with its query string */
	const char
		*resource; /* "nodes", as a Status of 404 names it; of one object, with its name. With its group behind
			      a dot when a CustomResourceDefinition has to be there for it: "widgets.example.com" */
	const char *name;  /* NULL: a list */
	const char *kind;  /* "Node": what the answer has to be */
	size_t max;        /* bytes of an answer */
};

struct kube_get;

/** Starts the first try. *ret is freed with kube_get_free. Errors: a tokenFile that cannot be read (ERROR_CONFIG). */
int kube_get_start(struct kube *kube, const struct kube_query *query, struct kube_get **ret, struct error *e);

/** How something is written. The texts are copied. */
struct kube_change {
	const char *method; /* "PATCH", "PUT", "POST" */
	const char *type;   /* of the body: "application/merge-patch+json" */
	const char *body;
	const char *right; /* "update pods/status": what the user of a 403 lacks */
};

/**
 * The same for a request with a body. It is sent again where nobody knows whether it was carried out (no answer, a lost
 * connection, 5xx), so a second time must do no harm. 200 and 201 are success.
 */
int kube_send_start(struct kube *kube, const struct kube_query *query, const struct kube_change *change,
	struct kube_get **ret, struct error *e);

struct kube_answer {
	cJSON *json;  /* of the kind that was asked for; NULL: the API server says that there is no such object */
	bool altered; /* json is not what came: NULs in it were replaced, so it must not be written back */
	int status;   /* of the last answer, also of one that is an error; 0: there was none */
	int64_t date; /* the server's clock, seconds since 1970; 0: unknown */
};

/**
 * Awaits the answer; errors and repetitions as kube_pod_await has them. Some that the asker can do something about:
 * -ESTALE (410: the page is not to be had any more), -EFBIG (more than max bytes), -EBUSY (409: the object is not, or
 * no longer, what the request says, or is there already), -EACCES (401, 403). ret->json is the caller's.
 */
int kube_get_await(struct kube_get *get, struct kube_answer *ret, struct error *e);

void kube_get_free(struct kube_get *get);
DEFINE_CLEANUP(struct kube_get, kube_get_free)
#define cleanup_kube_get CLEANUP(kube_get_free_cleanup)
