/* Finding and reading the configuration of this node, for the command line. */
#pragma once

#include "plugin/base/json.h"

/**
 * Reads a configuration file, or lamina's plugin out of a list (with the list's name and version). *ret is owned by the
 * caller. A file that has no plugin of ours is ERROR_CONFIG.
 */
int cli_conf_read(const char *path, cJSON **ret, struct error *e);

/** The first file of lamina or multus in /etc/cni/net.d, in name order, or path if given. None: an empty object. */
int cli_conf_find(const char *path, cJSON **ret, struct error *e);
