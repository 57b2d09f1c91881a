/* The parts of the SQLite store: claims decide in store_sqlite_claim.c, what people change is in store_sqlite_keep.c,
 * all else is in store_sqlite.c. */
#pragma once

#include "ipam/store.h"
#include "ipam/store_sqlite_db.h"

struct sqlite_store {
	struct store store;
	struct database *claims; /* NULL: absent, in a store for reading only */
	struct database *holds;  /* NULL until sqlite_store_holds */
	char *holds_path;
	int64_t deadline;
	bool readonly;
};

/**
 * Opens the holds' file the first time. Absent: .holds stays NULL, which is a store without holds, or, with create, it
 * is made.
 */
int sqlite_store_holds(struct sqlite_store *store, bool create, struct error *e);

/** Commits the claims; the tests' fault points stand around it. */
int sqlite_store_commit(struct sqlite_store *store, struct error *e);

/** Which entries: those of this network or this domain (both NULL: all), at this address (NULL: at any). */
struct entry_filter {
	const char *network, *domain;
	const struct ip_addr *addr;
};

/** What is claimed or held, ordered by network and address. */
int sqlite_store_entries(struct sqlite_store *store, const struct entry_filter *filter, struct store_entry **ret,
	size_t *ret_count, struct error *e);

/** Claims inside the transaction that the caller began and commits when the answer is STORE_GRANTED. */
int sqlite_store_claim(
	struct sqlite_store *store, const struct store_request *request, struct store_reply *ret, struct error *e);

/** Forgets inside the transaction that the caller began and commits. */
int sqlite_store_forget(struct sqlite_store *store, const struct store_entry *entry, struct error *e);

/** Reserves while the caller has the claims' write lock; changes no claim. */
int sqlite_store_reserve(struct sqlite_store *store, const struct store_entry *entry, const char *domain,
	const char *ns, struct store_reply *ret, struct error *e);

/** store_ops.attachments */
int sqlite_store_attachments(struct sqlite_store *store, const char *network, struct store_attachment **ret,
	size_t *ret_count, struct error *e);
