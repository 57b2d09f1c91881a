#include "delegate/kube_pod.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>
#include <time.h>

/* As many as a cluster may have (150,000), and some more. */
#define MAX_PODS ((size_t)200000)

/* What the kubelet writes where nobody has said otherwise; for a Lease that does not say how long it lasts. */
#define LEASE_SECONDS 40

#define LABEL_MAX 63
#define SUBDOMAIN_MAX 253

static bool is_alphanumeric(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

bool kube_is_name(const char *name, bool dots)
{
	size_t length = strlen(name);

	if (length == 0 || length > (dots ? SUBDOMAIN_MAX : LABEL_MAX))
		return false;
	for (size_t i = 0; i < length; i++) {
		bool edge = i == 0 || i + 1 == length || name[i] == '.' || name[i - 1] == '.' || name[i + 1] == '.';

		if (is_alphanumeric(name[i]) || (name[i] == '-' && !edge))
			continue;
		if (name[i] != '.' || !dots || i == 0 || i + 1 == length || name[i - 1] == '.')
			return false;
	}
	return true;
}

int kube_read(const cJSON *object, const char *path, const struct json_field *table, void *dst, struct error *e)
{
	if (json_read(object, path, table, dst, e) == 0)
		return 0;
	e->code = ERROR_TRY_AGAIN;
	return error_wrap(e, "the API server's answer");
}

/* Annotations are told apart by case, and anybody may write one. */
static const char *get_annotation(const cJSON *annotations, const char *key)
{
	const cJSON *value = cJSON_GetObjectItemCaseSensitive(annotations, key);

	return cJSON_IsString(value) && *value->valuestring ? value->valuestring : NULL;
}

const char *kube_kubelet_uid(const char *uid, const cJSON *annotations)
{
	static const char mirror_key[] = "kubernetes.io/config.mirror";
	const char *mirror = get_annotation(annotations, mirror_key);
	const char *hash = get_annotation(annotations, "kubernetes.io/config.hash");

	if (!cJSON_GetObjectItemCaseSensitive(annotations, mirror_key))
		return uid;
	return mirror ? mirror : hash ? hash : uid;
}

static cJSON *copy_strings(const cJSON *annotations)
{
	cleanup_json cJSON *copy = json_must(cJSON_CreateObject());
	const cJSON *value;

	cJSON_ArrayForEach(value, annotations)
	{
		if (cJSON_IsString(value))
			cJSON_AddItemToObject(copy, value->string, json_copy(value));
	}
	return steal_ptr(copy);
}

struct pod_parts {
	const cJSON *metadata, *spec, *status;
};

struct pod_metadata {
	const char *name, *ns, *uid, *version, *deleted;
	const cJSON *annotations;
};

int kube_pod_read(const cJSON *json, struct kube_pod *ret, struct error *e)
{
	static const struct json_field parts_table[] = {
		{"metadata", JSON_OBJECT, offsetof(struct pod_parts, metadata), true},
		{"spec", JSON_OBJECT, offsetof(struct pod_parts, spec), false},
		{"status", JSON_OBJECT, offsetof(struct pod_parts, status), false},
		{NULL},
	};
	static const struct json_field metadata_table[] = {
		{"name", JSON_STRING, offsetof(struct pod_metadata, name), true},
		{"namespace", JSON_STRING, offsetof(struct pod_metadata, ns), true},
		{"uid", JSON_STRING, offsetof(struct pod_metadata, uid), true},
		{"resourceVersion", JSON_STRING, offsetof(struct pod_metadata, version), false},
		{"deletionTimestamp", JSON_STRING, offsetof(struct pod_metadata, deleted), false},
		{"annotations", JSON_OBJECT, offsetof(struct pod_metadata, annotations), false},
		{NULL},
	};
	static const struct json_field node_table[] = {{"nodeName", JSON_STRING, 0, false}, {NULL}};
	static const struct json_field phase_table[] = {{"phase", JSON_STRING, 0, false}, {NULL}};
	struct pod_parts parts = {0};
	struct pod_metadata meta = {0};
	const char *node = NULL, *phase = NULL;

	if (kube_read(json, "", parts_table, &parts, e) < 0 ||
		kube_read(parts.metadata, "metadata", metadata_table, &meta, e) < 0 ||
		(parts.spec && kube_read(parts.spec, "spec", node_table, &node, e) < 0) ||
		(parts.status && kube_read(parts.status, "status", phase_table, &phase, e) < 0))
		return e->err;
	if (!kube_is_name(meta.name, true) || !kube_is_name(meta.ns, false) || !*meta.uid)
		return error_set(
			e, -EINVAL, ERROR_TRY_AGAIN, "the API server's answer: a pod without name, namespace or uid");
	*ret = (struct kube_pod){
		.found = true,
		.ns = copy_text(meta.ns),
		.name = copy_text(meta.name),
		.uid = copy_text(kube_kubelet_uid(meta.uid, meta.annotations)),
		.object_uid = copy_text(meta.uid),
		.version = meta.version && *meta.version ? copy_text(meta.version) : NULL,
		.node = node && *node ? copy_text(node) : NULL,
		.phase = copy_text(phase),
		.terminating = meta.deleted && *meta.deleted,
		.annotations = copy_strings(meta.annotations),
	};
	return 0;
}

struct list_parts {
	const cJSON *metadata, *items;
};

int kube_pods_read(const cJSON *json, struct kube_pod_list *list, const char **ret_continue, struct error *e)
{
	static const struct json_field table[] = {
		{"metadata", JSON_OBJECT, offsetof(struct list_parts, metadata), true},
		{"items", JSON_ARRAY, offsetof(struct list_parts, items), false},
		{NULL},
	};
	static const struct json_field continue_table[] = {{"continue", JSON_STRING, 0, false}, {NULL}};
	struct list_parts parts = {0};
	const char *next = NULL;
	const cJSON *item;

	if (kube_read(json, "", table, &parts, e) < 0 ||
		kube_read(parts.metadata, "metadata", continue_table, &next, e) < 0)
		return e->err;

	size_t more = (size_t)cJSON_GetArraySize(parts.items);

	if (list->count + more > MAX_PODS)
		return error_set(e, -ENOBUFS, ERROR_TRY_AGAIN, "the API server lists more than %zu pods", MAX_PODS);
	list->pods = reallocate(list->pods, list->count + more + 1, sizeof(*list->pods));
	cJSON_ArrayForEach(item, parts.items)
	{
		if (kube_pod_read(item, &list->pods[list->count], e) < 0)
			return e->err;
		list->count++;
	}
	*ret_continue = next && *next ? next : NULL;
	return 0;
}

int kube_node_read(const cJSON *json, struct kube_taints *ret, struct error *e)
{
	static const struct json_field spec_table[] = {{"spec", JSON_OBJECT, 0, false}, {NULL}};
	static const struct json_field taints_table[] = {{"taints", JSON_ARRAY, 0, false}, {NULL}};
	const cJSON *spec = NULL, *taints = NULL, *taint;

	*ret = (struct kube_taints){0};
	if (kube_read(json, "", spec_table, &spec, e) < 0 ||
		(spec && kube_read(spec, "spec", taints_table, &taints, e) < 0))
		return e->err;
	cJSON_ArrayForEach(taint, taints)
	{
		const char *key = json_text(taint, "key");

		if (!key)
			continue;
		if (strcmp(key, "node.kubernetes.io/out-of-service") == 0)
			ret->out_of_service = true;
		if (strcmp(key, "node.kubernetes.io/unreachable") == 0)
			ret->unreachable = true;
	}
	return 0;
}

/* RFC 3339 in UTC, with or without a fraction, as the API server writes it. */
static bool parse_time(const char *text, int64_t *ret)
{
	struct tm tm = {0};
	const char *rest = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);

	if (!rest)
		return false;
	if (*rest == '.' && isdigit((unsigned char)rest[1]))
		rest += 1 + strspn(rest + 1, "0123456789");
	*ret = timegm(&tm);
	return strcmp(rest, "Z") == 0;
}

struct lease_spec {
	const char *renewed;
	int64_t duration;
};

int kube_lease_read(const cJSON *json, int64_t now, bool *ret_renewed, struct error *e)
{
	static const struct json_field spec_table[] = {{"spec", JSON_OBJECT, 0, false}, {NULL}};
	static const struct json_field table[] = {
		{"renewTime", JSON_STRING, offsetof(struct lease_spec, renewed), false},
		{"leaseDurationSeconds", JSON_INTEGER, offsetof(struct lease_spec, duration), false},
		{NULL},
	};
	const cJSON *object = NULL;
	struct lease_spec spec = {0};
	int64_t renewed;

	*ret_renewed = false;
	if (kube_read(json, "", spec_table, &object, e) < 0 ||
		(object && kube_read(object, "spec", table, &spec, e) < 0))
		return e->err;
	if (!spec.renewed)
		return 0;
	if (!parse_time(spec.renewed, &renewed))
		return error_set(
			e, -EINVAL, ERROR_TRY_AGAIN, "the API server's answer: spec.renewTime is not a time in UTC");

	int64_t margin = spec.duration > 0 ? spec.duration : LEASE_SECONDS;

	/* The node's own clock wrote that: one that is ahead must not let a dead node live on. */
	*ret_renewed = now <= renewed + margin && renewed <= now + margin;
	return 0;
}

void kube_pod_clear(struct kube_pod *pod)
{
	free(pod->ns);
	free(pod->name);
	free(pod->uid);
	free(pod->object_uid);
	free(pod->version);
	free(pod->node);
	free(pod->phase);
	cJSON_Delete(pod->annotations);
	*pod = (struct kube_pod){0};
}

void kube_pods_free(struct kube_pod *pods, size_t count)
{
	for (size_t i = 0; i < count; i++)
		kube_pod_clear(&pods[i]);
	free(pods);
}
