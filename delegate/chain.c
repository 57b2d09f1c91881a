#include "delegate/chain_shape.h"
#include "delegate/conf.h"
#include "delegate/result.h"
#include "delegate/text.h"
#include "plugin/base/log.h"

#include <errno.h>
#include <string.h>

struct head {
	const char *type, *name, *version;
	const cJSON *versions, *plugins, *capabilities;
};

static int read_head(const cJSON *conf, const char *path, struct head *ret, struct error *e)
{
	static const struct json_field fields[] = {
		{"type", JSON_STRING, offsetof(struct head, type), false},
		{"name", JSON_STRING, offsetof(struct head, name), false},
		{"cniVersion", JSON_STRING, offsetof(struct head, version), false},
		{"cniVersions", JSON_ARRAY, offsetof(struct head, versions), false},
		{"plugins", JSON_ARRAY, offsetof(struct head, plugins), false},
		{"capabilities", JSON_OBJECT, offsetof(struct head, capabilities), false},
		{NULL},
	};

	*ret = (struct head){0};
	return json_read(conf, path, fields, ret, e);
}

static int refuse(
	const char *path, const char *key, unsigned int code, const char *value, const char *wanted, struct error *e)
{
	cleanup_free char *where = json_path(path, key);

	if (!value)
		return error_set(e, -EINVAL, code, "%s is missing: %s", where, wanted);

	cleanup_free char *shown = text_quote(value, strlen(value), 100);

	return error_set(e, -EINVAL, code, "%s is %s: %s", where, shown, wanted);
}

static int read_name(struct chain *chain, const char *path, const struct head *head, struct error *e)
{
	if (!head->name || !is_cni_name(head->name))
		return refuse(path, "name", ERROR_CONFIG, head->name,
			"a network's name starts with a letter or digit and goes on with letters, digits, '_', '.', "
			"'-'",
			e);
	chain->name = copy_text(head->name);
	return 0;
}

static int refuse_version(const char *path, const char *key, const char *value, struct error *e)
{
	return refuse(path, key, ERROR_VERSION, value,
		"it must be one of 0.1.0, 0.2.0, 0.3.0, 0.3.1, 0.4.0, 1.0.0, 1.1.0", e);
}

/* The highest one that we know: a list may also name versions from the future. */
static int choose_version(const char *path, const struct head *head, const char **ret, struct error *e)
{
	const char *best = head->version && cni_version_known(head->version) ? head->version : NULL;
	const cJSON *versions = head->plugins ? head->versions : (const cJSON *)NULL, *version;
	int i = 0;

	cJSON_ArrayForEach(version, versions)
	{
		cleanup_free char *key = format_text("cniVersions[%d]", i++);
		const char *text = cJSON_IsString(version) ? version->valuestring : "";

		if (!*text)
			return refuse_version(path, key, "", e);
		if (cni_version_known(text) && (!best || cni_version_at_least(text, best)))
			best = text;
	}
	if (!best && head->version && *head->version)
		return refuse_version(path, "cniVersion", head->version, e);
	if (!best && i > 0)
		return refuse_version(path, "cniVersions", "", e);
	*ret = best;
	return 0;
}

static int read_version(struct chain *chain, const char *path, const struct head *head, struct error *e)
{
	const char *best = NULL;
	int r = choose_version(path, head, &best, e);

	if (r < 0)
		return r;
	chain->given_version = copy_text(best ? best : "");
	chain->version = copy_text(best ? best : cni_versions[0]);
	return 0;
}

static int check_capabilities(const char *path, const cJSON *capabilities, struct error *e)
{
	const cJSON *capability;

	cJSON_ArrayForEach(capability, capabilities)
	{
		if (!cJSON_IsBool(capability) && !cJSON_IsNull(capability)) {
			cleanup_free char *shown = text_quote(capability->string, strlen(capability->string), 100);

			return error_set(e, -EINVAL, ERROR_CONFIG, "%s%scapabilities: %s must be true or false", path,
				*path ? "." : "", shown);
		}
	}
	return 0;
}

/* A tenant may declare very many capabilities; the runtime has few values for them. */
static void pick_runtime_config(struct chain_plugin *plugin, const cJSON *capabilities, const cJSON *runtime_config)
{
	const cJSON *value;

	cJSON_ArrayForEach(value, runtime_config)
	{
		if (json_get_exactly(runtime_config, value->string) != value ||
			!cJSON_IsTrue(json_get_exactly(capabilities, value->string)))
			continue;
		if (!plugin->runtime_config)
			plugin->runtime_config = cJSON_CreateObject();
		cJSON_AddItemToObject(plugin->runtime_config, value->string, json_copy(value));
	}
}

bool chain_is_own_type(const char *type)
{
	static const char *const own[] = {"lamina", "multus", "multus-cni", "multus-shim", "kube-ipam"};

	for (size_t i = 0; i < ARRAY_SIZE(own); i++) {
		if (strcmp(type, own[i]) == 0)
			return true;
	}
	return false;
}

static int read_plugin(struct chain_plugin *plugin, const cJSON *conf, const char *path, const struct head *head,
	const cJSON *runtime_config, struct error *e)
{
	if (!head->type || !*head->type || strchr(head->type, '/'))
		return refuse(
			path, "type", ERROR_CONFIG, head->type, "it must be the name of a plugin, without '/'", e);
	if (chain_is_own_type(head->type))
		return refuse(path, "type", ERROR_CONFIG, head->type,
			"a plugin must not call itself; name the plugin that makes the interface", e);
	plugin->type = copy_text(head->type);
	plugin->conf = json_copy(conf);
	pick_runtime_config(plugin, head->capabilities, runtime_config);
	return check_capabilities(path, head->capabilities, e);
}

static int read_list(struct chain *chain, const cJSON *conf, const char *path, const cJSON *plugins,
	const cJSON *runtime_config, struct error *e)
{
	const cJSON *plugin;
	int r = conf_read_switch(conf, path, "disableCheck", &chain->disable_check, e);

	if (r == 0)
		r = conf_read_switch(conf, path, "disableGC", &chain->disable_gc, e);
	if (r < 0)
		return r;
	if (!plugins->child)
		return refuse(path, "plugins", ERROR_CONFIG, "", "a list has at least one plugin", e);
	chain->plugins = allocate((size_t)cJSON_GetArraySize(plugins), sizeof(*chain->plugins));
	cJSON_ArrayForEach(plugin, plugins)
	{
		cleanup_free char *key = format_text("plugins[%zu]", chain->count);
		cleanup_free char *where = json_path(path, key);
		struct head head;

		r = read_head(plugin, where, &head, e);
		if (r == 0)
			r = read_plugin(&chain->plugins[chain->count++], plugin, where, &head, runtime_config, e);
		if (r < 0)
			return r;
	}
	return 0;
}

int chain_read(const cJSON *conf, const char *path, const cJSON *runtime_config, struct chain **ret, struct error *e)
{
	cleanup_chain struct chain *chain = allocate(1, sizeof(*chain));
	struct head head;
	int r = read_head(conf, path, &head, e);

	if (r < 0)
		return r;
	/* With both it is a single plugin, as for multus. */
	if (head.type && *head.type)
		head.plugins = NULL;
	if (head.plugins) {
		r = read_list(chain, conf, path, head.plugins, runtime_config, e);
	} else {
		chain->plugins = allocate(1, sizeof(*chain->plugins));
		chain->count = 1;
		r = read_plugin(&chain->plugins[0], conf, path, &head, runtime_config, e);
	}
	if (r == 0)
		r = read_name(chain, path, &head, e);
	if (r == 0)
		r = read_version(chain, path, &head, e);
	if (r < 0)
		return r;
	*ret = steal_ptr(chain);
	return 0;
}

void chain_free(struct chain *chain)
{
	if (!chain)
		return;
	call_free(chain->call);
	for (size_t i = 0; i < chain->count; i++) {
		free(chain->plugins[i].type);
		cJSON_Delete(chain->plugins[i].conf);
		cJSON_Delete(chain->plugins[i].runtime_config);
	}
	free(chain->plugins);
	free(chain->name);
	free(chain->given_version);
	free(chain->version);
	cJSON_Delete(chain->previous);
	error_clear(&chain->failed);
	free(chain);
}

const char *chain_version(const struct chain *chain)
{
	return chain->version;
}

/* The plugin's own words stay as they are; whose they are stands in the details, unless these are its own, too. */
static int add_context(const struct chain *chain, size_t i, struct error *e)
{
	if (!e->details || !*e->details)
		error_details(e, "delegate \"%s\" (%s)", chain->name, chain->plugins[i].type);
	return e->err;
}

int chain_find(const struct chain *chain, const char *path, struct error *e)
{
	for (size_t i = 0; i < chain->count; i++) {
		cleanup_free char *file = NULL;

		if (call_find(chain->plugins[i].type, path, &file, e) < 0)
			return add_context(chain, i, e);
	}
	return 0;
}

cJSON *chain_plugin_json(const struct chain *chain, size_t i)
{
	const struct chain_plugin *plugin = &chain->plugins[i];
	cJSON *conf = json_copy(plugin->conf);

	json_put_text(conf, "name", chain->name);
	json_put_text(conf, "cniVersion", chain->given_version);
	if (plugin->runtime_config)
		json_put(conf, "runtimeConfig", json_copy(plugin->runtime_config));
	return conf;
}

/* A result before 0.3.0 consists of addresses: one that has none is handed on empty, as libcni does. */
static int convert_previous(const cJSON *previous, const char *version, cJSON **ret, struct error *e)
{
	if (result_convert(previous, version, ret, e) == 0)
		return 0;
	if (!cni_version_known(version) || cni_version_at_least(version, "0.3.0"))
		return e->err;
	error_clear(e);
	*ret = cJSON_CreateObject();
	json_put_text(*ret, "cniVersion", version);
	json_put(*ret, "dns", cJSON_CreateObject());
	return 0;
}

char *chain_plugin_config(const struct chain *chain, size_t i, const cJSON *previous, struct error *e)
{
	cleanup_json cJSON *conf = chain_plugin_json(chain, i);

	if (previous) {
		cJSON *converted = NULL;

		if (convert_previous(previous, chain->version, &converted, e) < 0)
			return NULL;
		json_put(conf, "prevResult", converted);
	}
	return json_print(conf);
}

static int start_plugin(struct chain *chain, size_t i, const cJSON *previous, int64_t deadline, struct error *e)
{
	const char *type = chain->plugins[i].type;

	/* Started only to be killed at once, it would leave half of its work. */
	if (clock_now() >= deadline) {
		error_set(e, -ETIMEDOUT, ERROR_TRY_AGAIN, "no time was left to call plugin type=\"%s\"", type);
		return add_context(chain, i, e);
	}

	cleanup_free char *config = chain_plugin_config(chain, i, previous, e);
	int r = config ? call_start(&chain->params, type, config, deadline, &chain->call, e) : e->err;

	return r < 0 ? add_context(chain, i, e) : 0;
}

/* ret_out may be NULL. */
static int finish_plugin(struct chain *chain, size_t i, char **ret_out, size_t *ret_length, struct error *e)
{
	cleanup_call struct call *call = steal_ptr(chain->call);
	int r = call_finish(call, ret_out, ret_length, e);

	return r < 0 ? add_context(chain, i, e) : 0;
}

static void begin(struct chain *chain, const struct call_params *params, const char *command, int64_t deadline)
{
	chain->params = *params;
	chain->params.command = command;
	chain->deadline = deadline;
}

int chain_add_start(struct chain *chain, const struct call_params *params, int64_t deadline, struct error *e)
{
	begin(chain, params, "ADD", deadline);
	chain->at = 0;
	return start_plugin(chain, 0, NULL, deadline, e);
}

static int finish_add(struct chain *chain, cJSON **ret, struct error *e)
{
	cleanup_free char *out = NULL;
	cleanup_json cJSON *printed = NULL;
	size_t length = 0;
	int r = finish_plugin(chain, chain->at, &out, &length, e);

	if (r < 0)
		return r;
	r = json_parse(out, length, "invalid result", &printed, e);
	if (r == 0) {
		r = result_read(printed, chain->given_version, ret, e);
		if (r < 0)
			error_wrap(e, "invalid result");
	}
	if (r < 0) {
		error_wrap(e, "plugin type=\"%s\"", chain->plugins[chain->at].type);
		return add_context(chain, chain->at, e);
	}
	return 0;
}

int chain_add_finish(struct chain *chain, cJSON **ret_result, struct error *e)
{
	for (;;) {
		cleanup_json cJSON *result = NULL;
		int r = finish_add(chain, &result, e);

		if (r < 0)
			return r;
		if (++chain->at == chain->count) {
			*ret_result = steal_ptr(result);
			return 0;
		}
		r = start_plugin(chain, chain->at, result, chain->deadline, e);
		if (r < 0)
			return r;
	}
}

void chain_settle(struct chain *chain)
{
	cleanup_error struct error ignored = {0};

	if (!chain->call)
		return;
	call_finish(chain->call, NULL, NULL, &ignored);
	call_free(steal_ptr(chain->call));
}

/* Starts the next plugin that can be started; one that cannot has failed. Each may use an equal share of the time left:
 * a plugin that hangs must not take the others' DEL away. */
static void start_next_del(struct chain *chain)
{
	while (chain->left > 0 && !chain->call) {
		cleanup_error struct error failed = {0};

		if (start_plugin(chain, chain->left - 1, chain->previous, clock_share(chain->deadline, chain->left),
			    &failed) == 0)
			return;
		error_keep_first(&chain->failed, &failed);
		chain->left--;
	}
}

void chain_del_start(struct chain *chain, const struct call_params *params, const cJSON *previous, int64_t deadline)
{
	begin(chain, params, "DEL", deadline);
	chain->left = chain->count;
	error_clear(&chain->failed);
	cJSON_Delete(chain->previous);
	chain->previous = cni_version_at_least(chain->version, "0.4.0") ? json_copy(previous) : NULL;
	start_next_del(chain);
}

static void finish_one_del(struct chain *chain)
{
	cleanup_error struct error failed = {0};

	finish_plugin(chain, chain->left - 1, NULL, NULL, &failed);
	error_keep_first(&chain->failed, &failed);
	chain->left--;
	start_next_del(chain);
}

bool chain_del_ends(struct chain *chain, int64_t deadline)
{
	while (chain->left > 0) {
		if (!call_ends(chain->call, deadline))
			return false;
		finish_one_del(chain);
	}
	return true;
}

int chain_del_finish(struct chain *chain, struct error *e)
{
	while (chain->left > 0)
		finish_one_del(chain);
	if (!chain->failed.err)
		return 0;
	error_clear(e);
	error_keep_first(e, &chain->failed);
	return e->err;
}

int chain_check(
	struct chain *chain, const struct call_params *params, const cJSON *previous, int64_t deadline, struct error *e)
{
	if (chain->disable_check || !cni_version_at_least(chain->version, "0.4.0"))
		return 0;
	begin(chain, params, "CHECK", deadline);
	for (size_t i = 0; i < chain->count; i++) {
		int r = start_plugin(chain, i, previous, deadline, e);

		if (r == 0)
			r = finish_plugin(chain, i, NULL, NULL, e);
		if (r < 0)
			return r;
	}
	return 0;
}
