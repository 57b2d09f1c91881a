#include "ipam/record.h"
#include "ipam/store_sqlite_claim.h"
#include "plugin/base/log.h"

#include <errno.h>
#include <string.h>

/* Who has the entry's address now: 1 and the domain, or 0 when nobody has. */
static int find_claim(struct sqlite_store *store, const struct store_entry *entry, char **ret_domain, struct error *e)
{
	cleanup_statement struct sqlite3_stmt *found = NULL;
	int r = db_query(store->claims, &found, e, "SELECT domain, value FROM claim WHERE addr = ?1 AND network = ?2",
		"at", &entry->addr, entry->network);

	if (r >= 0)
		r = db_step(store->claims, found, e);
	if (r <= 0)
		return r;

	cleanup_free char *value = db_text(found, 1);

	if (!entry->value || !value || strcmp(value, entry->value) != 0)
		return error_set(e, -ESTALE, ERROR_TRY_AGAIN,
			"%s has another holder by now: look again before you release it", ip_text(&entry->addr).s);
	*ret_domain = db_text(found, 0);
	return 1;
}

/* Whom it is kept for may have changed, too; nobody any more is no change. */
static int check_hold(struct sqlite_store *store, const struct store_entry *entry, const char *domain, struct error *e)
{
	cleanup_statement struct sqlite3_stmt *found = NULL;
	int r = db_query(store->holds, &found, e,
		"SELECT 1 FROM hold WHERE addr = ?1 AND (network = ?2 OR domain = ?3) AND ns IS NOT ?4", "attt",
		&entry->addr, entry->network, domain, entry->hold);

	if (r >= 0)
		r = db_step(store->holds, found, e);
	if (r <= 0)
		return r;
	return error_set(e, -ESTALE, ERROR_TRY_AGAIN,
		"%s is kept for somebody else by now: look again before you release it", ip_text(&entry->addr).s);
}

int sqlite_store_forget(struct sqlite_store *store, const struct store_entry *entry, struct error *e)
{
	cleanup_free char *domain = NULL;
	int claimed = find_claim(store, entry, &domain, e);
	int r = claimed < 0 ? claimed : sqlite_store_holds(store, false, e);

	if (r >= 0 && store->holds)
		r = check_hold(store, entry, domain, e);
	/* The hold goes first: a claim without hold ends with its pod, a hold without claim needs a person. */
	if (r >= 0 && store->holds)
		r = db_run(store->holds, e, "DELETE FROM hold WHERE addr = ?1 AND (network = ?2 OR domain = ?3)", "att",
			&entry->addr, entry->network, domain);
	if (r < 0 || !claimed)
		return r;
	r = db_run(store->claims, e, "INSERT OR REPLACE INTO released(addr, domain, at) VALUES (?1, ?2, ?3)", "ati",
		&entry->addr, domain, clock_now());
	if (r >= 0)
		r = db_run(store->claims, e, "DELETE FROM claim WHERE addr = ?1 AND network = ?2", "at", &entry->addr,
			entry->network);
	return r;
}

/* --- reservations --- */

static bool is_claim_of(const char *text, const char *ns)
{
	cleanup_error struct error ignored = {0};
	cleanup_value struct ipam_value value = {0};

	return text && ipam_value_parse(text, &value, &ignored) >= 0 && same_text(value.record.ns, ns);
}

/* Whether an entry of the same address is no hindrance. */
static bool may_stay(const struct store_entry *found, const struct store_entry *entry, const char *ns)
{
	bool claim = !found->value || (is_claim_of(found->value, ns) && strcmp(found->network, entry->network) == 0);

	return claim && (!found->hold || same_text(found->hold, ns) || same_text(found->hold, entry->hold));
}

static int replace_hold(
	struct sqlite_store *store, const struct store_entry *entry, const char *domain, struct error *e)
{
	int r = sqlite_store_holds(store, true, e);

	if (r >= 0)
		r = db_begin(store->holds, e);
	if (r < 0)
		return r;
	r = db_run(store->holds, e, "DELETE FROM hold WHERE addr = ?1 AND (network = ?2 OR domain = ?3)", "att",
		&entry->addr, entry->network, domain);
	if (r >= 0)
		r = db_run(store->holds, e, "INSERT INTO hold(addr, domain, network, ns) VALUES (?1, ?2, ?3, ?4)",
			"attt", &entry->addr, domain, entry->network, entry->hold);
	if (r >= 0)
		r = db_commit(store->holds, e);
	if (r < 0)
		db_rollback(store->holds);
	return r;
}

/* Takes those out of the reply that may stay; whether one of them is this very hold. */
static bool drop_harmless(struct store_reply *reply, const struct store_entry *entry, const char *ns)
{
	struct store_entry *harmless = allocate(reply->holder_count + 1, sizeof(*harmless));
	size_t kept = 0, dropped = 0;
	bool already = false;

	for (size_t i = 0; i < reply->holder_count; i++) {
		const struct store_entry *found = &reply->holders[i];

		already = already || same_text(found->hold, entry->hold);
		if (may_stay(found, entry, ns))
			harmless[dropped++] = *found;
		else
			reply->holders[kept++] = *found;
	}
	reply->holder_count = kept;
	store_entries_free(harmless, dropped);
	return already;
}

int sqlite_store_reserve(struct sqlite_store *store, const struct store_entry *entry, const char *domain,
	const char *ns, struct store_reply *ret, struct error *e)
{
	const struct entry_filter filter = {.network = entry->network, .domain = domain, .addr = &entry->addr};
	int r = sqlite_store_entries(store, &filter, &ret->holders, &ret->holder_count, e);

	if (r < 0)
		return r;

	bool already = drop_harmless(ret, entry, ns);

	ret->answer = ret->holder_count ? STORE_HELD : already ? STORE_ALREADY : STORE_GRANTED;
	return ret->answer == STORE_GRANTED ? replace_hold(store, entry, domain, e) : 0;
}
