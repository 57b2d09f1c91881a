/* What a pod's namespace decides of its networks, by the rules of the configuration. */
#pragma once

#include "plugin/config.h"
#include "plugin/request.h"

/** Whether the pod's namespace is one of systemNamespaces, whose pods get no defaultNetworks. */
bool namespaces_is_system(const struct config *config, const struct request *request);

/** namespaceIsolation: whether the pod may name a network of namespace ns, replaces_default: as its own default
 * network. ERROR_CONFIG when it may not. */
int namespaces_check(const struct config *config, const struct request *request, const char *ns, bool replaces_default,
	struct error *e);
