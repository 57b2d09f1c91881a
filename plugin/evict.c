#include "plugin/evict.h"

#include "ipam/record.h"
#include "netlink/link.h"
#include "plugin/lease.h"
#include "plugin/state.h"

#include <errno.h>
#include <string.h>

static bool same_text(const char *a, const char *b)
{
	return a && b && strcmp(a, b) == 0;
}

/* Deletes the link of an attachment of another container of this node. Its namespace or the link may be gone by now. */
static int delete_link(const struct record *record, const struct attachment *a, struct error *e)
{
	cleanup_close int fd = -1;
	cleanup_nl struct nl *nl = NULL;
	struct link_info link;

	if (!record->sandbox.path || netns_open(record->sandbox.path, &fd, e) < 0 || nl_open(fd, &nl, e) < 0)
		return e->err ? e->err : -ENOENT;
	if (!sandbox_is(&record->sandbox, nl_namespace(nl)))
		return 0;
	if (link_find_macvlan(nl, a->made.mac, &link, e) < 0) {
		if (e->err != -ENODEV)
			return e->err;
		error_clear(e);
		return 0;
	}
	return link_delete(nl, link.ifindex, e);
}

/* Whether the holder is an older sandbox of our own pod, and its interface is gone now. */
static bool is_replaced(const struct store_entry *holder, struct run *run)
{
	cleanup_value struct ipam_value value = {0};
	cleanup_record struct record record = {0};
	cleanup_error struct error ignored = {0};

	if (ipam_value_parse(holder->value, &value, &ignored) < 0)
		return false;
	if (!same_text(value.record.uid, run->request->pod.uid) || !same_text(value.record.node, run->node) ||
		!value.record.cid || !request_is_name(value.record.cid))
		return false;
	if (state_load(run->config->cni_dir, value.record.cid, NULL, &record, &ignored) < 0)
		return false;
	for (size_t i = 0; i < record.plan.count; i++) {
		const struct attachment *a = record.plan.attachments[i];

		if (same_text(a->made.lease_value, holder->value))
			return delete_link(&record, a, &ignored) == 0;
	}
	return false;
}

static void add(struct eviction *eviction, const struct store_entry *holder)
{
	eviction->entries = reallocate(eviction->entries, eviction->count + 1, sizeof(*eviction->entries));
	eviction->entries[eviction->count++] = (struct store_entry){
		.network = copy_text(holder->network),
		.addr = holder->addr,
		.value = copy_text(holder->value),
		.sandbox = copy_text(holder->sandbox),
	};
}

void eviction_extend(struct eviction *eviction, const struct store_reply *reply, struct run *run)
{
	for (size_t i = 0; i < reply->holder_count; i++) {
		const struct store_entry *holder = &reply->holders[i];

		if (!holder->value)
			continue;
		if (lease_holder_is_gone(holder, run) || (reply->answer == STORE_HELD && is_replaced(holder, run)))
			add(eviction, holder);
	}
}

const struct store_entry *eviction_first_refused(const struct eviction *eviction, const struct store_reply *reply)
{
	for (size_t i = 0; i < reply->holder_count; i++) {
		const struct store_entry *holder = &reply->holders[i];
		bool listed = false;

		for (size_t j = 0; j < eviction->count && !listed; j++)
			listed = ip_compare(&eviction->entries[j].addr, &holder->addr) == 0 &&
				 same_text(eviction->entries[j].value, holder->value);
		if (!listed)
			return holder;
	}
	return NULL;
}

void eviction_clear(struct eviction *eviction)
{
	store_entries_free(eviction->entries, eviction->count);
	*eviction = (struct eviction){0};
}
