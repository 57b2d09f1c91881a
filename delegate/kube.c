#include "delegate/kube.h"

#include "delegate/kube_get.h"
#include "delegate/kube_pod.h"
#include "delegate/text.h"

#include <errno.h>
#include <string.h>

#define MAX_OBJECT ((size_t)4 << 20)
#define MAX_PAGE ((size_t)16 << 20)
#define PAGE_PODS 500

int kube_open(const struct kubeconfig *config, struct http *http, int64_t deadline, struct kube **ret, struct error *e)
{
	struct kube *kube = allocate(1, sizeof(*kube));

	(void)e;
	*kube = (struct kube){.config = config, .http = http, .deadline = deadline};
	*ret = kube;
	return 0;
}

void kube_set_deadline(struct kube *kube, int64_t deadline)
{
	kube->deadline = deadline;
}

void kube_free(struct kube *kube)
{
	free(kube);
}

/* What is not a name could lead to another object's path, or to none. */
static int check_name(const char *what, const char *name, bool dots, struct error *e)
{
	if (kube_is_name(name, dots))
		return 0;

	cleanup_free char *shown = text_quote(name, strlen(name), 100);

	return error_set(e, -EINVAL, ERROR_ENVIRONMENT,
		"%s is no %s's name: it must be of lower-case letters, digits and '-'%s", shown, what,
		dots ? " or '.', at most 253" : ", at most 63");
}

/* --- one pod --- */

struct kube_call {
	char *ns, *name, *path, *what;
	struct kube_get *get;
};

int kube_check_pod(const char *ns, const char *name, struct error *e)
{
	if (check_name("namespace", ns, false, e) < 0 || check_name("pod", name, true, e) < 0)
		return e->err;
	return 0;
}

int kube_pod_start(
	struct kube *kube, const char *ns, const char *name, bool latest, struct kube_call **ret, struct error *e)
{
	if (kube_check_pod(ns, name, e) < 0)
		return e->err;

	cleanup_kube_call struct kube_call *call = allocate(1, sizeof(*call));

	call->ns = copy_text(ns);
	call->name = copy_text(name);
	call->path = format_text("/api/v1/namespaces/%s/pods/%s%s", ns, name, latest ? "" : "?resourceVersion=0");
	call->what = format_text("pod %s/%s", ns, name);

	const struct kube_query query = {call->what, call->path, "pods", call->name, "Pod", MAX_OBJECT};
	int r = kube_get_start(kube, &query, &call->get, e);

	if (r < 0)
		return r;
	*ret = steal_ptr(call);
	return 0;
}

int kube_pod_await(struct kube_call *call, struct kube_pod *ret, struct error *e)
{
	struct kube_answer answer;

	*ret = (struct kube_pod){0};
	if (kube_get_await(call->get, &answer, e) < 0)
		return e->err;

	cleanup_json cJSON *json = answer.json;
	cleanup_kube_pod struct kube_pod pod = {0};

	if (!json)
		return 0;
	if (kube_pod_read(json, &pod, e) < 0)
		return error_wrap(e, "%s", call->what);
	if (strcmp(pod.ns, call->ns) != 0 || strcmp(pod.name, call->name) != 0)
		return error_set(
			e, -EPROTO, ERROR_TRY_AGAIN, "%s: the API server sent %s/%s", call->what, pod.ns, pod.name);
	*ret = pod;
	pod = (struct kube_pod){0};
	return 0;
}

void kube_call_free(struct kube_call *call)
{
	if (!call)
		return;
	kube_get_free(call->get);
	free(call->path);
	free(call->what);
	free(call->ns);
	free(call->name);
	free(call);
}

int kube_pod(struct kube *kube, const char *ns, const char *name, struct kube_pod *ret, struct error *e)
{
	cleanup_kube_call struct kube_call *call = NULL;

	if (kube_pod_start(kube, ns, name, true, &call, e) < 0)
		return e->err;
	return kube_pod_await(call, ret, e);
}

/* --- one node --- */

int kube_node(struct kube *kube, const char *name, struct kube_node *ret, struct error *e)
{
	if (check_name("node", name, true, e) < 0)
		return e->err;

	cleanup_free char *node_path = format_text("/api/v1/nodes/%s", name);
	cleanup_free char *lease_path =
		format_text("/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/%s", name);
	cleanup_free char *node_what = format_text("node %s", name),
			  *lease_what = format_text("lease of node %s", name);
	const struct kube_query node_query = {node_what, node_path, "nodes", name, "Node", MAX_OBJECT};
	const struct kube_query lease_query = {lease_what, lease_path, "leases", name, "Lease", MAX_OBJECT};
	cleanup_kube_get struct kube_get *node_get = NULL, *lease_get = NULL;
	struct kube_answer node, lease;

	*ret = (struct kube_node){0};
	if (kube_get_start(kube, &node_query, &node_get, e) < 0 ||
		kube_get_start(kube, &lease_query, &lease_get, e) < 0 || kube_get_await(node_get, &node, e) < 0)
		return e->err;

	cleanup_json cJSON *node_json = node.json;

	if (kube_get_await(lease_get, &lease, e) < 0)
		return e->err;

	cleanup_json cJSON *lease_json = lease.json;
	struct kube_taints taints = {0};
	bool renewed = false;

	ret->found = node_json;
	if (node_json && kube_node_read(node_json, &taints, e) < 0)
		return error_wrap(e, "%s", node_what);
	ret->out_of_service = taints.out_of_service;
	if (!lease_json)
		return 0;
	if (lease.date <= 0)
		return error_set(e, -EPROTO, ERROR_TRY_AGAIN,
			"%s: the API server's answer has no Date: nobody knows whether the lease has run out",
			lease_what);
	if (kube_lease_read(lease_json, lease.date, &renewed, e) < 0)
		return error_wrap(e, "%s", lease_what);
	/* Renewed a moment ago, and cut off since: a pod that was deleted there by force may run on. */
	ret->alive = renewed && !taints.unreachable;
	return 0;
}

/* --- all pods --- */

/* The key of a page may contain anything: it is the server's. */
static char *percent_encode(const char *text)
{
	static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
	char *encoded = allocate(strlen(text) + 1, 3), *out = encoded;

	for (; *text; text++) {
		if (strchr(plain, *text))
			*out++ = *text;
		else
			out += sprintf(out, "%%%02X", (unsigned int)(unsigned char)*text);
	}
	return encoded;
}

struct listing {
	struct kube *kube;
	const char *node; /* NULL: all */
	int limit;
	char *next; /* the next page's key; NULL: the first page, or none left */
	struct kube_pod_list list;
};

static int read_page(struct listing *listing, struct error *e)
{
	cleanup_free char *path = format_text("/api/v1/pods?limit=%d%s%s%s%s", listing->limit,
		listing->node ? "&fieldSelector=spec.nodeName%3D" : "", listing->node ? listing->node : "",
		listing->next ? "&continue=" : "", listing->next ? listing->next : "");
	const struct kube_query query = {"list of pods", path, "pods", NULL, "PodList", MAX_PAGE};
	cleanup_kube_get struct kube_get *get = NULL;
	struct kube_answer answer;
	const char *next = NULL;

	if (kube_get_start(listing->kube, &query, &get, e) < 0 || kube_get_await(get, &answer, e) < 0)
		return e->err;

	cleanup_json cJSON *json = answer.json;

	if (kube_pods_read(json, &listing->list, &next, e) < 0)
		return error_wrap(e, "list of pods");
	free(listing->next);
	listing->next = next ? percent_encode(next) : NULL;
	return 0;
}

static void drop_pods(struct listing *listing)
{
	kube_pods_free(listing->list.pods, listing->list.count);
	free(listing->next);
	listing->list = (struct kube_pod_list){0};
	listing->next = NULL;
}

/* A page that is too large is asked for in smaller ones; a key that is too old means to begin again, once. */
static int read_pages(struct listing *listing, struct error *e)
{
	bool begun_again = false;

	for (;;) {
		int r = read_page(listing, e);

		if (r == 0 && !listing->next)
			return 0;
		if (r == 0)
			continue;
		if (r == -EFBIG && listing->limit > 1) {
			listing->limit = (listing->limit + 4) / 5;
		} else if (r == -ESTALE && listing->next && !begun_again) {
			begun_again = true;
			drop_pods(listing);
		} else {
			return r;
		}
		error_clear(e);
	}
}

int kube_pods(struct kube *kube, const char *node, struct kube_pod **ret, size_t *ret_count, struct error *e)
{
	struct listing listing = {.kube = kube, .node = node, .limit = PAGE_PODS};

	if (node && check_name("node", node, true, e) < 0)
		return e->err;

	int r = read_pages(&listing, e);

	if (r < 0) {
		drop_pods(&listing);
		return r;
	}
	*ret = listing.list.pods;
	*ret_count = listing.list.count;
	return 0;
}
