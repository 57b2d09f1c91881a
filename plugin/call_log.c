#include "plugin/call_log.h"

#include "plugin/base/log.h"
#include "plugin/results.h"

static const char *text_or(const char *text, const char *none)
{
	return text ? text : none;
}

static char *print_pod(const struct request *request)
{
	return format_text("%s:%s:%s", text_or(request->pod.ns, ""), text_or(request->pod.pod, ""),
		text_or(request->pod.uid, "unknownUID"));
}

void call_log_add(const struct plan *plan, const struct request *request)
{
	cleanup_free char *pod = print_pod(request);

	for (size_t i = 0; log_wants(LOG_VERBOSE) && i < plan->count; i++) {
		const struct attachment *a = plan->attachments[i];
		cleanup_json cJSON *result = results_print(a);
		cleanup_free char *text = result ? json_print(result) : copy_text("");

		log_write(LOG_VERBOSE, "Add: %s:%s(%s):%s %s", pod, a->name, a->network, a->ifname, text);
	}
}

void call_log_del(const struct plan *plan, const struct request *request)
{
	cleanup_free char *pod = print_pod(request);

	for (size_t i = plan->count; log_wants(LOG_VERBOSE) && i-- > 0;) {
		const struct attachment *a = plan->attachments[i];

		log_write(LOG_VERBOSE, "Del: %s:%s:%s", pod, a->network, a->ifname);
	}
}
