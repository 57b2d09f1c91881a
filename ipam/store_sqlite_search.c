#include "ipam/store_sqlite_search.h"

#include "ipam/range.h"
#include "plugin/base/log.h"

/* Far more than any delay that makes sense; keeps the arithmetic inside an int64_t. */
#define LONGEST_DELAY ((int64_t)365 * 86400)

enum { CLAIMS, HOLDS, RELEASED, STREAMS };

/*
 * Addresses that cannot be given, in ascending order, read row by row beside the walk through the candidates: a run of
 * 60,000 used ones is one pass over an index, not 60,000 queries.
 */
struct stream {
	struct database *db; /* NULL: nothing to read */
	struct sqlite3_stmt *rows;
	struct ip_addr at; /* the row read last; family 0: no more */
};

struct search {
	const struct store_request *request;
	struct sqlite_store *store;
	struct stream streams[STREAMS];
	int64_t cutoff;       /* released later than this: not yet */
	struct ip_addr next;  /* the candidate that the streams are ready for */
	struct ip_addr until; /* the last one that they were asked for */
};

static void search_close(struct search *search)
{
	for (int i = 0; i < STREAMS; i++)
		db_finish(&search->streams[i].rows);
}

#define cleanup_search CLEANUP(search_close)

/* ?1 first and ?2 last address, ?3 domain, ?4 network, ?5 cutoff. */
static const struct {
	const char *sql, *types;
} stream_queries[] = {
	[CLAIMS] = {"SELECT addr FROM claim INDEXED BY claim_domain"
		    " WHERE addr BETWEEN ?1 AND ?2 AND (domain = ?3 OR network = ?4) ORDER BY addr",
		"aatt"},
	[HOLDS] = {"SELECT addr FROM hold WHERE addr BETWEEN ?1 AND ?2 AND (domain = ?3 OR network = ?4) ORDER BY addr",
		"aatt"},
	[RELEASED] = {"SELECT addr FROM released INDEXED BY released_addr"
		      " WHERE addr BETWEEN ?1 AND ?2 AND domain = ?3 AND at > ?5 ORDER BY addr",
		"aatti"},
};

static int stream_next(struct stream *stream, struct error *e)
{
	int r = db_step(stream->db, stream->rows, e);

	if (r > 0)
		return db_addr(stream->db, stream->rows, 0, &stream->at, e);
	stream->at = (struct ip_addr){0};
	return r;
}

static int seek_stream(struct search *search, int which, const struct ip_addr *from, struct error *e)
{
	struct stream *stream = &search->streams[which];
	int r;

	if (!stream->db)
		return 0;
	if (stream->rows)
		r = db_bind(stream->db, stream->rows, e, "aa", from, &search->until);
	else
		r = db_query(stream->db, &stream->rows, e, stream_queries[which].sql, stream_queries[which].types, from,
			&search->until, search->request->config->domain, search->request->network, search->cutoff);
	return r < 0 ? r : stream_next(stream, e);
}

/* 1 when one of the streams has it. Candidates mostly follow each other; each jump is a new seek. */
static int is_used(struct search *search, const struct ip_addr *addr, const struct ip_addr *range_end, struct error *e)
{
	bool jump = ip_compare(addr, &search->next) != 0 || ip_compare(range_end, &search->until) != 0;

	search->until = *range_end;
	search->next = ip_next(addr);
	for (int i = 0; i < STREAMS && jump; i++) {
		int r = seek_stream(search, i, addr, e);

		if (r < 0)
			return r;
	}
	for (int i = 0; i < STREAMS; i++) {
		struct stream *stream = &search->streams[i];

		while (stream->at.family && ip_compare(&stream->at, addr) < 0) {
			int r = stream_next(stream, e);

			if (r < 0)
				return r;
		}
		if (ip_compare(&stream->at, addr) == 0)
			return 1;
	}
	return 0;
}

static int read_cursor(const struct search *search, size_t set, struct ip_addr *ret, struct error *e)
{
	struct database *db = search->store->claims;
	cleanup_statement struct sqlite3_stmt *row = NULL;
	int r = db_query(db, &row, e, "SELECT addr FROM cursor WHERE network = ?1 AND slot = ?2", "ti",
		search->request->network, (int64_t)set);

	if (r >= 0)
		r = db_step(db, row, e);
	return r > 0 ? db_addr(db, row, 0, ret, e) : r;
}

/* 1 and the first free candidate after the one given last, or 0. */
static int find_free(struct search *search, const struct ipam_range_set *set, const struct ip_addr *last,
	struct ip_addr *ret, struct error *e)
{
	struct ipam_walk walk = ipam_walk_from(set, last);
	struct ip_addr addr;

	while (ipam_walk_next(&walk, &addr)) {
		int r = is_used(search, &addr, &set->ranges[walk.range].end, e);

		if (r < 0)
			return r;
		if (r == 0) {
			*ret = addr;
			return 1;
		}
	}
	return 0;
}

/* 1 when the one statement, made the first time, finds the address in use. */
static int is_in(struct search *search, struct database *db, struct sqlite3_stmt **found, const char *sql,
	const struct ip_addr *addr, struct error *e)
{
	int r = 0;

	if (!db)
		return 0;
	if (!*found)
		r = db_query(db, found, e, sql, "");
	if (r >= 0)
		r = db_bind(db, *found, e, "att", addr, search->request->config->domain, search->request->network);
	return r < 0 ? r : db_step(db, *found, e);
}

/* Nothing else is free: 1 and what was released longest ago, or 0. */
static int find_oldest(struct search *search, const struct ipam_range_set *set, struct ip_addr *ret, struct error *e)
{
	struct database *claims = search->store->claims, *holds = search->store->holds;
	cleanup_statement struct sqlite3_stmt *rows = NULL, *claim = NULL, *hold = NULL;
	int r = db_query(claims, &rows, e, "SELECT addr FROM released WHERE domain = ?1 ORDER BY id", "t",
		search->request->config->domain);

	while (r >= 0 && (r = db_step(claims, rows, e)) > 0) {
		struct ip_addr addr;

		r = db_addr(claims, rows, 0, &addr, e);
		if (r < 0 || !ipam_set_allows(set, &addr))
			continue;
		r = is_in(search, claims, &claim,
			"SELECT 1 FROM claim WHERE addr = ?1 AND (domain = ?2 OR network = ?3)", &addr, e);
		if (r == 0)
			r = is_in(search, holds, &hold,
				"SELECT 1 FROM hold WHERE addr = ?1 AND (domain = ?2 OR network = ?3)", &addr, e);
		if (r == 0) {
			*ret = addr;
			return 1;
		}
	}
	return r;
}

int sqlite_store_search(struct sqlite_store *store, const struct store_request *request, size_t set,
	struct ip_addr *ret, struct error *e)
{
	int64_t delay = request->reuse_delay < LONGEST_DELAY ? request->reuse_delay : LONGEST_DELAY;
	cleanup_search struct search search = {
		.request = request,
		.store = store,
		.streams[CLAIMS].db = store->claims,
		.streams[HOLDS].db = store->holds,
		.streams[RELEASED].db = delay > 0 ? store->claims : NULL,
		.cutoff = clock_now() - delay * SECONDS,
	};
	struct ip_addr last = {0};
	int r = read_cursor(&search, set, &last, e);

	if (r >= 0)
		r = find_free(&search, &request->config->sets[set], &last, ret, e);
	if (r == 0 && delay > 0)
		r = find_oldest(&search, &request->config->sets[set], ret, e);
	if (r <= 0)
		return r;
	r = db_run(store->claims, e, "INSERT OR REPLACE INTO cursor(network, slot, addr) VALUES (?1, ?2, ?3)", "tia",
		request->network, (int64_t)set, ret);
	return r < 0 ? r : 1;
}
