#include "ipam/store_sqlite_claim.h"

#include <string.h>

struct entries {
	struct store_entry *entries;
	size_t count, capacity;
};

static void entries_clear(struct entries *list)
{
	store_entries_free(list->entries, list->count);
}

#define cleanup_entries CLEANUP(entries_clear)

static struct store_entry *add_entry(struct entries *list)
{
	if (list->count == list->capacity) {
		list->capacity = list->capacity ? list->capacity * 2 : 4;
		list->entries = reallocate(list->entries, list->capacity, sizeof(*list->entries));
	}
	list->entries[list->count] = (struct store_entry){0};
	return &list->entries[list->count++];
}

/* The rows of one table that the filter lets through. */
static int query_rows(struct database *db, const char *select, const struct entry_filter *filter,
	struct sqlite3_stmt **ret, struct error *e)
{
	static const struct {
		const char *where, *types;
	} filters[] = {
		{"", ""},
		{" WHERE domain = ?1 OR network = ?2", "tt"},
		{" WHERE (domain = ?1 OR network = ?2 OR ?2 IS NULL) AND addr = ?3", "tta"},
	};
	size_t which = filter->addr ? 2 : filter->network ? 1 : 0;
	cleanup_free char *sql = format_text("%s%s", select, filters[which].where);

	return db_query(db, ret, e, sql, filters[which].types, filter->domain, filter->network, filter->addr);
}

/* Both tables' rows begin with network and address. */
static int read_place(struct database *db, struct sqlite3_stmt *row, struct store_entry *entry, struct error *e)
{
	entry->network = db_text(row, 0);
	if (!entry->network)
		return db_damaged(db, e, "an address has no network");
	return db_addr(db, row, 1, &entry->addr, e);
}

/* The other table's row of the same address: 1 and the lookup stands on it, or 0. */
static int look_up(struct database *db, struct sqlite3_stmt **lookup, const char *sql, const struct store_entry *entry,
	const char *domain, struct error *e)
{
	int r = 0;

	if (!*lookup)
		r = db_query(db, lookup, e, sql, "");
	if (r >= 0)
		r = db_bind(db, *lookup, e, "att", &entry->addr, domain, entry->network);
	return r < 0 ? r : db_step(db, *lookup, e);
}

static int add_claim(struct sqlite_store *store, struct sqlite3_stmt *row, struct sqlite3_stmt **hold,
	struct store_entry *entry, struct error *e)
{
	cleanup_free char *domain = db_text(row, 4);
	int r = read_place(store->claims, row, entry, e);

	if (r < 0)
		return r;
	entry->value = db_text(row, 2);
	entry->sandbox = db_text(row, 3);
	if (!entry->value)
		return db_damaged(store->claims, e, "a claim has no holder");
	if (!store->holds)
		return 0;
	r = look_up(store->holds, hold,
		"SELECT ns FROM hold WHERE addr = ?1 AND (domain = ?2 OR network = ?3) ORDER BY domain = ?2 DESC",
		entry, domain, e);
	if (r > 0)
		entry->hold = db_text(*hold, 0);
	return r;
}

static int add_claims(
	struct sqlite_store *store, const struct entry_filter *filter, struct entries *list, struct error *e)
{
	cleanup_statement struct sqlite3_stmt *rows = NULL, *hold = NULL;

	if (!store->claims)
		return 0;

	int r = query_rows(store->claims, "SELECT network, addr, value, sandbox, domain FROM claim", filter, &rows, e);

	while (r >= 0 && (r = db_step(store->claims, rows, e)) > 0)
		r = add_claim(store, rows, &hold, add_entry(list), e);
	return r;
}

static int add_hold(struct sqlite_store *store, struct sqlite3_stmt *row, struct sqlite3_stmt **claim,
	struct entries *list, struct error *e)
{
	cleanup_free char *domain = db_text(row, 3);
	struct store_entry *entry = add_entry(list);
	int r = read_place(store->holds, row, entry, e);

	if (r >= 0 && store->claims)
		r = look_up(store->claims, claim,
			"SELECT 1 FROM claim WHERE addr = ?1 AND (domain = ?2 OR network = ?3)", entry, domain, e);
	if (r > 0) {
		/* It stands in the list as a claim. */
		free(entry->network);
		list->count--;
		return 0;
	}
	entry->hold = db_text(row, 2);
	return r;
}

static int add_holds(
	struct sqlite_store *store, const struct entry_filter *filter, struct entries *list, struct error *e)
{
	cleanup_statement struct sqlite3_stmt *rows = NULL, *claim = NULL;

	if (!store->holds)
		return 0;

	int r = query_rows(store->holds, "SELECT network, addr, ns, domain FROM hold", filter, &rows, e);

	while (r >= 0 && (r = db_step(store->holds, rows, e)) > 0)
		r = add_hold(store, rows, &claim, list, e);
	return r;
}

static int compare_entries(const void *a, const void *b)
{
	const struct store_entry *left = a, *right = b;
	int order = strcmp(left->network, right->network);

	return order ? order : ip_compare(&left->addr, &right->addr);
}

int sqlite_store_entries(struct sqlite_store *store, const struct entry_filter *filter, struct store_entry **ret,
	size_t *ret_count, struct error *e)
{
	cleanup_entries struct entries list = {0};
	int r = sqlite_store_holds(store, false, e);

	if (r >= 0)
		r = add_claims(store, filter, &list, e);
	if (r >= 0)
		r = add_holds(store, filter, &list, e);
	if (r < 0)
		return r;
	if (list.count)
		qsort(list.entries, list.count, sizeof(*list.entries), compare_entries);
	*ret = list.entries;
	*ret_count = list.count;
	list = (struct entries){0};
	return 0;
}

static int add_attachment(struct sqlite_store *store, struct sqlite3_stmt *row, struct store_attachment **list,
	size_t *count, struct error *e)
{
	cleanup_free char *network = db_text(row, 0), *cid = db_text(row, 1), *ifname = db_text(row, 2);
	struct store_attachment *last = *count ? &(*list)[*count - 1] : NULL;

	if (!network || !cid || !ifname)
		return db_damaged(store->claims, e, "a claim has no container");
	if (!last || strcmp(last->network, network) != 0 || strcmp(last->cid, cid) != 0 ||
		strcmp(last->ifname, ifname) != 0) {
		*list = reallocate(*list, *count + 1, sizeof(**list));
		last = &(*list)[(*count)++];
		*last = (struct store_attachment){
			.network = steal_ptr(network),
			.cid = steal_ptr(cid),
			.ifname = steal_ptr(ifname),
			.value = db_text(row, 3),
		};
	}
	last->addrs = reallocate(last->addrs, last->addr_count + 1, sizeof(*last->addrs));
	return db_addr(store->claims, row, 4, &last->addrs[last->addr_count++], e);
}

int sqlite_store_attachments(struct sqlite_store *store, const char *network, struct store_attachment **ret,
	size_t *ret_count, struct error *e)
{
	cleanup_statement struct sqlite3_stmt *rows = NULL;
	struct store_attachment *list = NULL;
	size_t count = 0;
	int r = 0;

	if (store->claims)
		r = db_query(store->claims, &rows, e,
			"SELECT network, cid, ifname, value, addr FROM claim WHERE ?1 IS NULL OR network = ?1"
			" ORDER BY network, cid, ifname, id",
			"t", network);
	while (rows && r >= 0 && (r = db_step(store->claims, rows, e)) > 0)
		r = add_attachment(store, rows, &list, &count, e);
	if (r < 0) {
		store_attachments_free(list, count);
		return r;
	}
	*ret = list;
	*ret_count = count;
	return 0;
}
