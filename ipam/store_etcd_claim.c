#include "ipam/store_etcd_claim.h"

#include "plugin/base/fault.h"
#include "plugin/base/log.h"

#include <errno.h>
#include <string.h>

/* Pauses while kube-ipam has its lock: an ADD of it takes some 20 ms. */
#define FIRST_PAUSE 10000
#define LONGEST_PAUSE 200000

static bool is_asked_for(const struct store_request *request, const struct ip_addr *addr)
{
	for (size_t i = 0; i < request->fixed_count; i++) {
		if (ip_compare(&request->fixed[i], addr) == 0)
			return true;
	}
	return false;
}

size_t etcd_claim_outer_ops(const struct etcd_claim *claim)
{
	/* The outermost one, and two compares, or the chain and what is given up. */
	return 1 + (claim->old_count > 1 ? claim->old_count + 1 : 2);
}

cJSON *etcd_claim_put_attachment(const struct etcd_claim *claim, const struct ip_addr *addrs, size_t count)
{
	cleanup_free char *value = attachment_value_print(claim->nonce, claim->request->config->domain, addrs, count);

	return etcd_put(claim->attachment_key, value);
}

void etcd_claim_grant(struct etcd_claim *claim, const struct ip_addr *addrs, size_t count)
{
	struct store_reply *reply = claim->reply;

	reply->answer = STORE_GRANTED;
	reply->addrs = allocate(count, sizeof(*addrs));
	memcpy(reply->addrs, addrs, count * sizeof(*addrs));
	reply->addr_count = count;
	reply->value = copy_text(claim->request->value);
}

const struct store_entry *etcd_claim_evicts(
	const struct etcd_claim *claim, const char *network, const struct ip_addr *addr, const char *value)
{
	for (size_t i = 0; i < claim->request->evict_count; i++) {
		const struct store_entry *entry = &claim->request->evict[i];

		if (ip_compare(&entry->addr, addr) == 0 && same_text(entry->network, network) &&
			same_text(entry->value, value))
			return entry;
	}
	return NULL;
}

static int wait_for_lock(const struct etcd_claim *claim, int64_t *pause, struct error *e)
{
	clock_pause(*pause / 2 + clock_chance(*pause), claim->store->deadline);
	*pause = *pause * 2 < LONGEST_PAUSE ? *pause * 2 : LONGEST_PAUSE;
	if (clock_now() + FIRST_PAUSE >= claim->store->deadline)
		return error_set(e, -EAGAIN, ERROR_TRY_AGAIN,
			"kube-ipam's lock %s is held until the deadline: a node with kube-ipam is about to take an "
			"address; if none is, delete the key",
			claim->lock_key);
	return CLAIM_AGAIN;
}

static bool is_as_asked(const struct store_request *request, const struct attachment_value *found)
{
	bool same = !request->fixed_count || request->fixed_count == found->addr_count;

	for (size_t i = 0; i < request->fixed_count && same; i++)
		same = ip_compare(&request->fixed[i], &found->addrs[i]) == 0;
	return same;
}

/* Our own claim: an earlier copy of it was carried out, and its reply was lost. */
static void grant_again(
	struct etcd_claim *claim, const struct attachment_value *found, int64_t since, const struct etcd_read *keys)
{
	struct store_reply *reply = claim->reply;

	etcd_claim_grant(claim, found->addrs, found->addr_count);
	reply->kept = allocate(found->addr_count, sizeof(*reply->kept));
	for (size_t i = 0; i < found->addr_count; i++) {
		const struct etcd_kv *fixed = &keys->kvs[2 * i + 1];

		if (fixed->value && fixed->created == since)
			reply->kept[reply->kept_count++] = found->addrs[i];
	}
}

/* The attachment gives way to this claim, with all of its addresses that this one does not ask for. */
static int give_way(struct etcd_claim *claim, const struct etcd_kv *attachment, const struct attachment_value *found,
	const struct etcd_read *keys)
{
	free(claim->seen);
	claim->seen = copy_text(attachment->value);
	store_entries_free(claim->old, claim->old_count);
	claim->old = allocate(found->addr_count + 1, sizeof(*claim->old));
	claim->old_count = 0;
	for (size_t i = 0; i < found->addr_count; i++) {
		const char *value = keys->kvs[2 * i].value;

		if (etcd_value_is_of(value, found->nonce, NULL, NULL))
			claim->old[claim->old_count++] = (struct store_entry){
				.network = copy_text(claim->request->network),
				.addr = found->addrs[i],
				.value = copy_text(value),
				.hold = copy_text(found->domain),
			};
	}
	return CLAIM_AGAIN;
}

static int read_addresses(
	struct etcd_claim *claim, const struct attachment_value *found, struct etcd_read *keys, struct error *e)
{
	for (size_t i = 0; i < found->addr_count; i++) {
		struct addr_keys addr = etcd_addr_keys(claim->request->network, NULL, &found->addrs[i]);

		etcd_read_add(keys, addr.used);
		etcd_read_add(keys, addr.fixed);
	}
	return etcd_store_read(claim->store, keys, e);
}

static int weigh_attachment(struct etcd_claim *claim, const struct etcd_kv *attachment,
	const struct attachment_value *found, struct error *e)
{
	cleanup_read struct etcd_read keys = {0};
	size_t own = 0;
	int r = read_addresses(claim, found, &keys, e);

	if (r < 0)
		return r;
	for (size_t i = 0; i < found->addr_count; i++)
		own += etcd_value_is_of(keys.kvs[2 * i].value, found->nonce, NULL, NULL);
	if (own < found->addr_count)
		return give_way(claim, attachment, found, &keys);
	if (same_text(found->nonce, claim->nonce)) {
		grant_again(claim, found, attachment->changed, &keys);
		return CLAIM_ANSWERED;
	}
	if (!is_as_asked(claim->request, found))
		return give_way(claim, attachment, found, &keys);
	etcd_claim_grant(claim, found->addrs, found->addr_count);
	claim->reply->answer = STORE_ALREADY;
	free(claim->reply->value);
	claim->reply->value = steal_ptr(keys.kvs[0].value);
	return CLAIM_ANSWERED;
}

/* This container and interface have, or had, something in this network. */
static int look_at_attachment(struct etcd_claim *claim, const struct etcd_kv *attachment, struct error *e)
{
	cleanup_attachment_value struct attachment_value found = {0};

	if (!attachment_value_parse(attachment->value, &found))
		return error_set(e, -EUCLEAN, ERROR_IO,
			"etcd has an unknown value under %s: look who wrote it, and delete the key if nobody needs it",
			claim->attachment_key);
	if (!found.closed)
		return weigh_attachment(claim, attachment, &found, e);
	if (same_text(found.nonce, claim->nonce))
		return error_set(e, -ECANCELED, ERROR_TRY_AGAIN,
			"a DEL of this container came before its address could be claimed");
	free(claim->seen);
	claim->seen = copy_text(attachment->value);
	return CLAIM_AGAIN;
}

/* The failure branch: kube-ipam's lock, the attachment, or neither, when one of the caller's compares failed. */
static int look_at_obstacle(struct etcd_claim *claim, const cJSON *reply, int64_t *pause, struct error *e)
{
	cleanup_kv struct etcd_kv lock = {0}, attachment = {0};
	int r = etcd_store_found(reply, 0, &lock, e);

	if (r >= 0)
		r = etcd_store_found(reply, 1, &attachment, e);
	if (r < 0)
		return r;
	if (attachment.value && !same_text(attachment.value, claim->seen))
		return look_at_attachment(claim, &attachment, e);
	if (!attachment.value && claim->seen) {
		/* It is gone, with all it had. */
		free(steal_ptr(claim->seen));
		store_entries_free(steal_ptr(claim->old), claim->old_count);
		claim->old_count = 0;
		return CLAIM_AGAIN;
	}
	return lock.value ? wait_for_lock(claim, pause, e) : CLAIM_AGAIN;
}

static int call(struct etcd_claim *claim, const cJSON *body, cJSON **ret, struct error *e)
{
	bool sent = false;

	if (fault_point("etcd_before_claim") < 0)
		return error_set(e, -EIO, ERROR_IO, "fault before claim");

	int r = etcd_call(claim->store->etcd, "/v3/kv/txn", body, ret, &sent, e);

	if (r >= 0 && fault_point("etcd_after_claim") < 0) {
		sent = true;
		r = error_set(e, -EIO, ERROR_IO, "fault after claim");
	}
	if (r < 0)
		claim->reply->unknown = sent;
	return r;
}

/*
 * etcd without space refuses what puts, but it looks only at the outermost transaction's operations (costTxn), where a
 * claim has none: so one is there, in the branch behind a condition that always holds. Without it a lost claim could
 * still land when the marker that closes its way cannot be put. Older etcds do not look deeper for rights either
 * (GHSA-rfx7-8w68-q57q): by that put and the condition they, too, refuse at once a user whose role is too narrow, and
 * not all nodes on the day of their upgrade.
 */
static cJSON *mark_as_put(const struct etcd_claim *claim, cJSON *txn)
{
	cJSON *always = etcd_array(), *success = etcd_array(), *never = etcd_array();
	cleanup_free char *domain = format_text(ETCD_DOMAINS "%s/", claim->request->config->domain);

	etcd_add(always, etcd_compare_readable(domain));
	etcd_add(success, etcd_nested(txn));
	etcd_add(never, etcd_put(claim->attachment_key, ""));
	return etcd_txn(always, success, never);
}

static cJSON *claim_body(const struct etcd_claim *claim, cJSON *compare, cJSON *success)
{
	cJSON *failure = etcd_array();

	etcd_add(compare, etcd_compare_absent(claim->lock_key));
	etcd_add(compare, etcd_compare_is(claim->attachment_key, claim->seen));
	for (size_t i = 0; i < claim->old_count; i++) {
		const struct store_entry *old = &claim->old[i];

		if (!is_asked_for(claim->request, &old->addr))
			etcd_add(success, etcd_release_addr(old->network, old->hold, &old->addr, old->value, 0));
	}
	etcd_add(failure, etcd_range(claim->lock_key, false, ETCD_VALUES, 0));
	etcd_add(failure, etcd_range(claim->attachment_key, false, ETCD_VALUES, 0));
	return mark_as_put(claim, etcd_txn(compare, success, failure));
}

int etcd_claim_send(struct etcd_claim *claim, cJSON *compare, cJSON *success, cJSON **ret, struct error *e)
{
	cleanup_json cJSON *body = claim_body(claim, compare, success);
	int64_t pause = FIRST_PAUSE;

	for (;;) {
		cleanup_json cJSON *reply = NULL;
		cleanup_kv struct etcd_kv lock = {0};
		int r = call(claim, body, &reply, e);
		const cJSON *inner = r < 0 ? NULL : etcd_response(reply, 0);

		if (inner && etcd_succeeded(inner)) {
			*ret = json_copy(inner);
			return CLAIM_SENT;
		}
		if (r >= 0)
			r = etcd_store_found(inner, 0, &lock, e);
		if (r >= 0)
			r = look_at_obstacle(claim, inner, &pause, e);
		/* While it is only the lock, the very same request is sent again. */
		if (r != CLAIM_AGAIN || !lock.value)
			return r;
	}
}

static void claim_clear(struct etcd_claim *claim)
{
	free(claim->lock_key);
	free(claim->attachment_key);
	free(claim->nonce);
	free(claim->seen);
	store_entries_free(claim->old, claim->old_count);
}

int etcd_store_claim(struct store *store, const struct store_request *request, struct store_reply *ret, struct error *e)
{
	struct etcd_store *self = etcd_store_of(store);
	CLEANUP(claim_clear)
	struct etcd_claim claim = {
		.store = self,
		.request = request,
		.reply = ret,
		.lock_key = etcd_key_lock(request->network),
		.attachment_key = etcd_key_attachment(request->network, self->node, request->cid, request->ifname),
		.nonce = etcd_value_nonce(request->value),
	};

	*ret = (struct store_reply){0};

	int r = request->fixed_count ? etcd_claim_fixed(&claim, e) : etcd_claim_dynamic(&claim, e);

	if (r < 0) {
		bool unknown = ret->unknown;

		store_reply_clear(ret);
		ret->unknown = unknown;
	}
	return r;
}
