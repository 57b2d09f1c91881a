/* What the forms of GC share: the runtime's verb, the same as kube-ipam, and `lamina gc`. */
#pragma once

#include "plugin/state_list.h"

/** The list of a GC: what is to stay. */
struct gc_valid {
	bool given;        /* false: nothing may be removed */
	const cJSON *list; /* borrowed; NULL: nothing is to stay */
};

/** Reads `cni.dev/valid-attachments`. A malformed one is ERROR_CONFIG. */
int gc_read_valid(const cJSON *conf, struct gc_valid *ret, struct error *e);

/** Whether the ADD (container, CNI_IFNAME) is listed; ifname NULL: any of the container's. */
bool gc_is_valid(const struct gc_valid *valid, const char *container_id, const char *ifname);

/** One run of GC. Borrowed. */
struct gc_scope {
	const struct request *request;
	const struct config *config;
	const struct gc_valid *valid;
	int64_t deadline;
};

/** A network whose addresses lamina keeps. */
struct gc_network {
	const char *name;
	const struct ipam_config *config;
	unsigned int index; /* of the delegate: from 1 on, its interfaces are called otherwise than the ADD */
};

/** The part of the time left for one of `left` equal jobs, in whole seconds: a hanging one must not eat all. 0: none is
 * left. */
int64_t gc_share(int64_t deadline, size_t left);

/**
 * Undoes one recorded ADD as its DEL would, within seconds; what its programs need to know comes from the cached
 * results, and where the record is lost or damaged all of it. Of what nothing is left by then it is success.
 */
int gc_take_down(const struct gc_scope *scope, const struct state_entry *entry, const struct cached_result *results,
	size_t count, int64_t seconds, struct error *e);

/** Releases what a lease file (lease_file.h) says, and removes it. */
int gc_release_file(const struct gc_scope *scope, const char *path, struct error *e);

/** Whether an attachment of the store's stands in a record of this node, or in one that cannot be read, or is a
 * running pod's by what an import has read or written. */
bool gc_is_recorded(const char *cni_dir, const struct store_attachment *attachment);

/** Gives back what the store has for an attachment, while it is still that. */
int gc_release(struct store *store, const struct store_attachment *attachment, struct error *e);

/**
 * Releases the network's addresses that are not valid: those of lease files, then those that the store has without any
 * record; then sweeps. Goes on past errors (error_add).
 */
int gc_collect_network(const struct gc_scope *scope, const struct gc_network *network, struct error *e);

/** Sends queued releases. */
int gc_drain(const struct gc_scope *scope, struct error *e);
