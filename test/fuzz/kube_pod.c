/* What an API server sends: a pod, a list, a node or a lease. What is taken has the names that paths are made of. */
#include "delegate/kube_pod.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

static void check_pod(const struct kube_pod *pod)
{
	const cJSON *value;

	if (!pod->found || !kube_is_name(pod->name, true) || !kube_is_name(pod->ns, false) || !*pod->uid ||
		strchr(pod->name, '/') || !cJSON_IsObject(pod->annotations))
		abort();
	cJSON_ArrayForEach(value, pod->annotations)
	{
		if (!cJSON_IsString(value))
			abort();
	}
}

static void check_error(struct error *e)
{
	if (e->code != ERROR_TRY_AGAIN || !e->message)
		abort();
	error_clear(e);
}

static void read_list(const cJSON *json)
{
	struct kube_pod_list list = {0};
	cleanup_error struct error e = {0};
	const char *next = NULL;

	if (kube_pods_read(json, &list, &next, &e) < 0)
		check_error(&e);
	for (size_t i = 0; i < list.count; i++)
		check_pod(&list.pods[i]);
	kube_pods_free(list.pods, list.count);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
	cleanup_json cJSON *json = NULL;
	cleanup_kube_pod struct kube_pod pod = {0};
	cleanup_error struct error e = {0};
	struct kube_taints taints;
	bool renewed;

	if (json_parse((const char *)bytes, length, "input", &json, &e) < 0)
		return 0;
	if (kube_pod_read(json, &pod, &e) == 0)
		check_pod(&pod);
	else
		check_error(&e);
	read_list(json);
	if (kube_node_read(json, &taints, &e) < 0)
		check_error(&e);
	if (kube_lease_read(json, 1700000000, &renewed, &e) < 0)
		check_error(&e);
	return 0;
}
