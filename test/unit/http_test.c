/* plugin/base/http: what a reply is, and what is said about each way in which there is none. */
#include "test/unit/http_ask.h"

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

/* How many requests the servers have had, of which they know at least the head. */
static int heads(const struct servers *servers)
{
	cleanup_http_reply struct http_reply reply = ask(servers, &(struct asked){.server = "echo", .path = "/counts"});
	cleanup_json cJSON *counts = parse(&reply);

	return (int)json_get(counts, "heads")->valuedouble;
}

static void sends_a_head_whose_body_comes_later(void **state)
{
	static const struct asked cases[] = {
		{.server = "echo", .method = "POST", .body_later = true},
		{.server = "tls-mutual", .scheme = "https", .method = "POST", .body_later = true},
		{.server = "tls-1.2", .scheme = "https", .method = "POST", .body_later = true},
	};
	cleanup_free char *large = allocate(1, (512 << 10) + 1);

	memset(large, 'x', 512 << 10);
	for (size_t i = 0; i < ARRAY_SIZE(cases) * 2; i++) {
		const struct asked *asked = &cases[i / 2];
		const char *body = i % 2 ? large : "{}";
		struct http_identity identity = identity_of(*state);
		cleanup_http struct http *http = opened();
		int before = heads(*state);
		cleanup_http_call struct http_call *call = start(http, *state, asked, &identity);
		cleanup_http_reply struct http_reply reply = {0};

		/* Each of these questions is one more. */
		for (int asks = 1; heads(*state) <= before + asks; asks++)
			http_progress(http);
		http_send(call, body, clock_now() + 10 * SECONDS);
		http_await(call, &reply);
		assert_true(reply.sent);

		cleanup_json cJSON *said = parse(&reply);

		assert_string_equal(json_text(said, "body"), body);
		assert_string_equal(json_text(json_get(said, "headers"), "content-type"), "application/json");
	}
}

static void has_not_sent_what_had_no_body_yet(void **state)
{
	static const struct {
		const char *server;
		enum http_failure failure;
	} cases[] = {{"nobody", HTTP_REFUSED}, {"silent", HTTP_TIMEOUT}};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		cleanup_http struct http *http = opened();
		struct asked asked = {
			.server = cases[i].server, .method = "POST", .body_later = true, .time = SECONDS / 5};
		cleanup_http_call struct http_call *call = start(http, *state, &asked, NULL);
		cleanup_http_reply struct http_reply reply = {0};

		http_await(call, &reply);
		assert_int_equal(reply.failure, cases[i].failure);
		assert_false(reply.sent);
	}
}

static void has_a_deadline_of_its_own_for_the_body(void **state)
{
	cleanup_http struct http *http = opened();
	struct asked asked = {.server = "silent", .method = "POST", .body_later = true, .time = 60 * SECONDS};
	cleanup_http_call struct http_call *call = start(http, *state, &asked, NULL);
	cleanup_http_reply struct http_reply reply = {0};

	http_send(call, "{}", clock_now() + SECONDS / 5);
	http_await(call, &reply);
	assert_int_equal(reply.failure, HTTP_TIMEOUT);
	assert_true(reply.sent);
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

/* How many connections so many calls had that were started together. */
static size_t connections(struct http *http, const struct servers *servers, size_t count)
{
	const struct asked asked = {.server = "echo", .path = "/later", .shares = true};
	struct http_call *calls[40];
	int ports[40];
	size_t found = 0;

	for (size_t i = 0; i < count; i++)
		calls[i] = start(http, servers, &asked, NULL);
	for (size_t i = 0; i < count; i++) {
		cleanup_http_reply struct http_reply reply = {0};
		size_t known = 0;

		http_await(calls[i], &reply);
		http_call_free(calls[i]);

		cleanup_json cJSON *body = parse(&reply);
		const int port = (int)json_get(body, "port")->valuedouble;

		while (known < found && ports[known] != port)
			known++;
		ports[known] = port;
		found += known == found;
	}
	return found;
}

static void opens_a_connection_for_every_two_that_share(void **state)
{
	cleanup_http struct http *http = opened();

	assert_int_equal(connections(http, *state, 2), 1);
	assert_int_equal(connections(http, *state, 5), 3);
	/* What stands is used. */
	assert_int_equal(connections(http, *state, 3), 3);
}

static void opens_no_more_connections_than_eight(void **state)
{
	cleanup_http struct http *http = opened();

	assert_int_equal(connections(http, *state, 40), 8);
}

static void waits_for_a_connection_until_its_deadline(void **state)
{
	const struct asked asked = {.server = "silent", .shares = true};
	const struct asked brief = {.server = "silent", .shares = true, .time = SECONDS / 5};
	cleanup_http struct http *http = opened();
	struct http_call *first = start(http, *state, &asked, NULL);
	cleanup_http_call struct http_call *late = start(http, *state, &brief, NULL);
	cleanup_http_reply struct http_reply one = {0}, two = {0};

	http_await(late, &one);
	assert_int_equal(one.failure, HTTP_TIMEOUT);
	assert_false(one.sent);
	assert_non_null(strstr(one.reason, "no connection in time"));

	cleanup_http_call struct http_call *second = start(http, *state, &brief, NULL);
	cleanup_http_call struct http_call *unasked = start(http, *state, &asked, NULL);

	(void)unasked; /* never awaited */
	http_call_free(first);
	http_await(second, &two);
	assert_int_equal(two.failure, HTTP_TIMEOUT);
	assert_true(two.sent);
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sends_what_it_was_given),
		cmocka_unit_test(sends_a_large_body_at_once),
		cmocka_unit_test(sends_a_head_whose_body_comes_later),
		cmocka_unit_test(has_not_sent_what_had_no_body_yet),
		cmocka_unit_test(has_a_deadline_of_its_own_for_the_body),
		cmocka_unit_test(gives_status_date_and_retry_after),
		cmocka_unit_test(does_not_follow_redirects),
		cmocka_unit_test(ignores_proxies_of_the_environment),
		cmocka_unit_test(asks_twice_over_one_connection),
		cmocka_unit_test(has_several_calls_under_way),
		cmocka_unit_test(opens_a_connection_for_every_two_that_share),
		cmocka_unit_test(opens_no_more_connections_than_eight),
		cmocka_unit_test(waits_for_a_connection_until_its_deadline),
		cmocka_unit_test(tells_what_was_sent_to_whom),
		cmocka_unit_test(sends_nothing_without_time),
		cmocka_unit_test(sends_nothing_where_no_connection_stands),
		cmocka_unit_test(keeps_what_came_before_a_failure),
		cmocka_unit_test(refuses_urls_that_are_none),
	};

	return cmocka_run_group_tests(tests, servers_start, servers_end);
}
