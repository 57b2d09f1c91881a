/* Which networks a pod gets beyond the configuration's delegates: clusterNetwork and defaultNetworks, which the
 * configuration only names, and those that the pod's own annotations ask for. */
#pragma once

#include "plugin/plan.h"
#include "plugin/pod.h"

#define ANNOTATION_NETWORKS "k8s.v1.cni.cncf.io/networks"
#define ANNOTATION_DEFAULT_NETWORK "v1.multus-cni.io/default-network"

/** Whether the configuration's delegates are not all that a pod gets. */
bool selection_is_wanted(const struct config *config);

/**
 * Completes the plan as multus does: clusterNetwork in place of delegates, defaultNetworks behind it (not for a pod of
 * a system namespace), v1.multus-cni.io/default-network in place of the default network, the networks of
 * k8s.v1.cni.cncf.io/networks behind all others. NetworkAttachmentDefinitions are asked for all at once; what is not
 * defined there, or has no configuration there, is looked for in confDir; a name with a / is a file or folder. pod says
 * what the annotations are (NULL: nobody's, so that clusterNetwork alone counts). All of their configurations together
 * have a bound, with what the annotations put into them. Every attachment is validated. Errors name the network; one
 * that is not defined is an event of the pod's, too.
 */
int selection_complete(struct plan *plan, const struct pod *pod, struct run *run, struct error *e);
