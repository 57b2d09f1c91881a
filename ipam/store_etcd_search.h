/* Which addresses a dynamic claim tries: the set's arithmetic, what is noted on this node, and the exact search. */
#pragma once

#include "ipam/store_etcd_keys.h"

/* --- sets --- */

/** How many addresses lie in the ranges, special ones included; UINT64_MAX for more than that. */
uint64_t etcd_set_size(const struct ipam_range_set *set);

/** Any address of the set that a dynamic claim may give; false when there is none. */
bool etcd_set_random(const struct ipam_range_set *set, struct ip_addr *ret);

/** Adds all addresses that a dynamic claim may give; only for small sets. */
void etcd_set_all(const struct ipam_range_set *set, struct addr_list *list);

/** What the texts of all addresses of a small set begin with; the caller frees it. */
char *etcd_set_prefix(const struct ipam_range_set *set);

/* --- notes of this node, in its data folder; all of them may be lost --- */

/** Notes that addresses were released just now. */
void etcd_note_released(const struct etcd_store *store, const char *domain, const struct ip_addr *addrs, size_t count);

/** Adds the addresses released here in the last `delay` seconds, the oldest first. */
void etcd_note_fresh(const struct etcd_store *store, const char *domain, int64_t delay, struct addr_list *list);

/** Adds what is noted as free in the set. */
void etcd_note_read_free(const struct etcd_store *store, const struct store_request *request,
	const struct ipam_range_set *set, struct addr_list *list);

/** Notes these as free in the set; none removes the note. */
void etcd_note_write_free(const struct etcd_store *store, const struct store_request *request,
	const struct ipam_range_set *set, const struct ip_addr *addrs, size_t count);

/* --- exact search --- */

/** Whether etcd_search_exact can tell all addresses of the set: any IPv4 one, IPv6 up to 65536. */
bool etcd_search_is_exact(const struct ipam_range_set *set);

/**
 * Adds addresses that are free by etcd's word, in a random order, and behind them those of `fresh`, in its order: at
 * least one, if there is any. None: every address of the set was seen in use or kept.
 */
int etcd_search_exact(struct etcd_store *store, const struct store_request *request, const struct ipam_range_set *set,
	const struct addr_list *fresh, struct addr_list *list, struct error *e);

/** Who has the addresses of a full set: with their values in a small one. */
int etcd_search_holders(struct etcd_store *store, const struct store_request *request, const struct ipam_range_set *set,
	struct store_reply *reply, struct error *e);
