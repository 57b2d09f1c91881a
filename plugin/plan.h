/* The attachments of one pod: which there are, that all of them can be made, and that all of them are taken down. */
#pragma once

#include "plugin/attachment.h"

struct plan {
	struct attachment **attachments;
	size_t count;
};

/**
 * The plan of a configuration: one attachment a delegate, interface names given, every value validated. No kernel, no
 * files. Errors are ERROR_CONFIG. plan_clear is needed after failure too.
 */
int plan_build(struct plan *plan, const struct request *request, const struct config *config, struct error *e);

/** Whether names fit together: no interface twice, no two delegates of one name. plan_build has done it; who puts more
 * into the plan does it again. */
int plan_check(const struct plan *plan, struct error *e);

/** Whether addresses are claimed for it here, so that the pod's annotations must be known. */
bool plan_claims(const struct plan *plan);

/** Places each address that the pod asks for; annotations is pod.h's. ERROR_CONFIG. */
int plan_place(struct plan *plan, const struct request *request, const struct config *config, const cJSON *annotations,
	struct error *e);

/** The attachments of a configuration for a DEL that finds no record. Delegates that no ADD would have accepted are
 * left out. */
void plan_assume(struct plan *plan, const struct request *request, const struct config *config);

/** Puts an attachment at the end; takes ownership. */
void plan_append(struct plan *plan, struct attachment *a);

/** Whether the plan can be carried out here and now: names free and not too long, masters there, binaries found.
 * Changes nothing. */
int plan_inspect(struct plan *plan, struct run *run, struct error *e);

/** Fills what the record must say of leases before they are claimed. Addresses are placed. */
int plan_prepare(struct plan *plan, struct run *run, struct error *e);

/** Whether the default network's programs may be started before the pod's annotations are known: these change nothing
 * of it. */
bool plan_may_begin(const struct plan *plan, const struct config *config);

/** Starts the default network. Once, before plan_make. */
int plan_begin(struct plan *plan, struct run *run, struct error *e);

/** Makes all attachments: the default network's programs run while independent ones are made. Stops at the first error;
 * nothing is undone. */
int plan_make(struct plan *plan, struct run *run, struct error *e);

/** Lets the connections be opened that the claims of plan_make will need. */
void plan_warm(struct plan *plan, struct run *run);

/** Awaits what an ADD that failed has under way, so that its undoing meets nothing half done. */
void plan_settle(struct plan *plan);

/**
 * Takes all down, newest first: what other programs have made, then our own links in one message, then what they held.
 * Goes on past errors; done[i] says for each attachment whether nothing of it is left. Returns the first error.
 */
int plan_unmake(struct plan *plan, struct run *run, bool *done, struct error *e);

/** The plan for people and programs ("lamina plan"). Owned by the caller. */
cJSON *plan_describe(const struct plan *plan);

void plan_clear(struct plan *plan);
#define cleanup_plan CLEANUP(plan_clear)
