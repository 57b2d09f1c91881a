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
	if (conf_check_plugins(conf, what, e) < 0)
		return e->err;
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

size_t conf_count_plugins(const cJSON *conf)
{
	return conf_is_list(conf) ? (size_t)cJSON_GetArraySize(json_get(conf, "plugins")) : 1;
}

int conf_check_plugins(const cJSON *conf, const char *what, struct error *e)
{
	const size_t count = conf_count_plugins(conf);

	if (count <= CONF_MAX_PLUGINS)
		return 0;
	return error_set(e, -E2BIG, ERROR_CONFIG,
		"%s has %zu plugins, and a list may have %zu: split it into several networks", what, count,
		CONF_MAX_PLUGINS);
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

/* Those arguments, each name once, in the order of their names for bsearch. */
struct new_args {
	cJSON *object;
	const cJSON **sorted;
	size_t count;
};

static int by_name(const void *a, const void *b)
{
	const cJSON *const *x = a, *const *y = b;

	return strcmp((*x)->string, (*y)->string);
}

/* Each plugin has arguments of its own: they are told apart by case. */
static void prepare_args(const cJSON *cni_args, struct new_args *ret)
{
	const cJSON *arg;

	*ret = (struct new_args){.object = cJSON_CreateObject()};
	cJSON_ArrayForEach(arg, cni_args)
	{
		cJSON_DeleteItemFromObjectCaseSensitive(ret->object, arg->string);
		cJSON_AddItemToObject(ret->object, arg->string, json_copy(arg));
	}
	ret->sorted = allocate((size_t)cJSON_GetArraySize(ret->object) + 1, sizeof(*ret->sorted));
	cJSON_ArrayForEach(arg, ret->object)
	{
		ret->sorted[ret->count++] = arg;
	}
	qsort(ret->sorted, ret->count, sizeof(*ret->sorted), by_name);
}

static void put_args(cJSON *plugin, const struct new_args *args)
{
	cJSON *all = copy_object(json_get(plugin, "args"));
	cJSON *merged = copy_object(json_get(all, "cni"));
	const cJSON *arg;

	for (cJSON *old = merged->child, *next; old; old = next) {
		next = old->next;
		if (bsearch(&old, args->sorted, args->count, sizeof(*args->sorted), by_name))
			cJSON_Delete(cJSON_DetachItemViaPointer(merged, old));
	}
	cJSON_ArrayForEach(arg, args->object)
	{
		cJSON_AddItemToObject(merged, arg->string, json_copy(arg));
	}
	json_put(all, "cni", merged);
	json_put(plugin, "args", all);
}

void conf_put_args(cJSON *conf, const cJSON *cni_args)
{
	struct new_args args;
	cJSON *plugin;

	if (!cni_args)
		return;
	prepare_args(cni_args, &args);
	if (!conf_is_list(conf)) {
		put_args(conf, &args);
	} else {
		cJSON_ArrayForEach(plugin, json_get(conf, "plugins"))
		{
			if (cJSON_IsObject(plugin))
				put_args(plugin, &args);
		}
	}
	cJSON_Delete(args.object);
	free(args.sorted);
}
