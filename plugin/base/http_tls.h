/*
 * What libcurl leaves open about TLS: the server's alerts, the trace, sessions that outlive a process, and certificates
 * and keys that are read only when they are needed. Only http_tls*.c include OpenSSL.
 *
 * To parse a certificate or a key takes OpenSSL 3.0 longer than to sign with it. A connection that resumes a session
 * needs none of ours.
 *
 * A session is kept so that the next process does not have to prove again, and be proven, who it is: that costs both
 * sides most of the handshake. Whoever has a session's file is us for that server, and whoever can write it is that
 * server for us. So it lies where only we can read and write, and is taken only when it is of the very same server, CA,
 * certificate and key (see http_tls_session.c), and of a full handshake within the last hour, of TLS 1.3: there a
 * resumed connection has a key exchange of its own, and what was recorded before cannot be read with the file.
 */
#pragma once

#include "plugin/base/http.h"

struct http_call;

/** One connection's TLS. Owned by its struct http: connections outlive the calls that open them. */
struct http_tls;

/** Before everything else that brings OpenSSL up. */
void http_tls_begin(void);

/**
 * Makes a call (https) open its connection so; the PEM texts are copied. ca: whom it trusts; NULL: libcurl knows. cert
 * and key: what it shows to who asks for it; NULL: nothing.
 */
void http_tls_prepare(struct http_call *call, const char *ca, const char *cert, const char *key);

/** The last alert that the server sent (RFC 8446 6); 0: none, or tls is NULL. */
int http_tls_alert(const struct http_tls *tls);

/** Which of our own was the reason that the handshake failed. */
enum http_own http_tls_own(const struct http_tls *tls);

/** Whether the handshake failed that was to resume a session. It is forgotten, so that the next one is a full one. */
bool http_tls_forget(struct http_tls *tls);

/** Keeps the session for other processes, if it is new; the server has been verified, and has answered. */
void http_tls_keep(struct http_tls *tls);

/** Frees all, after all connections. */
void http_tls_free_all(struct http *http);
