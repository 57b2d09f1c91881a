/* lamina defaults: the node's own keys, as a file for who installs lamina there. */
#pragma once

#include "plugin/base/error.h"

#include <stdbool.h>
#include <stdio.h>

/**
 * Writes to out what /etc/lamina/defaults.json would be with these pairs ("KEY=VALUE"; "KEY=" removes the key) set:
 * what stands there already stays. write: the file is replaced by that, in one step; else it is not changed. Returns
 * the exit status: 1, and e, for a key that is none, a value that it cannot have, or a file that cannot be read or
 * written; 2 for what is no pair.
 */
int cli_defaults(char *const pairs[], size_t count, bool write, FILE *out, struct error *e);
