#include "delegate/conf.h"
#include "delegate/conf_shape.h"
#include "delegate/text.h"
#include "plugin/base/file.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

/* More than anybody has networks in files. */
#define MAX_FILES ((size_t)1024)
#define SHOWN_MAX ((size_t)300)

static const char *const all_endings[] = {".conf", ".json", ".conflist", NULL};
static const char *const chained_endings[] = {".conf", NULL};

/* --- a folder's files --- */

struct paths {
	char **list; /* owned, in the order of their names */
	size_t count;
};

static void paths_clear(struct paths *paths)
{
	for (size_t i = 0; i < paths->count; i++)
		free(paths->list[i]);
	free(paths->list);
	*paths = (struct paths){0};
}

#define cleanup_paths CLEANUP(paths_clear)

static bool ends_with(const char *name, const char *const *endings)
{
	const char *dot = strrchr(name, '.');

	for (; dot && *endings; endings++) {
		if (strcmp(dot, *endings) == 0)
			return true;
	}
	return false;
}

static int by_bytes(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* None when there is no such folder. Cleared by the caller, also on failure. */
static int list_files(const char *folder, const char *const *endings, size_t max, struct paths *ret, struct error *e)
{
	cleanup_dir DIR *dir = opendir(folder);

	if (!dir && errno == ENOENT)
		return 0;
	if (!dir)
		return error_set(e, -errno, errno == EACCES ? ERROR_RIGHTS : ERROR_CONFIG,
			"cannot read the folder %s: %s", folder, strerror(errno));
	for (struct dirent *entry; (entry = readdir(dir));) {
		if (entry->d_type == DT_DIR || !ends_with(entry->d_name, endings))
			continue;
		if (ret->count == max)
			return error_set(e, -E2BIG, ERROR_CONFIG, "%s has more than %zu configurations", folder, max);
		ret->list = reallocate(ret->list, ret->count + 1, sizeof(*ret->list));
		ret->list[ret->count++] = format_text("%s/%s", folder, entry->d_name);
	}
	if (ret->count > 1)
		qsort(ret->list, ret->count, sizeof(*ret->list), by_bytes);
	return 0;
}

/* --- one file --- */

static int read_object(const char *path, cJSON **ret, struct error *e)
{
	cleanup_free char *text = NULL;
	size_t length;

	if (file_read_regular(path, CONF_MAX, &text, &length, e) < 0) {
		/* Another path would do; a disk that fails is nobody's configuration. */
		if (e->code == ERROR_IO && e->err != -EIO)
			e->code = ERROR_CONFIG;
		return e->err;
	}
	return conf_parse_bytes(text, length, path, ret, e);
}

static bool has_text(const cJSON *object, const char *key)
{
	const char *text = json_text(object, key);

	return text && *text;
}

static int read_plugin(const char *path, cJSON **ret, struct error *e)
{
	cleanup_json cJSON *conf = NULL;

	if (read_object(path, &conf, e) < 0)
		return e->err;
	if (!has_text(conf, "type"))
		return error_set(e, -EINVAL, ERROR_CONFIG, "%s: type is missing: it must be a plugin's name%s", path,
			json_get(conf, "plugins") ? "; a list of plugins must be in a .conflist file" : "");
	*ret = steal_ptr(conf);
	return 0;
}

/* Its `plugins`, if it has any, are some, and each has a type. */
static int check_plugins(const cJSON *list, const char *path, struct error *e)
{
	const cJSON *plugins = json_get(list, "plugins"), *plugin;
	int i = 0;

	if (plugins && (!cJSON_IsArray(plugins) || !plugins->child))
		return error_set(e, -EINVAL, ERROR_CONFIG, "%s: plugins must be an array of at least one plugin", path);
	cJSON_ArrayForEach(plugin, plugins)
	{
		if (!has_text(plugin, "type"))
			return error_set(e, -EINVAL, ERROR_CONFIG,
				"%s: plugins[%d].type is missing: it must be a plugin's name", path, i);
		i++;
	}
	return 0;
}

static int refuse_empty(const char *path, struct error *e)
{
	return error_set(e, -EINVAL, ERROR_CONFIG, "%s has no plugins", path);
}

/* Without what stands beside it, as multus reads the files of a folder. */
static int read_inlined(const char *path, cJSON **ret, struct error *e)
{
	cleanup_json cJSON *list = NULL;

	if (read_object(path, &list, e) < 0 || check_plugins(list, path, e) < 0)
		return e->err;
	if (!json_get(list, "plugins"))
		return refuse_empty(path, e);
	*ret = steal_ptr(list);
	return 0;
}

static bool is_list_file(const char *path)
{
	static const char *const endings[] = {".conflist", NULL};

	return ends_with(path, endings);
}

static int read_file(const char *path, cJSON **ret, struct error *e)
{
	return is_list_file(path) ? read_inlined(path, ret, e) : read_plugin(path, ret, e);
}

/* --- a list with what stands beside it --- */

/* The name becomes a part of the path. */
static char *folder_of_list(const cJSON *list, const char *path, struct error *e)
{
	const char *name = json_text(list, "name"), *slash = strrchr(path, '/');

	if (name && is_cni_name(name))
		return format_text("%.*s%s", slash ? (int)(slash - path + 1) : 0, path, name);

	cleanup_free char *shown = text_quote(name ? name : "", name ? strlen(name) : 0, SHOWN_MAX);

	error_set(e, -EINVAL, ERROR_CONFIG,
		"%s: name is %s: it must start with a letter or digit and go on with letters, digits, '_', '.', '-'",
		path, shown);
	return NULL;
}

int conf_add_chained(cJSON *list, const char *path, struct error *e)
{
	cleanup_free char *folder = folder_of_list(list, path, e);
	cleanup_paths struct paths paths = {0};
	const cJSON *inlined = json_get(list, "plugins");
	cleanup_json cJSON *plugins = inlined ? json_copy(inlined) : cJSON_CreateArray();

	if (!folder || list_files(folder, chained_endings, CONF_MAX_PLUGINS, &paths, e) < 0)
		return e->err;
	for (size_t i = 0; i < paths.count; i++) {
		cJSON *plugin = NULL;

		if (read_plugin(paths.list[i], &plugin, e) < 0)
			return e->err;
		cJSON_AddItemToArray(plugins, plugin);
	}
	if (paths.count > 0)
		json_put(list, "plugins", steal_ptr(plugins));
	return 0;
}

static int read_whole_list(const char *path, cJSON **ret, struct error *e)
{
	cleanup_json cJSON *list = NULL;
	bool inlined_only = false;

	if (read_object(path, &list, e) < 0 || check_plugins(list, path, e) < 0 ||
		conf_read_switch(list, path, "loadOnlyInlinedPlugins", &inlined_only, e) < 0 ||
		(!inlined_only && conf_add_chained(list, path, e) < 0))
		return e->err;
	if (!json_get(list, "plugins"))
		return refuse_empty(path, e);
	*ret = steal_ptr(list);
	return 0;
}

/* --- by name, by path --- */

int conf_find(const char *folder, const char *name, cJSON **ret, struct error *unusable, struct error *e)
{
	cleanup_paths struct paths paths = {0};
	cleanup_free char *shown = text_quote(name, strlen(name), SHOWN_MAX);

	if (list_files(folder, all_endings, MAX_FILES, &paths, e) < 0)
		return error_wrap(e, "network %s", shown);
	for (size_t i = 0; i < paths.count; i++) {
		cleanup_json cJSON *conf = NULL;
		cleanup_error struct error problem = {0};

		if (read_file(paths.list[i], &conf, &problem) < 0) {
			error_keep_first(unusable, &problem);
		} else if (same_text(json_text(conf, "name"), name)) {
			*ret = steal_ptr(conf);
			return 0;
		}
	}
	return error_set(e, -ENOENT, ERROR_CONFIG, "no .conf, .json or .conflist file in %s has the name %s%s%s",
		folder, shown, unusable->err ? "; one of them cannot be used: " : "",
		unusable->err ? unusable->message : "");
}

static int read_first(const char *folder, cJSON **ret, struct error *e)
{
	cleanup_paths struct paths paths = {0};

	if (list_files(folder, all_endings, MAX_FILES, &paths, e) < 0)
		return e->err;
	if (paths.count == 0)
		return error_set(e, -ENOENT, ERROR_CONFIG,
			"there is no .conf, .json or .conflist file in the folder %s", folder);
	return read_file(paths.list[0], ret, e);
}

int conf_read_path(const char *path, cJSON **ret, struct error *e)
{
	struct stat st;

	if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
		return read_first(path, ret, e);
	return is_list_file(path) ? read_whole_list(path, ret, e) : read_plugin(path, ret, e);
}
