/* Finding and reading the configuration of this node, for the command line. */
#pragma once

#include "plugin/plan.h"

/**
 * Reads a configuration file, or lamina's plugin out of a list (with the list's name and version). *ret is owned by the
 * caller. A file that has no plugin of ours is ERROR_CONFIG.
 */
int cli_conf_read(const char *path, cJSON **ret, struct error *e);

/**
 * What an ADD with that configuration would make, validated as an ADD does it: nothing is asked or changed. All four
 * results borrow from conf and from each other; config_clear and plan_clear are needed after failure too. defaults: the
 * file of the node's own keys, CONFIG_DEFAULTS or another in its place.
 */
int cli_conf_plan(cJSON *conf, const char *defaults, struct request *request, struct config *config, struct plan *plan,
	struct error *e);

/** The folder that runtimes read: the first file in name order that ends in .conf, .conflist or .json is theirs. */
#define CLI_CONF_FOLDER "/etc/cni/net.d"

/** The names of these files, in that order: an array of strings, owned by the caller. No folder: none. */
cJSON *cli_conf_names(void);

/** The first file of lamina or multus in /etc/cni/net.d, in name order, or path if given. None: an empty object. */
int cli_conf_find(const char *path, cJSON **ret, struct error *e);
