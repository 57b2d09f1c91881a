/* STATUS: runtimes ask every few seconds, and a failing answer makes the whole node NotReady. So only what lies on this
 * node counts: an election of etcd's does not. */
#include "plugin/addressing.h"
#include "plugin/base/log.h"
#include "plugin/plan.h"
#include "plugin/readiness.h"
#include "plugin/selection.h"
#include "plugin/verbs.h"

#include "delegate/exec.h"

#include <errno.h>
#include <string.h>

#define STATUS_SHARE 2

/* CNI 1.1.0: 51 says that the pods which are there may suffer, too. */
#define ERROR_LIMITED 51

static int ask(struct attachment *a, struct run *run, struct error *e)
{
	if (a->ops->status(a, run, e) == 0)
		return 0;
	if (e->code != ERROR_LIMITED)
		e->code = ERROR_UNAVAILABLE;
	if (strncmp(e->message, a->path, strlen(a->path)) != 0)
		error_wrap(e, "%s (%s)", a->path, a->network);
	return e->err;
}

/* What only the API server could say is no reason of this node's. */
static int add_local_networks(struct plan *plan, struct run *run, struct error *e)
{
	const char *network = run->config->cluster_network;

	run->asks_nobody = true;
	if (network && selection_complete(plan, NULL, run, e) < 0 && (e->err != -ENOENT || strchr(network, '/')))
		return e->err;
	error_clear(e);
	return 0;
}

int verb_status(const struct request *request, struct error *e)
{
	/* No pod is meant, whatever the environment says: nobody is asked for its annotations. */
	struct request nobody = *request;
	cleanup_config struct config config = {0};
	cleanup_plan struct plan plan = {0};
	cleanup_run struct run run = {.netns_fd = -1};

	nobody.pod = (struct request_args){0};
	nobody.netns = nobody.ifname = nobody.args = "";
	if (config_read(request->conf, false, &config, e) < 0 || plan_build(&plan, &nobody, &config, e) < 0 ||
		readiness_look(&config, e) < 0 ||
		run_open(&run, &nobody, &config, 1 + config.timeout / STATUS_SHARE, e) < 0 ||
		add_local_networks(&plan, &run, e) < 0 || plan_place(&plan, &nobody, &config, NULL, e) < 0)
		return e->err;
	process_adopt_orphans();

	const int64_t deadline = run.call_deadline;

	for (size_t i = 0; i < plan.count; i++) {
		run.call_deadline = clock_share(deadline, plan.count - i);
		if (ask(plan.attachments[i], &run, e) < 0)
			return e->err;
	}
	return 0;
}
