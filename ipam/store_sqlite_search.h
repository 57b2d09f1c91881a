/* The search for a free dynamic address. */
#pragma once

#include "ipam/store_sqlite_claim.h"

/**
 * The next address of a range set that nobody has, after the one given last, which is noted: 1, or 0 when all are used.
 * Addresses released less than reuse_delay ago are taken when nothing else is free, the oldest first.
 */
int sqlite_store_search(struct sqlite_store *store, const struct store_request *request, size_t set,
	struct ip_addr *ret, struct error *e);
