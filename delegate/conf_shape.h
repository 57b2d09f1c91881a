/* What conf.c and conf_file.c share. */
#pragma once

#include "delegate/conf.h"

/** conf_parse of bytes that may contain anything. */
int conf_parse_bytes(const char *bytes, size_t length, const char *what, cJSON **ret, struct error *e);
