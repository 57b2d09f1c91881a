#include "delegate/devices.h"

#include "delegate/text.h"
#include "plugin/base/file.h"
#include "plugin/base/json.h"

#include <errno.h>
#include <string.h>

/* A node with 500 pods and 10,000 devices has 2 MiB. */
#define MAX_CHECKPOINT ((size_t)16 << 20)
/* Of one resource in one pod; a pod has at most 64 networks. */
#define MAX_DEVICES ((size_t)1024)
/* The kernel's own limit, MAX_NUMNODES; -1 is a device that is near none. */
#define MAX_NODES 1025
#define MAX_ID ((size_t)4096)
#define SHOWN_MAX ((size_t)100)

/* What is under way: errors name the file, the pod and the resource. */
struct search {
	const struct pod_devices *pod;
	const char *resource;
	struct devices found;
};

static int refuse(const struct search *search, const char *what, struct error *e)
{
	cleanup_free char *resource = text_quote(search->resource, strlen(search->resource), SHOWN_MAX);
	cleanup_free char *uid = text_quote(search->pod->pod_uid, strlen(search->pod->pod_uid), SHOWN_MAX);

	return error_set(e, -EINVAL, ERROR_CONFIG, "%s: devices %s of pod %s: %s; is that the kubelet's checkpoint?",
		search->pod->path, resource, uid, what);
}

/* An init container's devices are given to the pod's other containers again. */
static bool has_id(const struct devices *devices, const char *id)
{
	for (size_t i = 0; i < devices->count; i++) {
		if (strcmp(devices->ids[i], id) == 0)
			return true;
	}
	return false;
}

static int add_ids(struct search *search, const cJSON *ids, struct error *e)
{
	struct devices *found = &search->found;
	const cJSON *id;

	if (!cJSON_IsArray(ids) && !cJSON_IsNull(ids))
		return refuse(search, "DeviceIDs must be lists of texts", e);
	cJSON_ArrayForEach(id, ids)
	{
		if (!cJSON_IsString(id) || !*id->valuestring || strlen(id->valuestring) > MAX_ID)
			return refuse(
				search, "a DeviceID must be a text that is neither empty nor longer than 4096", e);
		if (has_id(found, id->valuestring))
			continue;
		if (found->count == MAX_DEVICES)
			return refuse(search, "there are more than 1024", e);
		found->ids = reallocate(found->ids, found->count + 1, sizeof(*found->ids));
		found->ids[found->count++] = copy_text(id->valuestring);
	}
	return 0;
}

struct node {
	long number;
	const cJSON *ids; /* borrowed */
};

static int by_number(const void *a, const void *b)
{
	const struct node *x = a, *y = b;

	return (x->number > y->number) - (x->number < y->number);
}

static bool parse_number(const char *text, long *ret)
{
	char *end = NULL;

	if (!strchr("+-0123456789", *text) || !*text)
		return false;
	errno = 0;
	*ret = strtol(text, &end, 10);
	return errno == 0 && end != text && !*end;
}

/* {"0": [...], "1": [...]}: sorted, since the file has the nodes in the order of their numbers' texts. */
static int add_nodes(struct search *search, const cJSON *map, struct error *e)
{
	cleanup_free struct node *nodes = NULL;
	size_t count = (size_t)cJSON_GetArraySize(map), i = 0;
	const cJSON *member;

	if (count > MAX_NODES)
		return refuse(search, "DeviceIDs has more NUMA nodes than there are", e);
	nodes = allocate(count + 1, sizeof(*nodes));
	cJSON_ArrayForEach(member, map)
	{
		nodes[i].ids = member;
		if (!parse_number(member->string, &nodes[i++].number))
			return refuse(search, "a key of DeviceIDs must be the number of a NUMA node", e);
	}
	qsort(nodes, count, sizeof(*nodes), by_number);
	for (i = 0; i < count; i++) {
		if (i > 0 && nodes[i].number == nodes[i - 1].number)
			return refuse(search, "DeviceIDs has a NUMA node twice", e);
		if (add_ids(search, nodes[i].ids, e) < 0)
			return e->err;
	}
	return 0;
}

static int add_entry(struct search *search, const cJSON *entry, struct error *e)
{
	const cJSON *ids = json_get(entry, "DeviceIDs");

	if (!same_text(json_text(entry, "ResourceName"), search->resource) || !ids)
		return 0;
	/* Kubelets before 1.20 wrote a plain list. */
	return cJSON_IsObject(ids) ? add_nodes(search, ids, e) : add_ids(search, ids, e);
}

struct checkpoint {
	const cJSON *data, *entries;
};

static int find_entries(const cJSON *json, const cJSON **ret, struct error *e)
{
	static const struct json_field top[] = {
		{"Data", JSON_OBJECT, offsetof(struct checkpoint, data), true},
		{NULL},
	};
	static const struct json_field fields[] = {
		{"PodDeviceEntries", JSON_ARRAY, offsetof(struct checkpoint, entries), false},
		{NULL},
	};
	struct checkpoint checkpoint = {0};

	if (json_read(json, "", top, &checkpoint, e) < 0 ||
		json_read(checkpoint.data, "Data", fields, &checkpoint, e) < 0)
		return e->err;
	*ret = checkpoint.entries;
	return 0;
}

/* NULL, and success, without a file: the kubelet writes it with the first device plugin, and others set a resource's
 * name for the scheduler alone. */
static int read_checkpoint(const char *path, cJSON **ret, struct error *e)
{
	cleanup_free char *text = NULL;
	size_t length;

	*ret = NULL;
	if (file_read_regular(path, MAX_CHECKPOINT, &text, &length, e) < 0) {
		if (e->err != -ENOENT)
			return error_wrap(e, "the kubelet's devices");
		error_clear(e);
		return 0;
	}
	if (json_parse_max(text, length, MAX_CHECKPOINT, path, ret, e) < 0)
		e->code = ERROR_CONFIG;
	return e->err;
}

int devices_read(const char *path, const char *pod_uid, struct pod_devices *ret, struct error *e)
{
	cleanup_json cJSON *json = NULL;
	const cJSON *entries = NULL, *entry;

	*ret = (struct pod_devices){0};
	if (read_checkpoint(path, &json, e) < 0)
		return e->err;
	if (json && find_entries(json, &entries, e) < 0)
		return error_wrap(e, "%s: this is not the kubelet's checkpoint", path);
	*ret = (struct pod_devices){
		.path = copy_text(path), .pod_uid = copy_text(pod_uid), .entries = cJSON_CreateArray()};
	/* Others' entries are not looked at: their mistakes are not this pod's. */
	cJSON_ArrayForEach(entry, entries)
	{
		if (same_text(json_text(entry, "PodUID"), pod_uid))
			cJSON_AddItemToArray(ret->entries, json_copy(entry));
	}
	return 0;
}

void pod_devices_clear(struct pod_devices *pod)
{
	free(pod->path);
	free(pod->pod_uid);
	cJSON_Delete(pod->entries);
	*pod = (struct pod_devices){0};
}

int devices_find(const struct pod_devices *pod, const char *resource, struct devices *ret, struct error *e)
{
	struct search search = {.pod = pod, .resource = resource};
	const cJSON *entry;

	*ret = (struct devices){0};
	cJSON_ArrayForEach(entry, pod->entries)
	{
		if (add_entry(&search, entry, e) < 0) {
			devices_clear(&search.found);
			return e->err;
		}
	}
	*ret = search.found;
	return 0;
}

void devices_clear(struct devices *devices)
{
	for (size_t i = 0; i < devices->count; i++)
		free(devices->ids[i]);
	free(devices->ids);
	*devices = (struct devices){0};
}
