/* What tells two records of one container apart. */
#pragma once

#include "plugin/base/error.h"

struct nonce {
	char text[17]; /* 16 hex digits */
};

/** Draws one. */
int nonce_draw(struct nonce *ret, struct error *e);
