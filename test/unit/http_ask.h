/* One question to a server of http_server.py, and what came of it. */
#pragma once

#include "plugin/base/json.h"
#include "test/unit/http_kit.h"

struct asked {
	const char *server, *scheme, *host, *path, *method, *body;
	bool body_later, shares;
	const char *const *headers;
	struct http_identity identity; /* files are names in certs */
	int64_t connect_time, time;
	size_t max_reply;
};

/* The file in the certificates' folder. NULL stays. */
static inline const char *in_certs(const struct servers *servers, const char *name, char path[128])
{
	if (!name)
		return NULL;
	snprintf(path, 128, "%s/certs/%s", servers->folder, name);
	return path;
}

/* The client's, as it is where the servers' certificates lie. */
static inline struct http_identity identity_of(const struct servers *servers)
{
	static char paths[3][128];

	return (struct http_identity){.ca_file = in_certs(servers, "ca.pem", paths[0]),
		.cert_file = in_certs(servers, "client.pem", paths[1]),
		.key_file = in_certs(servers, "client-key.pem", paths[2])};
}

static inline struct http_call *start(
	struct http *http, const struct servers *servers, const struct asked *asked, struct http_identity *identity)
{
	cleanup_error struct error e = {0};
	cleanup_free char *url = format_text("%s://%s:%d%s", asked->scheme ? asked->scheme : "http",
		asked->host ? asked->host : "127.0.0.1", port_of(servers, asked->server),
		asked->path ? asked->path : "/");
	struct http_request request = {
		.method = asked->method ? asked->method : "GET",
		.url = url,
		.headers = asked->headers,
		.body = asked->body,
		.body_later = asked->body_later,
		.shares = asked->shares,
		.max_reply = asked->max_reply ? asked->max_reply : 1 << 20,
		.connect_time = asked->connect_time ? asked->connect_time : 10 * SECONDS,
		.deadline = clock_now() + (asked->time ? asked->time : 10 * SECONDS),
		.identity = identity,
	};
	struct http_call *call = NULL;

	if (http_start(http, &request, &call, &e) < 0)
		fail_msg("%s", e.message);
	return call;
}

static inline struct http_reply ask_with(struct http *http, const struct servers *servers, const struct asked *asked)
{
	char paths[3][128];
	struct http_identity identity = asked->identity;
	struct http_reply reply = {0};

	identity.ca_file = in_certs(servers, identity.ca_file, paths[0]);
	identity.cert_file = in_certs(servers, identity.cert_file, paths[1]);
	identity.key_file = in_certs(servers, identity.key_file, paths[2]);

	cleanup_http_call struct http_call *call = start(http, servers, asked, &identity);

	http_await(call, &reply);
	if (reply.failure == HTTP_OK) {
		assert_null(reply.reason);
		assert_true(reply.sent);
	} else {
		assert_non_null(reply.reason);
		assert_null(strchr(reply.reason, '\n'));
	}
	return reply;
}

static inline struct http *opened(void)
{
	struct error e = {0};
	struct http *http = NULL;

	assert_int_equal(http_open(&http, &e), 0);
	return http;
}

static inline struct http_reply ask(const struct servers *servers, const struct asked *asked)
{
	cleanup_http struct http *http = opened();

	return ask_with(http, servers, asked);
}

static inline cJSON *parse(const struct http_reply *reply)
{
	struct error e = {0};
	cJSON *body = NULL;

	assert_int_equal(reply->failure, HTTP_OK);
	if (json_parse(reply->body, reply->length, "reply", &body, &e) < 0)
		fail_msg("%s", e.message);
	return body;
}

static inline void assert_fails(const struct servers *servers, const struct asked *asked, enum http_failure failure,
	bool sent, const char *reason)
{
	cleanup_http_reply struct http_reply reply = ask(servers, asked);

	if (reply.failure != failure || reply.sent != sent || !strstr(reply.reason ? reply.reason : "", reason))
		fail_msg("%s: failure %d, not %d; sent %d; %s", asked->server, (int)reply.failure, (int)failure,
			reply.sent, reply.reason ? reply.reason : "no reason");
}
