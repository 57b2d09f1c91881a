/* One transfer, as http.c and http_end.c share it. */
#pragma once

#include "plugin/base/http.h"

#include <curl/curl.h>

struct http {
	CURLM *multi;
};

struct http_call {
	struct http *http;
	CURL *easy;
	struct curl_slist *headers, *connect_to;
	char *body;
	char *place; /* "host:port" of the URL, for people */
	size_t max_reply, header_bytes;
	int64_t deadline;
	bool done;
	bool asked_to_wait; /* there is a Retry-After */
	const char *broken; /* why we ended the transfer ourselves */
	enum http_failure broken_as;
	char said[CURL_ERROR_SIZE];
	struct http_identity names; /* for texts: only its files are used */
	struct http_reply reply;
};

/** Ends a transfer that libcurl has ended with code: fills in the call's reply. */
void http_end(struct http_call *call, CURLcode code);

/** Ends it because of what text says (one line; cleaned and bounded here). */
void http_end_as(struct http_call *call, enum http_failure failure, const char *text);

/** Ends it because one of our own files, or what stands in its place, cannot be used. */
void http_end_own(struct http_call *call, enum http_own own, const char *text);
