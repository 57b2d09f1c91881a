/* How long certificates are good for: for people who must renew them before a server refuses them. */
#pragma once

#include "plugin/base/error.h"

#include <stdint.h>

/**
 * When the certificates of a PEM text end, in seconds since 1970: the first one, which is ours where the text is a
 * client's certificate with its chain, and the one that lasts longest, since of several CAs one is enough. what names
 * the text in the error. No certificate, or a damaged one: ERROR_CONFIG.
 */
int http_tls_expiry(const char *pem, const char *what, int64_t *ret_first, int64_t *ret_last, struct error *e);
