/* What stands in the etcd store, as entries. */
#pragma once

#include "ipam/store_etcd_keys.h"

/**
 * Every claim and hold of the network whose address' text has that prefix, in order; with a domain (may be NULL) also
 * what its other networks have there, without values.
 */
int etcd_store_entries(struct etcd_store *store, const char *network, const char *domain, const char *prefix,
	struct store_entry **ret, size_t *ret_count, struct error *e);

/** store_ops.list */
int etcd_store_list(struct store *store, const char *network, const struct ip_addr *addr, struct store_entry **ret,
	size_t *ret_count, struct error *e);

/** store_ops.attachments */
int etcd_store_attachments(
	struct store *store, const char *network, struct store_attachment **ret, size_t *ret_count, struct error *e);

/** store_ops.sweep */
int etcd_store_sweep(struct store *store, const char *network, const char *domain, struct error *e);

/** store_ops.release */
int etcd_store_release(struct store *store, const struct store_release *release, struct error *e);

/** store_ops.forget */
int etcd_store_forget(struct store *store, const struct store_entry *entry, struct error *e);

/** store_ops.reserve */
int etcd_store_reserve(struct store *store, const struct store_entry *entry, const char *domain, const char *ns,
	struct store_reply *ret, struct error *e);
