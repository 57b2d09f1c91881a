#include "plugin/assume.h"

#include "plugin/base/log.h"
#include "plugin/pod.h"
#include "plugin/selection.h"

#include <errno.h>
#include <string.h>

/* For what a DEL without a record asks the API server. */
#define DEL_API_SECONDS 3

/* All of it may be there, and nobody knows under which MAC or record. */
static void assume_made(struct plan *plan)
{
	for (size_t i = 0; i < plan->count; i++)
		made_assume(&plan->attachments[i]->made);
}

int assume_record(const struct request *request, struct config *config, struct record *record, struct error *e)
{
	const bool damaged = e->err == -EBADMSG;
	cleanup_free char *why = copy_text(e->message);
	cleanup_error struct error unread = {0};

	error_clear(e);
	record_clear(record);
	config_clear(config);
	if (config_read(request->conf, false, config, &unread) < 0) {
		config_clear(config);
		config_read_folders(request->conf, config);
		config->runtime_config = json_get(request->conf, "runtimeConfig");
	}
	if (state_recall(request, config, damaged, record)) {
		log_write(LOG_WARNING, "%s: going by %s/results", why, config->cni_dir);
		return 0;
	}
	if (damaged)
		log_write(LOG_WARNING, "%s: going by the configuration", why);
	record->done = record->assumed = !damaged;
	record->by_configuration = true;
	if (!unread.err) {
		plan_assume(&record->plan, request, config);
		assume_made(&record->plan);
	} else if (damaged) {
		error_keep_first(e, &unread);
	} else {
		/* Such an ADD was refused before its first step: a runtime must not try its DEL for ever. */
		log_write(LOG_WARNING, "nothing is recorded, and nothing can be planned: %s", unread.message);
	}
	return e->err;
}

/* What the configuration names, and what the pod's annotations ask for, as long as the API server has that pod. */
static int complete_assumed(struct plan *plan, struct run *run, struct error *e)
{
	cleanup_pod struct pod pod = {0};

	plan_assume(plan, run->request, run->config);
	if (run->config->reads_networks &&
		(pod_find(&pod, run->request, run->config, e) < 0 || pod_look(&pod, run, e) < 0))
		return e->err;
	return selection_complete(plan, &pod, run, e);
}

/* An ADD of which nothing is recorded may have made more than what stands in the configuration itself. */
void assume_networks(struct record *record, struct run *run)
{
	const int64_t deadline = run->deadline;
	cleanup_plan struct plan plan = {0};
	cleanup_error struct error e = {0};

	if (!record->by_configuration || !selection_is_wanted(run->config))
		return;
	run->deadline = run_within(run, DEL_API_SECONDS);
	/* It tells nobody of it. */
	run->only_looks = true;
	if (complete_assumed(&plan, run, &e) < 0) {
		log_write(LOG_WARNING, "nothing is recorded, and the pod's networks are not known: %s", e.message);
	} else {
		plan_clear(&record->plan);
		record->plan = plan;
		plan = (struct plan){0};
		assume_made(&record->plan);
	}
	run->only_looks = false;
	run->deadline = deadline;
}
