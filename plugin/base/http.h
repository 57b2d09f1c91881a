/*
 * HTTP and HTTPS, on libcurl (the only file that includes it). All transfers of one run share one curl_multi, so that
 * several are under way at once and a server that is asked twice is spoken to over one connection. No redirects, no
 * proxy, no .netrc, TLS 1.2 or newer, the server's certificate is always verified.
 */
#pragma once

#include "plugin/base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct http;

/** How a server is told apart from others, and what we show it. Borrowed until the call is freed; NULL: none. */
struct http_identity {
	const char *ca_file, *ca_pem;     /* at most one; neither: the system's list (HTTP_OWN where it has none) */
	const char *cert_file, *cert_pem; /* our own certificate, with its key; at most one each */
	const char *key_file, *key_pem;
	const char *server_name; /* verified and sent (SNI) in place of the URL's host */
};

struct http_request {
	const char *method;                   /* "GET", "POST", "PUT", "PATCH" */
	const char *url;                      /* http:// or https:// */
	const char *const *headers;           /* "Name: value", NULL at the end; may be NULL */
	const char *body;                     /* NULL: none; copied. It is JSON unless a header says otherwise */
	bool body_later;                      /* it is not known yet, and given by http_send */
	bool shares;                          /* it waits for a connection that stands: see http_start */
	size_t max_reply;                     /* a longer body is HTTP_TOO_LARGE */
	int64_t connect_time;                 /* microseconds until a connection with TLS must stand */
	int64_t deadline;                     /* clock_now: of the whole call */
	const struct http_identity *identity; /* may be NULL */
};

/** What went wrong below HTTP; a status of the server's is none of these. */
enum http_failure {
	HTTP_OK,
	HTTP_NAME,     /* the host's name cannot be resolved, or not in time */
	HTTP_REFUSED,  /* no connection: nothing was sent */
	HTTP_TIMEOUT,  /* the deadline, or connect_time */
	HTTP_LOST,     /* the connection ended before the whole answer */
	HTTP_PEER,     /* the server's certificate is not to be trusted: other CA, expired, other name */
	HTTP_REJECTED, /* the server did not take our certificate, or wants one */
	HTTP_OWN,      /* our own CA, certificate or key cannot be read, do not fit, or the key is encrypted */
	HTTP_TOO_LARGE,
	HTTP_GARBAGE, /* not HTTP */
};

/** Which of our own is at fault. */
enum http_own { HTTP_OWN_NONE, HTTP_OWN_CA, HTTP_OWN_CERT, HTTP_OWN_KEY };

struct http_reply {
	enum http_failure failure;
	enum http_own own; /* HTTP_OWN: what cannot be used */
	bool sent;  /* the request, or a part of it (with body_later: of its body), may have reached the server */
	int status; /* HTTP_OK: 100-599 */
	char *body; /* NUL-terminated, owned by the struct; also what came before a failure */
	size_t length;
	int64_t date;    /* when the server says that it answered, in seconds since 1970; 0: it does not */
	int retry_after; /* seconds that the server asks us to wait (Retry-After); -1: it does not */
	char *reason; /* for people, in one line without secrets: "10.0.0.1:2379: connection refused"; NULL when HTTP_OK
		       */
};

/** Freed with http_free, after all of its calls. */
int http_open(struct http **ret, struct error *e);

void http_free(struct http *http);
DEFINE_CLEANUP(struct http, http_free)
#define cleanup_http CLEANUP(http_free_cleanup)

/**
 * From now on TLS sessions are kept in files of that folder (made with 0700 when it is not there), so that other
 * processes resume them: see http_tls.h. Only of servers whose CA is given.
 */
void http_keep_sessions(struct http *http, const char *folder);

struct http_call;

/**
 * Starts a call; it makes progress inside any http_await of the same struct http. Freed with http_call_free, which
 * ends it. Errors (no memory for a handle, a malformed URL): ERROR_INTERNAL.
 *
 * A call under way has a connection for itself. Calls that share are all for one server: for every two of them that are
 * under way or wait there is a connection, or as many as there once were, and they get one in the order in which they
 * were started. Their deadlines hold while they wait, too.
 */
int http_start(struct http *http, const struct http_request *request, struct http_call **ret, struct error *e);

/**
 * A call that was started without its body (body_later) opens its connection and sends its head at once, so that all of
 * that is behind us when the body is known; a server cannot carry out anything before. Awaits that, or its end.
 */
void http_stand(struct http_call *call);

/** Gives it its body, which is copied, and its deadline from now on. False: it has ended before. */
bool http_send(struct http_call *call, const char *body, int64_t deadline);

/** Lets all calls go on as far as they can, without waiting: for who has other things to do between start and await. */
void http_progress(struct http *http);

/** Awaits its end. What went wrong is in *ret, never an error. Cleared with http_reply_clear. Once only. */
void http_await(struct http_call *call, struct http_reply *ret);

void http_call_free(struct http_call *call);
DEFINE_CLEANUP(struct http_call, http_call_free)
#define cleanup_http_call CLEANUP(http_call_free_cleanup)

void http_reply_clear(struct http_reply *reply);
#define cleanup_http_reply CLEANUP(http_reply_clear)
