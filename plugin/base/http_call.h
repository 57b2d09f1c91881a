/* One transfer, as http.c and http_end.c share it. */
#pragma once

#include "plugin/base/http.h"
#include "plugin/base/http_tls.h"

#include <curl/curl.h>

struct http {
	CURLM *multi;
	char *sessions;            /* the folder where TLS sessions are kept; NULL: nowhere */
	struct http_tls *tls;      /* of all connections */
	struct http_call *sharing; /* those that share connections and have not ended, in their order */
	size_t width;              /* how many connections they may have */
};

struct http_call {
	struct http *http;
	CURL *easy;
	struct curl_slist *headers, *connect_to;
	char *body;       /* NULL: none, or not known yet */
	bool body_later;  /* it comes by give_body */
	size_t body_sent; /* of body_later, on this connection */
	bool body_begun;  /* a byte of it may have left, on this connection or an earlier one */
	char *place;      /* "host:port" of the URL, for people */
	size_t max_reply, header_bytes;
	size_t size; /* of the memory at reply.body */
	int64_t began, deadline;
	bool done;
	bool shares, waits;     /* is in the list of those that share; has not begun yet */
	struct http_call *next; /* in that list */
	bool stands;            /* of body_later: the connection does, and the head of the request is sent */
	bool asked_to_wait;     /* there is a Retry-After */
	const char *broken;     /* why we ended the transfer ourselves */
	enum http_failure broken_as;
	bool again;           /* it is under way for the second time: see http_wants_again */
	struct http_tls *tls; /* of the connection that this call opens, if it opens one; NULL: no TLS */
	char said[CURL_ERROR_SIZE];
	struct http_identity names; /* for texts: only its files are used */
	struct http_reply reply;
};

/** Gives the transfer to url what identity (may be NULL) names. False: the call has ended, since that cannot be used.
 */
bool http_set_identity(struct http_call *call, const char *url, const struct http_identity *identity);

/** Ends a transfer that libcurl has ended with code: fills in the call's reply. */
void http_end(struct http_call *call, CURLcode code);

/**
 * Whether a transfer that ended with code should be made once more, on a connection that is closed behind it. A server
 * that refuses our certificate sends an alert and closes: when the request is written behind that, libcurl stops at the
 * failed write, and reads the alert only when it closes the connection. Or the session that was to be resumed was the
 * reason: a handshake without it may be the better one.
 */
bool http_wants_again(const struct http_call *call, CURLcode code);

/** Hands it to libcurl, which counts its time from now on. */
bool http_begin(struct http_call *call);

/* Those that share connections: see http_start. */

/** It waits for its turn. */
void http_share_join(struct http_call *call);

/** It has ended, or is freed. Does nothing when it does not share. */
void http_share_leave(struct http_call *call);

/** Begins those whose turn it is, and ends those that have waited too long. Returns whether one has begun. */
bool http_share_begin(struct http *http);

/** Ends it because of what text says (one line; cleaned and bounded here). */
void http_end_as(struct http_call *call, enum http_failure failure, const char *text);

/** Ends it because one of our own files, or what stands in its place, cannot be used. */
void http_end_own(struct http_call *call, enum http_own own, const char *text);
