/*
 * The store of a cluster: etcd v3. One transaction claims, without locks and leases. Keys under /etcd-cni
 * (kube-ipam's): networks/<network>/used/<ip>                      the holder's record (kube-ipam: a raw container ID)
 *   networks/<network>/attachment/<node>/<cid>.<if>   {"v":1,"nonce":..,"addrs":[..]}, or {"v":1,"closed":<time>}
 *   networks/<network>/fixed/<ip>                     whom it is kept for: a namespace, or a reservation's record
 *   networks/<network>/lock                           kube-ipam's mutex: no claim lands while it is held
 *   domain/<domain>/<ip>                              the network that has the address in this L2 domain, in use or
 * kept Who has `used` has `domain`; who has `fixed` keeps it. A release deletes only, so that a cluster without space
 * takes it.
 */
#pragma once

#include "ipam/etcd.h"
#include "ipam/store.h"

struct store_etcd_options {
	const struct etcd_config *config; /* borrowed */
	struct http *http;                /* borrowed */
	const char *node;                 /* this node's name; borrowed */
	const char *data_dir;             /* hints and notes of fresh releases; may be lost; borrowed */
	int64_t deadline;
};

/** Asks nobody yet. An entry's sandbox is always NULL here. */
int store_etcd_open(const struct store_etcd_options *options, struct store **ret, struct error *e);

/** A new deadline (clock_now) for what comes. */
void store_etcd_set_deadline(struct store *store, int64_t deadline);

/** What this node is called by what comes: it may become known only after a store was opened. */
void store_etcd_set_node(struct store *store, const char *node);

/** For who knows that a claim or release will follow: its connection is opened now (etcd_warm). */
void store_etcd_warm(struct store *store, bool await);

/**
 * Gives a dynamic claim back to kube-ipam: used/<ip> becomes the raw container ID if it is still entry's value, the
 * attachment and domain keys go. For `lamina ip export`.
 */
int store_etcd_hand_back(struct store *store, const struct store_entry *entry, struct error *e);
