#include "ipam/store_etcd_keys.h"

#include "plugin/base/base64.h"

#include <errno.h>
#include <string.h>

/* Keys in one reply: with values of some 300 bytes, half a megabyte. */
#define PAGE 1000

/* A million keys are more than sixteen /16. */
#define MAX_PAGES 1000

#define READ_AT_ONCE ((size_t)100)

/* More networks or domains than a cluster has: something else fills the tree. */
#define MAX_NAMES 1000

static void put_bytes(cJSON *object, const char *key, const char *text)
{
	cleanup_free char *encoded = base64_encode(text, strlen(text));

	json_put_text(object, key, encoded);
}

static void put_number(cJSON *object, const char *key, int64_t number)
{
	cleanup_free char *text = format_text("%lld", (long long)number);

	json_put_text(object, key, text);
}

/* The first key behind all that begin with the prefix. */
static char *end_of(const char *prefix)
{
	char *end = copy_text(prefix);

	end[strlen(end) - 1]++;
	return end;
}

/* A body of /v3/kv/range: keys from `from` up to, but not, `end`. */
static cJSON *range_body(const char *from, const char *end, enum etcd_range_what what, int64_t limit, int64_t revision)
{
	cJSON *body = cJSON_CreateObject();

	if (!body)
		abort();
	put_bytes(body, "key", from);
	put_bytes(body, "range_end", end);
	put_number(body, "limit", limit);
	if (revision > 0)
		put_number(body, "revision", revision);
	if (what == ETCD_KEYS_ONLY)
		json_put(body, "keys_only", cJSON_CreateTrue());
	return body;
}

static int64_t revision_of(const cJSON *reply)
{
	const char *text = json_text(json_get(reply, "header"), "revision");

	return text ? strtoll(text, NULL, 10) : 0;
}

struct page {
	struct etcd_kv *kvs;
	size_t count;
	int64_t revision;
};

static void page_clear(struct page *page)
{
	etcd_kvs_free(page->kvs, page->count);
}

#define cleanup_page CLEANUP(page_clear)

/* Keys in order and between the two: whoever goes on behind the last one comes to an end. */
static int read_page(struct etcd_store *store, const char *from, const char *end, enum etcd_range_what what,
	int64_t limit, int64_t revision, struct page *ret, struct error *e)
{
	cleanup_json cJSON *body = range_body(from, end, what, limit, revision), *reply = NULL;
	int r = etcd_call(store->etcd, "/v3/kv/range", body, &reply, NULL, e);

	if (r < 0)
		return r;
	ret->revision = revision_of(reply);
	r = etcd_kvs(reply, &ret->kvs, &ret->count, e);
	for (size_t i = 0; i < ret->count && r >= 0; i++) {
		const char *before = i ? ret->kvs[i - 1].key : from;

		if (strcmp(ret->kvs[i].key, before) < 0 || strcmp(ret->kvs[i].key, end) >= 0)
			r = error_set(e, -EBADMSG, ERROR_DECODE, "etcd answered with a key that was not asked for");
	}
	return r;
}

int etcd_store_walk(struct etcd_store *store, const char *prefix, enum etcd_range_what what, etcd_visit *visit,
	void *context, struct error *e)
{
	cleanup_free char *from = copy_text(prefix), *end = end_of(prefix);
	int64_t revision = 0;

	for (int pages = 0; pages < MAX_PAGES; pages++) {
		cleanup_page struct page page = {0};
		int r = read_page(store, from, end, what, PAGE, revision, &page, e);

		if (r < 0)
			return r;
		for (size_t i = 0; i < page.count; i++) {
			if (!visit(context, &page.kvs[i]))
				return 0;
		}
		if (page.count < PAGE)
			return 0;
		if (!revision)
			revision = page.revision;
		free(from);
		/* The next key that C can write: no key has a NUL in it, nor a byte below a space. */
		from = format_text("%s\x01", page.kvs[page.count - 1].key);
	}
	return error_set(e, -E2BIG, ERROR_IO, "etcd has more than %d keys under %s", MAX_PAGES * PAGE, prefix);
}

/* The name in a key, and where to look on: behind all its keys, or, for a key without a slash, behind just this. */
static char *next_name(const char *key, const char *prefix, char **ret_from)
{
	const char *name = key + strlen(prefix), *slash = strchr(name, '/');

	free(*ret_from);
	if (!slash) {
		*ret_from = format_text("%s\x01", key);
		return NULL;
	}
	*ret_from = format_text("%.*s%c", (int)(slash - key), key, '/' + 1);
	return format_text("%.*s", (int)(slash - name), name);
}

int etcd_store_names(struct etcd_store *store, const char *prefix, struct etcd_names *ret, struct error *e)
{
	cleanup_free char *from = copy_text(prefix), *end = end_of(prefix);

	while (ret->count < MAX_NAMES) {
		cleanup_page struct page page = {0};
		int r = read_page(store, from, end, ETCD_KEYS_ONLY, 1, 0, &page, e);

		if (r < 0 || page.count == 0)
			return r;
		char *name = next_name(page.kvs[0].key, prefix, &from);

		if (name) {
			ret->names = reallocate(ret->names, ret->count + 1, sizeof(*ret->names));
			ret->names[ret->count++] = name;
		}
	}
	return error_set(e, -E2BIG, ERROR_IO, "etcd has more than %d names under %s", MAX_NAMES, prefix);
}

void etcd_names_free(struct etcd_names *names)
{
	for (size_t i = 0; i < names->count; i++)
		free(names->names[i]);
	free(names->names);
	*names = (struct etcd_names){0};
}

int etcd_store_find_domain(
	struct etcd_store *store, const char *network, const struct ip_addr *addr, char **ret, struct error *e)
{
	cleanup_names struct etcd_names domains = {0};
	cleanup_read struct etcd_read read = {0};
	int r = etcd_store_names(store, ETCD_DOMAINS, &domains, e);

	for (size_t i = 0; i < domains.count && r >= 0; i++)
		etcd_read_add(&read, format_text(ETCD_DOMAINS "%s/%s", domains.names[i], ip_text(addr).s));
	if (r >= 0)
		r = etcd_store_read(store, &read, e);
	for (size_t i = 0; i < read.count && r >= 0 && !*ret; i++) {
		if (read.kvs[i].value && strcmp(read.kvs[i].value, network) == 0)
			*ret = copy_text(domains.names[i]);
	}
	return r;
}

void etcd_read_add(struct etcd_read *read, char *key)
{
	read->keys = reallocate(read->keys, read->count + 1, sizeof(*read->keys));
	read->keys[read->count++] = key;
}

static int read_some(struct etcd_store *store, struct etcd_read *read, size_t from, size_t to, struct error *e)
{
	cJSON *success = etcd_array();
	cleanup_json cJSON *reply = NULL;

	for (size_t i = from; i < to; i++)
		etcd_add(success, etcd_range(read->keys[i], false, ETCD_VALUES, 0));

	int r = etcd_store_txn(store, NULL, success, NULL, &reply, NULL, e);

	for (size_t i = from; i < to && r >= 0; i++)
		r = etcd_store_found(reply, i - from, &read->kvs[i], e);
	return r;
}

int etcd_store_read(struct etcd_store *store, struct etcd_read *read, struct error *e)
{
	int r = 0;

	read->kvs = allocate(read->count ? read->count : 1, sizeof(*read->kvs));
	for (size_t from = 0; from < read->count && r >= 0; from += READ_AT_ONCE) {
		size_t to = from + READ_AT_ONCE < read->count ? from + READ_AT_ONCE : read->count;

		r = read_some(store, read, from, to, e);
	}
	return r;
}

void etcd_read_clear(struct etcd_read *read)
{
	for (size_t i = 0; i < read->count; i++) {
		free(read->keys[i]);
		if (read->kvs)
			etcd_kv_clear(&read->kvs[i]);
	}
	free(read->keys);
	free(read->kvs);
	*read = (struct etcd_read){0};
}
