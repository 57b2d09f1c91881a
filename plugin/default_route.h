/*
 * The pod's default route, where its networks annotation names one (`default-route`): the gateways that it names become
 * the default of their family, in the main table, in place of all others. A family that it does not name stays as it
 * is.
 */
#pragma once

#include "plugin/plan.h"

/** Whether the annotation is one that can be followed: one gateway a family for the whole pod. ERROR_CONFIG. */
int default_route_check(const struct plan *plan, struct error *e);

/**
 * Follows it for one attachment that is complete: takes away its default routes of a family for which another network
 * has the gateway, and installs its own in their place; what a->result says of routes follows. Without such an
 * annotation nothing is done. Verifies that the kernel has what was asked for. ERROR_IO, ERROR_CONFIG.
 */
int default_route_apply(const struct plan *plan, struct attachment *a, struct run *run, struct error *e);
