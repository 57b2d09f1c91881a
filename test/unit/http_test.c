/* plugin/base/http: what a reply is, and what is said about each way in which there is none. */
#include "plugin/base/json.h"
#include "test/unit/http_kit.h"

struct asked {
	const char *server, *scheme, *host, *path, *method, *body;
	const char *const *headers;
	struct http_identity identity; /* files are names in certs */
	int64_t connect_time, time;
	size_t max_reply;
};

/* The file in the certificates' folder. NULL stays. */
static const char *in_certs(const struct servers *servers, const char *name, char path[128])
{
	if (!name)
		return NULL;
	snprintf(path, 128, "%s/certs/%s", servers->folder, name);
	return path;
}

static struct http_call *start(
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

static struct http_reply ask_with(struct http *http, const struct servers *servers, const struct asked *asked)
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

static struct http *opened(void)
{
	struct error e = {0};
	struct http *http = NULL;

	assert_int_equal(http_open(&http, &e), 0);
	return http;
}

static struct http_reply ask(const struct servers *servers, const struct asked *asked)
{
	cleanup_http struct http *http = opened();

	return ask_with(http, servers, asked);
}

static cJSON *parse(const struct http_reply *reply)
{
	struct error e = {0};
	cJSON *body = NULL;

	assert_int_equal(reply->failure, HTTP_OK);
	if (json_parse(reply->body, reply->length, "reply", &body, &e) < 0)
		fail_msg("%s", e.message);
	return body;
}

static void sends_what_it_was_given(void **state)
{
	const char *const headers[] = {"X-One: 1", "Authorization: Bearer x", NULL};
	cleanup_http_reply struct http_reply reply = ask(*state,
		&(struct asked){
			.server = "echo", .path = "/a?b=c", .method = "POST", .body = "{}", .headers = headers});
	cleanup_json cJSON *body = parse(&reply);

	assert_int_equal(reply.status, 200);
	assert_string_equal(json_text(body, "method"), "POST");
	assert_string_equal(json_text(body, "path"), "/a?b=c");
	assert_string_equal(json_text(body, "body"), "{}");
	assert_string_equal(json_text(json_get(body, "headers"), "x-one"), "1");
	assert_string_equal(json_text(json_get(body, "headers"), "authorization"), "Bearer x");
	assert_string_equal(json_text(json_get(body, "headers"), "content-type"), "application/json");
	assert_null(json_get(json_get(body, "headers"), "expect"));
	assert_int_equal(reply.retry_after, -1);
}

static void sends_a_large_body_at_once(void **state)
{
	cleanup_free char *text = allocate(1, (2 << 20) + 1);

	memset(text, 'x', 2 << 20);

	cleanup_http_reply struct http_reply reply =
		ask(*state, &(struct asked){.server = "echo", .method = "POST", .body = text, .max_reply = 4 << 20});
	cleanup_json cJSON *body = parse(&reply);

	assert_int_equal(strlen(json_text(body, "body")), 2 << 20);
}

static void gives_status_date_and_retry_after(void **state)
{
	cleanup_http_reply struct http_reply reply =
		ask(*state, &(struct asked){.server = "echo", .path = "/status/503"});

	assert_int_equal(reply.failure, HTTP_OK);
	assert_int_equal(reply.status, 503);
	assert_string_equal(reply.body, "why");
	assert_int_equal(reply.date, 1795557600);
	assert_int_equal(reply.retry_after, 7);
}

static void does_not_follow_redirects(void **state)
{
	cleanup_http_reply struct http_reply reply =
		ask(*state, &(struct asked){.server = "echo", .path = "/redirect"});

	assert_int_equal(reply.status, 302);
}

static void ignores_proxies_of_the_environment(void **state)
{
	setenv("http_proxy", "http://127.0.0.1:1", 1);
	setenv("ALL_PROXY", "http://127.0.0.1:1", 1);

	cleanup_http_reply struct http_reply reply = ask(*state, &(struct asked){.server = "echo"});

	unsetenv("http_proxy");
	unsetenv("ALL_PROXY");
	assert_int_equal(reply.failure, HTTP_OK);
}

static void asks_twice_over_one_connection(void **state)
{
	cleanup_http struct http *http = opened();
	struct asked asked = {.server = "tls-mutual",
		.scheme = "https",
		.identity = {.ca_file = "ca.pem", .cert_file = "client.pem", .key_file = "client-key.pem"}};
	cleanup_http_reply struct http_reply first = ask_with(http, *state, &asked);
	cleanup_http_reply struct http_reply second = ask_with(http, *state, &asked);
	cleanup_json cJSON *one = parse(&first), *two = parse(&second);

	assert_true(json_get(one, "port")->valuedouble == json_get(two, "port")->valuedouble);
}

static void has_several_calls_under_way(void **state)
{
	cleanup_http struct http *http = opened();
	cleanup_http_call struct http_call *silent =
		start(http, *state, &(struct asked){.server = "silent", .time = SECONDS / 5}, NULL);
	cleanup_http_call struct http_call *slow = start(http, *state, &(struct asked){.server = "slow"}, NULL);
	cleanup_http_call struct http_call *ended = start(http, *state, &(struct asked){.server = "silent"}, NULL);
	cleanup_http_reply struct http_reply first = {0}, second = {0};

	(void)ended; /* never awaited */
	http_await(slow, &first);
	http_await(silent, &second);
	assert_int_equal(first.status, 200);
	assert_int_equal(second.failure, HTTP_TIMEOUT);
}

static void assert_fails(const struct servers *servers, const struct asked *asked, enum http_failure failure, bool sent,
	const char *reason)
{
	cleanup_http_reply struct http_reply reply = ask(servers, asked);

	if (reply.failure != failure || reply.sent != sent || !strstr(reply.reason ? reply.reason : "", reason))
		fail_msg("%s: failure %d, not %d; sent %d; %s", asked->server, (int)reply.failure, (int)failure,
			reply.sent, reply.reason ? reply.reason : "no reason");
}

static void tells_what_was_sent_to_whom(void **state)
{
	static const struct {
		const char *server;
		enum http_failure failure;
		bool sent;
		const char *reason;
	} cases[] = {
		{"nobody", HTTP_REFUSED, false, ": connection refused"},
		{"silent", HTTP_TIMEOUT, true, "no answer in time"},
		{"half", HTTP_LOST, true, "closed before the whole answer"},
		{"reset", HTTP_LOST, true, "127.0.0.1:"},
		{"endless", HTTP_TOO_LARGE, true, "too large"},
		{"announced", HTTP_TOO_LARGE, true, "too large"},
		{"headers", HTTP_TOO_LARGE, true, "too large"},
		{"garbage", HTTP_GARBAGE, true, "not HTTP"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_fails(*state,
			&(struct asked){
				.server = cases[i].server, .time = cases[i].failure == HTTP_TIMEOUT ? SECONDS / 5 : 0},
			cases[i].failure, cases[i].sent, cases[i].reason);
}

static void sends_nothing_without_time(void **state)
{
	assert_fails(*state, &(struct asked){.server = "echo", .time = -1}, HTTP_TIMEOUT, false, "no time is left");
}

static void sends_nothing_where_no_connection_stands(void **state)
{
	/* A blackhole: nobody there, and nobody who says so. */
	shell("ip link add sink type veth peer name drain && ip link set drain up && ip addr add 192.0.2.1/24 dev sink "
	      "&& ip link set sink up");
	assert_fails(*state, &(struct asked){.server = "echo", .host = "192.0.2.9", .connect_time = SECONDS / 10},
		HTTP_TIMEOUT, false, "192.0.2.9:");
	/* It accepts, and says nothing of TLS. */
	assert_fails(*state, &(struct asked){.server = "silent", .scheme = "https", .connect_time = SECONDS / 10},
		HTTP_TIMEOUT, false, "no connection in time");
	assert_fails(*state, &(struct asked){.server = "echo", .host = "nowhere.invalid", .time = 2 * SECONDS},
		HTTP_NAME, false, "nowhere.invalid:");
}

static void keeps_what_came_before_a_failure(void **state)
{
	cleanup_http_reply struct http_reply reply = ask(*state, &(struct asked){.server = "half"});

	assert_string_equal(reply.body, "{\"header\":{}");
	assert_int_equal(reply.length, strlen(reply.body));
}

static void refuses_urls_that_are_none(void **state)
{
	static const char *const urls[] = {"", "127.0.0.1:80", "file:///etc/passwd", "ftp://127.0.0.1/", "http://",
		"http://me:secret@127.0.0.1/", "http://a b/"};
	cleanup_http struct http *http = opened();

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(urls); i++) {
		cleanup_error struct error e = {0};
		struct http_request request = {.method = "GET", .url = urls[i], .deadline = clock_now() + SECONDS};
		struct http_call *call = NULL;

		if (http_start(http, &request, &call, &e) == 0)
			fail_msg("%s", urls[i]);
		assert_int_equal(e.code, ERROR_INTERNAL);
		assert_null(call);
	}
}

/* --- TLS --- */

#define CA .ca_file = "ca.pem"
#define CLIENT .cert_file = "client.pem", .key_file = "client-key.pem"

static void takes_certificates_as_files(void **state)
{
	const struct servers *servers = *state;
	cleanup_http struct http *http = opened();

	shell("cd %s/certs && cat client-rsa.pem client-rsa-key.pem >both.pem", servers->folder);

	struct asked asked[] = {
		{.server = "tls", .identity = {CA}},
		{.server = "tls-mutual", .identity = {CA, CLIENT}},
		{.server = "tls-1.2", .identity = {CA, CLIENT}},
		{.server = "tls-mutual", .identity = {CA, .cert_file = "both.pem", .key_file = "both.pem"}},
		{.server = "tls-mutual", .identity = {CA, .cert_file = "both.pem"}},
		{.server = "tls-other", .identity = {.ca_file = "other-ca.pem"}},
	};

	for (size_t i = 0; i < ARRAY_SIZE(asked); i++) {
		asked[i].scheme = "https";

		cleanup_http_reply struct http_reply reply = ask_with(http, servers, &asked[i]);

		if (reply.failure != HTTP_OK)
			fail_msg("%zu: %s", i, reply.reason);
	}
}

/* The text of a file in the certificates' folder. */
static char *slurp(const struct servers *servers, const char *name)
{
	char path[128];
	cleanup_file FILE *f = fopen(in_certs(servers, name, path), "re");
	char *text = allocate(1, 1 << 16);

	assert_non_null(f);
	assert_true(fread(text, 1, (1 << 16) - 1, f) > 0);
	return text;
}

static void takes_certificates_as_text(void **state)
{
	cleanup_free char *ca = slurp(*state, "ca.pem"), *cert = slurp(*state, "client.pem");
	cleanup_free char *key = slurp(*state, "client-key.pem");
	cleanup_http_reply struct http_reply reply =
		ask(*state, &(struct asked){.server = "tls-mutual",
				    .scheme = "https",
				    .identity = {.ca_pem = ca, .cert_pem = cert, .key_pem = key}});

	assert_int_equal(reply.failure, HTTP_OK);
}

static void connects_under_another_name(void **state)
{
	struct asked asked = {.server = "tls", .scheme = "https", .host = "127.0.0.2", .identity = {CA}};

	assert_fails(*state, &asked, HTTP_PEER, false, "subject name");
	asked.identity.server_name = "kubernetes.default";

	cleanup_http_reply struct http_reply reply = ask(*state, &asked);

	assert_int_equal(reply.failure, HTTP_OK);
	asked.identity.server_name = "somebody-else";
	assert_fails(*state, &asked, HTTP_PEER, false, "subject name");
}

static void trusts_nobody_but_the_given_ca(void **state)
{
	struct servers *servers = *state;

	assert_fails(servers, &(struct asked){.server = "tls-other", .scheme = "https", .identity = {CA}}, HTTP_PEER,
		false, "certificate");
	assert_fails(servers, &(struct asked){.server = "tls-expired", .scheme = "https", .identity = {CA}}, HTTP_PEER,
		false, "expired");
	assert_fails(servers, &(struct asked){.server = "tls", .scheme = "https"}, HTTP_PEER, false, "certificate");
	assert_fails(servers, &(struct asked){.server = "tls-1.1", .scheme = "https", .identity = {CA}}, HTTP_LOST,
		false, "127.0.0.1");
	assert_fails(servers, &(struct asked){.server = "echo", .scheme = "https", .identity = {CA}}, HTTP_GARBAGE,
		false, "not TLS");
}

static void says_when_its_own_certificate_is_refused(void **state)
{
	static const char *const servers[] = {"tls-mutual", "tls-1.2"};

	for (size_t i = 0; i < ARRAY_SIZE(servers); i++) {
		struct asked asked = {.server = servers[i], .scheme = "https", .identity = {CA}};

		assert_fails(*state, &asked, HTTP_REJECTED, false, "127.0.0.1:");
		asked.identity.cert_file = "client-other.pem";
		asked.identity.key_file = "client-other-key.pem";
		assert_fails(*state, &asked, HTTP_REJECTED, false, "alert");
		asked.identity.cert_file = "client-expired.pem";
		asked.identity.key_file = "client-expired-key.pem";
		assert_fails(*state, &asked, HTTP_REJECTED, false, "certificate");
	}
}

static void names_the_file_of_its_own_that_cannot_be_used(void **state)
{
	static const struct {
		struct http_identity identity;
		enum http_own own;
		const char *reason;
	} cases[] = {
		{{.ca_file = "missing.pem"}, HTTP_OWN_CA, "missing.pem: No such file"},
		{{.ca_file = "client-key.pem"}, HTTP_OWN_CA, "no PEM CA certificate in"},
		{{.ca_pem = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"}, HTTP_OWN_CA,
			"CA certificates"},
		{{CA, .cert_file = "missing.pem", .key_file = "client-key.pem"}, HTTP_OWN_CERT, "missing.pem"},
		{{CA, .cert_file = "client-key.pem", .key_file = "client-key.pem"}, HTTP_OWN_CERT,
			"no PEM certificate"},
		{{CA, .cert_file = "client.pem", .key_file = "client.pem"}, HTTP_OWN_KEY, "no PEM private key in"},
		{{CA, .cert_file = "client.pem", .key_file = "server-key.pem"}, HTTP_OWN_KEY, "server-key.pem"},
		{{CA, .cert_file = "client-encrypted.pem", .key_file = "client-encrypted-key.pem"}, HTTP_OWN_KEY,
			"client-encrypted-key.pem is encrypted"},
		{{CA, .cert_file = "client.pem", .key_file = "."}, HTTP_OWN_KEY, "cannot"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct asked asked = {.server = "tls-mutual", .scheme = "https", .identity = cases[i].identity};
		cleanup_http_reply struct http_reply reply = ask(*state, &asked);

		if (reply.failure != HTTP_OWN || reply.own != cases[i].own || !strstr(reply.reason, cases[i].reason))
			fail_msg("%zu: failure %d, own %d: %s", i, (int)reply.failure, (int)reply.own, reply.reason);
		assert_false(reply.sent);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sends_what_it_was_given),
		cmocka_unit_test(sends_a_large_body_at_once),
		cmocka_unit_test(gives_status_date_and_retry_after),
		cmocka_unit_test(does_not_follow_redirects),
		cmocka_unit_test(ignores_proxies_of_the_environment),
		cmocka_unit_test(asks_twice_over_one_connection),
		cmocka_unit_test(has_several_calls_under_way),
		cmocka_unit_test(tells_what_was_sent_to_whom),
		cmocka_unit_test(sends_nothing_without_time),
		cmocka_unit_test(sends_nothing_where_no_connection_stands),
		cmocka_unit_test(keeps_what_came_before_a_failure),
		cmocka_unit_test(refuses_urls_that_are_none),
		cmocka_unit_test(takes_certificates_as_files),
		cmocka_unit_test(takes_certificates_as_text),
		cmocka_unit_test(connects_under_another_name),
		cmocka_unit_test(trusts_nobody_but_the_given_ca),
		cmocka_unit_test(says_when_its_own_certificate_is_refused),
		cmocka_unit_test(names_the_file_of_its_own_that_cannot_be_used),
	};

	return cmocka_run_group_tests(tests, servers_start, servers_end);
}
