#include "plugin/takeover.h"

#include "ipam/record.h"
#include "netlink/link.h"
#include "plugin/state.h"

#include <errno.h>
#include <string.h>

int takeover_load(
	const struct store_entry *holder, const struct run *run, struct record *record, const struct attachment **ret)
{
	cleanup_value struct ipam_value value = {0};
	cleanup_error struct error ignored = {0};

	if (!holder->value || ipam_value_parse(holder->value, &value, &ignored) < 0)
		return -ENOENT;
	if (!same_text(value.record.node, run->node) || !value.record.cid || !is_cni_name(value.record.cid) ||
		state_load(run->config->cni_dir, value.record.cid, NULL, record, &ignored) < 0)
		return -ENOENT;
	for (size_t i = 0; i < record->plan.count; i++) {
		*ret = record->plan.attachments[i];
		if (same_text((*ret)->made.lease_value, holder->value))
			return 0;
	}
	return -ENOENT;
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

/* Another pod's link stays, whatever the API server says of it: as long as it answers, it runs. */
static bool is_of_own_pod(const struct store_entry *holder, const struct run *run)
{
	cleanup_value struct ipam_value value = {0};
	cleanup_error struct error ignored = {0};

	return holder->value && ipam_value_parse(holder->value, &value, &ignored) == 0 &&
	       same_text(value.record.uid, run->request->pod.uid);
}

int takeover_delete_links(const struct takeover *takeover, struct run *run, struct error *e)
{
	for (size_t i = 0; i < takeover->count; i++) {
		cleanup_record struct record record = {0};
		const struct attachment *a = NULL;

		if (!is_of_own_pod(&takeover->entries[i], run) ||
			takeover_load(&takeover->entries[i], run, &record, &a) < 0 ||
			sandbox_is_gone(&record.sandbox, run->boot_id))
			continue;
		if (delete_link(&record, a, run->boot_id, e) < 0)
			return error_wrap(e, "cannot delete the interface of the pod's older sandbox");
	}
	return 0;
}

static void add(struct takeover *takeover, const struct store_entry *holder)
{
	takeover->entries = reallocate(takeover->entries, takeover->count + 1, sizeof(*takeover->entries));
	takeover->entries[takeover->count++] = (struct store_entry){
		.network = copy_text(holder->network),
		.addr = holder->addr,
		.value = copy_text(holder->value),
		.sandbox = copy_text(holder->sandbox),
	};
}

static bool is_listed(const struct takeover *takeover, const struct store_entry *holder)
{
	for (size_t i = 0; i < takeover->count; i++) {
		if (ip_compare(&takeover->entries[i].addr, &holder->addr) == 0 &&
			same_text(takeover->entries[i].value, holder->value))
			return true;
	}
	return false;
}

static int refuse_kept(const struct store_entry *holder, struct error *e)
{
	struct ip_text addr = ip_text(&holder->addr);

	return error_set(e, -EBUSY, ERROR_TRY_AGAIN,
		"address %s is kept for namespace %.253s, whose pod had it: `lamina ip release %s` frees it", addr.s,
		holder->hold, addr.s);
}

static int refuse_reserved(const struct store_entry *holder, const struct ipam_record *record, struct error *e)
{
	struct ip_text addr = ip_text(&holder->addr);

	if (record->pod)
		return error_set(e, -EBUSY, ERROR_TRY_AGAIN,
			"address %s is reserved for pod %.253s/%.253s: `lamina ip release %s` frees it", addr.s,
			record->ns ? record->ns : "", record->pod, addr.s);
	return error_set(e, -EBUSY, ERROR_TRY_AGAIN, "address %s is reserved (%.200s): `lamina ip release %s` frees it",
		addr.s, record->note ? record->note : "no note", addr.s);
}

static bool is_ours(const struct ipam_record *record, const struct run *run)
{
	const struct request_args *pod = &run->request->pod;
	const char *cluster = run->config->cluster ? run->config->cluster : "";

	return same_text(record->ns, pod->ns) && same_text(record->pod, pod->pod) &&
	       strcmp(record->cluster ? record->cluster : "", cluster) == 0;
}

/* Whom the address is kept for, when nobody has it or whoever has it goes. */
static int judge_hold(
	struct takeover *takeover, const struct store_entry *holder, const struct run *run, struct error *e)
{
	const char *ns = run->request->pod.ns;
	cleanup_value struct ipam_value value = {0};
	cleanup_error struct error ignored = {0};

	if (!holder->hold || (ns && strcmp(holder->hold, ns) == 0))
		return 0;
	if (holder->hold[0] != '{' || ipam_value_parse(holder->hold, &value, &ignored) < 0)
		return refuse_kept(holder, e);
	if (!value.record.reserved || !is_ours(&value.record, run))
		return refuse_reserved(holder, &value.record, e);
	free(takeover->reservation);
	takeover->reservation = copy_text(holder->hold);
	return 0;
}

static int judge_held(struct takeover *takeover, const struct lease_request *request, const struct store_entry *holder,
	struct run *run, struct error *e)
{
	struct verdict verdict = {0};

	/* Who has it says more than whom it is kept for. */
	if (holder->value && !is_listed(takeover, holder)) {
		if (takeover_judge_holder(holder, request, run, &verdict, e) < 0)
			return e->err;
		takeover->ask_wire |= verdict.ask_wire;
		if (!verdict.sent)
			add(takeover, holder);
	}
	return judge_hold(takeover, holder, run, e);
}

int takeover_judge(struct takeover *takeover, const struct lease_request *request, const struct store_reply *reply,
	struct run *run, struct error *e)
{
	for (size_t i = 0; i < reply->holder_count; i++) {
		const struct store_entry *holder = &reply->holders[i];

		if (reply->answer == STORE_HELD) {
			if (judge_held(takeover, request, holder, run, e) < 0)
				return e->err;
		} else if (holder->value && lease_holder_is_gone(holder, run)) {
			add(takeover, holder);
		}
	}
	return 0;
}

void takeover_clear(struct takeover *takeover)
{
	store_entries_free(takeover->entries, takeover->count);
	free(takeover->reservation);
	*takeover = (struct takeover){0};
}
