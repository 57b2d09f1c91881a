/*
 * One annotation of one pod, written through its subresource `status`, as multus writes network-status. To be called
 * once all attachments are made:
 *
 *	kube_open(config, http, clock_now() + 2 * SECONDS, &kube, &e);     a handle of its own: it has the deadline
 *	kube_status_start(kube, &pod, KUBE_NETWORK_STATUS, text, &status, &e);
 *	event_start(kube, &pod, ..., &event, &e);                          events.h; all of them are under way at once
 *	kube_status_await(status, &e);
 *	event_await(event, &e);
 */
#pragma once

#include "delegate/kube.h"

#define KUBE_NETWORK_STATUS "k8s.v1.cni.cncf.io/network-status"

struct kube_status;

/**
 * Starts it, with a PATCH. All is copied; kube is borrowed until the call is freed. Errors: names that no pod has
 * (ERROR_ENVIRONMENT), a tokenFile that cannot be read (ERROR_CONFIG). Freed with kube_status_free.
 */
int kube_status_start(struct kube *kube, const struct kube_target *pod, const char *key, const char *value,
	struct kube_status **ret, struct error *e);

/**
 * Awaits it, until the deadline of kube. Where the user may not patch (multus's own role), the pod is read and put back
 * as it came, with the annotation and all fields that nobody here knows; a pod that changed meanwhile is read again, 5
 * times. A pod that is gone, or whose name another pod (UID) has by now, is success: there is nothing to tell, and the
 * other pod stays as it is. Errors as kube_pod_await's, and ERROR_TRY_AGAIN: the pod kept changing; it has a value that
 * would not come back as it was (a NUL, an integer beyond 2^53), so that it can only be patched; the annotation is not
 * in the pod that the API server answers with.
 */
int kube_status_await(struct kube_status *status, struct error *e);

void kube_status_free(struct kube_status *status);
DEFINE_CLEANUP(struct kube_status, kube_status_free)
#define cleanup_kube_status CLEANUP(kube_status_free_cleanup)
