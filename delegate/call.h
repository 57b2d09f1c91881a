/* One call of one CNI plugin: found on the path, given its environment, its answer read as libcni reads it
 * (pkg/invoke). */
#pragma once

#include "delegate/exec.h"
#include "plugin/base/json.h"

/** The parameters of a call (CNI spec 1.1.0 section 2). Borrowed strings; NULL is sent as "". */
struct call_params {
	const char *command; /* ADD, DEL, CHECK, STATUS, GC */
	const char *container_id, *netns, *ifname, *args;
	const char *path; /* CNI_PATH, our binDir in front */
};

/** The plugin's file: first folder of path (':' separated) that has a regular file of that name. Error texts as
 * libcni's FindInPath. ERROR_CONFIG. */
int call_find(const char *plugin, const char *path, char **ret, struct error *e);

struct call;

/** Starts plugin with config on stdin. Our whole environment goes along, the six CNI_ variables replaced. deadline
 * bounds the call. Freed with call_free. */
int call_start(const struct call_params *params, const char *plugin, const char *config, int64_t deadline,
	struct call **ret, struct error *e);

/**
 * Awaits it. *ret_out (may be NULL) is its stdout, owned by the caller. Its stderr is copied to ours on success.
 * Failure: the plugin's own {code, msg, details} when it printed one; else ERROR_INTERNAL `netplugin failed:
 * "<stderr>": exit status 2` and the like (libcni's texts); a signal, the deadline and too much output are named too.
 * Texts are cut at 64 KiB and are valid UTF-8. Its stderr is not copied then; it stands in message or details, unless
 * the plugin printed an error of its own. Once only.
 */
int call_finish(struct call *call, char **ret_out, size_t *ret_length, struct error *e);

/** Whether its plugin ends by then: call_finish, which follows, has nothing to wait for. */
bool call_ends(const struct call *call, int64_t deadline);

void call_free(struct call *call);

DEFINE_CLEANUP(struct call, call_free)
#define cleanup_call CLEANUP(call_free_cleanup)
