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
static int delete_link(const struct record *record, const struct attachment *a, const char *boot_id, struct error *e)
{
	cleanup_close int fd = -1;
	cleanup_nl struct nl *nl = NULL;
	struct link_info link;

	if (!record->sandbox.path || netns_open(record->sandbox.path, &fd, e) < 0 || nl_open(fd, &nl, e) < 0)
		return e->err ? e->err : -ENOENT;
	if (!sandbox_is(&record->sandbox, nl_namespace(nl), boot_id))
		return 0;
	if (link_find_macvlan(nl, a->made.mac, &link, e) < 0) {
		if (e->err != -ENODEV)
			return e->err;
		error_clear(e);
		return 0;
	}
	return link_delete(nl, link.ifindex, e);
}

/* Loads the record that wrote the holder's value: 0 and its attachment, if it is an older sandbox of our own pod. */
static int load_older_sandbox(
	const struct store_entry *holder, struct run *run, struct record *record, const struct attachment **ret)
{
	cleanup_value struct ipam_value value = {0};
	cleanup_error struct error ignored = {0};

	if (!holder->value || ipam_value_parse(holder->value, &value, &ignored) < 0)
		return -ENOENT;
	if (!same_text(value.record.uid, run->request->pod.uid) || !same_text(value.record.node, run->node) ||
		!value.record.cid || !request_is_name(value.record.cid) ||
		same_text(value.record.cid, run->request->container_id))
		return -ENOENT;
	if (state_load(run->config->cni_dir, value.record.cid, NULL, record, &ignored) < 0)
		return -ENOENT;
	for (size_t i = 0; i < record->plan.count; i++) {
		*ret = record->plan.attachments[i];
		if (same_text((*ret)->made.lease_value, holder->value))
			return 0;
	}
	return -ENOENT;
}

static bool is_older_sandbox(const struct store_entry *holder, struct run *run)
{
	cleanup_record struct record record = {0};
	const struct attachment *a = NULL;

	return load_older_sandbox(holder, run, &record, &a) == 0;
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
		if (lease_holder_is_gone(holder, run) || (reply->answer == STORE_HELD && is_older_sandbox(holder, run)))
			add(eviction, holder);
	}
}

int eviction_delete_links(const struct eviction *eviction, struct run *run, struct error *e)
{
	for (size_t i = 0; i < eviction->count; i++) {
		cleanup_record struct record record = {0};
		const struct attachment *a = NULL;

		if (lease_holder_is_gone(&eviction->entries[i], run) ||
			load_older_sandbox(&eviction->entries[i], run, &record, &a) < 0)
			continue;
		if (delete_link(&record, a, run->boot_id, e) < 0)
			return error_wrap(e, "cannot delete the interface of the pod's older sandbox");
	}
	return 0;
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
