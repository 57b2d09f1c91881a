/* lamina ip: the addresses of this node, for people and programs. */
#pragma once

#include "plugin/base/error.h"

#include <stdbool.h>

struct cli_ip_options {
	const char *conf;    /* file, NULL: looked for */
	const char *address; /* show, release */
	bool json, force;
};

/** Lists every address. Each of these writes to out and returns the exit status (cli.h). */
int cli_ip_list(const struct cli_ip_options *options, FILE *out, struct error *e);

/** Shows one address; 3 when nobody has it. */
int cli_ip_show(const struct cli_ip_options *options, FILE *out, struct error *e);

/** Frees one address with what is kept with it; refused while its holder lives, unless forced. */
int cli_ip_release(const struct cli_ip_options *options, FILE *out, struct error *e);
