/* Events of Kubernetes (core/v1) about a pod, as multus's recorder posts them: what `kubectl describe pod` shows. They
 * are for people: who calls logs a failure and goes on. */
#pragma once

#include "delegate/kube.h"

/** The two that multus has; each with its type and reason. */
enum event_kind {
	EVENT_ADDED_INTERFACE,  /* Normal, for each attachment that was made */
	EVENT_NO_NETWORK_FOUND, /* Warning, for a NetworkAttachmentDefinition that is not there */
};

/** "Add net1 [10.1.1.11/24] from default/macvlan-conf": the message for an attachment, from its result (inner shape,
 * delegate/result.h) and its network's name ("" or NULL: none). NULL where multus tells nothing: the result has neither
 * interface nor address. Owned by the caller. */
char *event_added_text(const char *ifname, const cJSON *result, const char *network);

/** The message for a missing NetworkAttachmentDefinition; why: what the API server said. Owned by the caller. */
char *event_no_network_text(const char *ns, const char *name, const char *why);

struct event;

/**
 * Starts POST of one event in the pod's namespace. All is copied; kube is borrowed until the event is freed, and its
 * deadline bounds it. Errors as kube_status_start's. Freed with event_free.
 */
int event_start(struct kube *kube, const struct kube_target *pod, enum event_kind kind, const char *message,
	struct event **ret, struct error *e);

/** Awaits it. Errors as kube_pod_await's. */
int event_await(struct event *event, struct error *e);

void event_free(struct event *event);
DEFINE_CLEANUP(struct event, event_free)
#define cleanup_event CLEANUP(event_free_cleanup)
