#include "ipam/store_sqlite_db.h"
#include "plugin/base/file.h"
#include "plugin/base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

/* Pauses between two tries for a lock: short at first, since a claim is over in less than one of them. */
#define FIRST_PAUSE 1000
#define LONGEST_PAUSE 20000

/* The SQLite file format's header (sqlite.org/fileformat.html, 1.3). */
#define HEADER_SIZE 100
#define HEADER_MAGIC "SQLite format 3"
#define HEADER_PAGE_SIZE 16
#define HEADER_WRITE_FORMAT 18
#define HEADER_READ_FORMAT 19
#define HEADER_USER_VERSION 60
#define HEADER_APPLICATION_ID 68

/* No value, name or sandbox text comes near it: a damaged length does not make us ask for gigabytes. */
#define LONGEST_VALUE (1 << 20)

#define SETTINGS "PRAGMA temp_store=MEMORY; PRAGMA cache_size=64; PRAGMA cell_size_check=ON;"

/* What makes a file of that kind ours. */
struct db_layout {
	uint32_t application_id;
	uint32_t version;
	bool durable;           /* outlives a power cut */
	const char *journaling; /* truncated: cheaper than to unlink a journal and to make one in each claim */
	const char *tables;
};

/*
 * Each claimed address is in two unique indexes, and both are looked at before it is given: damage to one of them is
 * seen instead of giving the address twice. `released` keeps the newest releases, oldest first.
 */
#define CLAIM_TABLES \
	"CREATE TABLE claim(id INTEGER PRIMARY KEY, network TEXT NOT NULL, cid TEXT NOT NULL, ifname TEXT NOT NULL," \
	" domain TEXT NOT NULL, addr BLOB NOT NULL, value TEXT NOT NULL, sandbox TEXT);" \
	"CREATE INDEX claim_attachment ON claim(network, cid, ifname);" \
	"CREATE UNIQUE INDEX claim_domain ON claim(addr, domain);" \
	"CREATE UNIQUE INDEX claim_network ON claim(addr, network);" \
	"CREATE TABLE cursor(network TEXT, slot INTEGER, addr BLOB NOT NULL, PRIMARY KEY(network, slot)) WITHOUT " \
	"ROWID;" \
	"CREATE TABLE released(id INTEGER PRIMARY KEY, addr BLOB NOT NULL, domain TEXT NOT NULL, at INTEGER NOT " \
	"NULL);" \
	"CREATE UNIQUE INDEX released_addr ON released(addr, domain);"

#define HOLD_TABLES \
	"CREATE TABLE hold(addr BLOB, domain TEXT, network TEXT NOT NULL, ns TEXT NOT NULL, value TEXT, PRIMARY " \
	"KEY(addr, " \
	"domain))" \
	" WITHOUT ROWID;"

static const struct db_layout layouts[] = {
	[DB_CLAIMS] = {.application_id = 0x6c6d636c, /* "lmcl" */
		.version = 1,
		.journaling = "PRAGMA synchronous=OFF; PRAGMA journal_mode=TRUNCATE",
		.tables = CLAIM_TABLES},
	[DB_HOLDS] = {.application_id = 0x6c6d686c, /* "lmhl" */
		.version = 1,
		.durable = true,
		.journaling = "PRAGMA synchronous=FULL; PRAGMA journal_mode=TRUNCATE",
		.tables = HOLD_TABLES},
};

static uint32_t read_be32(const unsigned char *bytes)
{
	return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

/* SQLite takes what is missing of the last page for zeros. */
static bool is_cut_off(const unsigned char *head, off_t file_size)
{
	unsigned int page_size = (unsigned int)head[HEADER_PAGE_SIZE] << 8 | head[HEADER_PAGE_SIZE + 1];

	return page_size > 1 && file_size % page_size != 0;
}

static int check_header(struct database *db, const unsigned char *head, size_t size, struct error *e)
{
	const struct db_layout *layout = &layouts[db->kind];
	uint32_t version = read_be32(head + HEADER_USER_VERSION);

	if (size == 0)
		return db_advise(db, e, "is empty, which no lamina leaves behind");
	if (size < HEADER_SIZE || memcmp(head, HEADER_MAGIC, sizeof(HEADER_MAGIC)) != 0)
		return db_advise(db, e, "is damaged (cut off, or no SQLite file)");
	if (read_be32(head + HEADER_APPLICATION_ID) != layout->application_id || version == 0)
		return db_advise(db, e, "is an SQLite file of another program");
	if (version > layout->version) {
		cleanup_free char *text = format_text(
			"was written by a newer lamina (layout %u, this one knows %u), the one to use; if it is gone",
			version, layout->version);

		return db_advise(db, e, text);
	}
	if (head[HEADER_WRITE_FORMAT] != 1 || head[HEADER_READ_FORMAT] != 1)
		return db_advise(db, e, "was set to a write-ahead log, which lamina does not use");
	return 0;
}

/*
 * A look at the file before SQLite opens it, which would take an empty file for a new database. Never while SQLite has
 * it open: closing any descriptor drops the locks that a process has on a file.
 */
static int check_file(struct database *db, bool readonly, struct error *e)
{
	cleanup_close int fd = open(db->path, (readonly ? O_RDONLY : O_RDWR) | O_CLOEXEC | O_NONBLOCK);
	unsigned char head[HEADER_SIZE] = {0};
	struct stat st;

	if (fd < 0 && errno == ENOENT)
		return error_set(e, -ENOENT, ERROR_IO, "%s does not exist", db->path);
	if (fd < 0 && errno == EROFS)
		return error_set(e, -EROFS, ERROR_IO, "cannot write %s: its file system is read-only: make it writable",
			db->path);
	if (fd < 0 || fstat(fd, &st) < 0)
		return error_set(e, -errno, ERROR_IO, "cannot open %s: %s", db->path, strerror(errno));
	if (!S_ISREG(st.st_mode))
		return db_advise(db, e, "is not a file");

	ssize_t size = pread(fd, head, sizeof(head), 0);

	if (size < 0)
		return error_set(e, -errno, ERROR_IO, "cannot read %s: %s", db->path, strerror(errno));
	if (check_header(db, head, (size_t)size, e) < 0)
		return e->err;
	return is_cut_off(head, st.st_size) ? db_advise(db, e, "is damaged (cut off)") : 0;
}

/* Called by SQLite while another process has the lock; 0 gives up. */
static int wait_for_lock(void *data, int tries)
{
	const struct database *db = data;
	int64_t pause = tries < 4 ? (int64_t)FIRST_PAUSE << tries : LONGEST_PAUSE;

	if (clock_now() >= db->deadline)
		return 0;
	clock_pause(pause, db->deadline);
	return 1;
}

/*
 * By default SQLite makes ready for a long life with many threads: pools of memory, which cost a page fault for every
 * page, locks, statistics. Here it has one thread and two milliseconds. Refused without harm when a database is open.
 */
static void keep_small(void)
{
	sqlite3_config(SQLITE_CONFIG_SINGLETHREAD);
	sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
	sqlite3_config(SQLITE_CONFIG_LOOKASIDE, 0, 0);
	sqlite3_config(SQLITE_CONFIG_PAGECACHE, NULL, 0, 0);
}

/* path is not db->path while the file is being made. */
static int open_handle(struct database *db, const char *path, bool readonly, struct error *e)
{
	int flags =
		(readonly ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE) | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
	sqlite3_int64 no_map = 0;
	int rc;

	keep_small();
	rc = sqlite3_open_v2(path, &db->handle, flags, NULL);
	if (rc != SQLITE_OK)
		return db_fail(db, rc, e);
	sqlite3_busy_handler(db->handle, wait_for_lock, db);
	sqlite3_limit(db->handle, SQLITE_LIMIT_LENGTH, LONGEST_VALUE);
	/* A mapped file that somebody truncates is a SIGBUS; a read one is an error. */
	sqlite3_file_control(db->handle, "main", SQLITE_FCNTL_MMAP_SIZE, &no_map);
	return 0;
}

static struct database *new_database(enum db_kind kind, const char *path, int64_t deadline)
{
	struct database *db = allocate(1, sizeof(*db));

	*db = (struct database){.kind = kind, .path = copy_text(path), .deadline = deadline};
	return db;
}

static int run_script(struct database *db, const char *sql, struct error *e)
{
	int rc = sqlite3_exec(db->handle, sql, NULL, NULL, NULL);

	return rc == SQLITE_OK ? 0 : db_fail(db, rc, e);
}

int db_open(
	enum db_kind kind, const char *path, bool readonly, int64_t deadline, struct database **ret, struct error *e)
{
	cleanup_database struct database *db = new_database(kind, path, deadline);
	int r = check_file(db, readonly, e);

	if (r >= 0)
		r = open_handle(db, path, readonly, e);
	if (r >= 0)
		r = run_script(db, SETTINGS, e);
	if (r >= 0 && !readonly)
		r = run_script(db, layouts[kind].journaling, e);
	if (r < 0)
		return r;
	*ret = steal_ptr(db);
	return 0;
}

void db_close(struct database *db)
{
	if (!db)
		return;
	sqlite3_close(db->handle);
	free(db->path);
	free(db);
}

/* Only one process at a time makes files in a folder. */
static int lock_folder(int fd, const char *path, int64_t deadline, struct error *e)
{
	while (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		if (errno != EWOULDBLOCK && errno != EINTR)
			return error_set(
				e, -errno, ERROR_IO, "cannot lock the folder of %s: %s", path, strerror(errno));
		if (clock_now() >= deadline)
			return error_set(e, -EAGAIN, ERROR_TRY_AGAIN,
				"%s is being made by another process until the deadline", path);
		clock_pause(FIRST_PAUSE, deadline);
	}
	return 0;
}

static int make_tables(struct database *db, db_fill *fill, const void *what, struct error *e)
{
	const struct db_layout *layout = &layouts[db->kind];
	cleanup_free char *marks = format_text(
		"PRAGMA application_id=%u; PRAGMA user_version=%u;", layout->application_id, layout->version);
	/* No journal and no sync: until it has its name, nobody needs the file. */
	int r = run_script(db, "PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; BEGIN", e);

	if (r >= 0)
		r = run_script(db, layout->tables, e);
	if (r >= 0)
		r = run_script(db, marks, e);
	if (r >= 0 && fill)
		r = fill(db, what, e);
	return r < 0 ? r : db_commit(db, e);
}

static int sync_file(const char *path, struct error *e)
{
	cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || fsync(fd) < 0)
		return error_set(e, -errno, ERROR_IO, "cannot write %s: %s", path, strerror(errno));
	return 0;
}

/* Fills the file under its temporary name. SQLite takes an empty file for a new database: here that is wanted. */
static int build(enum db_kind kind, const char *path, const char *temporary, int64_t deadline, db_fill *fill,
	const void *what, struct error *e)
{
	cleanup_database struct database *db = new_database(kind, path, deadline);
	int fd = open(temporary, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);

	if (fd < 0)
		return error_set(e, -errno, ERROR_IO, "cannot make %s: %s", path, strerror(errno));
	close(fd);

	int r = open_handle(db, temporary, false, e);

	return r < 0 ? r : make_tables(db, fill, what, e);
}

/* With the folder locked and no file of that name there. */
static int make_file(
	enum db_kind kind, const char *path, int64_t deadline, db_fill *fill, const void *what, struct error *e)
{
	cleanup_free char *temporary = format_text("%s.new", path);
	cleanup_free char *journal = format_text("%s-journal", path);

	/* The journal of a file that was moved away would be played back into the new one. */
	unlink(temporary);
	if (unlink(journal) < 0 && errno != ENOENT)
		return error_set(e, -errno, ERROR_IO, "cannot remove the old %s: %s", journal, strerror(errno));

	int r = build(kind, path, temporary, deadline, fill, what, e);

	if (r >= 0 && layouts[kind].durable)
		r = sync_file(temporary, e);
	if (r >= 0 && link(temporary, path) < 0 && errno != EEXIST)
		r = error_set(e, -errno, ERROR_IO, "cannot make %s: %s", path, strerror(errno));
	unlink(temporary);
	return r;
}

int db_create(enum db_kind kind, const char *path, int64_t deadline, db_fill *fill, const void *what, struct error *e)
{
	cleanup_free char *folder = copy_text(path);
	char *slash = strrchr(folder, '/');

	if (!slash || slash == folder)
		return error_set(e, -EINVAL, ERROR_CONFIG, "%s must be an absolute path inside a folder", path);
	*slash = '\0';

	int r = file_make_folder(folder, 0700, e);

	if (r < 0)
		return r;

	cleanup_close int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return error_set(e, -errno, ERROR_IO, "cannot open the folder %s: %s", folder, strerror(errno));
	r = lock_folder(fd, path, deadline, e);
	if (r >= 0 && access(path, F_OK) < 0)
		r = make_file(kind, path, deadline, fill, what, e);
	if (r >= 0 && layouts[kind].durable && fsync(fd) < 0)
		r = error_set(e, -errno, ERROR_IO, "cannot write the folder %s: %s", folder, strerror(errno));
	return r;
}
