#include "ipam/store_sqlite.h"

#include "ipam/store_sqlite_claim.h"
#include "plugin/base/fault.h"
#include "plugin/base/log.h"

#include <errno.h>
#include <string.h>

/* How many releases are remembered: with the usual delay of 60 s enough for 60 a second. */
#define RELEASES_KEPT 4096

static struct sqlite_store *of(struct store *store)
{
	return (struct sqlite_store *)store;
}

int sqlite_store_holds(struct sqlite_store *store, bool create, struct error *e)
{
	cleanup_error struct error absent = {0};

	if (store->holds)
		return 0;

	int r = db_open(DB_HOLDS, store->holds_path, store->readonly, store->deadline, &store->holds, &absent);

	if (r == -ENOENT && !create)
		return 0;
	if (r == -ENOENT) {
		r = db_create(DB_HOLDS, store->holds_path, store->deadline, NULL, NULL, e);
		if (r >= 0)
			r = db_open(DB_HOLDS, store->holds_path, false, store->deadline, &store->holds, e);
		return r;
	}
	error_keep_first(e, &absent);
	return r;
}

int sqlite_store_commit(struct sqlite_store *store, struct error *e)
{
	if (fault_point("store_before_commit") < 0)
		return error_set(e, -EIO, ERROR_IO, "fault before commit");

	int r = db_commit(store->claims, e);

	/* Too late to fail: what is committed is done. */
	fault_point("store_after_commit");
	return r;
}

static int begin(struct sqlite_store *store, struct error *e)
{
	if (store->readonly)
		return error_set(e, -EROFS, ERROR_IO, "the store was opened for reading only");
	return db_begin(store->claims, e);
}

/* Commits what went well, takes back everything else. */
static int finish(struct sqlite_store *store, int r, struct error *e)
{
	if (r >= 0)
		r = sqlite_store_commit(store, e);
	if (r < 0)
		db_rollback(store->claims);
	return r;
}

/* A claim that comes to nothing keeps nothing for anybody, either. */
static void take_back_holds(
	struct sqlite_store *store, const struct store_request *request, const struct store_reply *reply)
{
	cleanup_error struct error ignored = {0};

	for (size_t i = 0; store->holds && i < reply->kept_count; i++)
		db_run(store->holds, &ignored, "DELETE FROM hold WHERE addr = ?1 AND domain = ?2 AND ns = ?3", "att",
			&reply->kept[i], request->config->domain, request->ns);
}

static int store_claim(
	struct store *store, const struct store_request *request, struct store_reply *ret, struct error *e)
{
	struct sqlite_store *self = of(store);
	cleanup_reply struct store_reply reply = {0};
	int r = begin(self, e);

	if (r < 0)
		return r;
	r = sqlite_store_claim(self, request, &reply, e);
	if (r >= 0 && (reply.answer == STORE_GRANTED || reply.answer == STORE_ALREADY))
		r = sqlite_store_commit(self, e);
	if (r < 0)
		take_back_holds(self, request, &reply);
	db_rollback(self->claims);
	if (r < 0)
		return r;
	*ret = reply;
	reply = (struct store_reply){0};
	return 0;
}

#define RELEASED " WHERE network = ?1 AND cid = ?2 AND ifname = ?3 AND (?4 IS NULL OR value = ?4)"

static int release(struct sqlite_store *store, const char *network, const char *cid, const char *ifname,
	const char *value, struct error *e)
{
	struct database *db = store->claims;
	int r = db_run(db, e,
		"INSERT OR REPLACE INTO released(addr, domain, at) SELECT addr, domain, ?5 FROM claim" RELEASED,
		"tttti", network, cid, ifname, value, clock_now());

	if (r >= 0)
		r = db_run(db, e, "DELETE FROM claim" RELEASED, "tttt", network, cid, ifname, value);
	if (r >= 0)
		r = db_run(db, e, "DELETE FROM released WHERE id <= (SELECT max(id) FROM released) - ?1", "i",
			(int64_t)RELEASES_KEPT);
	return r;
}

/* Takes back what a claim that never ended began to keep: the hold remembers who wrote it. */
static int unkeep(struct sqlite_store *store, const char *value, struct error *e)
{
	int r = sqlite_store_holds(store, false, e);

	if (r < 0 || !store->holds)
		return r;
	return db_run(store->holds, e, "DELETE FROM hold WHERE value = ?1", "t", value);
}

/* Of an ADD that never ended, nobody knows whether its claim found one of this container already: whatever stands there
 * goes. */
static int store_release(struct store *store, const struct store_release *what, struct error *e)
{
	struct sqlite_store *self = of(store);
	int r = begin(self, e);

	if (r < 0)
		return r;
	if (what->unfinished && what->value)
		r = unkeep(self, what->value, e);
	if (r >= 0)
		r = release(self, what->network, what->cid, what->ifname, what->unfinished ? NULL : what->value, e);
	return finish(self, r, e);
}

static int store_forget(struct store *store, const struct store_entry *entry, struct error *e)
{
	int r = begin(of(store), e);

	return r < 0 ? r : finish(of(store), sqlite_store_forget(of(store), entry, e), e);
}

static int store_list(struct store *store, const char *network, const struct ip_addr *addr, struct store_entry **ret,
	size_t *ret_count, struct error *e)
{
	const struct entry_filter filter = {.network = network, .addr = addr};

	return sqlite_store_entries(of(store), &filter, ret, ret_count, e);
}

static int store_reserve(struct store *store, const struct store_entry *entry, const char *domain, const char *ns,
	struct store_reply *ret, struct error *e)
{
	cleanup_reply struct store_reply reply = {0};
	int r = begin(of(store), e);

	if (r < 0)
		return r;
	r = sqlite_store_reserve(of(store), entry, domain, ns, &reply, e);
	db_rollback(of(store)->claims);
	if (r < 0)
		return r;
	*ret = reply;
	reply = (struct store_reply){0};
	return 0;
}

static int store_attachments(
	struct store *store, const char *network, struct store_attachment **ret, size_t *ret_count, struct error *e)
{
	return sqlite_store_attachments(of(store), network, ret, ret_count, e);
}

/* A transaction leaves nothing half done. */
static int store_sweep(struct store *store, const char *network, const char *domain, struct error *e)
{
	(void)store, (void)network, (void)domain, (void)e;
	return 0;
}

static void store_free(struct store *store)
{
	struct sqlite_store *self = of(store);

	db_close(self->claims);
	db_close(self->holds);
	free(self->holds_path);
	free(self);
}

static const struct store_ops sqlite_ops = {
	.claim = store_claim,
	.release = store_release,
	.forget = store_forget,
	.reserve = store_reserve,
	.list = store_list,
	.attachments = store_attachments,
	.sweep = store_sweep,
	.close = store_free,
};

static int open_store(
	const struct store_sqlite_paths *paths, bool readonly, int64_t deadline, struct store **ret, struct error *e)
{
	cleanup_store struct store *store = allocate(1, sizeof(struct sqlite_store));
	struct sqlite_store *self = of(store);

	*self = (struct sqlite_store){
		.store.ops = &sqlite_ops,
		.holds_path = copy_text(paths->holds),
		.deadline = deadline,
		.readonly = readonly,
	};

	int r = db_open(DB_CLAIMS, paths->claims, readonly, deadline, &self->claims, e);

	if (r == -ENOENT && readonly)
		error_clear(e);
	else if (r < 0)
		return r;
	*ret = steal_ptr(store);
	return 0;
}

int store_sqlite_open(const struct store_sqlite_paths *paths, int64_t deadline, struct store **ret, struct error *e)
{
	return open_store(paths, false, deadline, ret, e);
}

int store_sqlite_open_readonly(
	const struct store_sqlite_paths *paths, int64_t deadline, struct store **ret, struct error *e)
{
	return open_store(paths, true, deadline, ret, e);
}

struct seeds {
	const struct store_seed *seeds;
	size_t count;
};

/* Two records with one address: the first keeps it. It is in use either way, and a node must come up. */
static int fill_seeds(struct database *db, const void *what, struct error *e)
{
	const struct seeds *list = what;
	int r = 0;

	for (size_t i = 0; i < list->count && r >= 0; i++) {
		const struct store_seed *seed = &list->seeds[i];

		r = db_run(db, e,
			"INSERT OR IGNORE INTO claim(network, domain, cid, ifname, value, sandbox, addr)"
			" VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
			"tttttta", seed->network, seed->domain, seed->cid, seed->ifname, seed->value, seed->sandbox,
			&seed->addr);
	}
	return r;
}

int store_sqlite_create(const struct store_sqlite_paths *paths, const struct store_seed *seeds, size_t count,
	int64_t deadline, struct error *e)
{
	const struct seeds list = {.seeds = seeds, .count = count};

	return db_create(DB_CLAIMS, paths->claims, deadline, fill_seeds, &list, e);
}
