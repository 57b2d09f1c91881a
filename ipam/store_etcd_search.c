#include "ipam/store_etcd_search.h"

#include "ipam/range.h"
#include "ipam/store_etcd_list.h"

#include <errno.h>
#include <string.h>

/* So many blocks are read key by key without a count of them first, and in one request later. */
#define BLOCKS_AT_ONCE ((size_t)8)

/* Counts in one request: no more operations than etcd takes. */
#define COUNTS_AT_ONCE ((size_t)ETCD_MAX_OPS)

/* More free addresses than this are not kept in mind. */
#define MAX_FREE ((size_t)256)

#define BLOCK_SIZE 256
#define GROUP_SIZE 65536

/* The largest IPv6 set that is looked through. */
#define EXACT_IPV6 65536

/* The largest set whose holders are read with their values. */
#define NAMED_HOLDERS 1024

struct search {
	struct etcd_store *store;
	const struct store_request *request;
	const struct ipam_range_set *set;
	const struct addr_list *fresh;
	struct addr_list free, waiting; /* waiting: free, but released just now */
};

static void search_clear(struct search *search)
{
	addr_list_clear(&search->free);
	addr_list_clear(&search->waiting);
}

static void found_free(struct search *search, const struct ip_addr *addr)
{
	addr_list_add(addr_list_has(search->fresh, addr) ? &search->waiting : &search->free, addr);
}

/* --- IPv4: blocks of 256 addresses, whose texts have a prefix in common that no other address has --- */

/* A block (shift 8: "10.188.3.") or a group of them (shift 16: "10.188."). */
struct block {
	uint32_t id; /* its addresses, shifted */
	int64_t count;
};

struct blocks {
	struct block *list;
	size_t count;
	unsigned int shift;
};

static void blocks_clear(struct blocks *blocks)
{
	free(blocks->list);
}

#define cleanup_blocks CLEANUP(blocks_clear)

static uint32_t number_of(const struct ip_addr *addr)
{
	return (uint32_t)addr->bytes[0] << 24 | (uint32_t)addr->bytes[1] << 16 | (uint32_t)addr->bytes[2] << 8 |
	       addr->bytes[3];
}

static struct ip_addr addr_of_number(uint32_t number)
{
	return (struct ip_addr){.family = AF_INET,
		.bytes = {(uint8_t)(number >> 24), (uint8_t)(number >> 16), (uint8_t)(number >> 8), (uint8_t)number}};
}

static bool has_block(const struct blocks *blocks, uint32_t id)
{
	for (size_t i = 0; i < blocks->count; i++) {
		if (blocks->list[i].id == id)
			return true;
	}
	return false;
}

/* The blocks that the set's ranges lie in, between two addresses. */
static struct blocks blocks_of(const struct ipam_range_set *set, unsigned int shift, uint32_t from, uint32_t to)
{
	struct blocks blocks = {.shift = shift};
	size_t capacity = 0;

	for (size_t i = 0; i < set->count; i++) {
		uint32_t start = number_of(&set->ranges[i].start), end = number_of(&set->ranges[i].end);
		size_t before = blocks.count;

		start = start > from ? start : from;
		end = end < to ? end : to;
		for (uint64_t id = start >> shift; start <= end && id <= end >> shift; id++) {
			struct blocks seen = {.list = blocks.list, .count = before};

			if (has_block(&seen, (uint32_t)id))
				continue;
			if (blocks.count == capacity) {
				capacity = capacity ? capacity * 2 : 16;
				blocks.list = reallocate(blocks.list, capacity, sizeof(*blocks.list));
			}
			blocks.list[blocks.count++] = (struct block){.id = (uint32_t)id};
		}
	}
	return blocks;
}

/* "10.188.3." or "10.188." */
static char *block_text(const struct blocks *blocks, size_t i)
{
	struct ip_addr addr = addr_of_number(blocks->list[i].id << blocks->shift);

	return blocks->shift == 8 ? format_text("%u.%u.%u.", addr.bytes[0], addr.bytes[1], addr.bytes[2])
				  : format_text("%u.%u.", addr.bytes[0], addr.bytes[1]);
}

static int count_some(struct search *search, struct blocks *blocks, size_t from, size_t to, struct error *e)
{
	cJSON *ops = etcd_array();
	cleanup_json cJSON *reply = NULL;

	for (size_t i = from; i < to; i++) {
		cleanup_free char *text = block_text(blocks, i);
		cleanup_free char *key = format_text(ETCD_NETWORKS "%s/used/%s", search->request->network, text);

		etcd_add(ops, etcd_range(key, true, ETCD_COUNT_ONLY, 0));
	}

	int r = etcd_store_txn(search->store, NULL, ops, NULL, &reply, NULL, e);

	for (size_t i = from; i < to && r >= 0; i++) {
		const cJSON *response = etcd_response(reply, i - from);

		if (!response)
			return error_set(e, -EBADMSG, ERROR_DECODE, "etcd's reply has no count %zu", i - from);
		blocks->list[i].count = etcd_count(response);
	}
	return r;
}

static int compare_blocks(const void *a, const void *b)
{
	const struct block *left = a, *right = b;

	return left->count < right->count ? -1 : left->count > right->count;
}

/* Counts what is in use in each, drops the full ones, and puts the emptiest first, equal ones in a random order. */
static int count_blocks(struct search *search, struct blocks *blocks, struct error *e)
{
	int64_t full = blocks->shift == 8 ? BLOCK_SIZE : GROUP_SIZE;
	size_t kept = 0;

	for (size_t from = 0; from < blocks->count; from += COUNTS_AT_ONCE) {
		size_t to = from + COUNTS_AT_ONCE < blocks->count ? from + COUNTS_AT_ONCE : blocks->count;

		if (count_some(search, blocks, from, to, e) < 0)
			return e->err;
	}
	for (size_t i = 0; i < blocks->count; i++) {
		if (blocks->list[i].count < full)
			blocks->list[kept++] = blocks->list[i];
	}
	blocks->count = kept;
	for (size_t i = kept; i > 1; i--) {
		size_t j = (size_t)(etcd_random() % i);
		struct block block = blocks->list[i - 1];

		blocks->list[i - 1] = blocks->list[j];
		blocks->list[j] = block;
	}
	if (kept)
		qsort(blocks->list, kept, sizeof(*blocks->list), compare_blocks);
	return 0;
}

static int mark_taken(const cJSON *response, uint32_t block, bool *taken, struct error *e)
{
	struct etcd_kv *kvs = NULL;
	size_t count = 0;
	int r = response ? etcd_kvs(response, &kvs, &count, e)
			 : error_set(e, -EBADMSG, ERROR_DECODE, "etcd's reply lacks a range");

	for (size_t i = 0; i < count && r >= 0; i++) {
		const char *slash = strrchr(kvs[i].key, '/');
		struct ip_addr addr;

		if (slash && ip_parse(slash + 1, &addr) && addr.family == AF_INET && number_of(&addr) >> 8 == block)
			taken[addr.bytes[3]] = true;
	}
	etcd_kvs_free(kvs, count);
	return r;
}

/* Reads every key of some blocks: what is in use, kept, and what other networks of the domain have. */
static int read_blocks(struct search *search, const struct blocks *blocks, size_t from, size_t to, struct error *e)
{
	const struct store_request *request = search->request;
	cJSON *ops = etcd_array();
	cleanup_json cJSON *reply = NULL;

	for (size_t i = from; i < to; i++) {
		cleanup_free char *text = block_text(blocks, i);
		cleanup_free char *used = format_text(ETCD_NETWORKS "%s/used/%s", request->network, text);
		cleanup_free char *fixed = format_text(ETCD_NETWORKS "%s/fixed/%s", request->network, text);
		cleanup_free char *domain = format_text(ETCD_DOMAINS "%s/%s", request->config->domain, text);

		etcd_add(ops, etcd_range(used, true, ETCD_KEYS_ONLY, 0));
		etcd_add(ops, etcd_range(fixed, true, ETCD_KEYS_ONLY, 0));
		etcd_add(ops, etcd_range(domain, true, ETCD_KEYS_ONLY, 0));
	}

	int r = etcd_store_txn(search->store, NULL, ops, NULL, &reply, NULL, e);

	for (size_t i = from; i < to && r >= 0; i++) {
		bool taken[BLOCK_SIZE] = {false};

		for (size_t j = 0; j < 3 && r >= 0; j++)
			r = mark_taken(etcd_response(reply, 3 * (i - from) + j), blocks->list[i].id, taken, e);
		for (uint32_t host = 0; host < BLOCK_SIZE && r >= 0; host++) {
			struct ip_addr addr = addr_of_number(blocks->list[i].id << 8 | host);

			if (!taken[host] && ipam_set_allows(search->set, &addr))
				found_free(search, &addr);
		}
	}
	return r;
}

/* Until one has a free address. */
static int search_blocks(struct search *search, uint32_t group, struct error *e)
{
	cleanup_blocks struct blocks blocks = blocks_of(search->set, 8, group << 16, group << 16 | 0xffff);
	int r = blocks.count > BLOCKS_AT_ONCE ? count_blocks(search, &blocks, e) : 0;

	for (size_t from = 0; from < blocks.count && r >= 0 && !search->free.count; from += BLOCKS_AT_ONCE) {
		size_t to = from + BLOCKS_AT_ONCE < blocks.count ? from + BLOCKS_AT_ONCE : blocks.count;

		r = read_blocks(search, &blocks, from, to, e);
	}
	return r;
}

static int search_ipv4(struct search *search, struct error *e)
{
	cleanup_blocks struct blocks groups = blocks_of(search->set, 16, 0, UINT32_MAX);
	int r = groups.count > 1 ? count_blocks(search, &groups, e) : 0;

	for (size_t i = 0; i < groups.count && r >= 0 && !search->free.count; i++)
		r = search_blocks(search, groups.list[i].id, e);
	return r;
}

/* --- IPv6: texts have no such prefixes; all keys that could be of the set are read --- */

struct marks {
	const struct addr_list *all; /* ascending */
	bool *taken;
};

static int compare_addrs(const void *a, const void *b)
{
	return ip_compare(a, b);
}

static bool mark_key(void *context, const struct etcd_kv *kv)
{
	struct marks *marks = context;
	const char *slash = strrchr(kv->key, '/');
	struct ip_addr addr;

	if (slash && ip_parse(slash + 1, &addr)) {
		const struct ip_addr *found =
			bsearch(&addr, marks->all->addrs, marks->all->count, sizeof(addr), compare_addrs);

		if (found)
			marks->taken[found - marks->all->addrs] = true;
	}
	return true;
}

static int search_ipv6(struct search *search, struct error *e)
{
	cleanup_addr_list struct addr_list all = {0};
	cleanup_free char *text = etcd_set_prefix(search->set);
	const char *network = search->request->network;
	cleanup_free char *prefixes[] = {NULL};
	int r = 0;

	(void)prefixes;
	etcd_set_all(search->set, &all);
	if (!all.count)
		return 0;
	qsort(all.addrs, all.count, sizeof(*all.addrs), compare_addrs);

	cleanup_free bool *taken = allocate(all.count, sizeof(*taken));
	cleanup_free char *used = format_text(ETCD_NETWORKS "%s/used/%s", network, text);
	cleanup_free char *fixed = format_text(ETCD_NETWORKS "%s/fixed/%s", network, text);
	cleanup_free char *domain = format_text(ETCD_DOMAINS "%s/%s", search->request->config->domain, text);
	const char *const walks[] = {used, fixed, domain};
	struct marks marks = {.all = &all, .taken = taken};

	for (size_t i = 0; i < ARRAY_SIZE(walks) && r >= 0; i++)
		r = etcd_store_walk(search->store, walks[i], ETCD_KEYS_ONLY, mark_key, &marks, e);
	for (size_t i = 0; i < all.count && r >= 0; i++) {
		if (!taken[i])
			found_free(search, &all.addrs[i]);
	}
	return r;
}

bool etcd_search_is_exact(const struct ipam_range_set *set)
{
	return set->ranges[0].subnet.addr.family == AF_INET || etcd_set_size(set) <= EXACT_IPV6;
}

int etcd_search_exact(struct etcd_store *store, const struct store_request *request, const struct ipam_range_set *set,
	const struct addr_list *fresh, struct addr_list *list, struct error *e)
{
	CLEANUP(search_clear)
	struct search search = {.store = store, .request = request, .set = set, .fresh = fresh};
	bool ipv4 = set->ranges[0].subnet.addr.family == AF_INET;
	int r = ipv4 ? search_ipv4(&search, e) : search_ipv6(&search, e);

	if (r < 0)
		return r;
	addr_list_shuffle(&search.free);
	for (size_t i = 0; i < search.free.count && i < MAX_FREE; i++)
		addr_list_add(list, &search.free.addrs[i]);
	for (size_t i = 0; i < fresh->count && !list->count; i++) {
		if (addr_list_has(&search.waiting, &fresh->addrs[i]))
			addr_list_add(list, &fresh->addrs[i]);
	}
	return 0;
}

/* Without values, which nobody wants of thousands: that they are all in use was seen. */
static void add_all(const struct store_request *request, const struct ipam_range_set *set, struct store_reply *reply)
{
	cleanup_addr_list struct addr_list all = {0};

	etcd_set_all(set, &all);
	reply->holders = allocate(all.count + 1, sizeof(*reply->holders));
	for (size_t i = 0; i < all.count; i++)
		reply->holders[reply->holder_count++] =
			(struct store_entry){.network = copy_text(request->network), .addr = all.addrs[i]};
}

int etcd_search_holders(struct etcd_store *store, const struct store_request *request, const struct ipam_range_set *set,
	struct store_reply *reply, struct error *e)
{
	uint64_t size = etcd_set_size(set);

	if (size > NAMED_HOLDERS) {
		if (size <= GROUP_SIZE)
			add_all(request, set, reply);
		return 0;
	}

	cleanup_free char *prefix = etcd_set_prefix(set);

	return etcd_store_entries(
		store, request->network, request->config->domain, prefix, &reply->holders, &reply->holder_count, e);
}
