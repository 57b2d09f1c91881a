/*
 * What the API server is told of a pod's networks: the annotation k8s.v1.cni.cncf.io/network-status, which people and
 * programs read, and events. Only where the configuration has an API server of its own (config.reads_networks). None of
 * it makes a pod fail: what cannot be told is logged.
 */
#pragma once

#include "plugin/plan.h"
#include "plugin/pod.h"

struct report;

/** Begins to tell what was made: all attachments are complete. *ret, which may be NULL, is freed with report_free. */
void report_start(const struct plan *plan, const struct pod *pod, struct run *run, struct report **ret);

/** Awaits the end of it, for a short time. NULL: nothing is under way. */
void report_await(struct report *report);

void report_free(struct report *report);
DEFINE_CLEANUP(struct report, report_free)
#define cleanup_report CLEANUP(report_free_cleanup)

/** Tells, with a warning event, that a network which the pod asks for is not defined; awaits it for a short time. */
void report_no_network(const struct pod *pod, struct run *run, const char *message);
