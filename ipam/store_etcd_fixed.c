#include "ipam/store_etcd_claim.h"

#include <errno.h>
#include <string.h>

/* So many addresses' compares fit into one transaction, on the longest way through it. */
#define MAX_FIXED 20

/* How often one claim looks again because what it saw has changed. */
#define MAX_ROUNDS 16

/* All that stands under one address; NULL: nothing. */
struct addr_state {
	struct addr_keys keys;
	char *used, *fixed, *domain;
	struct addr_keys other_keys; /* in the other network of the domain that has the address; .used NULL: none */
	char *other_used, *other_fixed;
};

struct states {
	struct addr_state *list;
	size_t count;
	bool known;
};

static void states_forget(struct states *states)
{
	for (size_t i = 0; i < states->count; i++) {
		struct addr_state *state = &states->list[i];

		free(steal_ptr(state->used));
		free(steal_ptr(state->fixed));
		free(steal_ptr(state->domain));
		free(steal_ptr(state->other_used));
		free(steal_ptr(state->other_fixed));
		etcd_addr_keys_clear(&state->other_keys);
	}
	states->known = false;
}

static void states_clear(struct states *states)
{
	states_forget(states);
	for (size_t i = 0; i < states->count; i++)
		etcd_addr_keys_clear(&states->list[i].keys);
	free(states->list);
}

static struct states states_of(const struct store_request *request)
{
	struct states states = {
		.list = allocate(request->fixed_count, sizeof(*states.list)), .count = request->fixed_count};

	for (size_t i = 0; i < states.count; i++)
		states.list[i].keys = etcd_addr_keys(request->network, request->config->domain, &request->fixed[i]);
	return states;
}

/* --- the first transaction: everything free, kept for this namespace or for nobody --- */

static void add_ranges(const struct states *states, cJSON *ops)
{
	for (size_t i = 0; i < states->count; i++) {
		const struct addr_keys *keys = &states->list[i].keys;

		etcd_add(ops, etcd_range(keys->used, false, ETCD_VALUES, 0));
		etcd_add(ops, etcd_range(keys->fixed, false, ETCD_VALUES, 0));
		etcd_add(ops, etcd_range(keys->domain, false, ETCD_VALUES, 0));
	}
}

/* A transaction that takes them all when each is unused and kept for `hold` (NULL: for nobody). */
static cJSON *take_all(
	const struct etcd_claim *claim, const struct states *states, const char *hold, bool keep, cJSON *otherwise)
{
	const struct store_request *request = claim->request;
	cJSON *compare = etcd_array(), *success = etcd_array();

	for (size_t i = 0; i < states->count; i++) {
		const struct addr_keys *keys = &states->list[i].keys;

		etcd_add(compare, etcd_compare_absent(keys->used));
		etcd_add(compare, etcd_compare_is(keys->fixed, hold));
		etcd_add(compare, etcd_compare_is(keys->domain, hold ? request->network : NULL));
		etcd_add(success, etcd_put(keys->used, request->value));
		if (keep)
			etcd_add(success, etcd_put(keys->fixed, request->ns));
		if (!hold)
			etcd_add(success, etcd_put(keys->domain, request->network));
	}
	etcd_add(success, etcd_claim_put_attachment(claim, request->fixed, request->fixed_count));
	return etcd_txn(compare, success, otherwise);
}

static void keep_all(struct etcd_claim *claim)
{
	const struct store_request *request = claim->request;

	claim->reply->kept = allocate(request->fixed_count, sizeof(*request->fixed));
	memcpy(claim->reply->kept, request->fixed, request->fixed_count * sizeof(*request->fixed));
	claim->reply->kept_count = request->fixed_count;
}

static int read_states(struct states *states, const cJSON *reply, struct error *e)
{
	int r = 0;

	for (size_t i = 0; i < states->count && r >= 0; i++) {
		struct addr_state *state = &states->list[i];
		char **const values[] = {&state->used, &state->fixed, &state->domain};

		for (size_t j = 0; j < ARRAY_SIZE(values) && r >= 0; j++) {
			cleanup_kv struct etcd_kv kv = {0};

			r = etcd_store_found(reply, 3 * i + j, &kv, e);
			*values[j] = steal_ptr(kv.value);
		}
	}
	states->known = r >= 0;
	return r;
}

/* CLAIM_AGAIN: the states are known now. */
static int try_all(struct etcd_claim *claim, struct states *states, struct error *e)
{
	const struct store_request *request = claim->request;
	cJSON *success = etcd_array(), *ranges = etcd_array(), *txn;
	cleanup_json cJSON *reply = NULL;

	add_ranges(states, ranges);
	if (request->ns) {
		cJSON *later = etcd_array();

		etcd_add(later, etcd_nested(take_all(claim, states, NULL, true, ranges)));
		txn = take_all(claim, states, request->ns, false, later);
	} else {
		txn = take_all(claim, states, NULL, false, ranges);
	}
	etcd_add(success, etcd_nested(txn));

	int r = etcd_claim_send(claim, etcd_array(), success, &reply, e);

	if (r != CLAIM_SENT)
		return r;

	const cJSON *first = etcd_response(reply, 0), *last = request->ns ? etcd_response(first, 0) : first;

	if (etcd_succeeded(first) || etcd_succeeded(last)) {
		etcd_claim_grant(claim, request->fixed, request->fixed_count);
		if (request->ns && !etcd_succeeded(first))
			keep_all(claim);
		return CLAIM_ANSWERED;
	}
	r = read_states(states, last, e);
	return r < 0 ? r : CLAIM_AGAIN;
}

/* --- the second one: mixed states, holders that may go, another network of the domain --- */

static int look_again(struct etcd_claim *claim, struct states *states, struct error *e)
{
	cJSON *ranges = etcd_array();
	cleanup_json cJSON *reply = NULL;

	add_ranges(states, ranges);

	int r = etcd_store_txn(claim->store, NULL, ranges, NULL, &reply, NULL, e);

	return r < 0 ? r : read_states(states, reply, e);
}

/* What the other networks say that have an address in this domain. */
static int read_others(struct etcd_claim *claim, struct states *states, struct error *e)
{
	cleanup_read struct etcd_read read = {0};

	for (size_t i = 0; i < states->count; i++) {
		struct addr_state *state = &states->list[i];

		if (!state->domain || strcmp(state->domain, claim->request->network) == 0)
			continue;
		state->other_keys = etcd_addr_keys(state->domain, NULL, &claim->request->fixed[i]);
		etcd_read_add(&read, copy_text(state->other_keys.used));
		etcd_read_add(&read, copy_text(state->other_keys.fixed));
	}
	if (!read.count)
		return 0;

	int r = etcd_store_read(claim->store, &read, e);
	struct etcd_kv *next = read.kvs;

	for (size_t i = 0; i < states->count && r >= 0; i++) {
		if (!states->list[i].other_keys.used)
			continue;
		states->list[i].other_used = steal_ptr(next[0].value);
		states->list[i].other_fixed = steal_ptr(next[1].value);
		next += 2;
	}
	return r;
}

static bool is_own_old(const struct etcd_claim *claim, const struct ip_addr *addr, const char *value)
{
	for (size_t i = 0; i < claim->old_count; i++) {
		if (ip_compare(&claim->old[i].addr, addr) == 0 && strcmp(claim->old[i].value, value) == 0)
			return true;
	}
	return false;
}

static bool may_have(const struct etcd_claim *claim, const char *network, const struct ip_addr *addr, const char *used,
	const char *hold)
{
	const struct store_request *request = claim->request;
	bool free = !used || etcd_claim_evicts(claim, network, addr, used) || is_own_old(claim, addr, used);
	bool ours = !hold || (request->ns && strcmp(hold, request->ns) == 0) ||
		    (request->reservation && strcmp(hold, request->reservation) == 0);

	return free && ours;
}

static void add_holder(
	struct etcd_claim *claim, const char *network, const struct ip_addr *addr, const char *used, const char *hold)
{
	struct store_reply *reply = claim->reply;

	if (may_have(claim, network, addr, used, hold))
		return;
	reply->holders = reallocate(reply->holders, reply->holder_count + 1, sizeof(*reply->holders));
	reply->holders[reply->holder_count++] = (struct store_entry){
		.network = copy_text(network),
		.addr = *addr,
		.value = copy_text(used),
		.hold = copy_text(hold),
	};
}

static void add_holders(struct etcd_claim *claim, const struct states *states)
{
	for (size_t i = 0; i < states->count; i++) {
		const struct addr_state *state = &states->list[i];
		const struct ip_addr *addr = &claim->request->fixed[i];

		add_holder(claim, claim->request->network, addr, state->used, state->fixed);
		if (state->other_keys.used)
			add_holder(claim, state->domain, addr, state->other_used, state->other_fixed);
	}
}

static void compare_state(const struct addr_state *state, cJSON *compare)
{
	etcd_add(compare, etcd_compare_is(state->keys.used, state->used));
	etcd_add(compare, etcd_compare_is(state->keys.fixed, state->fixed));
	etcd_add(compare, etcd_compare_is(state->keys.domain, state->domain));
	if (!state->other_keys.used)
		return;
	etcd_add(compare, etcd_compare_is(state->other_keys.used, state->other_used));
	etcd_add(compare, etcd_compare_is(state->other_keys.fixed, state->other_fixed));
}

/* Takes one address over, hold and all; true when it is kept for its namespace only since now. */
static bool take_one(const struct store_request *request, const struct addr_state *state, cJSON *ops)
{
	const char *hold = state->other_fixed ? state->other_fixed : request->ns;

	etcd_add(ops, etcd_put(state->keys.used, request->value));
	if (!state->domain || state->other_keys.used)
		etcd_add(ops, etcd_put(state->keys.domain, request->network));
	if (state->other_used)
		etcd_add(ops, etcd_delete(state->other_keys.used));
	if (state->other_fixed)
		etcd_add(ops, etcd_delete(state->other_keys.fixed));
	if (state->fixed || !hold)
		return false;
	etcd_add(ops, etcd_put(state->keys.fixed, hold));
	return !state->other_fixed;
}

static int take_as_seen(struct etcd_claim *claim, const struct states *states, struct error *e)
{
	const struct store_request *request = claim->request;
	cJSON *compare = etcd_array(), *success = etcd_array();
	cleanup_free struct ip_addr *kept = allocate(request->fixed_count, sizeof(*kept));
	cleanup_json cJSON *reply = NULL;
	size_t kept_count = 0;

	for (size_t i = 0; i < states->count; i++) {
		compare_state(&states->list[i], compare);
		if (take_one(request, &states->list[i], success))
			kept[kept_count++] = request->fixed[i];
	}
	etcd_add(success, etcd_claim_put_attachment(claim, request->fixed, request->fixed_count));

	int r = etcd_claim_send(claim, compare, success, &reply, e);

	if (r != CLAIM_SENT)
		return r;
	etcd_claim_grant(claim, request->fixed, request->fixed_count);
	claim->reply->kept = steal_ptr(kept);
	claim->reply->kept_count = kept_count;
	return CLAIM_ANSWERED;
}

static int take_seen(struct etcd_claim *claim, struct states *states, struct error *e)
{
	int r = states->known ? 0 : look_again(claim, states, e);

	if (r >= 0)
		r = read_others(claim, states, e);
	if (r < 0)
		return r;
	add_holders(claim, states);
	if (claim->reply->holder_count) {
		claim->reply->answer = STORE_HELD;
		return CLAIM_ANSWERED;
	}
	r = take_as_seen(claim, states, e);
	states_forget(states);
	return r;
}

static int check_request(const struct store_request *request, struct error *e)
{
	if (request->fixed_count > MAX_FIXED)
		return error_set(e, -E2BIG, ERROR_CONFIG,
			"%zu fixed addresses are asked for: at most %d can be claimed at once", request->fixed_count,
			MAX_FIXED);
	for (size_t i = 0; i < request->fixed_count; i++) {
		for (size_t j = i + 1; j < request->fixed_count; j++) {
			if (ip_compare(&request->fixed[i], &request->fixed[j]) == 0)
				return error_set(e, -EINVAL, ERROR_CONFIG, "%s is asked for twice",
					ip_text(&request->fixed[i]).s);
		}
	}
	return 0;
}

int etcd_claim_fixed(struct etcd_claim *claim, struct error *e)
{
	CLEANUP(states_clear) struct states states = states_of(claim->request);
	int r = check_request(claim->request, e);

	if (r < 0)
		return r;
	/* An attachment that gives way goes only together with what comes: not before it is known that this may have
	 * all. */
	r = CLAIM_AGAIN;
	for (int round = 0; round < MAX_ROUNDS && r == CLAIM_AGAIN; round++)
		r = states.known || claim->old_count ? take_seen(claim, &states, e) : try_all(claim, &states, e);
	if (r == CLAIM_AGAIN)
		return error_set(e, -EAGAIN, ERROR_TRY_AGAIN, "%s and its holder change too fast: try again",
			ip_text(&claim->request->fixed[0]).s);
	return r < 0 ? r : 0;
}
