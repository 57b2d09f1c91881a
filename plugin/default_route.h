/*
 * The pod's default route, where its networks annotation names one (`default-route`): the gateways that it names become
 * the default of their family, in the main table, in place of all others. A family that it does not name stays as it
 * is, and an empty list asks for what the network's own configuration does.
 */
#pragma once

#include "plugin/plan.h"

/** Whether the annotation is one that can be followed: one gateway a family for the whole pod, and each an address that
 * a router can have. ERROR_CONFIG. */
int default_route_check(const struct plan *plan, struct error *e);

/** Takes the default routes that the annotation replaces out of a->result: for an attachment whose routes are installed
 * by us, before they are. */
void default_route_forgo(struct attachment *a);

/**
 * Follows it for one attachment that is complete: takes away its default routes of a family for which another network
 * has the gateway, and installs its own in place of all that are there; what a->result says of the main table's routes
 * follows. From the network with the gateway on, each call sees to it that this is the only default route of its
 * family. Without such an annotation nothing is done. made.gateways says what was installed. ERROR_IO, ERROR_CONFIG.
 */
int default_route_apply(const struct plan *plan, struct attachment *a, struct run *run, struct error *e);

/** Whether the default routes of made.gateways are still the pod's: nothing as good stands beside them. ERROR_IO names
 * what is there. */
int default_route_verify(const struct attachment *a, struct run *run, struct error *e);
