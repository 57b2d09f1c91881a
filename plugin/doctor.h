/* lamina doctor: whether this node can give pods their networks, and what to do where it cannot. */
#pragma once

#include "plugin/base/error.h"

#include <stdbool.h>
#include <stdio.h>

struct doctor_options {
	const char *conf; /* file, NULL: what the runtime reads */
	const char *node; /* this node's name; NULL: as configured */
	bool json;
};

/**
 * Makes all checks and writes a line for each finding to out: "ok", "note" or "bad", the check, what was found and, if
 * it is bad, the way out. Changes nothing on the node and writes no file; servers are waited for at most 3 s (etcd) and
 * 5 s (API). Returns the exit status: 0 when nothing is bad, 1 when something is; 2 for a name that is none (e says
 * it).
 */
int doctor_examine(const struct doctor_options *options, FILE *out, struct error *e);
