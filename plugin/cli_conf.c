#include "plugin/cli_conf.h"

#include "delegate/chain.h"
#include "plugin/base/file.h"

#include <errno.h>
#include <string.h>

#define CONF_FOLDER "/etc/cni/net.d"

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
		return error_set(
			e, -ENOENT, ERROR_CONFIG, "%s has no plugin of type lamina, multus-cni or multus", path);
	*ret = steal_ptr(conf);
	return 0;
}

static int is_conf(const struct dirent *entry)
{
	const char *dot = strrchr(entry->d_name, '.');

	return dot && (strcmp(dot, ".conf") == 0 || strcmp(dot, ".conflist") == 0 || strcmp(dot, ".json") == 0);
}

int cli_conf_find(const char *path, cJSON **ret, struct error *e)
{
	struct dirent **names = NULL;
	int count = path ? 0 : scandir(CONF_FOLDER, &names, is_conf, alphasort);

	if (path)
		return cli_conf_read(path, ret, e);
	*ret = NULL;
	for (int i = 0; i < count; i++) {
		cleanup_free char *file = format_text(CONF_FOLDER "/%s", names[i]->d_name);
		cleanup_error struct error ignored = {0};
		cleanup_json cJSON *conf = NULL;

		free(names[i]);
		if (!*ret && cli_conf_read(file, &conf, &ignored) == 0 && is_ours(conf))
			*ret = steal_ptr(conf);
	}
	free(names);
	if (!*ret)
		*ret = cJSON_CreateObject();
	return 0;
}
