#include "delegate/conf.h"

#include "delegate/conf_shape.h"
#include "delegate/text.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

/* Of a value, in an error. */
#define SHOWN_MAX ((size_t)100)

int conf_parse_bytes(const char *bytes, size_t length, const char *what, cJSON **ret, struct error *e)
{
	cleanup_json cJSON *conf = NULL;

	if (json_parse_max(bytes, length, CONF_MAX, what, &conf, e) < 0) {
		e->code = ERROR_CONFIG;
		return e->err;
	}
	if (!cJSON_IsObject(conf))
		return error_set(e, -EINVAL, ERROR_CONFIG, "%s is not a JSON object", what);
	*ret = steal_ptr(conf);
	return 0;
}

int conf_parse(const char *text, const char *what, cJSON **ret, struct error *e)
{
	return conf_parse_bytes(text, strlen(text), what, ret, e);
}

int conf_read_switch(const cJSON *list, const char *path, const char *key, bool *ret, struct error *e)
{
	const cJSON *value = json_get_exactly(list, key);
	const char *text = cJSON_GetStringValue(value);

	*ret = cJSON_IsTrue(value) || (text && strcasecmp(text, "true") == 0);
	if (!value || *ret || cJSON_IsFalse(value) || (text && strcasecmp(text, "false") == 0))
		return 0;

	cleanup_free char *where = json_path(path, key), *printed = json_print(value);
	cleanup_free char *shown = text_clean(printed, SHOWN_MAX);

	return error_set(e, -EINVAL, ERROR_CONFIG, "%s is %s: it must be true or false", where, shown);
}

void conf_name(cJSON *conf, const char *name)
{
	const cJSON *its = json_get(conf, "name");

	/* One that is no string is refused by chain_read. */
	if (!its || (cJSON_IsString(its) && !*its->valuestring))
		json_put_text(conf, "name", name);
}

/* --- what is put into each plugin --- */

bool conf_is_list(const cJSON *conf)
{
	const char *type = json_text(conf, "type");

	return (!type || !*type) && cJSON_IsArray(json_get(conf, "plugins"));
}

static void put_device(cJSON *plugin, const char *device)
{
	json_put_text(plugin, "deviceID", device);
	json_put_text(plugin, "pciBusID", device);
}

void conf_put_device(cJSON *conf, const char *device)
{
	cJSON *plugin;

	if (!conf_is_list(conf)) {
		put_device(conf, device);
		return;
	}
	cJSON_ArrayForEach(plugin, json_get(conf, "plugins"))
	{
		if (cJSON_IsObject(plugin))
			put_device(plugin, device);
	}
}

/* A copy of the object that stands there, or an empty one. */
static cJSON *copy_object(const cJSON *object)
{
	return cJSON_IsObject(object) ? json_copy(object) : json_must(cJSON_CreateObject());
}

static void put_args(cJSON *plugin, const cJSON *cni_args)
{
	cJSON *all = copy_object(json_get(plugin, "args"));
	cJSON *merged = copy_object(json_get(all, "cni"));
	const cJSON *arg;

	/* Each plugin has arguments of its own: they are told apart by case. */
	cJSON_ArrayForEach(arg, cni_args)
	{
		while (cJSON_GetObjectItemCaseSensitive(merged, arg->string))
			cJSON_DeleteItemFromObjectCaseSensitive(merged, arg->string);
		cJSON_AddItemToObject(merged, arg->string, json_copy(arg));
	}
	json_put(all, "cni", merged);
	json_put(plugin, "args", all);
}

void conf_put_args(cJSON *conf, const cJSON *cni_args)
{
	cJSON *plugin;

	if (!cni_args)
		return;
	if (!conf_is_list(conf)) {
		put_args(conf, cni_args);
		return;
	}
	cJSON_ArrayForEach(plugin, json_get(conf, "plugins"))
	{
		if (cJSON_IsObject(plugin))
			put_args(plugin, cni_args);
	}
}
