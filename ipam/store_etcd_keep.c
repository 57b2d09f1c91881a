/* What people change by hand: entries forgotten, addresses reserved, claims handed back to kube-ipam. */
#include "ipam/store_etcd_list.h"
#include "ipam/store_etcd_search.h"

#include "ipam/record.h"

#include <errno.h>
#include <string.h>

#define MAX_ROUNDS 8

/* An entry as it stands in etcd now. */
struct standing {
	struct addr_keys keys;
	char *used, *fixed;
	char *attachment_key, *attachment; /* of the holder's record; NULL: unknown, or not there */
	struct attachment_value value;
	char *domain;
};

static void standing_clear(struct standing *standing)
{
	etcd_addr_keys_clear(&standing->keys);
	free(standing->used);
	free(standing->fixed);
	free(standing->attachment_key);
	free(standing->attachment);
	free(standing->domain);
	attachment_value_clear(&standing->value);
	*standing = (struct standing){0};
}

#define cleanup_standing CLEANUP(standing_clear)

/* The key of the attachment that a record speaks of; NULL when it is no record of ours. */
static char *attachment_key_of(const struct etcd_store *store, const char *network, const char *text)
{
	cleanup_error struct error ignored = {0};
	cleanup_value struct ipam_value value = {0};

	if (!text || ipam_value_parse(text, &value, &ignored) < 0 || !value.record.cid || !value.record.ifname)
		return NULL;
	return etcd_key_attachment(
		network, value.record.node ? value.record.node : store->node, value.record.cid, value.record.ifname);
}

/* *ret is cleared by the caller, also on failure. */
static int read_standing(
	struct etcd_store *store, const struct store_entry *entry, struct standing *ret, struct error *e)
{
	cleanup_read struct etcd_read read = {0};

	ret->keys = etcd_addr_keys(entry->network, NULL, &entry->addr);
	ret->attachment_key = attachment_key_of(store, entry->network, entry->value);
	etcd_read_add(&read, copy_text(ret->keys.used));
	etcd_read_add(&read, copy_text(ret->keys.fixed));
	if (ret->attachment_key)
		etcd_read_add(&read, copy_text(ret->attachment_key));
	if (etcd_store_read(store, &read, e) < 0)
		return e->err;
	ret->used = steal_ptr(read.kvs[0].value);
	ret->fixed = steal_ptr(read.kvs[1].value);
	if (ret->attachment_key && attachment_value_parse(read.kvs[2].value, &ret->value)) {
		ret->attachment = steal_ptr(read.kvs[2].value);
		ret->domain = copy_text(ret->value.domain);
	}
	if (ret->domain || (!ret->used && !ret->fixed))
		return 0;
	return etcd_store_find_domain(store, entry->network, &entry->addr, &ret->domain, e);
}

/* What is gone already is no change; anything else in its place is. */
static int check_unchanged(const struct store_entry *entry, const struct standing *standing, struct error *e)
{
	if (standing->used && !same_text_or_none(standing->used, entry->value))
		return error_set(e, -ESTALE, ERROR_TRY_AGAIN,
			"%s has another holder by now: look again before you release it", ip_text(&entry->addr).s);
	if (standing->fixed && !same_text_or_none(standing->fixed, entry->hold))
		return error_set(e, -ESTALE, ERROR_TRY_AGAIN,
			"%s is kept for somebody else by now: look again before you release it",
			ip_text(&entry->addr).s);
	return 0;
}

/* The attachment goes with its only address; one with several is left to its release. */
static void add_attachment(const struct standing *standing, const struct store_entry *entry, cJSON *ops)
{
	if (!standing->attachment || standing->value.addr_count != 1 ||
		ip_compare(&standing->value.addrs[0], &entry->addr) != 0)
		return;

	cJSON *compare = etcd_array(), *drop = etcd_array();

	etcd_add(compare, etcd_compare_value(standing->attachment_key, standing->attachment));
	etcd_add(drop, etcd_delete(standing->attachment_key));
	etcd_add(ops, etcd_nested(etcd_txn(compare, drop, NULL)));
}

static void add_domain(const struct standing *standing, const struct store_entry *entry, cJSON *ops)
{
	if (!standing->domain)
		return;

	cleanup_addr_keys struct addr_keys keys = etcd_addr_keys(entry->network, standing->domain, &entry->addr);
	cJSON *compare = etcd_array(), *drop = etcd_array();

	etcd_add(compare, etcd_compare_value(keys.domain, entry->network));
	etcd_add(drop, etcd_delete(keys.domain));
	etcd_add(ops, etcd_nested(etcd_txn(compare, drop, NULL)));
}

/* Sends what is to be done if nothing has changed: 1 when it has. */
static int send_if_unchanged(struct etcd_store *store, const struct standing *standing, cJSON *ops, struct error *e)
{
	cJSON *compare = etcd_array();
	cleanup_json cJSON *reply = NULL;

	etcd_add(compare, etcd_compare_is(standing->keys.used, standing->used));
	etcd_add(compare, etcd_compare_is(standing->keys.fixed, standing->fixed));

	int r = etcd_store_txn(store, compare, ops, NULL, &reply, NULL, e);

	return r < 0 ? r : !etcd_succeeded(reply);
}

static int forget_once(struct etcd_store *store, const struct store_entry *entry, struct error *e)
{
	cleanup_standing struct standing standing = {0};
	int r = read_standing(store, entry, &standing, e);

	if (r >= 0)
		r = check_unchanged(entry, &standing, e);
	if (r < 0 || (!standing.used && !standing.fixed))
		return r;

	cJSON *ops = etcd_array();

	etcd_add(ops, etcd_delete(standing.keys.used));
	etcd_add(ops, etcd_delete(standing.keys.fixed));
	add_domain(&standing, entry, ops);
	add_attachment(&standing, entry, ops);
	r = send_if_unchanged(store, &standing, ops, e);
	if (r == 0 && standing.used)
		etcd_note_released(store, standing.domain, &entry->addr, 1);
	return r;
}

static int say_unsteady(const struct store_entry *entry, struct error *e)
{
	return error_set(e, -ESTALE, ERROR_TRY_AGAIN, "%s changes too fast: look at it again", ip_text(&entry->addr).s);
}

int etcd_store_forget(struct store *store, const struct store_entry *entry, struct error *e)
{
	int r = 1;

	for (int round = 0; round < MAX_ROUNDS && r == 1; round++)
		r = forget_once(etcd_store_of(store), entry, e);
	return r == 1 ? say_unsteady(entry, e) : r;
}

/* --- reservations --- */

static bool is_claim_of(const char *text, const char *ns)
{
	cleanup_error struct error ignored = {0};
	cleanup_value struct ipam_value value = {0};

	return ns && text && ipam_value_parse(text, &value, &ignored) >= 0 && value.record.ns &&
	       strcmp(value.record.ns, ns) == 0;
}

static void add_holder(
	struct store_reply *reply, const char *network, const struct ip_addr *addr, const char *used, const char *hold)
{
	reply->answer = STORE_HELD;
	reply->holders = reallocate(reply->holders, reply->holder_count + 1, sizeof(*reply->holders));
	reply->holders[reply->holder_count++] = (struct store_entry){
		.network = copy_text(network),
		.addr = *addr,
		.value = copy_text(used),
		.hold = copy_text(hold),
	};
}

/* What was read: used, fixed, domain of the entry's network, then used and fixed of the domain's other one. */
enum { USED, FIXED, DOMAIN, OTHER_USED, OTHER_FIXED };

static bool is_foreign(const char *domain_value, const struct store_entry *entry)
{
	return domain_value && strcmp(domain_value, entry->network) != 0;
}

/* 1 when it changed in between. */
static int read_place(struct etcd_store *store, const struct store_entry *entry, const char *domain,
	struct etcd_read *read, struct error *e)
{
	cleanup_addr_keys struct addr_keys keys = etcd_addr_keys(entry->network, domain, &entry->addr);
	cleanup_read struct etcd_read first = {0};

	etcd_read_add(&first, copy_text(keys.domain));

	int r = etcd_store_read(store, &first, e);

	if (r < 0)
		return r;

	const char *other = first.kvs[0].value;

	etcd_read_add(read, steal_ptr(keys.used));
	etcd_read_add(read, steal_ptr(keys.fixed));
	etcd_read_add(read, steal_ptr(keys.domain));
	if (is_foreign(other, entry)) {
		struct addr_keys there = etcd_addr_keys(other, NULL, &entry->addr);

		etcd_read_add(read, there.used);
		etcd_read_add(read, there.fixed);
	}
	r = etcd_store_read(store, read, e);
	if (r < 0)
		return r;
	return !same_text_or_none(read->kvs[DOMAIN].value, other);
}

/* A hold that gives way to a reservation: of the namespace that is meant, or this very one. */
static bool is_harmless(const char *hold, const struct store_entry *entry, const char *ns)
{
	return !hold || strcmp(hold, entry->hold) == 0 || (ns && strcmp(hold, ns) == 0);
}

static void add_hindrances(
	const struct etcd_read *read, const struct store_entry *entry, const char *ns, struct store_reply *reply)
{
	const char *used = read->kvs[USED].value, *fixed = read->kvs[FIXED].value;

	if ((used && !is_claim_of(used, ns)) || !is_harmless(fixed, entry, ns))
		add_holder(reply, entry->network, &entry->addr, used, fixed);
	if (read->count <= OTHER_FIXED)
		return;
	used = read->kvs[OTHER_USED].value;
	fixed = read->kvs[OTHER_FIXED].value;
	if (used || !is_harmless(fixed, entry, ns))
		add_holder(reply, read->kvs[DOMAIN].value, &entry->addr, used, fixed);
}

static int put_hold(
	struct etcd_store *store, const struct etcd_read *read, const struct store_entry *entry, struct error *e)
{
	cJSON *compare = etcd_array(), *ops = etcd_array();
	cleanup_json cJSON *reply = NULL;

	for (size_t i = 0; i < read->count; i++)
		etcd_add(compare, etcd_compare_is(read->keys[i], read->kvs[i].value));
	etcd_add(ops, etcd_put(read->keys[FIXED], entry->hold));
	etcd_add(ops, etcd_put(read->keys[DOMAIN], entry->network));
	if (read->count > OTHER_FIXED)
		etcd_add(ops, etcd_delete(read->keys[OTHER_FIXED]));

	int r = etcd_store_txn(store, compare, ops, NULL, &reply, NULL, e);

	return r < 0 ? r : !etcd_succeeded(reply);
}

static int reserve_once(struct etcd_store *store, const struct store_entry *entry, const char *domain, const char *ns,
	struct store_reply *reply, struct error *e)
{
	cleanup_read struct etcd_read read = {0};
	int r = read_place(store, entry, domain, &read, e);

	if (r != 0)
		return r;
	add_hindrances(&read, entry, ns, reply);
	if (reply->holder_count)
		return 0;
	if (read.kvs[FIXED].value && strcmp(read.kvs[FIXED].value, entry->hold) == 0) {
		reply->answer = STORE_ALREADY;
		return 0;
	}
	return put_hold(store, &read, entry, e);
}

int etcd_store_reserve(struct store *store, const struct store_entry *entry, const char *domain, const char *ns,
	struct store_reply *ret, struct error *e)
{
	int r = 1;

	*ret = (struct store_reply){0};
	for (int round = 0; round < MAX_ROUNDS && r == 1; round++)
		r = reserve_once(etcd_store_of(store), entry, domain, ns, ret, e);
	return r == 1 ? say_unsteady(entry, e) : r;
}

/* --- back to kube-ipam --- */

static int hand_back_once(struct etcd_store *store, const struct store_entry *entry, const char *cid, struct error *e)
{
	cleanup_standing struct standing standing = {0};
	int r = read_standing(store, entry, &standing, e);

	if (r < 0 || same_text_or_none(standing.used, cid))
		return r;
	if (!same_text_or_none(standing.used, entry->value))
		return error_set(e, -ESTALE, ERROR_TRY_AGAIN, "%s has another holder by now", ip_text(&entry->addr).s);
	if (standing.fixed)
		return error_set(e, -EBUSY, ERROR_CONFIG, "%s is kept for %.253s: kube-ipam knows no such thing",
			ip_text(&entry->addr).s, standing.fixed);

	cJSON *ops = etcd_array();

	etcd_add(ops, etcd_put(standing.keys.used, cid));
	add_domain(&standing, entry, ops);
	if (standing.attachment) {
		cJSON *compare = etcd_array(), *drop = etcd_array();

		etcd_add(compare, etcd_compare_value(standing.attachment_key, standing.attachment));
		etcd_add(drop, etcd_delete(standing.attachment_key));
		etcd_add(ops, etcd_nested(etcd_txn(compare, drop, NULL)));
	}
	return send_if_unchanged(store, &standing, ops, e);
}

int store_etcd_hand_back(struct store *store, const struct store_entry *entry, struct error *e)
{
	cleanup_value struct ipam_value value = {0};
	int r = 1;

	if (!entry->value || ipam_value_parse(entry->value, &value, e) < 0 || !value.record.cid || value.record.fixed) {
		error_clear(e);
		return error_set(e, -EINVAL, ERROR_CONFIG, "%s is not held by a dynamic claim of lamina",
			ip_text(&entry->addr).s);
	}
	for (int round = 0; round < MAX_ROUNDS && r == 1; round++)
		r = hand_back_once(etcd_store_of(store), entry, value.record.cid, e);
	return r == 1 ? say_unsteady(entry, e) : r;
}
