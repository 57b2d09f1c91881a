#include "plugin/verbs.h"

#include "delegate/exec.h"
#include "delegate/result.h"
#include "plugin/assume.h"
#include "plugin/base/fault.h"
#include "plugin/base/log.h"
#include "plugin/call_log.h"
#include "plugin/default_route.h"
#include "plugin/import.h"
#include "plugin/lease_outbox.h"
#include "plugin/leftovers.h"
#include "plugin/pod.h"
#include "plugin/readiness.h"
#include "plugin/report.h"
#include "plugin/results.h"
#include "plugin/selection.h"
#include "plugin/state.h"

#include <errno.h>
#include <string.h>

/* Shares of the time that an ADD has (key `timeout`, 60 s): its rollback, and DEL and CHECK. */
#define ROLLBACK_SHARE 4
#define DEL_SHARE 2

/* For what comes behind the answer, which the runtime waits for all the same. */
#define AFTERWARDS_SECONDS 2

static int64_t share(const struct config *config, int64_t part)
{
	int64_t seconds = config->timeout / part;

	return seconds > 0 ? seconds : 1;
}

/* An ADD for what is recorded already must leave the earlier one alone. */
static int refuse_recorded(const struct request *request, const struct config *config, struct error *e)
{
	cleanup_record struct record record = {0};

	if (state_load(config->cni_dir, request->container_id, request->ifname, &record, e) == -ENOENT) {
		error_clear(e);
		return 0;
	}
	if (e->err == -EBADMSG)
		return error_wrap(e, "container %s has a record already, call DEL first", request->container_id);
	if (e->err)
		return e->err;
	return error_set(e, -EEXIST, ERROR_ENVIRONMENT,
		"container %s has interface %s of network %s already: call DEL first", request->container_id,
		request->ifname, record.network ? record.network : request->network);
}

/* The first error is what the runtime sees; what the way down says is logged there. */
static void roll_back(struct plan *plan, struct run *run)
{
	cleanup_free bool *done = allocate(plan->count, sizeof(*done));
	cleanup_error struct error down = {0};

	trace_step("rolling back");
	/* Programs that are under way end by their own deadlines; the way down has its own time behind that, also to
	 * wait for the store. */
	plan_settle(plan);
	run_extend(run, share(run->config, ROLLBACK_SHARE));
	run->going_back = true;
	run_close_stores(run);
	plan_unmake(plan, run, done, &down);
	error_clear(&down);
	if (state_strike(plan, done, run, &down) < 0)
		log_write(LOG_WARNING, "%s", down.message);
}

/* What plugins before us made, as a result to go on from. */
static int read_previous(const struct request *request, cJSON **ret, struct error *e)
{
	const cJSON *previous = json_get(request->conf, "prevResult");

	if (!previous) {
		*ret = result_new();
		return 0;
	}
	if (result_read(previous, request->version, ret, e) < 0)
		return error_wrap(e, "could not parse prevResult");
	return 0;
}

/* What multus answers for a pod that is not there any more: runtimes want an address. */
static int result_of_unknown_pod(const struct request *request, cJSON **ret, struct error *e)
{
	cleanup_json cJSON *result = result_new();

	result_add_interface(result, request->ifname, NULL, request->netns);
	result_add_ip(result, -1, "0.0.0.0/0", "0.0.0.0");
	return result_convert(result, request->version, ret, e);
}

/* overall becomes the result of the whole ADD. */
static int make_recorded(
	struct plan *plan, const struct pod *pod, struct run *run, cJSON *overall, cJSON **ret, struct error *e)
{
	cleanup_json cJSON *result = NULL;
	cleanup_report struct report *report = NULL;

	if (plan_make(plan, run, e) < 0)
		return e->err;
	for (size_t i = 0; i < plan->count; i++) {
		if (results_save(plan->attachments[i], run, e) < 0)
			return e->err;
	}
	call_log_add(plan, run->request);
	result_merge(overall, plan->attachments[0]->result);
	/* Before the record says done: a version that cannot hold the result is an error that undoes all. */
	if (result_convert(overall, run->request->version, &result, e) < 0)
		return e->err;
	/* It is under way while the record is written. */
	report_start(plan, pod, run, &report);
	if (state_save(plan, true, run, e) < 0)
		return e->err;
	report_await(report);
	*ret = steal_ptr(result);
	return 0;
}

/* Where the annotations come from; those that the runtime has handed over are placed at once, when all networks are
 * known by then. */
static int find_pod(
	struct pod *pod, struct plan *plan, const struct request *request, const struct config *config, struct error *e)
{
	*pod = (struct pod){0};
	if (!plan_claims(plan) && !config->reads_networks)
		return 0;
	if (pod_find(pod, request, config, e) < 0)
		return e->err;
	if (pod->source == POD_API || config->reads_networks)
		return 0;
	return plan_place(plan, request, config, pod->annotations, e);
}

/* What a pod gets that the API server does not know is multus's answer, *ret, unless an address is to be claimed for
 * it: then it may be a fixed one. e says why it is not known. */
static int answer_unknown_pod(struct plan *plan, struct run *run, cJSON **ret, struct error *e)
{
	const struct pod nobody = {.source = POD_NONE};
	cleanup_error struct error failed = {0};

	if (selection_complete(plan, &nobody, run, &failed) < 0 || plan_claims(plan))
		return e->err;
	log_write(LOG_WARNING, "%s: nothing is made", e->message);
	error_clear(e);
	return result_of_unknown_pod(run->request, ret, e);
}

/*
 * Completes the plan by what the configuration and the pod's annotations only name. *ret, when it is set, is the
 * whole answer: nothing is to be made.
 */
static int learn_networks(
	struct config *config, struct pod *pod, struct plan *plan, struct run *run, cJSON **ret, struct error *e)
{
	if (run->config->reads_networks && (pod_ask(pod, run, e) < 0 || pod_await(pod, run, e) < 0)) {
		if (pod->source != POD_API || pod->object.found || e->err != -ENOENT)
			return e->err;
		return answer_unknown_pod(plan, run, ret, e);
	}
	if (selection_complete(plan, pod, run, e) < 0)
		return e->err;
	if (run->config->reads_networks)
		return plan_place(plan, run->request, run->config, pod->annotations, e);
	/* Only now is it known whether addresses are claimed, and who can be asked for the pod's annotations. */
	for (size_t i = 0; i < plan->count; i++)
		config_adopt_kube_config(config, import_own_conf(plan->attachments[i]->conf));
	return find_pod(pod, plan, run->request, run->config, e) < 0 ? e->err : pod_check(pod, run, e);
}

/* From here on the record can say what will be claimed. */
static int learn_pod(struct pod *pod, struct plan *plan, struct run *run, struct error *e)
{
	if (pod->source == POD_API && !run->config->reads_networks) {
		if (pod_ask(pod, run, e) < 0)
			return e->err;
		plan_warm(plan, run);
		if (pod_await(pod, run, e) < 0 || plan_place(plan, run->request, run->config, pod->annotations, e) < 0)
			return e->err;
	}
	/* Only now is the node's name known, under which the stores keep what is claimed. */
	if (plan_claims(plan) && import_once(run, e) < 0)
		return e->err;
	return plan_prepare(plan, run, e);
}

static int learn_late(struct pod *pod, struct plan *plan, struct run *run, struct error *e)
{
	if (learn_pod(pod, plan, run, e) < 0 || state_save(plan, false, run, e) < 0)
		return e->err;
	return fault_point("learned") < 0 ? error_set(e, -EIO, ERROR_IO, "fault: learned") : 0;
}

/* Everything up to the first thing that is made. *ret, when it is set, is the whole answer: nothing is to be made. */
static int prepare_add(
	struct config *config, struct pod *pod, struct plan *plan, struct run *run, cJSON **ret, struct error *e)
{
	const struct request *request = run->request;

	if (refuse_recorded(request, config, e) < 0 || run_enter(run, request->netns, e) < 0 ||
		pod_check(pod, run, e) < 0)
		return e->err;
	if (selection_is_wanted(config)) {
		if (learn_networks(config, pod, plan, run, ret, e) < 0 || *ret)
			return e->err;
		trace_step("networks planned");
	}
	if (default_route_check(plan, e) < 0 || plan_inspect(plan, run, e) < 0)
		return e->err;
	trace_step("inspected");
	return 0;
}

int verb_add(const struct request *request, cJSON **ret, struct error *e)
{
	cleanup_config struct config config = {0};
	cleanup_plan struct plan plan = {0};
	cleanup_run struct run run = {.netns_fd = -1};
	cleanup_pod struct pod pod = {0};
	cleanup_json cJSON *overall = NULL;

	if (config_read(request->conf, false, &config, e) < 0 || plan_build(&plan, request, &config, e) < 0 ||
		read_previous(request, &overall, e) < 0 || find_pod(&pod, &plan, request, &config, e) < 0)
		return e->err;
	trace_step("planned");
	if (run_open(&run, request, &config, config.timeout, e) < 0 || readiness_await(&run, e) < 0 ||
		prepare_add(&config, &pod, &plan, &run, ret, e) < 0 || *ret)
		return e->err;
	process_adopt_orphans();
	/* For speed, and only then, something is made before all is validated: the default network, before the API
	 * server is asked for annotations that do not change it. */
	const bool early = pod.source == POD_API && plan_may_begin(&plan, &config);

	if (!early && learn_pod(&pod, &plan, &run, e) < 0)
		return e->err;
	if (state_save(&plan, false, &run, e) < 0)
		return e->err;
	trace_step("recorded");
	if (fault_point("recorded") < 0)
		error_set(e, -EIO, ERROR_IO, "fault: recorded");
	if (e->err || plan_begin(&plan, &run, e) < 0 || (early && learn_late(&pod, &plan, &run, e) < 0) ||
		make_recorded(&plan, &pod, &run, overall, ret, e) < 0)
		roll_back(&plan, &run);
	return e->err;
}

/* Where no record of ours says which it is, a namespace is the container's unless another one's record names it: a
 * runtime also calls DEL for an ADD that was refused since somebody else's interface was there. */
static bool is_pods(const struct run *run, const struct record *record)
{
	if (record->ours)
		return sandbox_is(&record->sandbox, &run->sandbox, run->boot_id);
	return !state_is_anothers(run->config->cni_dir, run->request->container_id, &run->sandbox, run->boot_id);
}

/* Enters the namespace at path if it is the pod's. One that came later at the same path is a successor's: it is left
 * alone, and other programs must not be sent there either. */
static int enter_if_same(struct run *run, const struct record *record, const char *path, struct error *e)
{
	if (!path || !*path || run->pod)
		return 0;
	if (run_enter(run, path, e) < 0) {
		if (e->code != ERROR_NO_NAMESPACE && (e->code != ERROR_NAMESPACE || run->netns_fd >= 0))
			return e->err;
	} else if (is_pods(run, record)) {
		run->call_netns = path;
		return 0;
	}
	if (e->code != ERROR_NO_NAMESPACE)
		run->call_netns = "";
	error_clear(e);
	nl_free(run->pod);
	run->pod = NULL;
	cleanup_close_fd(&run->netns_fd);
	return 0;
}

/* The pod's namespace where the runtime says that it is, else where it was. Not there: the links are gone with it. */
static int enter_recorded(struct run *run, const struct record *record, struct error *e)
{
	if (enter_if_same(run, record, run->request->netns, e) < 0)
		return e->err;
	return enter_if_same(run, record, record->sandbox.path, e);
}

static int load_or_assume(const struct request *request, struct config *config, struct record *record, struct error *e)
{
	config_read_folders(request->conf, config);
	if (state_load(config->cni_dir, request->container_id, request->ifname, record, e) == 0) {
		/* The record has all that is needed; the configuration may be anything by now. */
		config->runtime_config = json_get(request->conf, "runtimeConfig");
		return 0;
	}
	return e->err == -ENOENT || e->err == -EBADMSG ? assume_record(request, config, record, e) : e->err;
}

static int await_killed(
	const struct request *request, const struct record *record, const struct run *run, struct error *e)
{
	size_t seen = 0;

	if (record->done && !record->going)
		return 0;

	/* Half of the time is for the way down itself. */
	int64_t deadline = clock_share(run->deadline, 2);

	if (process_await_container(request->container_id, deadline, &seen, e) < 0)
		return e->err;
	trace_step("killed ones awaited");
	return 0;
}

/* Two programs that delete one thing at the same time disturb each other: whoever comes after a DEL that is killed must
 * know of it. On a full disk nobody does, but DEL does its work. */
static void mark_going(const struct record *record, const struct run *run)
{
	cleanup_error struct error ignored = {0};
	bool programs = false;

	for (size_t i = 0; i < record->plan.count; i++)
		programs |= record->plan.attachments[i]->made.exec != MADE_NOTHING;
	if (record->ours && record->done && programs)
		state_mark_going(run, &ignored);
}

int verb_take_down(struct run *run, struct record *record, struct error *e)
{
	if (await_killed(run->request, record, run, e) < 0 || enter_recorded(run, record, e) < 0)
		return e->err;
	state_complete_versions(record, run->request);
	call_log_del(&record->plan, run->request);
	mark_going(record, run);
	trace_step("loaded");

	cleanup_free bool *done = allocate(record->plan.count, sizeof(*done));
	cleanup_error struct error strike = {0};

	plan_unmake(&record->plan, run, done, e);
	fault_point("unmade");
	/* The record comes before the first step: without one, what refuses to be deleted was never made, and a runtime
	 * must not try it for ever. */
	if (record->assumed && e->err) {
		log_write(LOG_WARNING, "nothing is recorded: %s", e->message);
		error_clear(e);
	}
	state_strike(&record->plan, done, run, &strike);
	error_keep_first(e, &strike);
	return e->err;
}

int verb_del(const struct request *request, struct error *e)
{
	cleanup_config struct config config = {0};
	cleanup_record struct record record = {0};
	cleanup_run struct run run = {.netns_fd = -1};

	if (load_or_assume(request, &config, &record, e) < 0)
		return e->err;
	if (run_open(&run, request, &config, share(&config, DEL_SHARE), e) < 0)
		return e->err;
	readiness_note(&config);
	process_adopt_orphans();
	assume_networks(&record, &run);
	if (verb_take_down(&run, &record, e) == 0)
		leftovers_clear(&record, &run);
	return e->err;
}

/* A record that is lost leads to libcni's cache, by which multus goes, too. */
static int load_checked(const struct request *request, const struct config *config, struct record *ret, struct error *e)
{
	if (state_load(config->cni_dir, request->container_id, request->ifname, ret, e) == 0)
		return 0;
	if (e->err != -ENOENT)
		return e->err;
	record_clear(ret);
	if (!state_recall(request, config, false, ret))
		return error_set(e, -ENOENT, ERROR_NO_NAMESPACE, "container %s has no recorded interface %s",
			request->container_id, request->ifname);
	error_clear(e);
	log_write(
		LOG_WARNING, "container %s has no record: going by %s/results", request->container_id, config->cni_dir);
	return 0;
}

int verb_check(const struct request *request, struct error *e)
{
	cleanup_config struct config config = {0};
	cleanup_record struct record record = {0};
	cleanup_run struct run run = {.netns_fd = -1};

	if (config_read(request->conf, false, &config, e) < 0)
		return e->err;
	if (!json_get(request->conf, "prevResult"))
		return error_set(e, -EINVAL, ERROR_CONFIG, "required prevResult missing");
	if (load_checked(request, &config, &record, e) < 0)
		return e->err;
	if (!record.done || record.going)
		return error_set(e, -EINVAL, ERROR_IO, "the %s of container %s was never completed: call DEL",
			record.going ? "DEL" : "ADD", request->container_id);
	if (run_open(&run, request, &config, share(&config, DEL_SHARE), e) < 0 ||
		run_enter(&run, request->netns, e) < 0)
		return e->err;
	if (record.ours && !sandbox_is(&record.sandbox, &run.sandbox, run.boot_id))
		return error_set(e, -EINVAL, ERROR_IO,
			"%s is another namespace than the one that the record of container %s names", request->netns,
			request->container_id);
	process_adopt_orphans();
	for (size_t i = 0; i < record.plan.count; i++) {
		struct attachment *a = record.plan.attachments[i];

		if (a->ops->check(a, &run, e) < 0 || default_route_verify(a, &run, e) < 0)
			return e->err;
	}
	return 0;
}

void verb_afterwards(const struct request *request, const struct timespec *began)
{
	cleanup_config struct config config = {0};
	cleanup_run struct run run = {.netns_fd = -1};
	cleanup_error struct error e = {0};

	config_read_folders(request->conf, &config);
	if (!lease_outbox_waits(&config, began))
		return;
	if (run_open(&run, request, &config, AFTERWARDS_SECONDS, &e) < 0 || lease_drain_outbox(&run, NULL, &e) < 0)
		log_write(LOG_WARNING, "queued releases wait on: %s", e.message);
	trace_step("queued releases sent");
}
