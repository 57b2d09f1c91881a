/* The command line for people: lamina --help, plan, ip, gc, doctor, defaults. */
#pragma once

#include "plugin/base/error.h"

/**
 * Runs one command. *ret is what goes to stdout, owned by the caller. Returns the exit status: 0 done; 1 it failed, e
 * says why; 2 the call itself was wrong, e says how; 3 nothing was found; 4 it is refused (enum cli_status).
 */
int cli_run(int argc, char *argv[], char **ret, struct error *e);
