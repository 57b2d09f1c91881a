#include "ipam/store_sqlite_claim.h"

#include "ipam/range.h"
#include "ipam/store_sqlite_search.h"

#include <errno.h>
#include <string.h>

static bool is_as_asked(const struct store_request *request, const struct store_reply *reply)
{
	bool same = !request->fixed_count || request->fixed_count == reply->addr_count;

	for (size_t i = 0; i < request->fixed_count && same; i++)
		same = ip_compare(&request->fixed[i], &reply->addrs[i]) == 0;
	return same;
}

/* The row goes on for the sandbox that asks now; one with other addresses than it asks for gives way to a new claim. */
static int renew_attachment(
	struct sqlite_store *store, const struct store_request *request, struct store_reply *reply, struct error *e)
{
	int r;

	if (is_as_asked(request, reply)) {
		r = db_run(store->claims, e,
			"UPDATE claim SET sandbox = ?4 WHERE network = ?1 AND cid = ?2 AND ifname = ?3", "tttt",
			request->network, request->cid, request->ifname, request->sandbox);
		reply->answer = STORE_ALREADY;
		return r < 0 ? r : 1;
	}
	r = db_run(store->claims, e, "DELETE FROM claim WHERE network = ?1 AND cid = ?2 AND ifname = ?3", "ttt",
		request->network, request->cid, request->ifname);
	store_reply_clear(reply);
	return r < 0 ? r : 0;
}

/* What this container and interface hold already: 1, and the reply is complete. */
static int find_attachment(
	struct sqlite_store *store, const struct store_request *request, struct store_reply *reply, struct error *e)
{
	cleanup_statement struct sqlite3_stmt *rows = NULL;
	int r = db_query(store->claims, &rows, e,
		"SELECT addr, value FROM claim WHERE network = ?1 AND cid = ?2 AND ifname = ?3 ORDER BY id", "ttt",
		request->network, request->cid, request->ifname);

	while (r >= 0 && (r = db_step(store->claims, rows, e)) > 0) {
		reply->addrs = reallocate(reply->addrs, reply->addr_count + 1, sizeof(*reply->addrs));
		r = db_addr(store->claims, rows, 0, &reply->addrs[reply->addr_count++], e);
		if (!reply->value)
			reply->value = db_text(rows, 1);
	}
	if (r < 0 || !reply->addr_count)
		return r;
	if (!reply->value)
		return db_damaged(store->claims, e, "a claim has no holder");
	db_finish(&rows);
	return renew_attachment(store, request, reply, e);
}

static bool is_asked_for(const struct store_request *request, const struct ip_addr *addr)
{
	for (size_t i = 0; i < request->fixed_count; i++) {
		if (ip_compare(&request->fixed[i], addr) == 0)
			return true;
	}
	return request->fixed_count == 0;
}

/* Holders that changed since the caller looked stay. */
static int evict(struct sqlite_store *store, const struct store_request *request, struct error *e)
{
	int r = 0;

	for (size_t i = 0; i < request->evict_count && r >= 0; i++) {
		const struct store_entry *entry = &request->evict[i];

		if (entry->value && is_asked_for(request, &entry->addr))
			r = db_run(store->claims, e,
				"DELETE FROM claim WHERE addr = ?1 AND network = ?2 AND value = ?3", "att",
				&entry->addr, entry->network, entry->value);
	}
	return r;
}

static int insert_claim(
	struct sqlite_store *store, const struct store_request *request, const struct ip_addr *addr, struct error *e)
{
	return db_run(store->claims, e,
		"INSERT INTO claim(network, cid, ifname, domain, value, sandbox, addr) VALUES (?1, ?2, ?3, ?4, ?5, ?6, "
		"?7)",
		"tttttta", request->network, request->cid, request->ifname, request->config->domain, request->value,
		request->sandbox, addr);
}

/* A free address that is kept for the pod's own namespace, or reserved for it, is no hindrance. */
static bool is_own_hold(const struct store_request *request, const struct store_entry *entry)
{
	return !entry->value && (same_text(entry->hold, request->ns) || same_text(entry->hold, request->reservation));
}

/* Appends who stands in the way of one address. */
static int add_holders(struct sqlite_store *store, const struct store_request *request, const struct ip_addr *addr,
	struct store_reply *reply, struct error *e)
{
	const struct entry_filter filter = {
		.network = request->network, .domain = request->config->domain, .addr = addr};
	struct store_entry *entries = NULL;
	size_t count = 0, kept = 0;
	int r = sqlite_store_entries(store, &filter, &entries, &count, e);

	if (r < 0)
		return r;
	reply->holders = reallocate(reply->holders, reply->holder_count + count, sizeof(*reply->holders));
	for (size_t i = 0; i < count; i++) {
		if (is_own_hold(request, &entries[i]))
			entries[kept++] = entries[i];
		else
			reply->holders[reply->holder_count++] = entries[i];
	}
	store_entries_free(entries, kept);
	return 0;
}

static bool has_twice(const struct ip_addr *addrs, size_t count, size_t at)
{
	for (size_t i = at + 1; i < count; i++) {
		if (ip_compare(&addrs[i], &addrs[at]) == 0)
			return true;
	}
	return false;
}

static int find_holders(
	struct sqlite_store *store, const struct store_request *request, struct store_reply *reply, struct error *e)
{
	int r = 0;

	for (size_t i = 0; i < request->fixed_count && r >= 0; i++) {
		if (has_twice(request->fixed, request->fixed_count, i))
			return error_set(
				e, -EINVAL, ERROR_CONFIG, "%s is asked for twice", ip_text(&request->fixed[i]).s);
		r = add_holders(store, request, &request->fixed[i], reply, e);
	}
	return r;
}

/* 1 when the address is kept in this domain: for this pod, since find_holders found no other. */
static int is_held(
	struct sqlite_store *store, const struct store_request *request, const struct ip_addr *addr, struct error *e)
{
	cleanup_statement struct sqlite3_stmt *found = NULL;

	if (!store->holds)
		return 0;

	int r = db_query(store->holds, &found, e, "SELECT 1 FROM hold WHERE addr = ?1 AND domain = ?2", "at", addr,
		request->config->domain);

	return r < 0 ? r : db_step(store->holds, found, e);
}

/* One that is there already costs no write and no sync. */
static int write_hold(struct sqlite_store *store, const struct store_request *request, const struct ip_addr *addr,
	bool *begun, struct store_reply *reply, struct error *e)
{
	int r = is_held(store, request, addr, e);

	if (r != 0)
		return r < 0 ? r : 0;
	if (!*begun) {
		r = sqlite_store_holds(store, true, e);
		if (r >= 0)
			r = db_begin(store->holds, e);
		if (r < 0)
			return r;
		*begun = true;
	}
	reply->kept[reply->kept_count++] = *addr;
	return db_run(store->holds, e, "INSERT INTO hold(addr, domain, network, ns, value) VALUES (?1, ?2, ?3, ?4, ?5)",
		"atttt", addr, request->config->domain, request->network, request->ns, request->value);
}

/*
 * Holds are committed before the claims that need them: killed in between, an address is kept for the namespace that
 * asked for it. The other way round it would be anybody's when its pod ends.
 */
static int write_holds(
	struct sqlite_store *store, const struct store_request *request, struct store_reply *reply, struct error *e)
{
	bool begun = false;
	int r = 0;

	reply->kept = allocate(request->fixed_count, sizeof(*reply->kept));
	for (size_t i = 0; i < request->fixed_count && r >= 0; i++)
		r = write_hold(store, request, &request->fixed[i], &begun, reply, e);
	if (r >= 0 && begun)
		r = db_commit(store->holds, e);
	if (r < 0 && begun)
		db_rollback(store->holds);
	return r;
}

static int claim_fixed(
	struct sqlite_store *store, const struct store_request *request, struct store_reply *reply, struct error *e)
{
	int r = find_holders(store, request, reply, e);

	if (r < 0)
		return r;
	if (reply->holder_count) {
		reply->answer = STORE_HELD;
		return 0;
	}
	if (request->ns)
		r = write_holds(store, request, reply, e);
	for (size_t i = 0; i < request->fixed_count && r >= 0; i++) {
		reply->addrs[reply->addr_count++] = request->fixed[i];
		r = insert_claim(store, request, &request->fixed[i], e);
	}
	return r;
}

static int claim_dynamic(
	struct sqlite_store *store, const struct store_request *request, struct store_reply *reply, struct error *e)
{
	const struct entry_filter filter = {.network = request->network, .domain = request->config->domain};
	int r = 0;

	for (size_t i = 0; i < request->config->set_count && r >= 0; i++) {
		struct ip_addr *addr = &reply->addrs[reply->addr_count];

		r = sqlite_store_search(store, request, i, addr, e);
		if (r == 0) {
			reply->answer = STORE_FULL;
			reply->full_set = i;
			return sqlite_store_entries(store, &filter, &reply->holders, &reply->holder_count, e);
		}
		if (r > 0)
			r = insert_claim(store, request, addr, e);
		reply->addr_count++;
	}
	return r;
}

static void drop_addrs(struct store_reply *reply)
{
	free(reply->addrs);
	reply->addrs = NULL;
	reply->addr_count = 0;
}

int sqlite_store_claim(
	struct sqlite_store *store, const struct store_request *request, struct store_reply *ret, struct error *e)
{
	size_t count = request->fixed_count ? request->fixed_count : request->config->set_count;
	int r = find_attachment(store, request, ret, e);

	if (r != 0)
		return r < 0 ? r : 0;
	ret->addrs = allocate(count, sizeof(*ret->addrs));
	r = evict(store, request, e);
	if (r >= 0)
		r = sqlite_store_holds(store, false, e);
	if (r >= 0)
		r = request->fixed_count ? claim_fixed(store, request, ret, e) : claim_dynamic(store, request, ret, e);
	if (r < 0)
		return r;
	if (ret->answer == STORE_GRANTED)
		ret->value = copy_text(request->value);
	else
		drop_addrs(ret);
	return 0;
}
