#include "delegate/kube_look.h"

#include "delegate/kube_get.h"
#include "delegate/kube_pod.h"

#include <errno.h>

#define MAX_OBJECT ((size_t)4 << 20)

/* A pod that is not there is as good as one that is: who may not read pods gets 403 for both. */
#define NOBODY "lamina-doctor"

/* What came of one that was started, or why it was not. */
static bool await(struct kube_get *get, struct error *e)
{
	struct kube_answer answer = {0};

	if (get)
		kube_get_await(get, &answer, e);

	cleanup_json cJSON *json = answer.json;

	return json;
}

void kube_look(struct kube *kube, const char *node, struct kube_look *ret)
{
	*ret = (struct kube_look){0};
	if (!kube_is_name(node, true)) {
		error_set(&ret->nodes, -EINVAL, ERROR_CONFIG,
			"no Node can have this name: it must be of lower-case letters, digits, '-' and '.'");
		node = NOBODY;
	}

	cleanup_free char *node_path = format_text("/api/v1/nodes/%s", node);
	cleanup_free char *lease_path =
		format_text("/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/%s", node);
	const struct kube_query pod_query = {
		"pods", "/api/v1/namespaces/default/pods/" NOBODY, "pods", NOBODY, "Pod", MAX_OBJECT};
	const struct kube_query node_query = {"nodes", node_path, "nodes", node, "Node", MAX_OBJECT};
	const struct kube_query lease_query = {"leases", lease_path, "leases", node, "Lease", MAX_OBJECT};
	cleanup_kube_get struct kube_get *pod_get = NULL, *node_get = NULL, *lease_get = NULL;

	kube_get_start(kube, &pod_query, &pod_get, &ret->pods);
	if (!ret->nodes.err)
		kube_get_start(kube, &node_query, &node_get, &ret->nodes);
	kube_get_start(kube, &lease_query, &lease_get, &ret->leases);
	await(pod_get, &ret->pods);
	ret->node_found = await(node_get, &ret->nodes);
	ret->lease_found = await(lease_get, &ret->leases);
}

void kube_look_clear(struct kube_look *look)
{
	error_clear(&look->pods);
	error_clear(&look->nodes);
	error_clear(&look->leases);
}
