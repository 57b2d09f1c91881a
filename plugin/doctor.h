/* lamina doctor: whether this node can give pods their networks, and what to do where it cannot. */
#pragma once

#include "plugin/base/error.h"

#include <stdbool.h>
#include <stdio.h>

struct doctor_options {
	const char *conf;     /* file, NULL: what the runtime reads */
	const char *defaults; /* file in place of CONFIG_DEFAULTS; NULL: that one */
	const char *node;     /* nodeName as if it stood there; NULL: what stands there */
	bool json;
};

/**
 * Makes all checks and writes a line for each finding to out: "ok", "note" or "bad", the check, what was found and, if
 * it is bad, the way out. Changes nothing on the node and writes no file. Of servers, all members of etcd together are
 * waited for at most 3 s, then each cluster in turn, by those that have answered, until these 3 s are over, or 1 s
 * where less is left; and the API server 5 s. Returns the exit status: 0 when nothing is bad, 1 when something is; 2
 * for a name that is none (e says it).
 */
int doctor_examine(const struct doctor_options *options, FILE *out, struct error *e);
