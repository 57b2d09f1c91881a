/* The file of a TLS session. For http_tls.c only. */
#pragma once

#include "plugin/base/error.h"

#include <openssl/ssl.h>

#define HTTP_TLS_SECRET 32

/** Where the session of such a connection lies, and what it is bound to. */
struct http_tls_place {
	char *path;                            /* NULL: it is not kept */
	unsigned char secret[HTTP_TLS_SECRET]; /* of server, CA, certificate and key */
};

/** The session that lies there and may be resumed; NULL: none. The caller's. */
SSL_SESSION *http_tls_session_read(const struct http_tls_place *place);

/** Writes it, readable for us only. Nobody waits for it: what goes wrong is logged. */
void http_tls_session_write(const struct http_tls_place *place, SSL_SESSION *session);
