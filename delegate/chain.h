/*
 * A delegate: one plugin configuration, or a list of them (a conflist, key `plugins`), run as libcni runs it: ADD in
 * order, each with the previous one's result as prevResult; DEL in reverse order; CHECK in order.
 */
#pragma once

#include "delegate/call.h"

#include <stdbool.h>

struct chain;

/** Whether a plugin type is a name of our own: lamina, multus, multus-cni, multus-shim, kube-ipam. */
bool chain_is_own_type(const char *type);

/**
 * Reads a delegate's configuration; conf is copied. path is its place for errors ("delegates[0]"). Checked: `type` or
 * `plugins` (each an object with a type, without '/'), `name` (libcni's rule for names), `cniVersion`/`cniVersions`
 * known (highest of both, the latter in lists only; absent or "": 0.1.0, and the plugin is given the key with an empty
 * string). With both `type` and `plugins` it is a single plugin, as for multus. A type of our own
 * (chain_is_own_type) is refused: a plugin must not call itself. Errors are ERROR_CONFIG
 * (ERROR_VERSION for a version). runtime_config may be NULL: each plugin gets its members that the plugin's own
 * `capabilities` declare true; without any, the plugin's own runtimeConfig stays. Freed with chain_free.
 */
int chain_read(const cJSON *conf, const char *path, const cJSON *runtime_config, struct chain **ret, struct error *e);

void chain_free(struct chain *chain);

DEFINE_CLEANUP(struct chain, chain_free)
#define cleanup_chain CLEANUP(chain_free_cleanup)

/** The version whose shape the chain's results have. Borrowed; never "". */
const char *chain_version(const struct chain *chain);

/** Whether every plugin's binary can be found on that CNI_PATH. ERROR_CONFIG with libcni's text when not. */
int chain_find(const struct chain *chain, const char *path, struct error *e);

/** Starts ADD: the first plugin is under way when it returns. params (and its strings) must live until
 * chain_add_finish. */
int chain_add_start(struct chain *chain, const struct call_params *params, int64_t deadline, struct error *e);

/** Awaits the first plugin and runs the others. *ret_result is the last result in inner shape (delegate/result.h),
 * owned by the caller. Nothing is DELed on failure. A plugin's own error stays as it is; details that are empty say
 * whose it is. */
int chain_add_finish(struct chain *chain, cJSON **ret_result, struct error *e);

/** Awaits the plugin that is under way after a chain_add_start, whatever its answer, and starts no other. Nothing under
 * way: nothing to do. */
void chain_settle(struct chain *chain);

/**
 * Starts DEL: the last plugin is under way. previous (inner shape, NULL: none) goes along as prevResult from 0.4.0 on.
 * A list goes on past a failing plugin: all are called, each with an equal share of the time left, the first error is
 * returned. What cannot be started is chain_del_finish's error.
 */
void chain_del_start(struct chain *chain, const struct call_params *params, const cJSON *previous, int64_t deadline);

/** Whether all of it ends by then; starts the plugins before it meanwhile. chain_del_finish follows in any case. */
bool chain_del_ends(struct chain *chain, int64_t deadline);

/** Awaits it and calls the plugins before it. The first error is returned when all were called. */
int chain_del_finish(struct chain *chain, struct error *e);

/** CHECK in order, with previous as prevResult; first error. Versions before 0.4.0 have no CHECK: success without a
 * call. A list's `disableCheck` (conf_read_switch): success. */
int chain_check(struct chain *chain, const struct call_params *params, const cJSON *previous, int64_t deadline,
	struct error *e);

/**
 * STATUS in order; first error. Versions before 1.1.0 have no STATUS: success without a call. Each plugin has an equal
 * share of the time left.
 */
int chain_status(struct chain *chain, const struct call_params *params, int64_t deadline, struct error *e);

/**
 * GC in order: valid ([{containerID, ifname}]) is what stays. Goes on past failing plugins: the first error is
 * returned, its details name the others (error_add). Versions before 1.1.0, and a list's `disableGC`
 * (conf_read_switch): success without a call. Each plugin has an equal share of the time left.
 */
int chain_gc(
	struct chain *chain, const struct call_params *params, const cJSON *valid, int64_t deadline, struct error *e);

/** STATUS of the IPAM plugin of a single plugin that is made here: it gets that plugin's configuration. */
int chain_status_ipam(
	struct chain *chain, const char *ipam, const struct call_params *params, int64_t deadline, struct error *e);

/** GC of the same. */
int chain_gc_ipam(struct chain *chain, const char *ipam, const struct call_params *params, const cJSON *valid,
	int64_t deadline, struct error *e);

/**
 * The configuration that plugin i of the chain gets on stdin: its own, with name, cniVersion, runtimeConfig (declared
 * capabilities only) and prevResult set. Owned by the caller.
 */
char *chain_plugin_config(const struct chain *chain, size_t i, const cJSON *previous, struct error *e);
