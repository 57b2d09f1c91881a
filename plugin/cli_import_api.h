/* lamina ip import --from-api: before the first node is switched. */
#pragma once

#include "plugin/cli_stores.h"

/**
 * Claims the kube-ipam.ip of every running pod of the cluster for it, as a placeholder (import.h) of its node, in the
 * networks that etcd keeps. Appends an outcome for each address. An error means that a server could not be asked.
 */
int cli_import_api(struct cli_stores *stores, bool dry_run, cJSON *outcomes, struct error *e);
