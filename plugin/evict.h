/* Which holders of an address may be replaced. Everybody that is not listed here keeps what he has. */
#pragma once

#include "ipam/store.h"
#include "plugin/run.h"

struct eviction {
	struct store_entry *entries; /* owned copies */
	size_t count;
};

/**
 * Adds those of the reply's holders that give way: their namespace is gone, or they are an older sandbox of the same
 * pod (same UID, this node). Changes nothing yet.
 */
void eviction_extend(struct eviction *eviction, const struct store_reply *reply, struct run *run);

/** Deletes the links of older sandboxes in the list, before anybody else can answer for their addresses. */
int eviction_delete_links(const struct eviction *eviction, struct run *run, struct error *e);

/** The first holder of the reply that is not in the list; NULL if there is none. */
const struct store_entry *eviction_first_refused(const struct eviction *eviction, const struct store_reply *reply);

void eviction_clear(struct eviction *eviction);
#define cleanup_eviction CLEANUP(eviction_clear)
