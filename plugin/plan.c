#include "plugin/plan.h"

#include "netlink/link.h"
#include "plugin/base/fault.h"
#include "plugin/base/log.h"
#include "plugin/default_route.h"
#include "plugin/results.h"

#include <errno.h>
#include <string.h>

/* How long other programs' DEL goes before ours: they take 30 ms. */
#define HEAD_START SECONDS

void plan_append(struct plan *plan, struct attachment *a)
{
	plan->attachments = reallocate(plan->attachments, plan->count + 1, sizeof(*plan->attachments));
	plan->attachments[plan->count++] = a;
}

void plan_assume(struct plan *plan, const struct request *request, const struct config *config)
{
	const cJSON *delegate;
	unsigned int index = 0;

	cJSON_ArrayForEach(delegate, config->delegates)
	{
		cleanup_error struct error e = {0};
		cleanup_attachment struct attachment *a = NULL;

		if (!cJSON_IsObject(delegate))
			continue;
		a = attachment_new(delegate, index++, request->ifname);
		if (a->ops->plan(a, request, config, &e) < 0)
			log_write(LOG_WARNING, "left alone: %s", e.message);
		else
			plan_append(plan, steal_ptr(a));
	}
}

static int refuse_ifname(const struct attachment *a, const struct attachment *other, struct error *e)
{
	if (a->asked && a->asked->ifname)
		return error_set(e, -EINVAL, ERROR_CONFIG,
			"the pod's annotation asks for interface %s of network %s, a name that network %s needs: "
			"choose "
			"another one",
			a->ifname, a->name, other->name);
	return error_set(e, -EINVAL, ERROR_ENVIRONMENT,
		"CNI_IFNAME is %s, which %s needs for itself: choose another name", a->ifname, other->path);
}

static int check_ifnames(const struct plan *plan, struct error *e)
{
	for (size_t i = 1; i < plan->count; i++) {
		for (size_t j = 0; j < i; j++) {
			const struct attachment *a = plan->attachments[i], *other = plan->attachments[j];

			if (strcmp(a->ifname, other->ifname) == 0)
				return a->asked && a->asked->ifname ? refuse_ifname(a, other, e)
								    : refuse_ifname(other, a, e);
		}
	}
	return 0;
}

/* Two delegates of one name would share their claims by mistake; a pod that asks twice for a network means it. What
 * other programs make of a name is their business. */
static int check_networks(const struct plan *plan, struct error *e)
{
	for (size_t i = 1; i < plan->count; i++) {
		for (size_t j = 0; j < i; j++) {
			const struct attachment *a = plan->attachments[i], *other = plan->attachments[j];

			if (!a->asked && !other->asked && attachment_claims(a) && attachment_claims(other) &&
				strcmp(a->network, other->network) == 0)
				return error_set(e, -EINVAL, ERROR_CONFIG,
					"%s.name is \"%s\", the name of %s: each network needs its own", a->path,
					a->network, other->path);
		}
	}
	return 0;
}

int plan_check(const struct plan *plan, struct error *e)
{
	return check_ifnames(plan, e) < 0 ? e->err : check_networks(plan, e);
}

/* multus's daemon asks with its own account, so that its shim's file names none; without any, every network that a pod
 * asks for would be left out in silence. */
static int check_shim(const struct config *config, struct error *e)
{
	if (config->is_shim && !config->reads_networks)
		return error_set(e, -EINVAL, ERROR_CONFIG,
			"type is multus-shim, and nothing says how the API server is asked for pods' networks: "
			"set kubeconfig in " CONFIG_DEFAULTS " (lamina defaults --write kubeconfig=FILE)");
	return 0;
}

int plan_build(struct plan *plan, const struct request *request, const struct config *config, struct error *e)
{
	const cJSON *delegate;
	unsigned int index = 0;

	if (check_shim(config, e) < 0)
		return e->err;
	cJSON_ArrayForEach(delegate, config->delegates)
	{
		if (!cJSON_IsObject(delegate))
			return error_set(e, -EINVAL, ERROR_CONFIG, "delegates[%u] is not an object", index);

		struct attachment *a = attachment_new(delegate, index++, request->ifname);

		plan_append(plan, a);
		if (a->ops->plan(a, request, config, e) < 0)
			return e->err;
	}
	return plan_check(plan, e);
}

static int check_name_free(const struct attachment *a, struct run *run, struct error *e)
{
	struct link_info link;

	if (link_get(run->pod, a->ifname, &link, e) == 0)
		return error_set(e, -EEXIST, ERROR_ENVIRONMENT,
			"interface %s exists in %s already: it is left as it is", a->ifname, run->netns_path);
	if (e->err != -ENODEV)
		return e->err;
	error_clear(e);
	return 0;
}

int plan_inspect(struct plan *plan, struct run *run, struct error *e)
{
	for (size_t i = 0; i < plan->count; i++) {
		struct attachment *a = plan->attachments[i];

		if (results_check_name(a, run->request->container_id, e) < 0 || check_name_free(a, run, e) < 0 ||
			a->ops->inspect(a, run, e) < 0)
			return e->err;
	}
	return 0;
}

int plan_prepare(struct plan *plan, struct run *run, struct error *e)
{
	for (size_t i = 0; i < plan->count; i++) {
		struct attachment *a = plan->attachments[i];

		if (a->ops->prepare && a->ops->prepare(a, run, e) < 0)
			return e->err;
	}
	return 0;
}

bool plan_may_begin(const struct plan *plan, const struct config *config)
{
	return !config->reads_networks && !attachment_claims(plan->attachments[0]);
}

int plan_begin(struct plan *plan, struct run *run, struct error *e)
{
	struct attachment *a = plan->attachments[0];

	return a->ops->start(a, run, e);
}

/* Whoever releases comes back when the connections stand: other programs are at work meanwhile. */
static void warm(struct plan *plan, struct run *run, bool releases)
{
	for (size_t i = 0; i < plan->count; i++) {
		struct attachment *a = plan->attachments[i];

		if (a->ops->warm && (!releases || a->made.lease != MADE_NOTHING))
			a->ops->warm(a, run, releases);
	}
}

void plan_warm(struct plan *plan, struct run *run)
{
	warm(plan, run, false);
}

int plan_make(struct plan *plan, struct run *run, struct error *e)
{
	for (size_t i = 1; i < plan->count; i++) {
		struct attachment *a = plan->attachments[i];

		if (a->independent && a->ops->start(a, run, e) < 0)
			return e->err;
	}
	trace_step("independent attachments made");
	if (fault_point("started") < 0)
		return error_set(e, -EIO, ERROR_IO, "fault: started");
	for (size_t i = 0; i < plan->count; i++) {
		struct attachment *a = plan->attachments[i];

		if (i > 0 && !a->independent && a->ops->start(a, run, e) < 0)
			return e->err;
		if (a->ops->finish(a, run, e) < 0 || default_route_apply(plan, a, run, e) < 0)
			return e->err;
		trace_step(a->ifname);
	}
	return 0;
}

void plan_settle(struct plan *plan)
{
	for (size_t i = 0; i < plan->count; i++)
		plan->attachments[i]->ops->settle(plan->attachments[i]);
}

static void note(bool *failed, struct error *first, struct error *now)
{
	if (!now->err)
		return;
	*failed = true;
	log_write(LOG_WARNING, "%s", now->message);
	error_keep_first(first, now);
}

static bool is_program(const struct attachment *a)
{
	return !a->ops->in_process && a->made.exec != MADE_NOTHING;
}

/*
 * Starts the newest program among the first `below`. They are called one after the other, since one may need what an
 * older one made, each with an equal share of the time left: one that hangs must not take the others' DEL away.
 */
static void start_program(struct plan *plan, size_t below, struct run *run, bool *failed, struct error *e)
{
	const int64_t deadline = run->call_deadline;
	size_t left = 0;

	for (size_t i = 0; i < below; i++)
		left += is_program(plan->attachments[i]);
	for (size_t i = below; i-- > 0;) {
		struct attachment *a = plan->attachments[i];
		cleanup_error struct error now = {0};

		if (!is_program(a))
			continue;
		run->call_deadline = clock_share(deadline, left--);

		int r = a->ops->del_start(a, run, &now);

		run->call_deadline = deadline;
		if (r >= 0)
			return;
		note(&failed[i], e, &now);
	}
}

static void find_links(struct plan *plan, struct run *run, bool *failed, struct error *e)
{
	for (size_t i = plan->count; i-- > 0;) {
		struct attachment *a = plan->attachments[i];
		cleanup_error struct error now = {0};

		if (a->ops->in_process && a->ops->del_start(a, run, &now) < 0)
			note(&failed[i], e, &now);
	}
}

/* A failure shows in del_finish too, which looks whether its link is gone before it releases an address. */
static void delete_links(struct run *run, struct error *e)
{
	cleanup_error struct error now = {0};
	bool failed = false;

	if (run->pod && run->doomed_count > 0 &&
		link_delete_aside(run->pod, run->netns_fd, run->doomed, run->doomed_count, &now) < 0)
		note(&failed, e, &now);
	run->doomed_count = 0;
}

/* What fails in one is no reason to leave the others. */
static void finish_del(struct attachment *a, struct run *run, bool *failed, struct error *e)
{
	cleanup_error struct error now = {0};

	if (!*failed && a->ops->del_finish(a, run, &now) < 0)
		note(failed, e, &now);
}

/*
 * Finishes the programs among the first `below`, newest first, each of which starts the next one. The first that is
 * still at work at the limit is left to run. Returns how far it came: what is to be finished then is below that.
 */
static size_t finish_programs(
	struct plan *plan, size_t below, int64_t limit, struct run *run, bool *failed, struct error *e)
{
	for (size_t i = below; i-- > 0;) {
		struct attachment *a = plan->attachments[i];
		bool under_way = is_program(a) && !failed[i];

		if (a->ops->in_process)
			continue;
		if (under_way && limit && !a->ops->del_ends(a, limit))
			return i + 1;
		finish_del(a, run, &failed[i], e);
		if (under_way)
			start_program(plan, i, run, failed, e);
	}
	return 0;
}

static void finish_own(struct plan *plan, struct run *run, bool *failed, struct error *e)
{
	for (size_t i = plan->count; i-- > 0;) {
		if (plan->attachments[i]->ops->in_process)
			finish_del(plan->attachments[i], run, &failed[i], e);
	}
}

/*
 * Other programs' interfaces first, ours behind them: the kernel takes links apart one after the other, 15 ms each, and
 * a program that must wait for ours would be late by that, while nobody has to wait for the end of ours. A program that
 * hangs does not keep ours, though: whoever waits for us may lose patience before it is killed.
 */
int plan_unmake(struct plan *plan, struct run *run, bool *done, struct error *e)
{
	cleanup_free bool *failed = allocate(plan->count, sizeof(*failed));

	start_program(plan, plan->count, run, failed, e);
	warm(plan, run, true);

	size_t below = finish_programs(plan, plan->count, clock_now() + HEAD_START, run, failed, e);

	trace_step(below ? "programs are late" : "programs ended");
	find_links(plan, run, failed, e);
	delete_links(run, e);
	trace_step("links deleted");
	/* Too late to fail: what is deleted is deleted. */
	fault_point("links_deleted");
	finish_own(plan, run, failed, e);
	finish_programs(plan, below, 0, run, failed, e);
	for (size_t i = 0; i < plan->count; i++)
		done[i] = !failed[i];
	return e->err;
}

cJSON *plan_describe(const struct plan *plan)
{
	cJSON *list = cJSON_CreateArray();

	for (size_t i = 0; i < plan->count; i++) {
		const struct attachment *a = plan->attachments[i];
		const char *type = json_text(a->conf, "type");
		cJSON *out = cJSON_CreateObject();

		json_put_text(out, "interface", a->ifname);
		json_put_text(out, "network", a->network);
		json_put_text(out, "type", type ? type : "list");
		json_put_text(out, "kind", a->ops->kind);
		a->ops->describe(a, out);
		cJSON_AddItemToArray(list, out);
	}
	return list;
}

void plan_clear(struct plan *plan)
{
	for (size_t i = 0; i < plan->count; i++)
		attachment_free(plan->attachments[i]);
	free(plan->attachments);
	*plan = (struct plan){0};
}
