#include "plugin/cli_defaults.h"

#include "plugin/base/file.h"
#include "plugin/cli_ip.h"
#include "plugin/config.h"

#include <errno.h>
#include <string.h>

static const struct json_field *find_key(const char *key)
{
	for (const struct json_field *field = config_own_keys(); field->key; field++) {
		if (strcmp(field->key, key) == 0)
			return field;
	}
	return NULL;
}

static char *list_keys(void)
{
	char *text = copy_text("");

	for (const struct json_field *field = config_own_keys(); field->key; field++)
		append_item(&text, field->key);
	return text;
}

static int put_number(cJSON *defaults, const char *key, const char *value, struct error *e)
{
	char *end;

	errno = 0;

	long long number = strtoll(value, &end, 10);

	/* A number that no double holds is out of every range of ours. */
	if (errno || *end || strspn(value, "-0123456789") != strlen(value) || number > INT32_MAX || number < INT32_MIN)
		return error_set(
			e, -EINVAL, ERROR_CONFIG, "%s is \"%.100s\": it must be a number of seconds", key, value);
	json_put(defaults, key, cJSON_CreateNumber((double)number));
	return 0;
}

static int put_pair(cJSON *defaults, const char *pair, struct error *e)
{
	const char *value = strchr(pair, '=') + 1;
	cleanup_free char *key = format_text("%.*s", (int)(value - 1 - pair), pair);
	const struct json_field *field = find_key(key);

	/* What somebody else has put there may go, though it says nothing. */
	if (!*value && (field || json_get(defaults, key))) {
		json_remove(defaults, key);
		return 0;
	}
	if (!field) {
		cleanup_free char *keys = list_keys();

		return error_set(e, -EINVAL, ERROR_CONFIG, "%.100s is no key of lamina's: there are %s", key, keys);
	}
	if (field->type == JSON_INTEGER)
		return put_number(defaults, key, value, e);
	json_put_text(defaults, key, value);
	return 0;
}

/* Everybody may read it: nothing in it is secret, and people look at it. */
static int write_defaults(const char *text, struct error *e)
{
	cleanup_free char *folder = copy_text(CONFIG_DEFAULTS);

	*strrchr(folder, '/') = '\0';
	if (file_make_folder(folder, 0755, e) < 0)
		return e->err;
	return file_write_synced(CONFIG_DEFAULTS, 0644, text, strlen(text), e);
}

/* What the file is to be. */
static int change(cJSON **ret, char *const pairs[], size_t count, struct error *e)
{
	cleanup_json cJSON *defaults = NULL;

	if (config_read_defaults(CONFIG_DEFAULTS, &defaults, e) < 0)
		return e->err;
	if (!defaults)
		defaults = cJSON_CreateObject();
	/* Before anything is put in: that would be lost in what is no object. A bad value may be what is corrected. */
	if (!cJSON_IsObject(defaults))
		return error_set(e, -EINVAL, ERROR_CONFIG, "%s: it must be a JSON object", CONFIG_DEFAULTS);
	for (size_t i = 0; i < count; i++) {
		if (put_pair(defaults, pairs[i], e) < 0)
			return e->err;
	}
	if (config_check_defaults(defaults, e) < 0)
		return e->err;
	*ret = steal_ptr(defaults);
	return 0;
}

int cli_defaults(char *const pairs[], size_t count, bool write, FILE *out, struct error *e)
{
	cleanup_json cJSON *defaults = NULL;

	for (size_t i = 0; i < count; i++) {
		if (*pairs[i] != '=' && strchr(pairs[i], '='))
			continue;
		error_set(e, -EINVAL, ERROR_ENVIRONMENT, "%.100s is no KEY=VALUE (lamina --help)", pairs[i]);
		return CLI_WRONG_CALL;
	}
	if (change(&defaults, pairs, count, e) < 0)
		return CLI_FAILED;

	cleanup_free char *json = cJSON_Print(defaults);

	if (!json)
		abort();

	cleanup_free char *text = format_text("%s\n", json);

	if (write && write_defaults(text, e) < 0)
		return CLI_FAILED;
	fputs(text, out);
	return CLI_DONE;
}
