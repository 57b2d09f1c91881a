/* One SQLite file of the store: opened, checked, made, asked; its failures in words. Only store_sqlite*.c use it. */
#pragma once

#include "plugin/base/ip.h"

#include <stdbool.h>
#include <stdint.h>

struct sqlite3;
struct sqlite3_stmt;

enum db_kind { DB_CLAIMS, DB_HOLDS };

struct database {
	enum db_kind kind;
	char *path;
	int64_t deadline; /* clock_now: bounds every wait for a lock */
	struct sqlite3 *handle;
};

/**
 * Opens an existing file after a look at its header; for reading only, nothing is created or changed. Absent: -ENOENT.
 * *ret is closed with db_close.
 */
int db_open(
	enum db_kind kind, const char *path, bool readonly, int64_t deadline, struct database **ret, struct error *e);

/** Puts the first rows in, inside the transaction that makes the tables. */
typedef int db_fill(struct database *db, const void *what, struct error *e);

/**
 * Makes the file, folder (0700) included, so that nobody sees it half made; one that exists already stays. fill may be
 * NULL. Holds are synced.
 */
int db_create(enum db_kind kind, const char *path, int64_t deadline, db_fill *fill, const void *what, struct error *e);

void db_close(struct database *db);
DEFINE_CLEANUP(struct database, db_close)
#define cleanup_database CLEANUP(db_close_cleanup)

/** Takes the write lock: from here on nobody else changes the file. */
int db_begin(struct database *db, struct error *e);

/** Makes what was done since db_begin last; on failure db_rollback is still to be called. */
int db_commit(struct database *db, struct error *e);

/** Takes back what was not committed; without a transaction nothing. */
void db_rollback(struct database *db);

/**
 * Prepares a statement and binds its parameters, ?1 first; types has a letter for each: t text (NULL allowed), a
 * const struct ip_addr *, i int64_t. Texts must live until db_finish.
 */
int db_query(struct database *db, struct sqlite3_stmt **ret, struct error *e, const char *sql, const char *types, ...);

/** 1: a row is there, 0: no more. */
int db_step(struct database *db, struct sqlite3_stmt *statement, struct error *e);

/** db_query that wants no rows, to its end. */
int db_run(struct database *db, struct error *e, const char *sql, const char *types, ...);

/** Frees a statement; NULL is fine. */
void db_finish(struct sqlite3_stmt **statement);
#define cleanup_statement CLEANUP(db_finish)

/** Resets a statement and binds its first parameters anew, as db_query does; those behind them stay. */
int db_bind(struct database *db, struct sqlite3_stmt *statement, struct error *e, const char *types, ...);

/** A column's text, NULL when it is NULL; the caller frees it. */
char *db_text(struct sqlite3_stmt *statement, int column);

/** A column's address; -EUCLEAN with the way out when it is none. */
int db_addr(struct database *db, struct sqlite3_stmt *statement, int column, struct ip_addr *ret, struct error *e);

/** An SQLite result code as an error: which file, why, and the way out. */
int db_fail(struct database *db, int rc, struct error *e);

/** A file that cannot be used as it is, ERROR_IO: "<path> <what>: move it away ...". */
int db_advise(struct database *db, struct error *e, const char *what);

/** db_advise for content that no lamina wrote. */
int db_damaged(struct database *db, struct error *e, const char *what);
