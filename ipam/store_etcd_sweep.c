#include "ipam/store_etcd_list.h"

#include <errno.h>
#include <string.h>
#include <time.h>

/* How long a lost request may still land: etcd gives up on one after 7 s, and no queue on the way is as long as this.
 */
#define CLOSED_SECONDS 60

/* So many keys of a domain are looked through each time; of more, only now and then. */
#define DOMAIN_KEYS 4096

/* Pairs of keys read, and deletions sent, at once. */
#define AT_ONCE ((size_t)25)

struct sweeping {
	struct etcd_store *store;
	const char *network;
	struct etcd_kv *kvs; /* copies of what may go */
	size_t count, capacity;
	size_t limit;
};

static void sweeping_clear(struct sweeping *sweeping)
{
	etcd_kvs_free(sweeping->kvs, sweeping->count);
}

#define cleanup_sweeping CLEANUP(sweeping_clear)

static bool keep(struct sweeping *sweeping, const struct etcd_kv *kv)
{
	if (sweeping->count == sweeping->capacity) {
		sweeping->capacity = sweeping->capacity ? sweeping->capacity * 2 : 64;
		sweeping->kvs = reallocate(sweeping->kvs, sweeping->capacity, sizeof(*sweeping->kvs));
	}
	sweeping->kvs[sweeping->count++] = (struct etcd_kv){
		.key = copy_text(kv->key),
		.value = copy_text(kv->value),
		.created = kv->created,
		.changed = kv->changed,
	};
	return sweeping->count < sweeping->limit;
}

static bool keep_any(void *context, const struct etcd_kv *kv)
{
	return keep(context, kv);
}

/* Deletes a key if it is still as it was seen. */
static cJSON *drop_unchanged(const struct etcd_kv *kv, cJSON *compare)
{
	cJSON *drop = etcd_array();

	etcd_add(compare, etcd_compare_changed(kv->key, kv->changed));
	etcd_add(drop, etcd_delete(kv->key));
	return etcd_nested(etcd_txn(compare, drop, NULL));
}

static int send_ops(struct etcd_store *store, cJSON *ops, struct error *e)
{
	cleanup_json cJSON *reply = NULL;

	if (cJSON_GetArraySize(ops) > 0)
		return etcd_store_txn(store, NULL, ops, NULL, &reply, NULL, e);
	cJSON_Delete(ops);
	return 0;
}

/* --- attachments of this node --- */

/* Whether any of its addresses is still its own. */
static int has_any(struct sweeping *sweeping, const struct attachment_value *value, bool *ret, struct error *e)
{
	cleanup_read struct etcd_read read = {0};

	for (size_t i = 0; i < value->addr_count; i++)
		etcd_read_add(
			&read, format_text(ETCD_NETWORKS "%s/used/%s", sweeping->network, ip_text(&value->addrs[i]).s));

	int r = etcd_store_read(sweeping->store, &read, e);

	*ret = false;
	for (size_t i = 0; i < read.count && r >= 0; i++)
		*ret = *ret || etcd_value_is_of(read.kvs[i].value, value->nonce, NULL, NULL);
	return r;
}

static int may_go(struct sweeping *sweeping, const struct etcd_kv *kv, bool *ret, struct error *e)
{
	cleanup_attachment_value struct attachment_value value = {0};
	int64_t now = time(NULL);
	int r = 0;

	*ret = false;
	if (!attachment_value_parse(kv->value, &value))
		return 0;
	if (value.closed) {
		/* A time ahead of us is of a clock that was set back: it would stay for ever. */
		*ret = value.time < now - CLOSED_SECONDS || value.time > now + CLOSED_SECONDS;
		return 0;
	}
	r = has_any(sweeping, &value, ret, e);
	*ret = r >= 0 && !*ret;
	return r;
}

static int sweep_attachments(struct etcd_store *store, const char *network, struct error *e)
{
	cleanup_free char *prefix = format_text(ETCD_NETWORKS "%s/attachment/%s/", network, store->node);
	cleanup_sweeping struct sweeping sweeping = {.store = store, .network = network, .limit = SIZE_MAX};
	int r = etcd_store_walk(store, prefix, ETCD_VALUES, keep_any, &sweeping, e);

	for (size_t i = 0; i < sweeping.count && r >= 0; i++) {
		bool gone = false;

		r = may_go(&sweeping, &sweeping.kvs[i], &gone, e);
		if (r >= 0 && gone) {
			cJSON *ops = etcd_array();

			etcd_add(ops, drop_unchanged(&sweeping.kvs[i], etcd_array()));
			r = send_ops(store, ops, e);
		}
	}
	return r;
}

/* --- keys of the domain behind which nothing stands --- */

static bool keep_own(void *context, const struct etcd_kv *kv)
{
	struct sweeping *sweeping = context;

	return !kv->value || strcmp(kv->value, sweeping->network) != 0 || keep(sweeping, kv);
}

static int sweep_some(struct sweeping *sweeping, size_t from, size_t to, struct error *e)
{
	cleanup_read struct etcd_read read = {0};
	cJSON *ops = etcd_array();

	for (size_t i = from; i < to; i++) {
		const char *addr = strrchr(sweeping->kvs[i].key, '/') + 1;

		etcd_read_add(&read, format_text(ETCD_NETWORKS "%s/used/%s", sweeping->network, addr));
		etcd_read_add(&read, format_text(ETCD_NETWORKS "%s/fixed/%s", sweeping->network, addr));
	}
	if (etcd_store_read(sweeping->store, &read, e) < 0) {
		cJSON_Delete(ops);
		return e->err;
	}
	for (size_t i = from; i < to; i++) {
		size_t at = 2 * (i - from);
		cJSON *compare;

		if (read.kvs[at].value || read.kvs[at + 1].value)
			continue;
		compare = etcd_array();
		etcd_add(compare, etcd_compare_absent(read.keys[at]));
		etcd_add(compare, etcd_compare_absent(read.keys[at + 1]));
		etcd_add(ops, drop_unchanged(&sweeping->kvs[i], compare));
	}
	return send_ops(sweeping->store, ops, e);
}

static int count_keys(struct etcd_store *store, const char *prefix, int64_t *ret, struct error *e)
{
	cJSON *ops = etcd_array();
	cleanup_json cJSON *reply = NULL;

	etcd_add(ops, etcd_range(prefix, true, ETCD_COUNT_ONLY, 0));

	int r = etcd_store_txn(store, NULL, ops, NULL, &reply, NULL, e);
	const cJSON *response = r < 0 ? NULL : etcd_response(reply, 0);

	*ret = response ? etcd_count(response) : 0;
	return r;
}

static int sweep_domain(struct etcd_store *store, const char *network, const char *domain, struct error *e)
{
	cleanup_free char *prefix = format_text(ETCD_DOMAINS "%s/", domain);
	cleanup_sweeping struct sweeping sweeping = {.store = store, .network = network, .limit = SIZE_MAX};
	int64_t total = 0;
	int r = count_keys(store, prefix, &total, e);

	/* Hardly ever is there one, and every node comes by here: of very many keys, each node looks at all but seldom.
	 */
	if (r < 0 || (total > DOMAIN_KEYS && etcd_random() % (uint64_t)total >= DOMAIN_KEYS))
		return r;
	r = etcd_store_walk(store, prefix, ETCD_VALUES, keep_own, &sweeping, e);
	for (size_t from = 0; from < sweeping.count && r >= 0; from += AT_ONCE) {
		size_t to = from + AT_ONCE < sweeping.count ? from + AT_ONCE : sweeping.count;

		r = sweep_some(&sweeping, from, to, e);
	}
	return r;
}

int etcd_store_sweep(struct store *store, const char *network, const char *domain, struct error *e)
{
	struct etcd_store *self = etcd_store_of(store);
	int r = sweep_attachments(self, network, e);

	return r < 0 || !domain ? r : sweep_domain(self, network, domain, e);
}
