/* One holder of an address: is he gone? This node's own records are asked first, then the API server. */
#include "ipam/record.h"
#include "plugin/lease_file.h"
#include "plugin/lease_outbox.h"
#include "plugin/state.h"
#include "plugin/takeover.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static int refuse(const struct store_entry *holder, struct error *e, const char *reason, ...)
	__attribute__((format(printf, 3, 4)));

/* "address A is held by default/database-1-0 on node node-2 for 5m: <why, and the way out>" */
static int refuse(const struct store_entry *holder, struct error *e, const char *reason, ...)
{
	cleanup_free char *who = ipam_value_describe(holder->value), *why = NULL;
	va_list args;

	va_start(args, reason);
	if (vasprintf(&why, reason, args) < 0)
		abort();
	va_end(args);
	return error_set(
		e, -EBUSY, ERROR_TRY_AGAIN, "address %s is held by %s: %s", ip_text(&holder->addr).s, who, why);
}

static int refuse_living(const struct store_entry *holder, const struct ipam_record *record, const struct run *run,
	bool terminating, struct error *e)
{
	const char *update = same_text(record->ns, run->request->pod.ns)
				     ? " (for a rolling update: `strategy: Recreate` or `maxSurge: 0`)"
				     : "";

	if (terminating)
		return refuse(holder, e, "that pod is being deleted, and this one starts when it is gone%s", update);
	return refuse(holder, e, "delete that pod first, or give this one another address%s", update);
}

static int refuse_unknown(const struct store_entry *holder, struct error *e)
{
	return refuse(holder, e,
		"nobody can say whether that is gone: if kube-ipam gave it out, `lamina ip import` on its node records "
		"whose "
		"it is; `lamina ip release %s` frees it",
		ip_text(&holder->addr).s);
}

static int refuse_dead_node(const struct store_entry *holder, const struct ipam_record *record, struct error *e)
{
	return refuse(holder, e,
		"that pod is gone, but its node does not answer and may still run it: if %.253s is off, run `kubectl "
		"taint "
		"nodes %.253s node.kubernetes.io/out-of-service=nodeshutdown:NoExecute`, or delete the Node",
		record->node, record->node);
}

/* No Node to taint or delete: the way out of refuse_dead_node leads nowhere. */
static int refuse_guessed_node(const struct store_entry *holder, const struct ipam_record *record, struct error *e)
{
	return refuse(holder, e,
		"that pod is gone, but no Node is called %.253s, which was only the host's name: when nothing runs it "
		"there any more, `lamina ip release %s` frees it; `nodeName` gives a host its Node's name",
		record->node, ip_text(&holder->addr).s);
}

/* Another sandbox of our own pod on this node: the kubelet never runs two of them. */
static bool is_older_sandbox(const struct ipam_record *record, const struct run *run)
{
	return same_text(record->uid, run->request->pod.uid) && same_text(record->node, run->node) && record->cid &&
	       !same_text(record->cid, run->request->container_id);
}

enum local {
	LOCAL_UNKNOWN,
	LOCAL_GONE,
	LOCAL_OURS,   /* it lives, and its link is one that lamina made */
	LOCAL_FOREIGN /* it lives, and somebody else made its link: kube-ipam as another plugin's IPAM */
};

static enum local look_at_lease(
	const struct store_entry *holder, const struct ipam_record *holds, const struct run *run)
{
	cleanup_lease_file struct lease_file file = {0};
	cleanup_error struct error ignored = {0};

	if (!same_text(holds->node, run->node) || !holds->cid || !is_cni_name(holds->cid) || !holds->ifname ||
		request_check_ifname(holds->ifname, &ignored) < 0)
		return LOCAL_UNKNOWN;

	cleanup_free char *path = lease_file_path_of(run->config->cni_dir, holds->cid, holds->ifname);

	if (lease_file_read(path, &file, &ignored) < 0 || !same_text(file.made.lease_value, holder->value))
		return LOCAL_UNKNOWN;
	return sandbox_is_gone(&file.sandbox, run->boot_id) ? LOCAL_GONE : LOCAL_FOREIGN;
}

/* What this node's own records say of one of its containers. */
static enum local look_here(const struct store_entry *holder, const struct ipam_record *holds, const struct run *run)
{
	cleanup_record struct record record = {0};
	const struct attachment *a = NULL;

	if (takeover_load(holder, run, &record, &a) < 0)
		return look_at_lease(holder, holds, run);
	return sandbox_is_gone(&record.sandbox, run->boot_id) ? LOCAL_GONE : LOCAL_OURS;
}

/* The holder's pod, by a linearizable read: 0 when it is gone or has finished. */
static int judge_pod(struct kube *kube, const struct store_entry *holder, const struct ipam_record *record,
	const struct run *run, struct error *e)
{
	cleanup_kube_pod struct kube_pod pod = {0};

	if (kube_pod(kube, record->ns, record->pod, &pod, e) < 0)
		return error_wrap(
			e, "address %s is held, and whether by a living pod is not known", ip_text(&holder->addr).s);
	if (!pod.found || (record->uid && pod.uid && strcmp(record->uid, pod.uid) != 0) ||
		same_text(pod.phase, "Succeeded") || same_text(pod.phase, "Failed"))
		return 0;
	return refuse_living(holder, record, run, pod.terminating, e);
}

/* A pod that is gone from the API may still run where nobody can stop it. */
static int judge_node(struct kube *kube, const struct store_entry *holder, const struct ipam_record *record,
	const struct run *run, struct error *e)
{
	struct kube_node node = {0};

	if (!record->node)
		return refuse_unknown(holder, e);
	if (strcmp(record->node, run->node) == 0)
		return 0;
	if (kube_node(kube, record->node, &node, e) < 0)
		return error_wrap(
			e, "address %s is held, and whether its node lives is not known", ip_text(&holder->addr).s);
	if (node.found ? node.alive || node.out_of_service : !record->node_guessed)
		return 0;
	return node.found ? refuse_dead_node(holder, record, e) : refuse_guessed_node(holder, record, e);
}

static int judge_by_api(const struct store_entry *holder, const struct ipam_record *record, struct run *run,
	struct verdict *ret, struct error *e)
{
	struct kube *kube = NULL;

	if (!record->ns || !record->pod)
		return refuse(holder, e,
			"it is no pod, so nobody can say whether it is gone: `lamina ip release %s` frees it",
			ip_text(&holder->addr).s);
	if (run_kube(run, &kube, e) < 0)
		return e->err;
	if (!kube)
		return refuse(holder, e,
			"without an API server nobody can say whether that pod is gone: set ipam.kubeConfig, or run "
			"`lamina ip "
			"release %s`",
			ip_text(&holder->addr).s);
	if (judge_pod(kube, holder, record, run, e) < 0 || judge_node(kube, holder, record, run, e) < 0)
		return e->err;
	ret->ask_wire = true;
	return 0;
}

int takeover_judge_holder(const struct store_entry *holder, const struct lease_request *request, struct run *run,
	struct verdict *ret, struct error *e)
{
	cleanup_value struct ipam_value value = {0};
	cleanup_error struct error unread = {0};
	const char *cluster = run->config->cluster ? run->config->cluster : "";

	*ret = (struct verdict){0};
	if (lease_holder_is_gone(holder, run))
		return 0;
	if (request->config->etcd && lease_send_queued(holder, run, &ret->sent, e) < 0)
		return e->err;
	if (ret->sent)
		return 0;
	if (ipam_value_parse(holder->value, &value, &unread) < 0)
		return refuse_unknown(holder, e);
	if (strcmp(value.record.cluster ? value.record.cluster : "", cluster) != 0)
		return refuse(holder, e, "pods of another cluster are never replaced: `lamina ip release %s` frees it",
			ip_text(&holder->addr).s);

	const enum local local = look_here(holder, &value.record, run);

	if (local == LOCAL_GONE)
		return 0;
	if (is_older_sandbox(&value.record, run) && local == LOCAL_OURS)
		return 0;
	/* The embedded store knows this node's pods only, and this one's namespace is there. */
	if (!request->config->etcd || local == LOCAL_FOREIGN)
		return refuse_living(holder, &value.record, run, false, e);
	if (is_older_sandbox(&value.record, run)) {
		ret->ask_wire = true;
		return 0;
	}
	return judge_by_api(holder, &value.record, run, ret, e);
}
