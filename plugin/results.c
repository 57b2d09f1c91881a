#include "plugin/results.h"

#include "delegate/result.h"
#include "plugin/base/base64.h"
#include "plugin/base/file.h"

#include <errno.h>
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

/* Before 0.3.0 there is no place for interfaces, for a second address of a family, or for no address at all. Whoever
 * reads it converts, so that a newer form serves as well. */
static cJSON *print_result(const struct attachment *a)
{
	cleanup_error struct error e = {0};
	const char *version = result_version(a);
	cJSON *printed = NULL;

	result_convert(a->result, cni_version_at_least(version, "0.3.0") ? version : "1.0.0", &printed, &e);
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
static cJSON *print_capabilities(const cJSON *runtime_config)
{
	cJSON *out = runtime_config ? json_copy(runtime_config) : cJSON_CreateObject();

	json_remove(out, ANNOTATIONS_CAPABILITY);
	return out;
}

int results_save(const struct attachment *a, const struct run *run, struct error *e)
{
	const char *cni_dir = run->config->cni_dir;
	cleanup_free char *path = result_path(a, cni_dir, run->request->container_id);
	cleanup_free char *conf = json_print(a->conf);
	cleanup_free char *encoded = base64_encode(conf, strlen(conf));
	cleanup_json cJSON *cache = cJSON_CreateObject();
	cJSON *result = print_result(a);

	json_put_text(cache, "kind", "cniCacheV1");
	json_put_text(cache, "containerId", run->request->container_id);
	json_put_text(cache, "config", encoded);
	json_put_text(cache, "ifName", a->ifname);
	json_put_text(cache, "networkName", a->network);
	json_put_text(cache, "netns", run->request->netns);
	json_put(cache, "cniArgs", print_args(run->request->args));
	json_put(cache, "capabilityArgs", print_capabilities(run->config->runtime_config));
	if (result)
		json_put(cache, "result", result);

	cleanup_free char *text = json_print(cache);

	return file_write(path, 0600, text, strlen(text), e);
}

void results_load(struct attachment *a, const char *cni_dir, const char *container_id)
{
	cleanup_free char *path = result_path(a, cni_dir, container_id);
	cleanup_free char *text = NULL;
	cleanup_json cJSON *cache = NULL;
	cleanup_error struct error ignored = {0};
	size_t length = 0;

	if (file_read(path, JSON_MAX_BYTES, &text, &length, &ignored) < 0 ||
		json_parse(text, length, path, &cache, &ignored) < 0)
		return;

	const cJSON *printed = json_get(cache, "result");

	if (printed)
		result_read(printed, result_version(a), &a->result, &ignored);
}

int results_remove(const struct attachment *a, const char *cni_dir, const char *container_id, struct error *e)
{
	cleanup_free char *path = result_path(a, cni_dir, container_id);

	return file_remove(path, e);
}
