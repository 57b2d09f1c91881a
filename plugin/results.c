#include "plugin/results.h"

#include "delegate/result.h"
#include "plugin/base/base64.h"
#include "plugin/base/file.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

static char *result_path(const struct attachment *a, const char *cni_dir, const char *container_id)
{
	return format_text("%s/results/%s-%s-%s", cni_dir, a->network, container_id, a->ifname);
}

static const char *result_version(const struct attachment *a)
{
	const char *version = json_text(a->conf, "cniVersion");

	return version && cni_version_known(version) ? version : "0.1.0";
}

/* Before 0.3.0 there is no place for interfaces, for a second address of a family, or for no address at all. */
static bool fits_oldest(const cJSON *result)
{
	const cJSON *ip;
	int of_family[2] = {0, 0};

	cJSON_ArrayForEach(ip, json_get(result, "ips"))
	{
		const char *address = json_text(ip, "address");

		of_family[address && strchr(address, ':') ? 1 : 0]++;
	}
	return cJSON_GetArraySize(json_get(result, "interfaces")) == 0 && of_family[0] <= 1 && of_family[1] <= 1 &&
	       of_family[0] + of_family[1] > 0;
}

/* Whoever reads it converts, so that a newer form serves as well where the delegate's own cannot hold it. */
cJSON *results_print(const struct attachment *a)
{
	cleanup_error struct error e = {0};
	const char *version = result_version(a);
	cJSON *printed = NULL;

	if (!cni_version_at_least(version, "0.3.0") && !fits_oldest(a->result))
		version = "1.0.0";
	result_convert(a->result, version, &printed, &e);
	return printed;
}

static cJSON *print_args(const char *args)
{
	cJSON *list = cJSON_CreateArray();
	cleanup_free char *copy = copy_text(args);
	char *rest = copy;

	for (char *pair = strsep(&rest, ";"); pair; pair = strsep(&rest, ";")) {
		char *value = strchr(pair, '=');
		cJSON *item;

		if (!value)
			continue;
		*value++ = '\0';
		item = cJSON_CreateArray();
		cJSON_AddItemToArray(item, cJSON_CreateString(pair));
		cJSON_AddItemToArray(item, cJSON_CreateString(value));
		cJSON_AddItemToArray(list, item);
	}
	return list;
}

/* Without the pod's annotations: no delegate was given them, and what people put there is not for our files. */
static cJSON *print_capabilities(const struct attachment *a, const struct run *run)
{
	cleanup_json cJSON *out = attachment_runtime_config(a, run->request, run->config);

	if (!out)
		return NULL;
	json_remove(out, ANNOTATIONS_CAPABILITY);
	return out->child ? steal_ptr(out) : NULL;
}

/* What multus has in its other file, for the case that ours is lost. */
static cJSON *print_own(const struct attachment *a, const struct run *run)
{
	cJSON *own = cJSON_CreateObject();

	json_put(own, "v", cJSON_CreateNumber(1));
	json_put_text(own, "for", run->request->ifname);
	json_put(own, "index", cJSON_CreateNumber(a->index));
	json_put_text(own, "name", a->name);
	json_put_text(own, "network", run->request->network);
	return own;
}

static void put_unless_empty(cJSON *cache, const char *key, cJSON *value)
{
	if (value)
		json_put(cache, key, value);
}

int results_save(const struct attachment *a, const struct run *run, struct error *e)
{
	const char *cni_dir = run->config->cni_dir;
	cleanup_free char *path = result_path(a, cni_dir, run->request->container_id);
	cleanup_free char *conf = json_print(a->conf), *encoded = base64_encode(conf, strlen(conf));
	cleanup_free char *args = attachment_args(a, run->request, "ADD");
	cleanup_json cJSON *cache = cJSON_CreateObject();

	json_put_text(cache, "kind", "cniCacheV1");
	json_put_text(cache, "containerId", run->request->container_id);
	json_put_text(cache, "config", encoded);
	json_put_text(cache, "ifName", a->ifname);
	json_put_text(cache, "networkName", a->network);
	json_put_text(cache, "netns", run->request->netns);
	json_put(cache, "cniArgs", print_args(args));
	put_unless_empty(cache, "capabilityArgs", print_capabilities(a, run));
	put_unless_empty(cache, "result", results_print(a));
	json_put(cache, "lamina", print_own(a, run));

	cleanup_free char *text = json_print(cache);

	return file_write(path, 0600, text, strlen(text), e);
}

cJSON *results_read_file(const char *path)
{
	cleanup_free char *text = NULL;
	cleanup_error struct error ignored = {0};
	cJSON *cache = NULL;
	size_t length = 0;

	if (file_read(path, STATE_FILE_MAX, &text, &length, &ignored) < 0 ||
		json_parse_max(text, length, STATE_FILE_MAX, path, &cache, &ignored) < 0)
		return NULL;
	return cache;
}

static cJSON *read_cache(const struct attachment *a, const char *cni_dir, const char *container_id)
{
	cleanup_free char *path = result_path(a, cni_dir, container_id);

	return results_read_file(path);
}

/* What the pod asked for, where no other file has it: without its ports a plugin that has mapped them leaves the rules.
 */
static void recall_asked(struct attachment *a, const cJSON *capabilities)
{
	const cJSON *ports = json_get(capabilities, "portMappings"), *bandwidth = json_get(capabilities, "bandwidth");

	if (a->index == 0 || (!cJSON_IsArray(ports) && !cJSON_IsObject(bandwidth)))
		return;
	if (!a->asked)
		a->asked = allocate(1, sizeof(*a->asked));
	if (cJSON_IsArray(ports) && !a->asked->port_mappings)
		a->asked->port_mappings = json_copy(ports);
	if (cJSON_IsObject(bandwidth) && !a->asked->bandwidth)
		a->asked->bandwidth = json_copy(bandwidth);
}

void results_load(struct attachment *a, const char *cni_dir, const char *container_id)
{
	cleanup_json cJSON *cache = read_cache(a, cni_dir, container_id);
	cleanup_error struct error ignored = {0};
	const cJSON *printed = json_get(cache, "result");

	if (printed)
		result_read(printed, result_version(a), &a->result, &ignored);
	recall_asked(a, json_get(cache, "capabilityArgs"));
}

cJSON *results_read_conf(const cJSON *object, const char *key)
{
	const char *encoded = json_text(object, key);
	cleanup_free char *text = NULL;
	cleanup_json cJSON *conf = NULL;
	cleanup_error struct error ignored = {0};
	size_t length = 0;

	if (!encoded || !base64_decode(encoded, &text, &length) ||
		json_parse_max(text, length, STATE_FILE_MAX, key, &conf, &ignored) < 0 || !cJSON_IsObject(conf))
		return NULL;
	return steal_ptr(conf);
}

cJSON *results_load_conf(const struct attachment *a, const char *cni_dir, const char *container_id)
{
	cleanup_json cJSON *cache = read_cache(a, cni_dir, container_id);

	return results_read_conf(cache, "config");
}

int results_check_name(const struct attachment *a, const char *container_id, struct error *e)
{
	const size_t others = strlen("--") + strlen(container_id) + strlen(a->ifname);

	if (strlen(a->network) + others <= NAME_MAX)
		return 0;
	return error_set(e, -ENAMETOOLONG, ERROR_CONFIG,
		"%s.name has %zu characters: its result would be kept in a file that is called "
		"<name>-<container ID>-<interface>, and a file's name has at most %d: give the network a name of at "
		"most %zu characters",
		a->path, strlen(a->network), NAME_MAX, NAME_MAX - others);
}

int results_remove(const struct attachment *a, const char *cni_dir, const char *container_id, struct error *e)
{
	cleanup_free char *path = result_path(a, cni_dir, container_id);

	return file_remove(path, e);
}
