/*
 * Releases that a store could not be told of: one file each in <cniDir>/outbox, synced, so that they outlive the
 * process and a power cut. Whoever comes next on this node sends them.
 */
#pragma once

#include "ipam/etcd.h"
#include "ipam/store.h"

struct outbox_entry {
	char *file;                                    /* its path */
	char *node;                                    /* whose attachment key it is */
	char *network, *domain, *cid, *ifname, *value; /* as in store_release */
	struct ip_addr *addrs;
	size_t addr_count;
	bool unfinished;
	struct etcd_config *etcd; /* where to */
};

/** Queues a release. The folder is made (0700) when it is not there. One of the same attachment is replaced. */
int outbox_put(const char *folder, const struct store_release *release, const char *node,
	const struct etcd_config *etcd, struct error *e);

/**
 * All entries, oldest first; no folder: none. Damaged files are moved to <name>.damaged and logged. *ret is freed with
 * outbox_entries_free.
 */
int outbox_read(const char *folder, struct outbox_entry **ret, size_t *ret_count, struct error *e);

/** Whether anything is queued: one look at the folder. */
bool outbox_is_empty(const char *folder);

/** How many are queued: no file is read, and none moved aside. */
size_t outbox_count(const char *folder);

/** What an entry asks a store for; borrows from it. */
struct store_release outbox_release(const struct outbox_entry *entry);

/** Strikes an entry that was sent. */
int outbox_remove(const struct outbox_entry *entry, struct error *e);

void outbox_entries_free(struct outbox_entry *entries, size_t count);
