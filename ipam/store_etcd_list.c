#include "ipam/store_etcd_list.h"

#include "ipam/record.h"
#include "plugin/base/log.h"

#include <errno.h>
#include <string.h>

struct entries {
	struct store_entry *list;
	size_t count, capacity;
	const char *network;
	enum { AS_VALUE, AS_HOLD, AS_OTHER } as; /* what the keys that are walked over now are */
};

static void entries_clear(struct entries *entries)
{
	store_entries_free(entries->list, entries->count);
}

#define cleanup_entries CLEANUP(entries_clear)

static struct store_entry *add_entry(struct entries *entries, const char *network, const struct ip_addr *addr)
{
	if (entries->count == entries->capacity) {
		entries->capacity = entries->capacity ? entries->capacity * 2 : 16;
		entries->list = reallocate(entries->list, entries->capacity, sizeof(*entries->list));
	}
	entries->list[entries->count] = (struct store_entry){.network = copy_text(network), .addr = *addr};
	return &entries->list[entries->count++];
}

static bool collect(void *context, const struct etcd_kv *kv)
{
	struct entries *entries = context;
	const char *slash = strrchr(kv->key, '/'), *value = kv->value ? kv->value : "";
	struct ip_addr addr;

	if (!slash || !ip_parse(slash + 1, &addr)) {
		log_write(LOG_DEBUG, "etcd has a key that is no address: %s", kv->key);
		return true;
	}
	if (entries->as == AS_OTHER) {
		if (strcmp(value, entries->network) != 0)
			add_entry(entries, value, &addr);
		return true;
	}

	struct store_entry *entry = add_entry(entries, entries->network, &addr);

	*(entries->as == AS_HOLD ? &entry->hold : &entry->value) = copy_text(value);
	return true;
}

static int compare_entries(const void *a, const void *b)
{
	const struct store_entry *left = a, *right = b;
	int order = strcmp(left->network, right->network);

	return order ? order : ip_compare(&left->addr, &right->addr);
}

/* A claim and a hold of one address become one entry. */
static void merge(struct entries *entries)
{
	size_t kept = 0;

	if (entries->count)
		qsort(entries->list, entries->count, sizeof(*entries->list), compare_entries);
	for (size_t i = 0; i < entries->count; i++) {
		struct store_entry *entry = &entries->list[i], *before = kept ? &entries->list[kept - 1] : NULL;

		if (!before || compare_entries(before, entry) != 0) {
			entries->list[kept++] = *entry;
			continue;
		}
		if (!before->value)
			before->value = steal_ptr(entry->value);
		if (!before->hold)
			before->hold = steal_ptr(entry->hold);
		free(entry->network);
		free(entry->value);
		free(entry->hold);
	}
	entries->count = kept;
}

static int walk(struct etcd_store *store, struct entries *entries, char *prefix, int as, struct error *e)
{
	cleanup_free char *owned = prefix;

	entries->as = as;
	return etcd_store_walk(store, owned, ETCD_VALUES, collect, entries, e);
}

static int collect_network(
	struct etcd_store *store, const char *network, const char *prefix, struct entries *entries, struct error *e)
{
	int r;

	entries->network = network;
	r = walk(store, entries, format_text(ETCD_NETWORKS "%s/used/%s", network, prefix), AS_VALUE, e);
	if (r >= 0)
		r = walk(store, entries, format_text(ETCD_NETWORKS "%s/fixed/%s", network, prefix), AS_HOLD, e);
	return r;
}

static void hand_over(struct entries *entries, struct store_entry **ret, size_t *ret_count)
{
	merge(entries);
	*ret = entries->list;
	*ret_count = entries->count;
	*entries = (struct entries){0};
}

int etcd_store_entries(struct etcd_store *store, const char *network, const char *domain, const char *prefix,
	struct store_entry **ret, size_t *ret_count, struct error *e)
{
	cleanup_entries struct entries entries = {0};
	int r = collect_network(store, network, prefix, &entries, e);

	if (r >= 0 && domain)
		r = walk(store, &entries, format_text(ETCD_DOMAINS "%s/%s", domain, prefix), AS_OTHER, e);
	if (r >= 0)
		hand_over(&entries, ret, ret_count);
	return r;
}

/* The two keys of one address. */
static int collect_address(struct etcd_store *store, const char *network, const struct ip_addr *addr,
	struct entries *entries, struct error *e)
{
	struct addr_keys keys = etcd_addr_keys(network, NULL, addr);
	cleanup_read struct etcd_read read = {0};

	etcd_read_add(&read, keys.used);
	etcd_read_add(&read, keys.fixed);
	if (etcd_store_read(store, &read, e) < 0)
		return e->err;
	if (!read.kvs[0].value && !read.kvs[1].value)
		return 0;

	struct store_entry *entry = add_entry(entries, network, addr);

	entry->value = steal_ptr(read.kvs[0].value);
	entry->hold = steal_ptr(read.kvs[1].value);
	return 0;
}

/* The one that is named, or all that there are. */
static int find_networks(struct etcd_store *store, const char *network, struct etcd_names *ret, struct error *e)
{
	if (!network)
		return etcd_store_names(store, ETCD_NETWORKS, ret, e);
	ret->names = allocate(1, sizeof(*ret->names));
	ret->names[ret->count++] = copy_text(network);
	return 0;
}

int etcd_store_list(struct store *store, const char *network, const struct ip_addr *addr, struct store_entry **ret,
	size_t *ret_count, struct error *e)
{
	struct etcd_store *self = etcd_store_of(store);
	cleanup_names struct etcd_names networks = {0};
	cleanup_entries struct entries entries = {0};
	int r = find_networks(self, network, &networks, e);

	for (size_t i = 0; i < networks.count && r >= 0; i++)
		r = addr ? collect_address(self, networks.names[i], addr, &entries, e)
			 : collect_network(self, networks.names[i], "", &entries, e);
	if (r >= 0)
		hand_over(&entries, ret, ret_count);
	return r;
}

/* --- attachments --- */

struct attachments {
	struct store_attachment *list;
	char **nonces; /* of each */
	size_t count;
	const char *network;
};

static void attachments_clear(struct attachments *attachments)
{
	for (size_t i = 0; i < attachments->count; i++)
		free(attachments->nonces[i]);
	free(attachments->nonces);
	store_attachments_free(attachments->list, attachments->list ? attachments->count : 0);
}

static bool collect_attachment(void *context, const struct etcd_kv *kv)
{
	struct attachments *attachments = context;
	const char *name = strrchr(kv->key, '/');
	const char *dot = name ? strchr(name, '.') : NULL;
	cleanup_attachment_value struct attachment_value value = {0};

	if (!dot || !attachment_value_parse(kv->value, &value)) {
		log_write(LOG_DEBUG, "etcd has an unknown value under %s", kv->key);
		return true;
	}
	attachments->list = reallocate(attachments->list, attachments->count + 1, sizeof(*attachments->list));
	attachments->nonces = reallocate(attachments->nonces, attachments->count + 1, sizeof(char *));
	attachments->nonces[attachments->count] = steal_ptr(value.nonce);
	attachments->list[attachments->count++] = (struct store_attachment){
		.network = copy_text(attachments->network),
		/* No runtime makes IDs with a dot; names of interfaces may have one. */
		.cid = format_text("%.*s", (int)(dot - name - 1), name + 1),
		.ifname = copy_text(dot + 1),
		.addrs = steal_ptr(value.addrs),
		.addr_count = value.addr_count,
		.closed = value.closed,
	};
	return true;
}

/* What stands under the first address of each: the record, while it is still this attachment's. */
static int read_values(struct etcd_store *store, struct attachments *attachments, size_t from, struct error *e)
{
	cleanup_read struct etcd_read read = {0};

	for (size_t i = from; i < attachments->count; i++) {
		const struct store_attachment *a = &attachments->list[i];

		if (a->addr_count)
			etcd_read_add(
				&read, format_text(ETCD_NETWORKS "%s/used/%s", a->network, ip_text(&a->addrs[0]).s));
	}

	int r = etcd_store_read(store, &read, e);

	for (size_t i = from, next = 0; i < attachments->count && r >= 0; i++) {
		struct store_attachment *a = &attachments->list[i];

		if (!a->addr_count)
			continue;
		if (etcd_value_is_of(read.kvs[next].value, attachments->nonces[i], a->cid, a->ifname))
			a->value = steal_ptr(read.kvs[next].value);
		next++;
	}
	return r;
}

int etcd_store_attachments(
	struct store *store, const char *network, struct store_attachment **ret, size_t *ret_count, struct error *e)
{
	struct etcd_store *self = etcd_store_of(store);
	cleanup_names struct etcd_names networks = {0};
	CLEANUP(attachments_clear) struct attachments found = {0};
	int r = find_networks(self, network, &networks, e);

	for (size_t i = 0; i < networks.count && r >= 0; i++) {
		cleanup_free char *prefix =
			format_text(ETCD_NETWORKS "%s/attachment/%s/", networks.names[i], self->node);
		size_t from = found.count;

		found.network = networks.names[i];
		r = etcd_store_walk(self, prefix, ETCD_VALUES, collect_attachment, &found, e);
		if (r >= 0)
			r = read_values(self, &found, from, e);
	}
	if (r < 0)
		return r;
	*ret = steal_ptr(found.list);
	*ret_count = found.count;
	return 0;
}
