#include "ipam/range.h"
#include "ipam/store_etcd_claim.h"
#include "ipam/store_etcd_search.h"

#include <errno.h>
#include <string.h>

/* Candidates of known-free addresses, of random ones, and after a miss. */
#define HINTED_CANDIDATES 8
#define FIRST_CANDIDATES 16
#define MORE_CANDIDATES 40

/* A set of at most this size is looked through after the first miss. */
#define SMALL_SET 1024

/* How often one claim looks again because others were faster. */
#define MAX_ROUNDS 16

struct candidate {
	struct ip_addr addr;
	const struct store_entry *evict; /* its holder, who may be replaced; NULL: it must be free */
	bool bare;                       /* that holder has no domain key: kube-ipam wrote it */
};

/* What of one set is tried this time. */
struct pool {
	const struct ipam_range_set *set;
	struct candidate *list;
	size_t count;
	struct addr_list free; /* the known-free ones that it was made from; empty: random ones */
	size_t known;          /* how many of the list are of these; they come first */
};

struct dynamic {
	struct etcd_claim *claim;
	struct pool *pools;
	size_t set_count;
	struct addr_list fresh;
};

static void dynamic_clear(struct dynamic *dynamic)
{
	for (size_t i = 0; i < dynamic->set_count; i++) {
		free(dynamic->pools[i].list);
		addr_list_clear(&dynamic->pools[i].free);
	}
	free(dynamic->pools);
	addr_list_clear(&dynamic->fresh);
}

/* --- the transaction: candidates in a chain, each in the failure branch of the one before --- */

/* Compares and operations of one candidate, added to those of its level. */
static void add_candidate(
	const struct etcd_claim *claim, const struct candidate *candidate, cJSON *compare, cJSON *success)
{
	const struct store_request *request = claim->request;
	const struct store_entry *evict = candidate->evict;
	bool foreign = evict && strcmp(evict->network, request->network) != 0;
	cleanup_addr_keys struct addr_keys keys =
		etcd_addr_keys(request->network, request->config->domain, &candidate->addr);

	etcd_add(compare, etcd_compare_is(keys.used, evict && !foreign ? evict->value : NULL));
	etcd_add(compare, etcd_compare_is(keys.domain, evict && !candidate->bare ? evict->network : NULL));
	etcd_add(compare, etcd_compare_absent(keys.fixed));
	etcd_add(success, etcd_put(keys.used, request->value));
	etcd_add(success, etcd_put(keys.domain, request->network));
	if (!foreign)
		return;

	cleanup_addr_keys struct addr_keys other = etcd_addr_keys(evict->network, NULL, &candidate->addr);

	etcd_add(compare, etcd_compare_value(other.used, evict->value));
	etcd_add(compare, etcd_compare_absent(other.fixed));
	etcd_add(success, etcd_delete(other.used));
}

/* One candidate of each set. */
static cJSON *add_level(const struct dynamic *dynamic, size_t level, size_t *ret_ops)
{
	cleanup_free struct ip_addr *addrs = allocate(dynamic->set_count, sizeof(*addrs));
	cJSON *compare = etcd_array(), *success = etcd_array();

	for (size_t i = 0; i < dynamic->set_count; i++) {
		const struct pool *pool = &dynamic->pools[i];
		const struct candidate *candidate = &pool->list[level % pool->count];

		add_candidate(dynamic->claim, candidate, compare, success);
		addrs[i] = candidate->addr;
	}
	etcd_add(success, etcd_claim_put_attachment(dynamic->claim, addrs, dynamic->set_count));

	int compares = cJSON_GetArraySize(compare), puts = cJSON_GetArraySize(success);

	*ret_ops = (size_t)(compares > puts ? compares : puts);
	return etcd_txn(compare, success, NULL);
}

static size_t count_levels(const struct dynamic *dynamic)
{
	size_t levels = 0;

	for (size_t i = 0; i < dynamic->set_count; i++)
		levels = dynamic->pools[i].count > levels ? dynamic->pools[i].count : levels;
	return levels;
}

/* As many levels as the pools have and etcd takes; *ret_levels 0: not even one fits. */
static cJSON *build_chain(const struct dynamic *dynamic, size_t *ret_levels)
{
	size_t wanted = count_levels(dynamic), left = ETCD_MAX_OPS - etcd_claim_outer_ops(dynamic->claim), count = 0;
	cleanup_free cJSON **levels = allocate(wanted, sizeof(cJSON *));
	cJSON *chain = NULL;

	while (count < wanted) {
		size_t ops = 0;

		levels[count] = add_level(dynamic, count, &ops);
		if (ops > left) {
			cJSON_Delete(levels[count]);
			break;
		}
		left -= ops;
		count++;
	}
	for (size_t i = count; i > 0; i--) {
		if (chain) {
			cJSON *failure = etcd_array();

			etcd_add(failure, etcd_nested(chain));
			json_put(levels[i - 1], "failure", failure);
		}
		chain = levels[i - 1];
	}
	*ret_levels = count;
	return chain;
}

/* Which level was taken; count when none was. */
static size_t find_level(const cJSON *reply, size_t count)
{
	const cJSON *level = etcd_response(reply, 0);

	for (size_t i = 0; i < count; i++) {
		if (etcd_succeeded(level))
			return i;
		level = etcd_response(level, 0);
	}
	return count;
}

/* What is left of the known-free addresses is for the next claim of this node; what was tried is used by now. */
static void note_rest(const struct dynamic *dynamic, size_t tried)
{
	const struct etcd_claim *claim = dynamic->claim;

	for (size_t i = 0; i < dynamic->set_count; i++) {
		const struct pool *pool = &dynamic->pools[i];
		size_t done = tried < pool->known ? tried : pool->known;

		if (pool->free.count)
			etcd_note_write_free(claim->store, claim->request, pool->set, pool->free.addrs + done,
				pool->free.count - done);
	}
}

static int send_chain(struct dynamic *dynamic, struct error *e)
{
	size_t count = 0;
	cJSON *success = etcd_array(), *chain = build_chain(dynamic, &count);
	cleanup_json cJSON *reply = NULL;

	if (!chain) {
		cJSON_Delete(success);
		return error_set(e, -E2BIG, ERROR_CONFIG,
			"ipam has %zu range sets: of so many, no address each can be claimed at once in etcd",
			dynamic->set_count);
	}
	etcd_add(success, etcd_nested(chain));

	int r = etcd_claim_send(dynamic->claim, etcd_array(), success, &reply, e);

	if (r != CLAIM_SENT)
		return r;

	size_t level = find_level(reply, count);

	note_rest(dynamic, level < count ? level + 1 : count);
	if (level == count)
		return CLAIM_AGAIN;

	cleanup_free struct ip_addr *addrs = allocate(dynamic->set_count, sizeof(*addrs));

	for (size_t i = 0; i < dynamic->set_count; i++)
		addrs[i] = dynamic->pools[i].list[level % dynamic->pools[i].count].addr;
	etcd_claim_grant(dynamic->claim, addrs, dynamic->set_count);
	return CLAIM_ANSWERED;
}

/* --- what is tried --- */

/* What the attachment had that gives way is deleted in the same transaction, which cannot put it too. */
static bool is_given_up(const struct etcd_claim *claim, const struct ip_addr *addr)
{
	for (size_t i = 0; i < claim->old_count; i++) {
		if (ip_compare(&claim->old[i].addr, addr) == 0)
			return true;
	}
	return false;
}

static void add(struct dynamic *dynamic, struct pool *pool, const struct candidate *candidate)
{
	if (is_given_up(dynamic->claim, &candidate->addr))
		return;
	pool->list = reallocate(pool->list, pool->count + 1, sizeof(*pool->list));
	pool->list[pool->count++] = *candidate;
}

static void add_free(struct dynamic *dynamic, struct pool *pool, size_t max)
{
	pool->known = pool->free.count < max ? pool->free.count : max;
	for (size_t i = 0; i < pool->known; i++)
		add(dynamic, pool, &(struct candidate){.addr = pool->free.addrs[i]});
}

/* Holders that are gone, before anything else: their addresses are the ones that the caller knows of. */
static void add_evicted(struct dynamic *dynamic, struct pool *pool)
{
	const struct store_request *request = dynamic->claim->request;

	for (size_t i = 0; i < request->evict_count && pool->count < FIRST_CANDIDATES; i++) {
		const struct store_entry *evict = &request->evict[i];

		if (!evict->value || !ipam_set_allows(pool->set, &evict->addr))
			continue;
		add(dynamic, pool, &(struct candidate){.addr = evict->addr, .evict = evict});
		if (strcmp(evict->network, request->network) == 0)
			add(dynamic, pool, &(struct candidate){.addr = evict->addr, .evict = evict, .bare = true});
	}
}

static void add_random(struct dynamic *dynamic, struct pool *pool, size_t count)
{
	cleanup_addr_list struct addr_list drawn = {0};
	struct ip_addr addr;

	if (etcd_set_size(pool->set) <= 2 * count) {
		etcd_set_all(pool->set, &drawn);
		addr_list_shuffle(&drawn);
	} else {
		for (size_t i = 0; i < 4 * count && drawn.count < 2 * count; i++) {
			if (etcd_set_random(pool->set, &addr) && !addr_list_has(&drawn, &addr))
				addr_list_add(&drawn, &addr);
		}
	}
	for (size_t i = 0; i < drawn.count && count > 0; i++) {
		if (addr_list_has(&dynamic->fresh, &drawn.addrs[i]) || addr_list_has(&pool->free, &drawn.addrs[i]))
			continue;
		add(dynamic, pool, &(struct candidate){.addr = drawn.addrs[i]});
		count--;
	}
}

static void add_noted(struct dynamic *dynamic, struct pool *pool)
{
	cleanup_addr_list struct addr_list noted = {0};

	etcd_note_read_free(dynamic->claim->store, dynamic->claim->request, pool->set, &noted);
	for (size_t i = 0; i < noted.count; i++) {
		if (!addr_list_has(&dynamic->fresh, &noted.addrs[i]))
			addr_list_add(&pool->free, &noted.addrs[i]);
	}
	addr_list_shuffle(&pool->free);
	add_free(dynamic, pool, HINTED_CANDIDATES);
}

static int add_searched(struct dynamic *dynamic, struct pool *pool, struct error *e)
{
	int r = etcd_search_exact(
		dynamic->claim->store, dynamic->claim->request, pool->set, &dynamic->fresh, &pool->free, e);

	add_free(dynamic, pool, MORE_CANDIDATES);
	return r;
}

/* First what is likely and costs nothing to find; whoever misses looks. */
static int fill_pool(struct dynamic *dynamic, struct pool *pool, int round, struct error *e)
{
	bool exact = etcd_search_is_exact(pool->set);
	bool search = exact && (round > 1 || (round == 1 && etcd_set_size(pool->set) <= SMALL_SET));

	pool->count = pool->known = 0;
	addr_list_clear(&pool->free);
	/* Twice: the first miss may be another set's. */
	if (round < 2)
		add_evicted(dynamic, pool);
	if (round == 0 && !pool->count)
		add_noted(dynamic, pool);
	/* Behind the known ones, too: others may have taken these by now. */
	if (!search && pool->count == pool->known)
		add_random(dynamic, pool, round ? MORE_CANDIDATES : FIRST_CANDIDATES - pool->count);
	if (search || (exact && !pool->count))
		return add_searched(dynamic, pool, e);
	return 0;
}

static int say_full(struct dynamic *dynamic, size_t set, struct error *e)
{
	struct etcd_claim *claim = dynamic->claim;

	claim->reply->answer = STORE_FULL;
	claim->reply->full_set = set;
	return etcd_search_holders(claim->store, claim->request, &claim->request->config->sets[set], claim->reply, e);
}

/* One round: CLAIM_ANSWERED, or CLAIM_AGAIN when every candidate was taken by somebody. */
static int try_round(struct dynamic *dynamic, int round, struct error *e)
{
	for (size_t i = 0; i < dynamic->set_count; i++) {
		struct pool *pool = &dynamic->pools[i];
		int r = fill_pool(dynamic, pool, round, e);

		if (r >= 0 && !pool->count)
			r = say_full(dynamic, i, e) < 0 ? e->err : CLAIM_ANSWERED;
		if (r != 0)
			return r;
	}
	return send_chain(dynamic, e);
}

int etcd_claim_dynamic(struct etcd_claim *claim, struct error *e)
{
	const struct ipam_config *config = claim->request->config;
	CLEANUP(dynamic_clear)
	struct dynamic dynamic = {
		.claim = claim,
		.pools = allocate(config->set_count, sizeof(struct pool)),
		.set_count = config->set_count,
	};
	int r = CLAIM_AGAIN;

	for (size_t i = 0; i < config->set_count; i++)
		dynamic.pools[i].set = &config->sets[i];
	etcd_note_fresh(claim->store, config->domain, claim->request->reuse_delay, &dynamic.fresh);
	for (int round = 0; round < MAX_ROUNDS && r == CLAIM_AGAIN; round++)
		r = try_round(&dynamic, round, e);
	if (r == CLAIM_AGAIN)
		return error_set(e, -EAGAIN, ERROR_TRY_AGAIN,
			"the addresses of network %s change too fast, or hardly any is free: try again",
			claim->request->network);
	return r < 0 ? r : 0;
}
