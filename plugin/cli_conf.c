#include "plugin/cli_conf.h"

#include "delegate/chain.h"
#include "plugin/base/file.h"
#include "plugin/selection.h"

#include <errno.h>
#include <string.h>

/* For the API server, where a plan needs it. */
#define PLAN_SECONDS 15

static bool is_ours(const cJSON *conf)
{
	const char *type = json_text(conf, "type");

	return type && chain_is_own_type(type);
}

int cli_conf_read(const char *path, cJSON **ret, struct error *e)
{
	cleanup_free char *text = NULL;
	cleanup_json cJSON *conf = NULL;
	const cJSON *plugin;
	size_t length = 0;

	if (file_read(path, JSON_MAX_BYTES, &text, &length, e) < 0 || json_parse(text, length, path, &conf, e) < 0)
		return e->err;
	cJSON_ArrayForEach(plugin, json_get(conf, "plugins"))
	{
		if (!is_ours(plugin))
			continue;

		cJSON *found = json_copy(plugin);

		json_put_text(found, "name", json_text(conf, "name"));
		json_put_text(found, "cniVersion", json_text(conf, "cniVersion"));
		*ret = found;
		return 0;
	}
	if (json_get(conf, "plugins"))
		return error_set(e, -ENOENT, ERROR_CONFIG,
			"%s has no plugin of type lamina, multus-cni, multus or multus-shim", path);
	*ret = steal_ptr(conf);
	return 0;
}

static int is_conf(const struct dirent *entry)
{
	const char *dot = strrchr(entry->d_name, '.');

	return dot && (strcmp(dot, ".conf") == 0 || strcmp(dot, ".conflist") == 0 || strcmp(dot, ".json") == 0);
}

cJSON *cli_conf_names(void)
{
	struct dirent **names = NULL;
	int count = scandir(CLI_CONF_FOLDER, &names, is_conf, alphasort);
	cJSON *list = cJSON_CreateArray();

	for (int i = 0; i < count; i++) {
		cJSON_AddItemToArray(list, cJSON_CreateString(names[i]->d_name));
		free(names[i]);
	}
	free(names);
	return list;
}

int cli_conf_find(const char *path, cJSON **ret, struct error *e)
{
	cleanup_json cJSON *names = path ? NULL : cli_conf_names();
	const cJSON *name;

	if (path)
		return cli_conf_read(path, ret, e);
	*ret = NULL;
	cJSON_ArrayForEach(name, names)
	{
		cleanup_free char *file = format_text(CLI_CONF_FOLDER "/%s", name->valuestring);
		cleanup_error struct error ignored = {0};
		cleanup_json cJSON *conf = NULL;

		if (!*ret && cli_conf_read(file, &conf, &ignored) == 0 && is_ours(conf))
			*ret = steal_ptr(conf);
	}
	if (!*ret)
		*ret = cJSON_CreateObject();
	return 0;
}

/* As for a pod of namespace default with these annotations. */
static int add_networks(struct plan *plan, const struct request *request, const struct config *config, struct error *e)
{
	const struct pod pod = {
		.source = POD_RUNTIME, .annotations = json_get(config->runtime_config, ANNOTATIONS_CAPABILITY)};
	cleanup_run struct run run = {.netns_fd = -1};

	if (!selection_is_wanted(config))
		return 0;
	if (run_open(&run, request, config, PLAN_SECONDS, e) < 0)
		return e->err;
	run.only_looks = true;
	return selection_complete(plan, &pod, &run, e);
}

int cli_conf_plan(cJSON *conf, const char *defaults, struct request *request, struct config *config, struct plan *plan,
	struct error *e)
{
	const char *network = json_text(conf, "name"), *version = json_text(conf, "cniVersion");

	*request = (struct request){
		.verb = VERB_ADD,
		.command = "ADD",
		.container_id = "plan",
		.netns = "",
		.ifname = "eth0",
		.args = "",
		.path = "",
		.conf = conf,
		.network = network ? network : "",
		.version = version && *version ? version : "0.1.0",
	};
	if (request_check(request, e) < 0 || config_read_with(conf, false, defaults, config, e) < 0 ||
		plan_build(plan, request, config, e) < 0 || add_networks(plan, request, config, e) < 0)
		return e->err;
	return plan_place(plan, request, config, json_get(config->runtime_config, ANNOTATIONS_CAPABILITY), e);
}
