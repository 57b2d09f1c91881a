/* Whether the holder of an address lives, as far as the command line can tell. */
#pragma once

#include "ipam/record.h"
#include "plugin/cli_stores.h"

enum holder_state {
	HOLDER_GONE,
	HOLDER_LIVES,
	HOLDER_UNKNOWN, /* it may live: nobody can tell */
};

/**
 * This node's store: by the holder's namespace. A cluster's: by the API server, with linearizable reads. *ret_why
 * (owned by the caller) says what speaks against its end; NULL for HOLDER_GONE.
 */
enum holder_state cli_holder_ask(
	struct cli_stores *stores, const struct cli_store *store, const struct store_entry *entry, char **ret_why);

/** Whether that pod is the record's, and neither gone nor finished. */
bool cli_holder_is(const struct kube_pod *pod, const struct ipam_record *record);

/** Whether a record is of the cluster that this configuration is of, too. */
bool cli_holder_is_of_cluster(const struct ipam_record *record, const struct config *config);
