/* lamina gc: what pods that are gone have left on this node, collected without a runtime that asks for it. */
#pragma once

#include "plugin/base/error.h"

#include <stdbool.h>

struct cli_gc_options {
	const char *conf; /* file, NULL: looked for */
	bool json, dry_run;
};

/**
 * Collects records and addresses of an earlier boot, and those whose namespace or record was gone in two runs, five
 * minutes apart; sends queued releases. Writes what it did to out and returns the exit status (cli.h): 0 when nothing
 * failed.
 */
int cli_gc(const struct cli_gc_options *options, FILE *out, struct error *e);
