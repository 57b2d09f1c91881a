#include "plugin/pod.h"

#include "plugin/base/log.h"

#include <errno.h>
#include <string.h>

/* How long a pod is waited for that the API server does not know yet, and how often it is asked then. */
#define PATIENCE (4 * SECONDS)
#define PAUSE (SECONDS / 5)

int pod_find(struct pod *ret, const struct request *request, const struct config *config, struct error *e)
{
	const cJSON *map = json_get(config->runtime_config, ANNOTATIONS_CAPABILITY);
	const struct request_args *pod = &request->pod;

	*ret = (struct pod){.source = POD_RUNTIME, .annotations = map};
	/* What Go prints for a map that was never made: handed over, and empty. */
	if (cJSON_IsNull(cJSON_GetObjectItemCaseSensitive(config->runtime_config, ANNOTATIONS_CAPABILITY)))
		return 0;
	if (map && !cJSON_IsObject(map))
		return error_set(
			e, -EINVAL, ERROR_CONFIG, "runtimeConfig[\"%s\"] must be an object", ANNOTATIONS_CAPABILITY);
	if (map)
		return 0;
	ret->source = pod->pod ? POD_API : POD_NONE;
	if (!pod->pod || config->kube_config || config->in_cluster)
		return 0;
	if (config->declares_annotations)
		return error_set(e, -ENOENT, ERROR_CONFIG,
			"the runtime did not hand over the annotations of pod %.64s/%.256s, which may have a fixed "
			"address: "
			"containerd >= 1.5 or CRI-O >= 1.29 is needed, or ipam.kubeConfig to ask the API server",
			pod->ns ? pod->ns : "", pod->pod);
	return error_set(e, -ENOENT, ERROR_CONFIG,
		"capabilities lacks \"%s\": true, and ipam has no kubeConfig, so nobody says whether pod %.64s/%.256s "
		"has a "
		"fixed address: add one of them",
		ANNOTATIONS_CAPABILITY, pod->ns ? pod->ns : "", pod->pod);
}

static int name_pod(const struct run *run, struct error *e)
{
	return error_wrap(
		e, "the annotations of pod %.64s/%.256s", request_namespace(run->request), run->request->pod.pod);
}

int pod_check(const struct pod *pod, struct run *run, struct error *e)
{
	if (pod->source != POD_API)
		return 0;
	if (run_read_kubeconfig(run, e) < 0 ||
		kube_check_pod(request_namespace(run->request), run->request->pod.pod, e) < 0)
		return name_pod(run, e);
	return 0;
}

static int start(struct pod *pod, struct run *run, bool latest, struct error *e)
{
	struct kube *kube = NULL;

	if (run_kube(run, &kube, e) < 0)
		return e->err;
	return kube_pod_start(kube, request_namespace(run->request), run->request->pod.pod, latest, &pod->call, e);
}

/* A cache may still have an earlier pod of that name: only its UID tells. */
static bool may_be_cached(const struct run *run)
{
	return run->request->pod.uid != NULL;
}

int pod_ask(struct pod *pod, struct run *run, struct error *e)
{
	if (pod->source != POD_API)
		return 0;
	if (start(pod, run, !may_be_cached(run), e) < 0)
		return name_pod(run, e);
	trace_step("API server asked");
	return 0;
}

static int await_one(struct pod *pod, struct error *e)
{
	cleanup_kube_call struct kube_call *call = steal_ptr(pod->call);

	kube_pod_clear(&pod->object);
	return kube_pod_await(call, &pod->object, e);
}

/* The kubelet reads it from a file or from elsewhere, and the API server has a mirror of it with a UID of its own. Most
 * mirrors say which UID they stand for (kube_pod.uid); with any other one nothing can be compared, as with multus. */
static bool is_mirror_of_unknown(const cJSON *annotations)
{
	const char *source = json_text(annotations, "kubernetes.io/config.source");

	return source && strcmp(source, "api") != 0 && !json_get(annotations, "kubernetes.io/config.mirror") &&
	       !json_get(annotations, "kubernetes.io/config.hash");
}

/* What a cache has of a pod before it was bound to a node is older than what the kubelet starts. */
static bool is_asked_for(const struct pod *pod, const struct run *run, bool latest)
{
	const char *uid = run->request->pod.uid;

	return pod->object.found &&
	       (!uid || !pod->object.uid || strcmp(uid, pod->object.uid) == 0 ||
		       (latest && is_mirror_of_unknown(pod->object.annotations))) &&
	       (latest || pod->object.node);
}

/* A cache may be behind, and the kubelet may be ahead of what was written. */
static int await_that_pod(struct pod *pod, struct run *run, struct error *e)
{
	bool latest = !may_be_cached(run);

	if (await_one(pod, e) < 0)
		return e->err;

	const int64_t patience = clock_now() + PATIENCE;

	while (!is_asked_for(pod, run, latest) && (!latest || clock_now() < patience)) {
		if (latest)
			clock_pause(PAUSE, run->deadline);
		if (start(pod, run, true, e) < 0 || await_one(pod, e) < 0)
			return e->err;
		latest = true;
	}
	if (is_asked_for(pod, run, latest))
		return 0;
	if (!pod->object.found)
		return error_set(e, -ENOENT, ERROR_TRY_AGAIN,
			"the API server does not know the pod: it was deleted, or is not "
			"written yet");
	return error_set(e, -ESTALE, ERROR_TRY_AGAIN,
		"the API server's pod has UID %.64s, not %.64s: another one has that name by now", pod->object.uid,
		run->request->pod.uid);
}

int pod_await(struct pod *pod, struct run *run, struct error *e)
{
	if (pod->source != POD_API)
		return 0;
	if (await_that_pod(pod, run, e) < 0)
		return name_pod(run, e);
	pod->annotations = pod->object.annotations;
	/* Without a UID it may be the pod's next life, on another node: whose claims GC would then take for this one's.
	 */
	if (run->request->pod.uid)
		run_name_node(run, pod->object.node);
	trace_step("annotations known");
	return 0;
}

int pod_look(struct pod *pod, struct run *run, struct error *e)
{
	if (pod->source != POD_API)
		return 0;
	if (start(pod, run, true, e) < 0 || await_one(pod, e) < 0)
		return name_pod(run, e);
	pod->object.found = is_asked_for(pod, run, true);
	pod->annotations = pod->object.found ? pod->object.annotations : NULL;
	return 0;
}

void pod_clear(struct pod *pod)
{
	if (pod->call)
		kube_call_free(pod->call);
	kube_pod_clear(&pod->object);
	*pod = (struct pod){0};
}
