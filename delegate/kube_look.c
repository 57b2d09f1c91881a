#include "delegate/kube_look.h"

#include "delegate/kube_get.h"
#include "delegate/kube_pod.h"

#include <errno.h>

#define MAX_OBJECT ((size_t)4 << 20)

/* What is not there is as good as what is: who may not read it gets 403 for both. The namespace is nobody's, too: a
 * right to read what is in one that happens to be asked for is not the right to read all. */
#define NOBODY "lamina-doctor"
#define PODS "/api/v1/namespaces/" NOBODY "/pods/"
#define NODES "/api/v1/nodes/"
#define LEASES "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/"

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

	cleanup_free char *node_path = format_text(NODES "%s", node), *lease_path = format_text(LEASES "%s", node);
	bool ignored;
	const struct {
		struct kube_query query;
		struct error *e;
		bool *found;
	} asked[] = {
		{{"pods", PODS NOBODY, "pods", NOBODY, "Pod", MAX_OBJECT}, &ret->pods, &ignored},
		{{"nodes", node_path, "nodes", node, "Node", MAX_OBJECT}, &ret->nodes, &ret->node_found},
		{{"leases", lease_path, "leases", node, "Lease", MAX_OBJECT}, &ret->leases, &ret->lease_found},
		{{"nodes", NODES NOBODY, "nodes", NOBODY, "Node", MAX_OBJECT}, &ret->other_nodes, &ignored},
		{{"leases", LEASES NOBODY, "leases", NOBODY, "Lease", MAX_OBJECT}, &ret->other_leases, &ignored},
	};
	struct kube_get *gets[ARRAY_SIZE(asked)] = {NULL};

	for (size_t i = 0; i < ARRAY_SIZE(asked); i++) {
		if (!asked[i].e->err)
			kube_get_start(kube, &asked[i].query, &gets[i], asked[i].e);
	}
	for (size_t i = 0; i < ARRAY_SIZE(asked); i++) {
		*asked[i].found = await(gets[i], asked[i].e);
		kube_get_free(gets[i]);
	}
}

void kube_look_clear(struct kube_look *look)
{
	error_clear(&look->pods);
	error_clear(&look->nodes);
	error_clear(&look->leases);
	error_clear(&look->other_nodes);
	error_clear(&look->other_leases);
}
