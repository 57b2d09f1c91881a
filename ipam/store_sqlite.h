/*
 * The store of one node: SQLite. Claims live as long as the boot does (<dataDir>/<boot id>.db, default /run/lamina),
 * what is kept for a namespace outlives it (<cniDir>/holds.db, synchronous FULL). Two connections, not one with an
 * attached file: holds are committed before the claims that need them, an error names the file that it is about, and a
 * release never opens the holds. Whoever writes holds has the claims' write lock.
 */
#pragma once

#include "ipam/store.h"

struct store_sqlite_paths {
	const char *claims; /* the database of this boot */
	const char *holds;
};

/**
 * Opens both. The claims' file does not exist: -ENOENT, and nothing is made (see store_sqlite_create). deadline
 * (clock_now) bounds every wait for another process's lock, now and later: after it ERROR_TRY_AGAIN. Full, read-only,
 * truncated, empty, foreign or damaged files are ERROR_IO with the path and what to do: move the file away, it is made
 * anew from the records of this node's pods.
 */
int store_sqlite_open(const struct store_sqlite_paths *paths, int64_t deadline, struct store **ret, struct error *e);

/** One claim to begin a database with. */
struct store_seed {
	const char *network, *domain, *cid, *ifname, *value, *sandbox;
	struct ip_addr addr;
};

/**
 * Makes the claims' file with these in it: under another name first, then link(2), so that nobody ever sees it half
 * made; when somebody else was faster, his stays. Makes the folder (0700) if needed.
 */
int store_sqlite_create(const struct store_sqlite_paths *paths, const struct store_seed *seeds, size_t count,
	int64_t deadline, struct error *e);

/**
 * Opens for reading only: `lamina ip ls`, `plan`. Absent files are an empty store; nothing is made or changed. After a
 * kill in the middle of a change: ERROR_TRY_AGAIN, until the next claim or release takes it back.
 */
int store_sqlite_open_readonly(
	const struct store_sqlite_paths *paths, int64_t deadline, struct store **ret, struct error *e);
