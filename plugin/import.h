/*
 * Moving from kube-ipam node by node, with pods running. kube-ipam left no key for fixed addresses, so that a node that
 * is switched would see living ones as free: what libcni's cache (<cniDir>/results) says of this node's attachments is
 * claimed for them. <cniDir>/imported is the mark of a node that has done it.
 */
#pragma once

#include "ipam/record.h"
#include "plugin/run.h"

struct import_summary {
	size_t imported, present; /* attachments: claimed now, or recorded already */
	size_t conflicts;         /* somebody else has one of their addresses */
	size_t skipped;           /* cannot be read, or of no network that can be served */
	cJSON *outcomes;          /* one object an address (outcome.h); owned */
};

/**
 * Claims the addresses of every live attachment of this node that kube-ipam made and that lamina has no record of, in
 * the store of its network: that of the same name among run->config->delegates, or what its cached configuration says.
 * Goes on past conflicts. An error means that a store could not be asked. dry_run: only looks. import_summary_clear is
 * needed after failure too.
 */
int import_node(struct run *run, bool dry_run, struct import_summary *ret, struct error *e);

void import_summary_clear(struct import_summary *summary);
#define cleanup_import_summary CLEANUP(import_summary_clear)

/**
 * For the first ADD on a node: import_node, once. Nothing cached, or the mark is there: one look at the disk. Conflicts
 * are logged and no error; a store that cannot be asked is one, since a living pod's address may look free.
 */
int import_once(struct run *run, struct error *e);

/** Writes the mark. */
int import_mark(const struct run *run, const struct import_summary *summary, struct error *e);

/** Removes the mark: the next ADD imports again. */
int import_unmark(const struct run *run, struct error *e);

/**
 * Whether the record stands for a pod whose container is not known: `ip import --from-api` wrote it. The pod's own
 * node replaces it (same UID) when it imports, or with the pod's next ADD.
 */
bool import_is_placeholder(const struct ipam_record *record);

/** The container ID of such a record. Owned by the caller. */
char *import_placeholder(const char *uid);

/** The configuration whose ipam section asks for us: conf itself, or a plugin in its list; NULL if there is none. */
const cJSON *import_own_conf(const cJSON *conf);

/** Reads that section; path is the place of conf ("delegates[1]"). ERROR_CONFIG. */
int import_read_ipam(
	const cJSON *conf, const char *path, const struct config *config, struct ipam_config **ret, struct error *e);
