/* What `lamina gc` does: finds what is gone on this node without being told, and collects it once that is certain. */
#pragma once

#include "plugin/base/json.h"

#include <stdbool.h>

/**
 * One run. *ret, owned by the caller, is a list with one object for each thing that is gone: what ("record", "lease",
 * "address", "release"), container, interface, network, addresses, why, result ("collected", "would collect",
 * "waiting", "busy", "failed"), waitSeconds, error. The first error is returned, its details name the others; *ret is
 * filled then, too. dry_run changes nothing.
 */
int gc_node(const char *conf_file, bool dry_run, cJSON **ret, struct error *e);
