#include "delegate/kube_status.h"

#include "delegate/kube_get.h"
#include "delegate/kube_pod.h"
#include "plugin/base/log.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#define MAX_POD ((size_t)4 << 20)

/* As client-go's retry.DefaultRetry: the kubelet writes the same pod's status in this moment. */
#define MAX_TRIES 5
#define FIRST_PAUSE (SECONDS / 100)

/* Below it every integer is a double. */
#define MAX_EXACT 9007199254740992.0

struct kube_status {
	struct kube *kube;
	char *ns, *name, *uid, *key, *value;
	char *what, *pod_path, *status_path;
	struct kube_get *get; /* the write that is under way */
};

/* --- what is sent --- */

static int send_change(struct kube_status *status, const struct kube_change *change, struct error *e)
{
	const struct kube_query query = {status->what, status->status_path, "pods", status->name, "Pod", MAX_POD};

	return kube_send_start(status->kube, &query, change, &status->get, e);
}

/* With the UID the API server refuses to change another pod of that name (422: it is immutable). */
static int send_patch(struct kube_status *status, struct error *e)
{
	cleanup_json cJSON *patch = json_must(cJSON_CreateObject());
	cJSON *metadata = json_must(cJSON_AddObjectToObject(patch, "metadata"));

	if (status->uid)
		json_must(cJSON_AddStringToObject(metadata, "uid", status->uid));
	json_must(cJSON_AddStringToObject(
		json_must(cJSON_AddObjectToObject(metadata, "annotations")), status->key, status->value));

	cleanup_free char *body = json_print(patch);

	return send_change(
		status, &(struct kube_change){"PATCH", "application/merge-patch+json", body, "patch pods/status"}, e);
}

/* Whether every number of it is printed as it was read. */
static bool is_exact(const cJSON *value)
{
	if (cJSON_IsRaw(value) && fabs(value->valuedouble) >= MAX_EXACT)
		return false;
	for (const cJSON *child = value->child; child; child = child->next) {
		if (!is_exact(child))
			return false;
	}
	return true;
}

/* The pod as it was read: with its resourceVersion, so that nobody's change is undone (409). */
static int send_put(struct kube_status *status, cJSON *pod, bool altered, struct error *e)
{
	cJSON *metadata = cJSON_GetObjectItemCaseSensitive(pod, "metadata");
	cJSON *annotations = cJSON_GetObjectItemCaseSensitive(metadata, "annotations");

	if (altered || !is_exact(pod))
		return error_set(e, -EPROTO, ERROR_TRY_AGAIN,
			"%s: it has a NUL or an integer beyond 2^53, which would not come back as it is; give the "
			"user the right to patch pods/status",
			status->what);
	if (!cJSON_IsObject(metadata))
		return error_set(e, -EPROTO, ERROR_TRY_AGAIN,
			"%s: the API server's answer has no metadata: what stands in front of it must hand on pods as "
			"they are",
			status->what);
	if (!cJSON_IsObject(annotations)) {
		cJSON_DeleteItemFromObjectCaseSensitive(metadata, "annotations");
		annotations = json_must(cJSON_AddObjectToObject(metadata, "annotations"));
	}
	cJSON_DeleteItemFromObjectCaseSensitive(annotations, status->key);
	json_must(cJSON_AddStringToObject(annotations, status->key, status->value));

	cleanup_free char *body = json_print(pod);

	return send_change(
		status, &(struct kube_change){"PUT", "application/json", body, "patch or update pods/status"}, e);
}

int kube_status_start(struct kube *kube, const struct kube_target *pod, const char *key, const char *value,
	struct kube_status **ret, struct error *e)
{
	if (kube_check_pod(pod->ns, pod->name, e) < 0)
		return e->err;

	cleanup_kube_status struct kube_status *status = allocate(1, sizeof(*status));

	status->kube = kube;
	status->ns = copy_text(pod->ns);
	status->name = copy_text(pod->name);
	status->uid = pod->uid && *pod->uid ? copy_text(pod->uid) : NULL;
	status->key = copy_text(key);
	status->value = copy_text(value);
	status->what = format_text("annotation %s of pod %s/%s", key, pod->ns, pod->name);
	status->pod_path = format_text("/api/v1/namespaces/%s/pods/%s", pod->ns, pod->name);
	status->status_path = format_text("%s/status", status->pod_path);
	if (send_patch(status, e) < 0)
		return e->err;
	*ret = steal_ptr(status);
	return 0;
}

/* --- what is answered --- */

static bool is_written(const struct kube_status *status, const cJSON *pod)
{
	const cJSON *metadata = cJSON_GetObjectItemCaseSensitive(pod, "metadata");
	const cJSON *annotations = cJSON_GetObjectItemCaseSensitive(metadata, "annotations");

	return same_text(
		cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(annotations, status->key)), status->value);
}

/* Whether it is the pod that we mean: by the API server's UID or by the kubelet's. From now on we name the former. */
static bool is_ours(struct kube_status *status, const cJSON *pod)
{
	const cJSON *metadata = cJSON_GetObjectItemCaseSensitive(pod, "metadata");
	const cJSON *annotations = cJSON_GetObjectItemCaseSensitive(metadata, "annotations");
	const char *uid = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(metadata, "uid"));

	if (!status->uid)
		return true;
	if (!uid || (strcmp(status->uid, uid) != 0 && strcmp(status->uid, kube_kubelet_uid(uid, annotations)) != 0))
		return false;
	free(status->uid);
	status->uid = copy_text(uid);
	return true;
}

static int nothing_to_tell(const struct kube_status *status, const char *why)
{
	log_write(LOG_DEBUG, "%s: not written: the pod is gone%s", status->what, why);
	return 0;
}

enum { DONE, SENT };

/* Reads the pod and, if it is still ours, sends the change anew: SENT. DONE: there is nothing to be sent. */
static int send_again(struct kube_status *status, bool put, struct error *e)
{
	const struct kube_query query = {status->what, status->pod_path, "pods", status->name, "Pod", MAX_POD};
	cleanup_kube_get struct kube_get *get = NULL;
	struct kube_answer answer;

	if (kube_get_start(status->kube, &query, &get, e) < 0 || kube_get_await(get, &answer, e) < 0)
		return e->err;

	cleanup_json cJSON *pod = answer.json;

	if (!pod)
		return nothing_to_tell(status, "");
	if (!is_ours(status, pod))
		return nothing_to_tell(status, ", and another one has its name");
	/* By us: the answer to our own write was lost. */
	if (is_written(status, pod))
		return DONE;

	int r = put ? send_put(status, pod, answer.altered, e) : send_patch(status, e);

	return r < 0 ? r : SENT;
}

/* 0: it is written, or the pod is gone. */
static int await_write(struct kube_status *status, int *ret_http, struct error *e)
{
	struct kube_answer answer;
	int r = kube_get_await(status->get, &answer, e);
	cleanup_json cJSON *pod = answer.json;

	kube_get_free(steal_ptr(status->get));
	*ret_http = answer.status;
	if (r < 0)
		return r;
	if (!pod)
		return nothing_to_tell(status, "");
	if (!is_written(status, pod))
		return error_set(e, -EPROTO, ERROR_TRY_AGAIN,
			"%s: the API server took it, and yet its answer has another value: does an admission webhook "
			"remove it?",
			status->what);
	return 0;
}

/* Other nodes' plugins and the kubelet are not to meet again in the same moment. */
static void pause_before(int try, int64_t deadline)
{
	clock_pause(FIRST_PAUSE * try + clock_chance(FIRST_PAUSE), deadline);
}

int kube_status_await(struct kube_status *status, struct error *e)
{
	bool put = false, looked = false;

	for (int try = 1;; try++) {
		int http = 0, r = await_write(status, &http, e);

		if (r == 0)
			return 0;
		if (http == 403 && !put)
			put = true;
		else if (http == 422 && !looked)
			looked = true; /* another pod, or the kubelet's UID; else it is the annotation itself */
		else if (r == -EBUSY && try < MAX_TRIES)
			pause_before(try, status->kube->deadline);
		else
			return r;
		log_write(LOG_DEBUG, "reading the pod: %s", e->message);
		error_clear(e);
		r = send_again(status, put, e);
		if (r != SENT)
			return r;
	}
}

void kube_status_free(struct kube_status *status)
{
	kube_get_free(status->get);
	free(status->ns);
	free(status->name);
	free(status->uid);
	free(status->key);
	free(status->value);
	free(status->what);
	free(status->pod_path);
	free(status->status_path);
	free(status);
}
