#include "ipam/store_sqlite_db.h"

#include <errno.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <string.h>

/* Family and bytes, so that memcmp's order is the addresses' order. */
#define KEY_MAX 17

int db_advise(struct database *db, struct error *e, const char *what)
{
	if (db->kind == DB_CLAIMS)
		return error_set(e, -EUCLEAN, ERROR_IO,
			"%s %s: move it away (mv %s %s.bad): lamina makes it anew from the records of this node's "
			"pods",
			db->path, what, db->path, db->path);
	return error_set(e, -EUCLEAN, ERROR_IO,
		"%s %s: the addresses kept for namespaces are in it: restore it from a copy, or move it away (mv %s "
		"%s.bad) and they are kept again as their pods start",
		db->path, what, db->path, db->path);
}

int db_damaged(struct database *db, struct error *e, const char *what)
{
	cleanup_free char *text = format_text("is damaged (%s)", what);

	return db_advise(db, e, text);
}

static int fail_io(struct database *db, int rc, struct error *e)
{
	int cause = sqlite3_system_errno(db->handle);
	const char *why = cause ? strerror(cause) : sqlite3_errstr(rc);

	if (cause == ENOSPC || cause == EDQUOT)
		return error_set(e, -cause, ERROR_IO,
			"%s cannot grow: %s: make room on its file system, nothing was changed", db->path, why);
	return error_set(e, cause ? -cause : -EIO, ERROR_IO,
		"cannot read or write %s: %s (SQLite %d): look at the kernel's log for the disk, nothing was changed",
		db->path, why, rc);
}

/* SQLite's reason in a sentence: which file, why, what to do. */
int db_fail(struct database *db, int rc, struct error *e)
{
	cleanup_free char *said = copy_text(db->handle ? sqlite3_errmsg(db->handle) : sqlite3_errstr(rc));

	if (rc == SQLITE_READONLY_ROLLBACK || rc == SQLITE_READONLY_RECOVERY)
		return error_set(e, -EAGAIN, ERROR_TRY_AGAIN,
			"%s was left in the middle of a change by a process that was killed: the next ADD or DEL puts "
			"it right",
			db->path);
	switch (rc & 0xff) {
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return error_set(e, -EAGAIN, ERROR_TRY_AGAIN,
			"%s is locked by another process until the deadline (fuser -v %s names it)", db->path,
			db->path);
	case SQLITE_FULL:
		return error_set(e, -ENOSPC, ERROR_IO,
			"%s cannot grow: the file system is full: make room there, nothing was changed", db->path);
	case SQLITE_READONLY:
	case SQLITE_PERM:
	case SQLITE_AUTH:
		return error_set(e, -EROFS, ERROR_IO,
			"cannot write %s: file, folder or file system is read-only, or the file was moved: make it "
			"writable",
			db->path);
	case SQLITE_CANTOPEN:
		return error_set(e, -EIO, ERROR_IO,
			"cannot open %s or make %s-journal beside it (%s): the folder must be there and be writable",
			db->path, db->path, said);
	case SQLITE_PROTOCOL:
	case SQLITE_NOLFS:
		return error_set(e, -ENOLCK, ERROR_IO,
			"file locks do not work on %s: it must lie on a local file system (dataDir, cniDir)", db->path);
	case SQLITE_IOERR:
		return fail_io(db, rc, e);
	case SQLITE_NOMEM:
		return error_set(e, -ENOMEM, ERROR_IO, "no memory for %s", db->path);
	default:
		/* CORRUPT and NOTADB; also a missing table, or two indexes that contradict each other (CONSTRAINT). */
		return db_damaged(db, e, said);
	}
}

int db_begin(struct database *db, struct error *e)
{
	return db_run(db, e, "BEGIN IMMEDIATE", "");
}

int db_commit(struct database *db, struct error *e)
{
	return db_run(db, e, "COMMIT", "");
}

void db_rollback(struct database *db)
{
	/* A failed statement may have rolled back already. What fails here, the next opener of the file rolls back. */
	if (!sqlite3_get_autocommit(db->handle))
		sqlite3_exec(db->handle, "ROLLBACK", NULL, NULL, NULL);
}

static int bind_addr(struct sqlite3_stmt *statement, int at, const struct ip_addr *addr)
{
	unsigned char key[KEY_MAX] = {addr->family == AF_INET ? 4 : 6};
	size_t size = ip_bits(addr->family) / 8;

	memcpy(key + 1, addr->bytes, size);
	return sqlite3_bind_blob(statement, at, key, (int)(1 + size), SQLITE_TRANSIENT);
}

static int bind_list(struct sqlite3_stmt *statement, const char *types, va_list args)
{
	int rc = SQLITE_OK;

	for (int i = 0; types[i] && rc == SQLITE_OK; i++) {
		if (types[i] == 't')
			rc = sqlite3_bind_text(statement, i + 1, va_arg(args, const char *), -1, SQLITE_STATIC);
		else if (types[i] == 'a')
			rc = bind_addr(statement, i + 1, va_arg(args, const struct ip_addr *));
		else
			rc = sqlite3_bind_int64(statement, i + 1, va_arg(args, int64_t));
	}
	return rc;
}

static int query(struct database *db, struct sqlite3_stmt **ret, struct error *e, const char *sql, const char *types,
	va_list args)
{
	cleanup_statement struct sqlite3_stmt *statement = NULL;
	int rc = sqlite3_prepare_v2(db->handle, sql, -1, &statement, NULL);

	if (rc == SQLITE_OK)
		rc = bind_list(statement, types, args);
	if (rc != SQLITE_OK)
		return db_fail(db, rc, e);
	*ret = steal_ptr(statement);
	return 0;
}

int db_query(struct database *db, struct sqlite3_stmt **ret, struct error *e, const char *sql, const char *types, ...)
{
	va_list args;

	va_start(args, types);
	int r = query(db, ret, e, sql, types, args);
	va_end(args);
	return r;
}

int db_bind(struct database *db, struct sqlite3_stmt *statement, struct error *e, const char *types, ...)
{
	va_list args;

	sqlite3_reset(statement);
	va_start(args, types);
	int rc = bind_list(statement, types, args);
	va_end(args);
	return rc == SQLITE_OK ? 0 : db_fail(db, rc, e);
}

int db_step(struct database *db, struct sqlite3_stmt *statement, struct error *e)
{
	int rc = sqlite3_step(statement);

	if (rc == SQLITE_ROW)
		return 1;
	return rc == SQLITE_DONE ? 0 : db_fail(db, rc, e);
}

int db_run(struct database *db, struct error *e, const char *sql, const char *types, ...)
{
	cleanup_statement struct sqlite3_stmt *statement = NULL;
	va_list args;

	va_start(args, types);
	int r = query(db, &statement, e, sql, types, args);
	va_end(args);
	while (r >= 0 && (r = db_step(db, statement, e)) > 0)
		;
	return r;
}

void db_finish(struct sqlite3_stmt **statement)
{
	sqlite3_finalize(*statement);
	*statement = NULL;
}

char *db_text(struct sqlite3_stmt *statement, int column)
{
	/* Not const unsigned char: what stands there was bound from a C string. */
	return copy_text((const char *)sqlite3_column_text(statement, column));
}

int db_addr(struct database *db, struct sqlite3_stmt *statement, int column, struct ip_addr *ret, struct error *e)
{
	const unsigned char *key = sqlite3_column_blob(statement, column);
	int size = sqlite3_column_bytes(statement, column);
	int family = size == 5 && key[0] == 4 ? AF_INET : size == KEY_MAX && key[0] == 6 ? AF_INET6 : 0;

	if (!family)
		return db_damaged(db, e, "an address has the wrong form");
	*ret = (struct ip_addr){.family = family};
	memcpy(ret->bytes, key + 1, (size_t)size - 1);
	return 0;
}
