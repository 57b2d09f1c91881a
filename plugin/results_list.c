#include "plugin/import.h"
#include "plugin/results.h"
#include "plugin/state_list.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

/* [["K", "V"], ...] as CNI_ARGS. */
static char *read_args(const cJSON *list)
{
	char *args = copy_text("");
	const cJSON *pair;

	cJSON_ArrayForEach(pair, list)
	{
		const cJSON *key = cJSON_GetArrayItem(pair, 0), *value = cJSON_GetArrayItem(pair, 1);
		cleanup_free char *before = args;

		if (!cJSON_IsString(key) || !cJSON_IsString(value)) {
			before = NULL;
			continue;
		}
		args = format_text("%s%s%s=%s", before, *before ? ";" : "", key->valuestring, value->valuestring);
	}
	return args;
}

static void clear_cached(struct cached_result *cached)
{
	free(cached->path);
	free(cached->container_id);
	free(cached->network);
	free(cached->ifname);
	free(cached->outer);
	free(cached->netns);
	free(cached->args);
	cJSON_Delete(cached->capabilities);
}

static int read_cached(const char *path, struct cached_result *ret)
{
	cleanup_json cJSON *cache = results_read_file(path);
	const char *container_id = json_text(cache, "containerId"), *network = json_text(cache, "networkName"),
		   *ifname = json_text(cache, "ifName"), *netns = json_text(cache, "netns"),
		   *outer = json_text(json_get(cache, "lamina"), "network");
	const cJSON *capabilities = json_get(cache, "capabilityArgs");
	cleanup_error struct error ignored = {0};

	/* A DEL that nobody sent may be called with both. */
	if (!container_id || !network || !ifname || !request_is_container(container_id) || !*ifname ||
		request_check_ifname(ifname, &ignored) < 0)
		return -EBADMSG;
	*ret = (struct cached_result){
		.path = copy_text(path),
		.container_id = copy_text(container_id),
		.network = copy_text(network),
		.ifname = copy_text(ifname),
		.outer = copy_text(outer),
		.netns = copy_text(netns ? netns : ""),
		.args = read_args(json_get(cache, "cniArgs")),
		.capabilities = cJSON_IsObject(capabilities) ? json_copy(capabilities) : NULL,
	};
	return 0;
}

int cached_results_list(const char *cni_dir, struct cached_result **ret, size_t *ret_count, struct error *e)
{
	cleanup_free char *folder = format_text("%s/results", cni_dir);
	cleanup_dir DIR *dir = opendir(folder);

	*ret = NULL;
	*ret_count = 0;
	if (!dir && errno != ENOENT)
		return error_set(e, -errno, ERROR_IO, "cannot open %s: %s", folder, strerror(errno));
	for (struct dirent *file; dir && (file = readdir(dir));) {
		cleanup_free char *path = format_text("%s/%s", folder, file->d_name);
		struct cached_result cached;

		if (file->d_name[0] == '.' || file->d_type == DT_DIR || read_cached(path, &cached) < 0)
			continue;
		*ret = reallocate(*ret, *ret_count + 1, sizeof(**ret));
		(*ret)[(*ret_count)++] = cached;
	}
	return 0;
}

static bool has_network(const cJSON *list, const char *name)
{
	const cJSON *conf;

	cJSON_ArrayForEach(conf, list)
	{
		if (same_text(json_text(conf, "name"), name))
			return true;
	}
	return false;
}

/* The configuration in one file of the cache, when its addresses are lamina's; else NULL. Owned by the caller. */
static cJSON *read_own_conf(const char *path)
{
	cleanup_json cJSON *cache = results_read_file(path);
	cleanup_json cJSON *conf = results_read_conf(cache, "config");
	const char *name = json_text(conf, "name");

	return name && is_cni_name(name) && import_own_conf(conf) ? steal_ptr(conf) : NULL;
}

cJSON *cached_networks(const char *cni_dir, const cJSON *known)
{
	cleanup_free char *folder = format_text("%s/results", cni_dir);
	cleanup_dir DIR *dir = opendir(folder);
	cJSON *list = cJSON_CreateArray();

	for (struct dirent *file; dir && (file = readdir(dir));) {
		cleanup_free char *path = format_text("%s/%s", folder, file->d_name);
		cleanup_json cJSON *conf =
			file->d_name[0] == '.' || file->d_type == DT_DIR ? NULL : read_own_conf(path);

		if (conf && !has_network(known, json_text(conf, "name")) && !has_network(list, json_text(conf, "name")))
			cJSON_AddItemToArray(list, steal_ptr(conf));
	}
	return list;
}

bool cached_result_lives(const char *cni_dir, const char *network, const char *container_id, const char *ifname)
{
	cleanup_free char *path = format_text("%s/results/%s-%s-%s", cni_dir, network, container_id, ifname);
	struct cached_result cached = {0};
	bool lives;

	if (!is_cni_name(network) || read_cached(path, &cached) < 0)
		return false;
	lives = !*cached.netns || access(cached.netns, F_OK) == 0 || errno != ENOENT;
	clear_cached(&cached);
	return lives;
}

void cached_results_free(struct cached_result *results, size_t count)
{
	for (size_t i = 0; i < count; i++)
		clear_cached(&results[i]);
	free(results);
}
