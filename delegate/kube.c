#include "delegate/kube.h"

#include <errno.h>

int kube_open(const struct kubeconfig *config, struct http *http, int64_t deadline, struct kube **ret, struct error *e)
{
	(void)config, (void)http, (void)deadline, (void)ret;
	return error_set(e, -ENOSYS, ERROR_INTERNAL, "kube is missing");
}

void kube_set_deadline(struct kube *kube, int64_t deadline)
{
	(void)kube, (void)deadline;
}

void kube_free(struct kube *kube)
{
	(void)kube;
}

void kube_pod_clear(struct kube_pod *pod)
{
	(void)pod;
}

int kube_pod_start(
	struct kube *kube, const char *ns, const char *name, bool latest, struct kube_call **ret, struct error *e)
{
	(void)kube, (void)ns, (void)name, (void)latest, (void)ret;
	return error_set(e, -ENOSYS, ERROR_INTERNAL, "kube is missing");
}

int kube_pod_await(struct kube_call *call, struct kube_pod *ret, struct error *e)
{
	(void)call, (void)ret;
	return error_set(e, -ENOSYS, ERROR_INTERNAL, "kube is missing");
}

void kube_call_free(struct kube_call *call)
{
	(void)call;
}

int kube_pod(struct kube *kube, const char *ns, const char *name, struct kube_pod *ret, struct error *e)
{
	(void)kube, (void)ns, (void)name, (void)ret;
	return error_set(e, -ENOSYS, ERROR_INTERNAL, "kube is missing");
}

int kube_node(struct kube *kube, const char *name, struct kube_node *ret, struct error *e)
{
	(void)kube, (void)name, (void)ret;
	return error_set(e, -ENOSYS, ERROR_INTERNAL, "kube is missing");
}

int kube_pods(struct kube *kube, const char *node, struct kube_pod **ret, size_t *ret_count, struct error *e)
{
	(void)kube, (void)node, (void)ret, (void)ret_count;
	return error_set(e, -ENOSYS, ERROR_INTERNAL, "kube is missing");
}

void kube_pods_free(struct kube_pod *pods, size_t count)
{
	(void)pods, (void)count;
}
