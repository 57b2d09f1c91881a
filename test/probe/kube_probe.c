/*
 * kube_probe KUBECONFIG MILLISECONDS pod NAMESPACE NAME | nad NAMESPACE NAME | node NAME | pods [NODE] | annotate
 * NAMESPACE NAME UID KEY VALUE | events NAMESPACE NAME UID VERSION MESSAGE: one question to an API server, or what is
 * written to it, for tests. UID may be empty; events posts both kinds at once, as ADD does. Prints the answer as one
 * JSON object (pods: one a line; of a write: {}), or {"code":..,"msg":..} and ends with 1.
 */
#include "delegate/events.h"
#include "delegate/kube_status.h"
#include "delegate/nad.h"
#include "plugin/base/log.h"

#include <errno.h>
#include <signal.h>
#include <string.h>

static void print(cJSON *object)
{
	cleanup_free char *text = json_print(object);

	puts(text);
	cJSON_Delete(object);
}

static int print_failure(const struct error *e)
{
	cJSON *object = cJSON_CreateObject();

	cJSON_AddNumberToObject(object, "code", e->code);
	cJSON_AddStringToObject(object, "msg", e->message);
	print(object);
	return 1;
}

static void add_text(cJSON *object, const char *key, const char *text)
{
	if (text)
		cJSON_AddStringToObject(object, key, text);
}

static void print_pod(const struct kube_pod *pod)
{
	cJSON *object = cJSON_CreateObject();

	cJSON_AddBoolToObject(object, "found", pod->found);
	add_text(object, "namespace", pod->ns);
	add_text(object, "name", pod->name);
	add_text(object, "uid", pod->uid);
	add_text(object, "node", pod->node);
	add_text(object, "phase", pod->phase);
	cJSON_AddBoolToObject(object, "terminating", pod->terminating);
	if (pod->annotations)
		cJSON_AddItemToObject(object, "annotations", json_copy(pod->annotations));
	print(object);
}

static int ask_pod(struct kube *kube, const char *ns, const char *name, struct error *e)
{
	cleanup_kube_pod struct kube_pod pod = {0};
	int r = kube_pod(kube, ns, name, &pod, e);

	if (r == 0)
		print_pod(&pod);
	return r;
}

static int ask_nad(struct kube *kube, const char *ns, const char *name, struct error *e)
{
	cleanup_nad_call struct nad_call *call = NULL;
	cleanup_nad struct nad nad = {0};

	if (nad_start(kube, ns, name, &call, e) < 0 || nad_await(call, &nad, e) < 0)
		return e->err;

	cJSON *object = cJSON_CreateObject();

	cJSON_AddBoolToObject(object, "found", nad.found);
	add_text(object, "namespace", nad.ns);
	add_text(object, "name", nad.name);
	add_text(object, "config", nad.config);
	add_text(object, "resource", nad.resource);
	print(object);
	return 0;
}

static int ask_node(struct kube *kube, const char *name, struct error *e)
{
	struct kube_node node;
	int r = kube_node(kube, name, &node, e);

	if (r < 0)
		return r;

	cJSON *object = cJSON_CreateObject();

	cJSON_AddBoolToObject(object, "found", node.found);
	cJSON_AddBoolToObject(object, "outOfService", node.out_of_service);
	cJSON_AddBoolToObject(object, "alive", node.alive);
	print(object);
	return 0;
}

static int ask_pods(struct kube *kube, const char *node, struct error *e)
{
	struct kube_pod *pods = NULL;
	size_t count = 0;
	int r = kube_pods(kube, node, &pods, &count, e);

	for (size_t i = 0; i < count; i++)
		print_pod(&pods[i]);
	kube_pods_free(pods, count);
	return r;
}

static int annotate(struct kube *kube, char *const *words, struct error *e)
{
	const struct kube_target pod = {words[0], words[1], words[2], NULL};
	cleanup_kube_status struct kube_status *status = NULL;

	if (kube_status_start(kube, &pod, words[3], words[4], &status, e) < 0 || kube_status_await(status, e) < 0)
		return e->err;
	print(cJSON_CreateObject());
	return 0;
}

static int post_events(struct kube *kube, char *const *words, struct error *e)
{
	const struct kube_target pod = {words[0], words[1], words[2], words[3]};
	cleanup_event struct event *added = NULL, *missing = NULL;

	if (event_start(kube, &pod, EVENT_ADDED_INTERFACE, words[4], &added, e) < 0 ||
		event_start(kube, &pod, EVENT_NO_NETWORK_FOUND, words[4], &missing, e) < 0 ||
		event_await(added, e) < 0 || event_await(missing, e) < 0)
		return e->err;
	print(cJSON_CreateObject());
	return 0;
}

static int ask(struct kube *kube, int count, char *const *words, struct error *e)
{
	if (count == 3 && strcmp(words[0], "pod") == 0)
		return ask_pod(kube, words[1], words[2], e);
	if (count == 3 && strcmp(words[0], "nad") == 0)
		return ask_nad(kube, words[1], words[2], e);
	if (count == 2 && strcmp(words[0], "node") == 0)
		return ask_node(kube, words[1], e);
	if (count >= 1 && strcmp(words[0], "pods") == 0)
		return ask_pods(kube, count > 1 ? words[1] : NULL, e);
	if (count == 6 && strcmp(words[0], "annotate") == 0)
		return annotate(kube, words + 1, e);
	if (count == 6 && strcmp(words[0], "events") == 0)
		return post_events(kube, words + 1, e);
	return error_set(e, -EINVAL, ERROR_ENVIRONMENT,
		"kube_probe KUBECONFIG MILLISECONDS pod|nad|node|pods|annotate|events ...");
}

int main(int argc, char **argv)
{
	cleanup_kubeconfig struct kubeconfig *config = NULL;
	cleanup_http struct http *http = NULL;
	cleanup_kube struct kube *kube = NULL;
	cleanup_error struct error e = {0};
	int64_t deadline = clock_now() + (argc > 2 ? strtoll(argv[2], NULL, 10) * 1000 : 0);

	signal(SIGPIPE, SIG_IGN);
	if (kubeconfig_read(argc > 1 ? argv[1] : "", &config, &e) < 0 || http_open(&http, &e) < 0 ||
		kube_open(config, http, deadline, &kube, &e) < 0 || ask(kube, argc - 3, argv + 3, &e) < 0)
		return print_failure(&e);
	return 0;
}
