#include "ipam/store_etcd_keys.h"

#include "ipam/record.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

/* More addresses than an interface can be given: such a value is a stranger's. */
#define MAX_ADDRS 1024

#define VALUE_MAX_BYTES 65536

struct addr_keys etcd_addr_keys(const char *network, const char *domain, const struct ip_addr *addr)
{
	struct ip_text text = ip_text(addr);

	return (struct addr_keys){
		.used = format_text(ETCD_NETWORKS "%s/used/%s", network, text.s),
		.fixed = format_text(ETCD_NETWORKS "%s/fixed/%s", network, text.s),
		.domain = domain ? format_text(ETCD_DOMAINS "%s/%s", domain, text.s) : NULL,
	};
}

void etcd_addr_keys_clear(struct addr_keys *keys)
{
	free(keys->used);
	free(keys->fixed);
	free(keys->domain);
	*keys = (struct addr_keys){0};
}

char *etcd_key_attachment(const char *network, const char *node, const char *cid, const char *ifname)
{
	return format_text(ETCD_NETWORKS "%s/attachment/%s/%s.%s", network, node, cid, ifname);
}

char *etcd_key_lock(const char *network)
{
	return format_text(ETCD_NETWORKS "%s/lock", network);
}

static cJSON *new_value(void)
{
	cJSON *object = json_must(cJSON_CreateObject());

	json_put(object, "v", cJSON_CreateNumber(1));
	return object;
}

char *attachment_value_print(const char *nonce, const char *domain, const struct ip_addr *addrs, size_t addr_count)
{
	cleanup_json cJSON *object = new_value();
	cJSON *list = etcd_array();

	for (size_t i = 0; i < addr_count; i++)
		etcd_add(list, cJSON_CreateString(ip_text(&addrs[i]).s));
	json_put_text(object, "nonce", nonce);
	json_put_text(object, "domain", domain);
	json_put(object, "addrs", list);
	return json_print(object);
}

char *attachment_value_print_closed(const char *nonce)
{
	cleanup_json cJSON *object = new_value();
	cleanup_free char *now = format_text("%lld", (long long)time(NULL));

	json_put(object, "closed", cJSON_CreateRaw(now));
	if (nonce)
		json_put_text(object, "nonce", nonce);
	return json_print(object);
}

struct value_texts {
	int64_t version, closed;
	const char *nonce, *domain;
	const cJSON *addrs;
};

#define FIELD(key, type, member) \
	{ \
		key, type, offsetof(struct value_texts, member), false \
	}

static const struct json_field value_table[] = {
	FIELD("v", JSON_INTEGER, version),
	FIELD("closed", JSON_INTEGER, closed),
	FIELD("nonce", JSON_STRING, nonce),
	FIELD("domain", JSON_STRING, domain),
	FIELD("addrs", JSON_ARRAY, addrs),
	{0},
};

static bool read_addrs(const cJSON *list, struct attachment_value *value)
{
	int count = cJSON_GetArraySize(list);

	if (count < 1 || count > MAX_ADDRS)
		return false;
	value->addrs = allocate((size_t)count, sizeof(*value->addrs));
	for (const cJSON *item = list->child; item; item = item->next) {
		if (!cJSON_IsString(item) || !ip_parse(item->valuestring, &value->addrs[value->addr_count]))
			return false;
		value->addr_count++;
	}
	return true;
}

bool attachment_value_parse(const char *text, struct attachment_value *ret)
{
	cleanup_error struct error ignored = {0};
	cleanup_json cJSON *json = NULL;
	struct value_texts texts = {.closed = -1};
	cleanup_attachment_value struct attachment_value value = {0};

	if (!text || strnlen(text, VALUE_MAX_BYTES) == VALUE_MAX_BYTES)
		return false;
	if (json_parse(text, strlen(text), "attachment", &json, &ignored) < 0 ||
		json_read(json, "", value_table, &texts, &ignored) < 0 || texts.version != 1)
		return false;
	value.closed = texts.closed >= 0;
	value.time = texts.closed;
	value.nonce = copy_text(texts.nonce);
	value.domain = copy_text(texts.domain);
	if (!value.closed && (!value.nonce || !value.domain || !read_addrs(texts.addrs, &value)))
		return false;
	*ret = value;
	value = (struct attachment_value){0};
	return true;
}

void attachment_value_clear(struct attachment_value *value)
{
	free(value->nonce);
	free(value->domain);
	free(value->addrs);
	*value = (struct attachment_value){0};
}

char *etcd_value_nonce(const char *text)
{
	cleanup_error struct error ignored = {0};
	cleanup_value struct ipam_value value = {0};

	if (text && ipam_value_parse(text, &value, &ignored) >= 0 && value.record.nonce)
		return copy_text(value.record.nonce);
	return copy_text(text);
}

bool etcd_value_is_of(const char *text, const char *nonce, const char *cid, const char *ifname)
{
	cleanup_error struct error ignored = {0};
	cleanup_value struct ipam_value value = {0};

	if (same_text(text, nonce) || same_text(text, cid))
		return true;
	if (!text || ipam_value_parse(text, &value, &ignored) < 0)
		return false;
	return same_text(value.record.nonce, nonce) ||
	       (same_text(value.record.cid, cid) && same_text(value.record.ifname, ifname));
}

uint64_t etcd_random(void)
{
	uint64_t bits;

	if (getrandom(&bits, sizeof(bits), 0) != sizeof(bits))
		abort();
	return bits;
}

void addr_list_add(struct addr_list *list, const struct ip_addr *addr)
{
	if (list->count == list->capacity) {
		list->capacity = list->capacity ? list->capacity * 2 : 64;
		list->addrs = reallocate(list->addrs, list->capacity, sizeof(*list->addrs));
	}
	list->addrs[list->count++] = *addr;
}

bool addr_list_has(const struct addr_list *list, const struct ip_addr *addr)
{
	for (size_t i = 0; i < list->count; i++) {
		if (ip_compare(&list->addrs[i], addr) == 0)
			return true;
	}
	return false;
}

void addr_list_shuffle(struct addr_list *list)
{
	for (size_t i = list->count; i > 1; i--) {
		size_t j = (size_t)(etcd_random() % i);
		struct ip_addr addr = list->addrs[i - 1];

		list->addrs[i - 1] = list->addrs[j];
		list->addrs[j] = addr;
	}
}

void addr_list_clear(struct addr_list *list)
{
	free(list->addrs);
	*list = (struct addr_list){0};
}

cJSON *etcd_array(void)
{
	cJSON *array = cJSON_CreateArray();

	if (!array)
		abort();
	return array;
}

void etcd_add(cJSON *array, cJSON *item)
{
	if (!item || !cJSON_AddItemToArray(array, item))
		abort();
}

cJSON *etcd_compare_is(const char *key, const char *value)
{
	return value ? etcd_compare_value(key, value) : etcd_compare_absent(key);
}

int etcd_store_txn(struct etcd_store *store, cJSON *compare, cJSON *success, cJSON *failure, cJSON **ret,
	bool *ret_sent, struct error *e)
{
	cleanup_json cJSON *body = etcd_txn(compare, success, failure);

	return etcd_call(store->etcd, "/v3/kv/txn", body, ret, ret_sent, e);
}

void etcd_kv_clear(struct etcd_kv *kv)
{
	free(kv->key);
	free(kv->value);
	*kv = (struct etcd_kv){0};
}

int etcd_store_found(const cJSON *txn_reply, size_t i, struct etcd_kv *ret, struct error *e)
{
	struct etcd_kv *kvs = NULL;
	size_t count = 0;
	const cJSON *response = etcd_response(txn_reply, i);

	if (!response)
		return error_set(e, -EBADMSG, ERROR_DECODE, "etcd's reply has no response %zu", i);

	int r = etcd_kvs(response, &kvs, &count, e);

	if (r < 0)
		return r;
	*ret = (struct etcd_kv){0};
	if (count > 0) {
		*ret = kvs[0];
		kvs[0] = (struct etcd_kv){0};
		/* Without a value is an empty one, which counts as held. */
		if (!ret->value)
			ret->value = copy_text("");
	}
	etcd_kvs_free(kvs, count);
	return 0;
}

/* Everything that a transaction compares, it compares before it changes anything. */
cJSON *etcd_release_addr(
	const char *network, const char *domain, const struct ip_addr *addr, const char *value, int64_t begun)
{
	cleanup_addr_keys struct addr_keys keys = etcd_addr_keys(network, domain, addr);
	cJSON *compare = etcd_array(), *success = etcd_array();

	etcd_add(compare, etcd_compare_value(keys.used, value));
	etcd_add(success, etcd_delete(keys.used));
	for (int i = 0; i < (begun ? 2 : 1); i++) {
		cJSON *kept = etcd_array(), *drop = etcd_array();

		etcd_add(kept, etcd_compare_created(keys.fixed, i ? begun : 0));
		if (i)
			etcd_add(drop, etcd_delete(keys.fixed));
		if (keys.domain) {
			cJSON *own = etcd_array(), *gone = etcd_array();

			etcd_add(own, etcd_compare_value(keys.domain, network));
			etcd_add(gone, etcd_delete(keys.domain));
			etcd_add(drop, etcd_nested(etcd_txn(own, gone, NULL)));
		}
		etcd_add(success, etcd_nested(etcd_txn(kept, drop, NULL)));
	}
	return etcd_nested(etcd_txn(compare, success, NULL));
}
