#include "plugin/report.h"

#include "delegate/events.h"
#include "delegate/kube_status.h"
#include "plugin/base/log.h"
#include "plugin/device_info.h"
#include "plugin/network_status.h"

#include <errno.h>
#include <string.h>

/* How long a pod waits for the API server to be told of it. */
#define REPORT_SECONDS 2

struct report {
	struct kube *kube;
	struct kube_status *status;
	struct event **events;
	size_t event_count;
};

static void log_failure(const struct error *e)
{
	if (e->err)
		log_write(LOG_WARNING, "the API server is not told: %s", e->message);
}

/* Whom it is about. */
static struct kube_target target_of(const struct pod *pod, const struct request *request)
{
	if (pod->source == POD_API)
		return (struct kube_target){.ns = request_namespace(request),
			.name = request->pod.pod,
			.uid = pod->object.object_uid,
			.version = pod->object.version};
	return (struct kube_target){
		.ns = request_namespace(request), .name = request->pod.pod, .uid = request->pod.uid};
}

/* A client of its own, since it has a deadline of its own. */
static int open_kube(struct run *run, struct kube **ret, struct error *e)
{
	struct http *http = NULL;

	if (run_read_kubeconfig(run, e) < 0 || run_http(run, &http, e) < 0)
		return e->err;
	return kube_open(run->kubeconfig, http, run_within(run, REPORT_SECONDS), ret, e);
}

static bool is_wanted(const struct pod *pod, const struct run *run)
{
	return run->config->reads_networks && !run->only_looks && pod && run->request->pod.pod;
}

static void start_event(struct report *report, const struct kube_target *target, enum event_kind kind, const char *text)
{
	cleanup_error struct error e = {0};
	struct event *event = NULL;

	if (event_start(report->kube, target, kind, text, &event, &e) < 0) {
		log_failure(&e);
		return;
	}
	report->events = reallocate(report->events, report->event_count + 1, sizeof(struct event *));
	report->events[report->event_count++] = event;
}

static void start_events(struct report *report, const struct plan *plan, const struct kube_target *target)
{
	for (size_t i = 0; i < plan->count; i++) {
		const struct attachment *a = plan->attachments[i];
		cleanup_free char *text = event_added_text(a->ifname, a->result, a->name);

		if (text)
			start_event(report, target, EVENT_ADDED_INTERFACE, text);
	}
}

static char *print_status(const struct plan *plan, const struct run *run)
{
	cleanup_free struct network_status *statuses = allocate(plan->count, sizeof(*statuses));
	cleanup_json cJSON *devices = cJSON_CreateArray();

	for (size_t i = 0; i < plan->count; i++) {
		const struct attachment *a = plan->attachments[i];

		cJSON *device = device_info_read(a, run);

		if (device)
			cJSON_AddItemToArray(devices, device);
		statuses[i] = (struct network_status){
			.name = a->name, .result = a->result, .is_default = i == 0, .device = device};
	}
	return network_status_print(statuses, plan->count);
}

void report_start(const struct plan *plan, const struct pod *pod, struct run *run, struct report **ret)
{
	cleanup_error struct error e = {0};

	*ret = NULL;
	if (!is_wanted(pod, run))
		return;

	cleanup_report struct report *report = allocate(1, sizeof(*report));
	const struct kube_target target = target_of(pod, run->request);
	cleanup_free char *text = print_status(plan, run);

	if (open_kube(run, &report->kube, &e) < 0) {
		log_failure(&e);
		return;
	}
	if (text && kube_status_start(report->kube, &target, KUBE_NETWORK_STATUS, text, &report->status, &e) < 0)
		log_failure(&e);
	start_events(report, plan, &target);
	http_progress(run->http);
	*ret = steal_ptr(report);
	trace_step("network-status sent");
}

void report_await(struct report *report)
{
	if (!report)
		return;
	if (report->status) {
		cleanup_error struct error e = {0};

		kube_status_await(report->status, &e);
		log_failure(&e);
	}
	for (size_t i = 0; i < report->event_count; i++) {
		cleanup_error struct error e = {0};

		event_await(report->events[i], &e);
		log_failure(&e);
	}
	trace_step("network-status written");
}

void report_free(struct report *report)
{
	if (!report)
		return;
	for (size_t i = 0; i < report->event_count; i++)
		event_free(report->events[i]);
	free(report->events);
	if (report->status)
		kube_status_free(report->status);
	if (report->kube)
		kube_free(report->kube);
	free(report);
}

void report_no_network(const struct pod *pod, struct run *run, const char *message)
{
	cleanup_error struct error e = {0};

	if (!is_wanted(pod, run))
		return;

	cleanup_report struct report *report = allocate(1, sizeof(*report));
	const struct kube_target target = target_of(pod, run->request);

	if (open_kube(run, &report->kube, &e) < 0) {
		log_failure(&e);
		return;
	}
	start_event(report, &target, EVENT_NO_NETWORK_FOUND, message);
	report_await(report);
}
