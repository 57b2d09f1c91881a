#include "delegate/events.h"

#include "delegate/kube_get.h"
#include "delegate/text.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <time.h>

#define MAX_EVENT ((size_t)1 << 20)

/* What the API takes as a note; the older form of events, which this is, has no limit of its own. */
#define MAX_MESSAGE ((size_t)1024)

/* An object's name has at most 253 characters; ours ends in a dot and 16 hex digits. */
#define MAX_POD_PART 236

struct event {
	char *what, *path, *name;
	struct kube_get *get;
};

static const struct {
	const char *type, *reason;
} kinds[] = {
	[EVENT_ADDED_INTERFACE] = {"Normal", "AddedInterface"},
	[EVENT_NO_NETWORK_FOUND] = {"Warning", "NoNetworkFound"},
};

/* --- texts --- */

char *event_added_text(const char *ifname, const cJSON *result, const char *network)
{
	const cJSON *interfaces = cJSON_GetObjectItemCaseSensitive(result, "interfaces");
	const cJSON *ips = cJSON_GetObjectItemCaseSensitive(result, "ips"), *ip;
	cleanup_free char *addresses = copy_text("");

	if (cJSON_GetArraySize(interfaces) == 0 && cJSON_GetArraySize(ips) == 0)
		return NULL;
	cJSON_ArrayForEach(ip, ips)
	{
		const char *address = json_text(ip, "address");
		char *longer = format_text("%s%s%s", addresses, *addresses ? " " : "", address ? address : "");

		free(addresses);
		addresses = longer;
	}
	return format_text(
		"Add %s [%s]%s%s", ifname, addresses, network && *network ? " from " : "", network ? network : "");
}

char *event_no_network_text(const char *ns, const char *name, const char *why)
{
	return format_text("cannot find a network-attachment-definition (%s) in namespace (%s): %s", name, ns, why);
}

/* --- one event --- */

static void put_text(cJSON *object, const char *key, const char *text)
{
	if (text)
		json_must(cJSON_AddStringToObject(object, key, text));
}

static cJSON *put_object(cJSON *object, const char *key)
{
	return json_must(cJSON_AddObjectToObject(object, key));
}

static char *write_event(
	const struct kube_target *pod, enum event_kind kind, const char *name, time_t now, const char *message)
{
	cleanup_json cJSON *event = cJSON_CreateObject();
	cleanup_free char *text = text_clean(message, MAX_MESSAGE);
	char time[sizeof("2026-01-01T00:00:00Z") + 8];
	struct tm tm;

	strftime(time, sizeof(time), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &tm));
	put_text(event, "kind", "Event");
	put_text(event, "apiVersion", "v1");

	cJSON *metadata = put_object(event, "metadata"), *involved = put_object(event, "involvedObject");

	put_text(metadata, "name", name);
	put_text(metadata, "namespace", pod->ns);
	put_text(involved, "kind", "Pod");
	put_text(involved, "namespace", pod->ns);
	put_text(involved, "name", pod->name);
	put_text(involved, "uid", pod->uid);
	put_text(involved, "apiVersion", "v1");
	put_text(involved, "resourceVersion", pod->version);
	put_text(event, "reason", kinds[kind].reason);
	put_text(event, "message", text);
	/* Whose events these are is what people filter by. */
	put_text(put_object(event, "source"), "component", "multus");
	put_text(event, "firstTimestamp", time);
	put_text(event, "lastTimestamp", time);
	cJSON_AddNumberToObject(event, "count", 1);
	put_text(event, "type", kinds[kind].type);
	cJSON_AddNullToObject(event, "eventTime");
	put_text(event, "reportingComponent", "multus");
	put_text(event, "reportingInstance", "");
	return json_print(event);
}

int event_start(struct kube *kube, const struct kube_target *pod, enum event_kind kind, const char *message,
	struct event **ret, struct error *e)
{
	if (kube_check_pod(pod->ns, pod->name, e) < 0)
		return e->err;

	cleanup_event struct event *event = allocate(1, sizeof(*event));
	int length = (int)strnlen(pod->name, MAX_POD_PART);
	struct timespec now;

	while (pod->name[length - 1] == '.' || pod->name[length - 1] == '-')
		length--;

	clock_gettime(CLOCK_REALTIME, &now);
	/* client-go names them so, too: by nanoseconds, which two events of one pod do not share. */
	event->name = format_text(
		"%.*s.%" PRIx64, length, pod->name, (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec);
	event->path = format_text("/api/v1/namespaces/%s/events", pod->ns);
	event->what = format_text("event %s of pod %s/%s", kinds[kind].reason, pod->ns, pod->name);

	cleanup_free char *body = write_event(pod, kind, event->name, now.tv_sec, message);
	const struct kube_query query = {event->what, event->path, "events", event->name, "Event", MAX_EVENT};
	const struct kube_change change = {"POST", "application/json", body, "create events"};

	if (kube_send_start(kube, &query, &change, &event->get, e) < 0)
		return e->err;
	*ret = steal_ptr(event);
	return 0;
}

int event_await(struct event *event, struct error *e)
{
	struct kube_answer answer;
	int r = kube_get_await(event->get, &answer, e);

	cJSON_Delete(answer.json);
	/* Nobody else makes one of that name: the answer to our own first try was lost. */
	if (r == -EBUSY) {
		error_clear(e);
		return 0;
	}
	return r;
}

void event_free(struct event *event)
{
	kube_get_free(event->get);
	free(event->what);
	free(event->path);
	free(event->name);
	free(event);
}
