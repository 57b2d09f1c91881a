/* The keys of the etcd store, what stands under them, and short ways to build and send transactions. */
#pragma once

#include "ipam/store_etcd.h"

#define ETCD_ROOT "/etcd-cni/"
#define ETCD_NETWORKS ETCD_ROOT "networks/"
#define ETCD_DOMAINS ETCD_ROOT "domain/"

/* etcd's default limit (--max-txn-ops), which nested transactions use up along each path. */
#define ETCD_MAX_OPS 128

struct etcd_store {
	struct store store;
	struct etcd *etcd;
	char *node;
	char *data_dir;
	int64_t deadline;
};

static inline struct etcd_store *etcd_store_of(struct store *store)
{
	return (struct etcd_store *)store;
}

/* --- keys; all are freed by the caller --- */

/** The three keys of one address. */
struct addr_keys {
	char *used, *fixed, *domain; /* domain: NULL when the domain is not known */
};

/** The keys of an address as Go prints it; domain may be NULL. Cleared with etcd_addr_keys_clear. */
struct addr_keys etcd_addr_keys(const char *network, const char *domain, const struct ip_addr *addr);
void etcd_addr_keys_clear(struct addr_keys *keys);
#define cleanup_addr_keys CLEANUP(etcd_addr_keys_clear)

/** The key of what one interface of one container has in the network. */
char *etcd_key_attachment(const char *network, const char *node, const char *cid, const char *ifname);

/** The key of kube-ipam's mutex. */
char *etcd_key_lock(const char *network);

/* --- values --- */

/** What stands under an attachment's key. */
struct attachment_value {
	bool closed;
	int64_t time; /* closed: when, seconds since 1970 */
	char *nonce;  /* closed: of the claim that must not land any more; NULL: of any */
	char *domain;
	struct ip_addr *addrs;
	size_t addr_count;
};

/** {"v":1,"nonce":..,"domain":..,"addrs":[..]} */
char *attachment_value_print(const char *nonce, const char *domain, const struct ip_addr *addrs, size_t addr_count);

/** {"v":1,"closed":<now>,"nonce":..}; nonce may be NULL. */
char *attachment_value_print_closed(const char *nonce);

/** False for what no lamina wrote. Cleared with attachment_value_clear. */
bool attachment_value_parse(const char *text, struct attachment_value *ret);

void attachment_value_clear(struct attachment_value *value);
#define cleanup_attachment_value CLEANUP(attachment_value_clear)

/** What tells one claim from every other: the nonce of its record; the whole value when it has none. */
char *etcd_value_nonce(const char *value);

/** Whether a holder's value is of the claim with that nonce, or else of that container and interface (both may be
 * NULL), or kube-ipam's bare ID of that container. */
bool etcd_value_is_of(const char *value, const char *nonce, const char *cid, const char *ifname);

/** 64 random bits. */
uint64_t etcd_random(void);

/** A growing list of addresses. */
struct addr_list {
	struct ip_addr *addrs;
	size_t count, capacity;
};

/** Appends an address. */
void addr_list_add(struct addr_list *list, const struct ip_addr *addr);

/** Whether it is in the list. */
bool addr_list_has(const struct addr_list *list, const struct ip_addr *addr);

/** Puts the addresses from the first one on in a random order. */
void addr_list_shuffle(struct addr_list *list);

void addr_list_clear(struct addr_list *list);
#define cleanup_addr_list CLEANUP(addr_list_clear)

/* --- transactions --- */

/** An empty array; aborts when there is no memory. */
cJSON *etcd_array(void);

/** Appends; takes ownership. */
void etcd_add(cJSON *array, cJSON *item);

/** The key's value is this; with NULL, the key is absent. */
cJSON *etcd_compare_is(const char *key, const char *value);

/** Sends a transaction; takes ownership of the arrays, any of which may be NULL. */
int etcd_store_txn(struct etcd_store *store, cJSON *compare, cJSON *success, cJSON *failure, cJSON **ret,
	bool *ret_sent, struct error *e);

/** The key that the i-th response is a range of; .value NULL: it is absent. */
int etcd_store_found(const cJSON *txn_reply, size_t i, struct etcd_kv *ret, struct error *e);

void etcd_kv_clear(struct etcd_kv *kv);
#define cleanup_kv CLEANUP(etcd_kv_clear)

/**
 * The transaction that gives one address back if its holder is still that value: used goes, and domain too unless the
 * address is kept. With begun (a revision; 0: none), what is kept since just that revision goes too. Deletes only.
 */
cJSON *etcd_release_addr(
	const char *network, const char *domain, const struct ip_addr *addr, const char *value, int64_t begun);

/* --- ranges --- */

/** Keys as they stand: a growing list, and what was found under each. */
struct etcd_read {
	char **keys;
	struct etcd_kv *kvs; /* one for each key, .value NULL: absent */
	size_t count;
};

/** Adds a key to the list; takes ownership. */
void etcd_read_add(struct etcd_read *read, char *key);

/** Reads them, a hundred in each request. */
int etcd_store_read(struct etcd_store *store, struct etcd_read *read, struct error *e);

void etcd_read_clear(struct etcd_read *read);
#define cleanup_read CLEANUP(etcd_read_clear)

/** A page of keys, in order; false ends the walk. */
typedef bool etcd_visit(void *context, const struct etcd_kv *kv);

/** Walks over every key with that prefix, in pages, all at the one revision of the first page. */
int etcd_store_walk(struct etcd_store *store, const char *prefix, enum etcd_range_what what, etcd_visit *visit,
	void *context, struct error *e);

/** Names in a tree of keys. */
struct etcd_names {
	char **names;
	size_t count;
};

/** The distinct names N of all keys <prefix>N/..., one request each, added to *ret, which is freed with
 * etcd_names_free, also on failure. */
int etcd_store_names(struct etcd_store *store, const char *prefix, struct etcd_names *ret, struct error *e);
void etcd_names_free(struct etcd_names *names);
#define cleanup_names CLEANUP(etcd_names_free)

/** The domain in which the network has the address; *ret stays NULL when there is none. */
int etcd_store_find_domain(
	struct etcd_store *store, const char *network, const struct ip_addr *addr, char **ret, struct error *e);
