/*
 * What lamina remembers of a container, in multus's files, so that either can take over from the other with pods
 * running: <cniDir>/<container ID>, an array with one element a delegate in which the key `lamina` is ours, and
 * <cniDir>/results/<network>-<container ID>-<ifname>, libcni's cache of what a delegate answered.
 */
#pragma once

#include "plugin/plan.h"
#include "plugin/sandbox.h"

/** The elements of one ADD: those of (container ID, CNI_IFNAME). */
struct record {
	bool done;             /* the ADD was completed */
	bool going;            /* a DEL has begun */
	bool ours;             /* written by lamina; false: by multus */
	bool assumed;          /* there is none: the plan is what the configuration would have made */
	bool by_configuration; /* so it is, or a damaged one that nothing else tells of */
	struct sandbox sandbox;
	char *network;    /* the outer network's name */
	struct plan plan; /* attachments with .made and, from results/, .result */
};

/**
 * Writes the record: done false before the first step (whatever the attachments may make is intended), true behind the
 * last. Elements of other CNI_IFNAMEs of the container are kept. Then .netns... are run's. More than STATE_FILE_MAX:
 * ERROR_CONFIG; the first write leaves room for what the next ones add, so that it is refused before anything is made.
 */
int state_save(const struct plan *plan, bool done, struct run *run, struct error *e);

/**
 * Reads the elements of (container, CNI_IFNAME); ifname NULL: of the whole container. None, or no file: -ENOENT. A file
 * that is no record, or larger than STATE_FILE_MAX: -EBADMSG (ERROR_IO, what it is in .message). One that cannot be
 * read for another reason: that one. record_clear is needed after failure too.
 */
int state_load(const char *cni_dir, const char *container_id, const char *ifname, struct record *ret, struct error *e);

/**
 * What libcni's cache has of (container, CNI_IFNAME), where the record is lost, or damaged: nobody knows what was made
 * of it, so that all may be there. A damaged one may be of an ADD that was killed before it came to all networks: those
 * of the configuration that the cache does not have come behind. False: the cache has nothing. record_clear is needed
 * then, too.
 */
bool state_recall(const struct request *request, const struct config *config, bool damaged, struct record *ret);

/** multus's rule for DEL: a list without a version of its own gets that of the configuration. */
void state_complete_versions(struct record *record, const struct request *request);

/** Whether a record of another container names this namespace: what is in it is that one's. */
bool state_is_anothers(const char *cni_dir, const char *container_id, const struct netns_id *id, const char *boot_id);

/** Notes that a DEL has begun, should it be killed with its programs running. A record of multus stays as it is. */
int state_mark_going(const struct run *run, struct error *e);

/** Removes the elements of (container, CNI_IFNAME) whose done[] is true, and their results; with the last one the file.
 */
int state_strike(const struct plan *plan, const bool *done, struct run *run, struct error *e);

void record_clear(struct record *record);
#define cleanup_record CLEANUP(record_clear)
