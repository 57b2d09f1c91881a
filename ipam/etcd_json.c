#include "ipam/etcd.h"
#include "plugin/base/base64.h"

#include <errno.h>
#include <string.h>

/* --- bodies --- */

static void put_bytes(cJSON *object, const char *name, const char *bytes, size_t length)
{
	cleanup_free char *text = base64_encode(bytes, length);

	json_put_text(object, name, text);
}

static void put_integer(cJSON *object, const char *name, int64_t value)
{
	cleanup_free char *text = format_text("%lld", (long long)value);

	json_put_text(object, name, text);
}

static cJSON *wrap(const char *name, cJSON *inner)
{
	cJSON *object = cJSON_CreateObject();

	json_put(object, name, inner);
	return object;
}

static cJSON *compare(const char *key, const char *target, const char *result)
{
	cJSON *object = cJSON_CreateObject();

	put_bytes(object, "key", key, strlen(key));
	json_put_text(object, "target", target);
	json_put_text(object, "result", result);
	return object;
}

cJSON *etcd_compare_created(const char *key, int64_t revision)
{
	cJSON *object = compare(key, "CREATE", "EQUAL");

	put_integer(object, "create_revision", revision);
	return object;
}

cJSON *etcd_compare_absent(const char *key)
{
	return etcd_compare_created(key, 0);
}

cJSON *etcd_compare_readable(const char *key)
{
	cJSON *object = compare(key, "CREATE", "NOT_EQUAL");

	put_integer(object, "create_revision", -1);
	return object;
}

cJSON *etcd_compare_changed(const char *key, int64_t revision)
{
	cJSON *object = compare(key, "MOD", "EQUAL");

	put_integer(object, "mod_revision", revision);
	return object;
}

cJSON *etcd_compare_value(const char *key, const char *value)
{
	cJSON *object = compare(key, "VALUE", "EQUAL");

	put_bytes(object, "value", value, strlen(value));
	return object;
}

cJSON *etcd_put(const char *key, const char *value)
{
	cJSON *object = cJSON_CreateObject();

	put_bytes(object, "key", key, strlen(key));
	put_bytes(object, "value", value, strlen(value));
	return wrap("request_put", object);
}

cJSON *etcd_delete(const char *key)
{
	cJSON *object = cJSON_CreateObject();

	put_bytes(object, "key", key, strlen(key));
	return wrap("request_delete_range", object);
}

/* The first key behind all that begin with prefix; a single NUL is etcd's word for "the end of all keys". */
static void put_range_end(cJSON *object, const char *prefix)
{
	cleanup_free char *end = copy_text(prefix);
	size_t length = strlen(end);

	while (length > 0 && (unsigned char)end[length - 1] == 0xff)
		length--;
	if (length > 0)
		end[length - 1]++;
	put_bytes(object, "range_end", length > 0 ? end : "", length > 0 ? length : 1);
}

cJSON *etcd_range(const char *key, bool prefix, enum etcd_range_what what, int64_t limit)
{
	cJSON *object = cJSON_CreateObject();

	/* etcd refuses an empty key; its word for "the first of all keys" is a single NUL. */
	put_bytes(object, "key", key, *key ? strlen(key) : 1);
	if (prefix)
		put_range_end(object, key);
	if (what == ETCD_KEYS_ONLY)
		json_put(object, "keys_only", cJSON_CreateTrue());
	if (what == ETCD_COUNT_ONLY)
		json_put(object, "count_only", cJSON_CreateTrue());
	if (limit > 0)
		put_integer(object, "limit", limit);
	return wrap("request_range", object);
}

cJSON *etcd_txn(cJSON *compares, cJSON *success, cJSON *failure)
{
	cJSON *object = cJSON_CreateObject();

	if (compares)
		json_put(object, "compare", compares);
	if (success)
		json_put(object, "success", success);
	if (failure)
		json_put(object, "failure", failure);
	return object;
}

cJSON *etcd_nested(cJSON *txn)
{
	return wrap("request_txn", txn);
}

/* --- replies: zero values are left out, and int64 are strings (numbers with other gateways) --- */

static int64_t read_integer(const cJSON *object, const char *name)
{
	const cJSON *member = json_get(object, name);
	const char *text = cJSON_IsString(member) || cJSON_IsRaw(member) ? member->valuestring : NULL;
	char *end = NULL;

	if (cJSON_IsNumber(member))
		return member->valuedouble > 0 && member->valuedouble < 1e15 ? (int64_t)member->valuedouble : 0;
	if (!text)
		return 0;
	errno = 0;

	long long value = strtoll(text, &end, 10);

	return errno || end == text || *end || value < 0 ? 0 : value;
}

bool etcd_succeeded(const cJSON *txn_reply)
{
	return cJSON_IsTrue(json_get(txn_reply, "succeeded"));
}

const cJSON *etcd_response(const cJSON *txn_reply, size_t i)
{
	const cJSON *list = json_get(txn_reply, "responses");
	const cJSON *item = cJSON_IsArray(list) ? list->child : NULL;

	for (; item && i > 0; i--)
		item = item->next;
	if (!item || !cJSON_IsObject(item))
		return NULL;
	for (const cJSON *member = item->child; member; member = member->next) {
		if (cJSON_IsObject(member) && strncmp(member->string, "response_", strlen("response_")) == 0)
			return member;
	}
	return NULL;
}

int64_t etcd_count(const cJSON *range_reply)
{
	return read_integer(range_reply, "count");
}

static bool read_bytes(const cJSON *object, const char *name, char **ret)
{
	const cJSON *member = json_get(object, name);
	size_t length;

	if (!member)
		*ret = copy_text("");
	return !member || (cJSON_IsString(member) && base64_decode(member->valuestring, ret, &length));
}

static bool read_kv(const cJSON *object, struct etcd_kv *kv)
{
	kv->created = read_integer(object, "create_revision");
	kv->changed = read_integer(object, "mod_revision");
	return json_get(object, "key") && read_bytes(object, "key", &kv->key) &&
	       read_bytes(object, "value", &kv->value);
}

int etcd_kvs(const cJSON *range_reply, struct etcd_kv **ret, size_t *ret_count, struct error *e)
{
	const cJSON *list = json_get(range_reply, "kvs");
	size_t size = (size_t)cJSON_GetArraySize(list), count = 0;

	if (list && !cJSON_IsArray(list))
		return error_set(e, -EINVAL, ERROR_DECODE, "etcd's reply is malformed: its kvs are no list");

	struct etcd_kv *kvs = allocate(size + 1, sizeof(*kvs));

	for (const cJSON *item = list ? list->child : NULL; item; item = item->next) {
		if (!read_kv(item, &kvs[count++])) {
			etcd_kvs_free(kvs, count);
			return error_set(e, -EINVAL, ERROR_DECODE,
				"etcd's reply is malformed: the key or value of element %zu is not base64", count - 1);
		}
	}
	*ret = kvs;
	*ret_count = count;
	return 0;
}

void etcd_kvs_free(struct etcd_kv *kvs, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		free(kvs[i].key);
		free(kvs[i].value);
	}
	free(kvs);
}
