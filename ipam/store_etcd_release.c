#include "ipam/store_etcd_list.h"
#include "ipam/store_etcd_search.h"

#include "ipam/record.h"
#include "plugin/base/fault.h"
#include "plugin/base/log.h"

#include <errno.h>
#include <string.h>

/* How often a release looks again because what it saw has changed. */
#define MAX_ROUNDS 8

/* One release under way. */
struct giving {
	struct etcd_store *store;
	const struct store_release *release;
	char *key;                     /* the attachment's */
	char *nonce;                   /* of the claim that is given back; NULL: of any */
	char *domain;                  /* NULL: not known */
	char *seen;                    /* what stands under the key; NULL: nothing */
	int64_t changed;               /* the revision at which it was put there */
	struct attachment_value value; /* that, parsed */
	struct addr_list addrs;        /* of the release and of the attachment */
	char **holders;                /* what is compared under each; NULL: not this container's */
};

static void forget_seen(struct giving *giving)
{
	for (size_t i = 0; giving->holders && i < giving->addrs.count; i++)
		free(giving->holders[i]);
	free(steal_ptr(giving->holders));
	free(steal_ptr(giving->seen));
	attachment_value_clear(&giving->value);
	addr_list_clear(&giving->addrs);
	giving->changed = 0;
}

static void giving_clear(struct giving *giving)
{
	forget_seen(giving);
	free(giving->key);
	free(giving->nonce);
	free(giving->domain);
}

static const char *node_of(
	const struct etcd_store *store, const struct store_release *release, const struct ipam_value *value)
{
	return release->node ? release->node : value->record.node ? value->record.node : store->node;
}

static struct giving giving_of(struct etcd_store *store, const struct store_release *release)
{
	cleanup_error struct error ignored = {0};
	cleanup_value struct ipam_value value = {0};

	if (release->value)
		ipam_value_parse(release->value, &value, &ignored);
	return (struct giving){
		.store = store,
		.release = release,
		.key = etcd_key_attachment(
			release->network, node_of(store, release, &value), release->cid, release->ifname),
		.nonce = etcd_value_nonce(release->value),
		.domain = copy_text(release->domain),
	};
}

static int call(struct giving *giving, cJSON *compare, cJSON *success, cJSON *failure, cJSON **ret, struct error *e)
{
	if (fault_point("etcd_before_release") < 0) {
		cJSON_Delete(compare);
		cJSON_Delete(success);
		cJSON_Delete(failure);
		return error_set(e, -EIO, ERROR_IO, "fault before release");
	}

	int r = etcd_store_txn(giving->store, compare, success, failure, ret, NULL, e);

	/* Too late to fail: what is given back is gone. */
	fault_point("etcd_after_release");
	return r;
}

static void keep_seen(struct giving *giving, struct etcd_kv *attachment)
{
	if (!attachment->value)
		return;
	giving->seen = steal_ptr(attachment->value);
	giving->changed = attachment->changed;
	if (!attachment_value_parse(giving->seen, &giving->value))
		log_write(LOG_WARNING, "etcd has an unknown value under %s", giving->key);
	if (!giving->domain)
		giving->domain = copy_text(giving->value.domain);
}

static int read_attachment(struct giving *giving, struct error *e)
{
	cleanup_read struct etcd_read read = {0};

	etcd_read_add(&read, copy_text(giving->key));

	int r = etcd_store_read(giving->store, &read, e);

	if (r >= 0)
		keep_seen(giving, &read.kvs[0]);
	return r;
}

/* The addresses, of whoever names them. */
static void list_addrs(struct giving *giving)
{
	const struct store_release *release = giving->release;

	for (size_t i = 0; i < release->addr_count; i++)
		addr_list_add(&giving->addrs, &release->addrs[i]);
	for (size_t i = 0; i < giving->value.addr_count; i++) {
		if (!addr_list_has(&giving->addrs, &giving->value.addrs[i]))
			addr_list_add(&giving->addrs, &giving->value.addrs[i]);
	}
	giving->holders = allocate(giving->addrs.count + 1, sizeof(char *));
}

/* Which of them this container still has, by what stands there. */
static int read_holders(struct giving *giving, struct error *e)
{
	const struct store_release *release = giving->release;
	cleanup_read struct etcd_read read = {0};

	for (size_t i = 0; i < giving->addrs.count; i++) {
		struct addr_keys keys = etcd_addr_keys(release->network, NULL, &giving->addrs.addrs[i]);

		etcd_read_add(&read, keys.used);
		free(keys.fixed);
	}
	if (!read.count)
		return 0;

	int r = etcd_store_read(giving->store, &read, e);

	for (size_t i = 0; i < read.count && r >= 0; i++) {
		if (etcd_value_is_of(read.kvs[i].value, giving->value.nonce, release->cid, release->ifname))
			giving->holders[i] = steal_ptr(read.kvs[i].value);
	}
	return r;
}

/* The value is known: nothing else is given back. */
static void expect_value(struct giving *giving)
{
	for (size_t i = 0; i < giving->addrs.count; i++)
		giving->holders[i] = copy_text(giving->release->value);
}

/* Addresses without a domain that anybody knows: looked for, before the keys that tell it are gone. */
static int need_domain(struct giving *giving, struct error *e)
{
	for (size_t i = 0; i < giving->addrs.count && !giving->domain; i++) {
		if (giving->holders[i] && etcd_store_find_domain(giving->store, giving->release->network,
						  &giving->addrs.addrs[i], &giving->domain, e) < 0)
			return e->err;
	}
	return 0;
}

/* What is kept since the claim that is given back was begun by it. */
static int64_t begun_at(const struct giving *giving)
{
	bool own = giving->nonce && giving->value.nonce && strcmp(giving->nonce, giving->value.nonce) == 0;

	return own && !giving->value.closed ? giving->changed : 0;
}

static void add_releases(const struct giving *giving, int64_t begun, cJSON *ops)
{
	for (size_t i = 0; i < giving->addrs.count; i++) {
		if (giving->holders[i])
			etcd_add(ops, etcd_release_addr(giving->release->network, giving->domain,
					      &giving->addrs.addrs[i], giving->holders[i], begun));
	}
}

/* Notes what was given back just now, by the first responses of the reply. */
static void note_released(const struct giving *giving, const cJSON *reply)
{
	size_t next = 0;

	for (size_t i = 0; i < giving->addrs.count; i++) {
		if (giving->holders[i] && etcd_succeeded(etcd_response(reply, next++)))
			etcd_note_released(giving->store, giving->domain, &giving->addrs.addrs[i], 1);
	}
}

/* "lamina ip export" wrote kube-ipam's word in the record's place: the container's bare ID. */
static void add_exported(const struct giving *giving, cJSON *ops)
{
	for (size_t i = 0; i < giving->addrs.count; i++)
		etcd_add(ops, etcd_release_addr(giving->release->network, giving->domain, &giving->addrs.addrs[i],
				      giving->release->cid, 0));
}

/* All is known from the record: one round trip. 1 when the attachment is another one than the record's. */
static int release_known(struct giving *giving, struct error *e)
{
	const struct store_release *release = giving->release;
	cJSON *ops = etcd_array(), *compare = etcd_array(), *drop = etcd_array(), *look = etcd_array();
	cleanup_free char *value =
		attachment_value_print(giving->nonce, giving->domain, release->addrs, release->addr_count);
	cleanup_json cJSON *reply = NULL;
	cleanup_kv struct etcd_kv attachment = {0};

	list_addrs(giving);
	expect_value(giving);
	add_releases(giving, 0, ops);
	add_exported(giving, ops);
	etcd_add(compare, etcd_compare_value(giving->key, value));
	etcd_add(drop, etcd_delete(giving->key));
	etcd_add(look, etcd_range(giving->key, false, ETCD_VALUES, 0));
	etcd_add(ops, etcd_nested(etcd_txn(compare, drop, look)));

	int r = call(giving, NULL, ops, NULL, &reply, e);

	if (r < 0)
		return r;
	note_released(giving, reply);

	const cJSON *last = etcd_response(reply, 2 * giving->addrs.count);

	if (etcd_succeeded(last))
		return 0;
	r = etcd_store_found(last, 0, &attachment, e);
	forget_seen(giving);
	if (r < 0 || !attachment.value)
		return r;
	keep_seen(giving, &attachment);
	return giving->value.nonce && strcmp(giving->value.nonce, giving->nonce) == 0;
}

/* Gives back what was seen, and the attachment with it: 1 when that changed. */
static int release_seen(struct giving *giving, struct error *e)
{
	cJSON *compare = etcd_array(), *ops = etcd_array();
	cleanup_json cJSON *reply = NULL;
	int r = need_domain(giving, e);

	if (r < 0) {
		cJSON_Delete(compare);
		cJSON_Delete(ops);
		return r;
	}
	add_releases(giving, 0, ops);
	etcd_add(compare, etcd_compare_is(giving->key, giving->seen));
	/* The way of a claim that was closed stays closed. */
	if (giving->seen && !giving->value.closed)
		etcd_add(ops, etcd_delete(giving->key));
	if (!cJSON_GetArraySize(ops)) {
		cJSON_Delete(compare);
		cJSON_Delete(ops);
		return 0;
	}
	r = call(giving, compare, ops, NULL, &reply, e);
	if (r < 0)
		return r;
	if (!etcd_succeeded(reply))
		return 1;
	note_released(giving, reply);
	return 0;
}

/* What the record does not tell, the store does: its attachment, its addresses, their holders. */
static int release_looked_up(struct giving *giving, struct error *e)
{
	int r = giving->seen ? 0 : read_attachment(giving, e);

	if (r < 0)
		return r;
	if (giving->nonce && giving->value.nonce && strcmp(giving->value.nonce, giving->nonce) != 0)
		return 0; /* another claim's */
	list_addrs(giving);
	if (giving->release->value)
		expect_value(giving);
	else if (read_holders(giving, e) < 0)
		return e->err;
	return release_seen(giving, e);
}

/* --- a claim that may be under way still --- */

/* The closing of its way: the marker, put where nothing stands, or in the place of what was seen. */
static int close_way(struct giving *giving, struct error *e)
{
	cJSON *compare = etcd_array(), *success = etcd_array(), *failure = etcd_array();
	cleanup_free char *marker = attachment_value_print_closed(giving->nonce);
	cleanup_json cJSON *reply = NULL;
	cleanup_kv struct etcd_kv attachment = {0};
	bool marked = giving->value.closed &&
		      (!giving->nonce || !giving->value.nonce || strcmp(giving->nonce, giving->value.nonce) == 0);
	int r = need_domain(giving, e);

	add_releases(giving, begun_at(giving), success);
	etcd_add(compare, etcd_compare_is(giving->key, giving->seen));
	if (!marked)
		etcd_add(success, etcd_put(giving->key, marker));
	etcd_add(failure, etcd_range(giving->key, false, ETCD_VALUES, 0));
	if (r < 0 || (marked && cJSON_GetArraySize(success) == 0)) {
		cJSON_Delete(compare);
		cJSON_Delete(success);
		cJSON_Delete(failure);
		return r;
	}
	r = call(giving, compare, success, failure, &reply, e);
	if (r < 0)
		return r;
	if (etcd_succeeded(reply)) {
		note_released(giving, reply);
		return 0;
	}
	r = etcd_store_found(reply, 0, &attachment, e);
	forget_seen(giving);
	if (r < 0)
		return r;
	keep_seen(giving, &attachment);
	return 1;
}

/* Whatever this container has: nobody knows whether the lost claim found an earlier one. */
static int find_all(struct giving *giving, struct error *e)
{
	const char *value = giving->release->value;

	list_addrs(giving);
	if (!giving->seen || giving->value.closed)
		return 0;
	if (!value || !giving->value.nonce || strcmp(giving->value.nonce, giving->nonce) != 0)
		return read_holders(giving, e);
	expect_value(giving);
	return 0;
}

/* Without space no claim can land, either: what is there goes, nothing is put. */
static int release_without_space(struct giving *giving, struct error *e)
{
	int r = 1;

	for (int round = 0; round < MAX_ROUNDS && r == 1; round++) {
		forget_seen(giving);
		r = read_attachment(giving, e);
		if (r >= 0)
			r = find_all(giving, e);
		if (r < 0 || !giving->seen)
			return r;

		cJSON *compare = etcd_array(), *ops = etcd_array();
		cleanup_json cJSON *reply = NULL;

		add_releases(giving, begun_at(giving), ops);
		etcd_add(compare, etcd_compare_value(giving->key, giving->seen));
		etcd_add(ops, etcd_delete(giving->key));
		r = call(giving, compare, ops, NULL, &reply, e);
		if (r >= 0) {
			r = !etcd_succeeded(reply);
			if (r == 0)
				note_released(giving, reply);
		}
	}
	return r;
}

static int release_unfinished(struct giving *giving, struct error *e)
{
	int r = 1;

	for (int round = 0; round < MAX_ROUNDS && r == 1; round++) {
		r = find_all(giving, e);
		if (r >= 0)
			r = close_way(giving, e);
	}
	if (r == -ENOSPC) {
		error_clear(e);
		r = release_without_space(giving, e);
	}
	return r;
}

int etcd_store_release(struct store *store, const struct store_release *release, struct error *e)
{
	CLEANUP(giving_clear) struct giving giving = giving_of(etcd_store_of(store), release);
	bool known = release->value && release->addr_count && release->domain;
	int r = 1;

	if (release->unfinished) {
		r = release_unfinished(&giving, e);
	} else {
		if (known)
			r = release_known(&giving, e);
		for (int round = 0; round < MAX_ROUNDS && r == 1; round++) {
			r = release_looked_up(&giving, e);
			forget_seen(&giving);
		}
	}
	if (r == 1)
		return error_set(e, -EAGAIN, ERROR_TRY_AGAIN, "%s changes too fast: try again", giving.key);
	return r;
}
