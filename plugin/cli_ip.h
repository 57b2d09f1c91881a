/* lamina ip: the addresses of this node, for people and programs. */
#pragma once

#include "plugin/base/error.h"

#include <stdbool.h>

struct cli_ip_options {
	const char *conf;    /* file, NULL: looked for */
	const char *address; /* show, release */
	bool json, force;
};

/** Each writes to out and returns the exit status (cli.h). */
int cli_ip_list(const struct cli_ip_options *options, FILE *out, struct error *e);
int cli_ip_show(const struct cli_ip_options *options, FILE *out, struct error *e);
int cli_ip_release(const struct cli_ip_options *options, FILE *out, struct error *e);
