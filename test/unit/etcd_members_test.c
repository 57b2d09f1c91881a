/* ipam/etcd: which member is asked, and for how long, when some misbehave. */
#include "ipam/etcd.h"
#include "plugin/base/file.h"
#include "test/unit/http_kit.h"

static cJSON *parse(const char *text)
{
	struct error e = {0};
	cJSON *value = NULL;

	if (json_parse(text, strlen(text), "test", &value, &e) < 0)
		fail_msg("%s: %s", text, e.message);
	return value;
}

struct session {
	struct http *http;
	struct etcd *etcd;
	struct etcd_config *config;
	char *data_dir;
};

static void session_end(struct session *session)
{
	etcd_free(session->etcd);
	etcd_config_free(session->config);
	http_free(session->http);
	free(session->data_dir);
}

#define cleanup_session CLEANUP(session_end)

static char *write_password(const struct servers *servers, const char *text)
{
	struct error e = {0};
	char *path = format_text("%s/password", servers->folder);

	assert_int_equal(file_write(path, 0600, text, strlen(text), &e), 0);
	return path;
}

/* names: servers, in the order in which they are to be asked. */
static struct session session_begin(
	const struct servers *servers, const char *const *names, const char *password, int64_t time)
{
	struct session session = {.config = allocate(1, sizeof(*session.config))};
	struct etcd_options options = {.config = session.config, .deadline = clock_now() + time};
	struct error e = {0};

	session.data_dir = format_text("%s/data", servers->folder);
	session.config->endpoints = allocate(8, sizeof(char *));
	for (size_t i = 0; names[i]; i++)
		session.config->endpoints[session.config->endpoint_count++] =
			format_text("http://127.0.0.1:%d", port_of(servers, names[i]));
	if (password) {
		session.config->username = copy_text("lamina");
		session.config->password_file = write_password(servers, password);
	}
	assert_int_equal(http_open(&session.http, &e), 0);
	options.http = session.http;
	options.data_dir = session.data_dir;
	if (etcd_open(&options, &session.etcd, &e) < 0)
		fail_msg("%s", e.message);
	return session;
}

static int call(struct session *session, bool *sent, struct error *e)
{
	cleanup_json cJSON *body = parse("{}"), *reply = NULL;
	int r = etcd_call(session->etcd, "/v3/kv/txn", body, &reply, sent, e);

	assert_true((r == 0) == (reply != NULL));
	if (r == 0)
		assert_true(etcd_succeeded(reply));
	return r;
}

static void forget(const struct servers *servers)
{
	shell("rm -rf %s/data", servers->folder);
}

/* A bad member with a good one, whichever is asked first: the call succeeds. warm: its connection is opened before. */
static void call_beside(void **state, const char *bad, bool warm)
{
	for (int round = 0; round < 3; round++) {
		cleanup_session struct session session =
			session_begin(*state, (const char *[]){bad, "good", NULL}, NULL, 2 * SECONDS);
		cleanup_error struct error e = {0};

		forget(*state);
		if (warm) {
			etcd_warm(session.etcd, false);
			http_progress(session.http);
		}
		if (call(&session, NULL, &e) < 0)
			fail_msg("%s: %s", bad, e.message);
	}
}

static void asks_the_next_member(void **state)
{
	static const char *const bad[] = {"nobody", "silent", "half", "reset", "garbage", "html", "other", "cut", "old",
		"leaderless", "timeout", "page-503", "endless", "announced"};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		call_beside(state, bad[i], false);
}

/* How many requests a server has had. */
static int count_of(const struct servers *servers, const char *name)
{
	cleanup_free char *url = format_text("http://127.0.0.1:%d/counts", port_of(servers, "echo"));
	struct http_request request = {.method = "GET",
		.url = url,
		.max_reply = 1 << 16,
		.connect_time = SECONDS,
		.deadline = clock_now() + 5 * SECONDS};
	cleanup_http struct http *http = NULL;
	cleanup_http_call struct http_call *call = NULL;
	cleanup_http_reply struct http_reply reply = {0};
	cleanup_error struct error e = {0};

	assert_int_equal(http_open(&http, &e), 0);
	assert_int_equal(http_start(http, &request, &call, &e), 0);
	http_await(call, &reply);
	assert_int_equal(reply.status, 200);

	cleanup_json cJSON *counts = parse(reply.body);

	return (int)json_get(counts, name)->valuedouble;
}

static void opens_a_connection_before_it_knows_what_to_say(void **state)
{
	cleanup_session struct session session =
		session_begin(*state, (const char *[]){"good", NULL}, NULL, 5 * SECONDS);
	cleanup_error struct error e = {0};
	int before = count_of(*state, "good"), heads = count_of(*state, "heads");
	bool sent = false;

	etcd_warm(session.etcd, false);
	etcd_warm(session.etcd, false); /* is there already */
	/* Each of these questions is one more. */
	for (int asks = 1; count_of(*state, "heads") <= heads + asks; asks++)
		http_progress(session.http);
	assert_int_equal(count_of(*state, "good"), before);
	assert_int_equal(call(&session, &sent, &e), 0);
	assert_true(sent);
	assert_int_equal(count_of(*state, "good"), before + 1);
	assert_int_equal(call(&session, NULL, &e), 0);
	assert_int_equal(count_of(*state, "good"), before + 2);
	/* Never used. */
	etcd_warm(session.etcd, false);
}

static void loses_nothing_by_a_connection_that_came_to_nothing(void **state)
{
	static const char *const bad[] = {"nobody", "silent", "reset", "garbage", "hasty"};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		call_beside(state, bad[i], true);
}

static void opens_no_connection_with_a_token_that_is_too_old(void **state)
{
	forget(*state);
	for (int i = 0; i < 3; i++) {
		cleanup_session struct session session =
			session_begin(*state, (const char *[]){"users", NULL}, "secret", 5 * SECONDS);
		cleanup_error struct error e = {0};

		etcd_warm(session.etcd, false);
		if (call(&session, NULL, &e) < 0)
			fail_msg("%s", e.message);
	}
}

static void asks_the_one_that_answered_last_first(void **state)
{
	int before = 0;

	forget(*state);
	for (int i = 0; i < 8; i++) {
		cleanup_session struct session session = session_begin(
			*state, (const char *[]){"leaderless", "good", "timeout", NULL}, NULL, 5 * SECONDS);
		cleanup_error struct error e = {0};

		assert_int_equal(call(&session, NULL, &e), 0);
		if (i == 0)
			before = count_of(*state, "leaderless") + count_of(*state, "timeout");
		assert_int_equal(call(&session, NULL, &e), 0);
	}
	assert_int_equal(count_of(*state, "leaderless") + count_of(*state, "timeout"), before);
}

static void asks_again_after_a_pause(void **state)
{
	static const char *const names[] = {"leaderless-once", "busy-once"};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		cleanup_session struct session session =
			session_begin(*state, (const char *[]){names[i], NULL}, NULL, 5 * SECONDS);
		cleanup_error struct error e = {0};
		bool sent = false;

		if (call(&session, &sent, &e) < 0)
			fail_msg("%s: %s", names[i], e.message);
		assert_true(sent);
	}
}

static void says_what_each_member_said(void **state)
{
	cleanup_session struct session session =
		session_begin(*state, (const char *[]){"nobody", "leaderless", "old", NULL}, NULL, SECONDS / 2);
	cleanup_error struct error e = {0};
	bool sent = true;

	assert_true(call(&session, &sent, &e) < 0);
	assert_int_equal(e.code, ERROR_TRY_AGAIN);
	assert_non_null(strstr(e.message, "connection refused"));
	assert_non_null(strstr(e.message, "no leader"));
	assert_non_null(strstr(e.message, "gateway"));
	assert_false(sent);
}

static void gives_up_at_once_where_time_is_no_help(void **state)
{
	static const struct {
		const char *names[3];
		int err;
		unsigned int code;
		const char *message;
		bool sent;
	} cases[] = {
		{{"full", "good"}, -ENOSPC, ERROR_TRY_AGAIN, "alarm disarm", false},
		{{"old"}, -ENOENT, ERROR_CONFIG, "--enable-grpc-gateway", false},
		{{"html"}, 0, ERROR_DECODE, "no etcd", true},
		{{"html", "cut"}, 0, ERROR_DECODE, "no etcd", true},
		{{"endless"}, -EBADMSG, ERROR_DECODE, "too large", true},
		{{"users"}, -EACCES, ERROR_CONFIG, "set etcdUsername and etcdPasswordFile", false},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		int64_t begin = clock_now();
		bool sent = false;

		forget(*state);
		for (;;) {
			cleanup_session struct session session =
				session_begin(*state, cases[i].names, NULL, 60 * SECONDS);
			cleanup_error struct error e = {0};
			int r = call(&session, &sent, &e);

			/* The good one may be asked first. */
			if (r == 0 && cases[i].names[1]) {
				forget(*state);
				continue;
			}
			if (r >= 0 || (cases[i].err && r != cases[i].err) || e.code != cases[i].code ||
				sent != cases[i].sent || !strstr(e.message, cases[i].message))
				fail_msg("%zu: %d, code %u, sent %d: %s", i, r, e.code, sent,
					e.message ? e.message : "");
			break;
		}
		if (clock_now() - begin > 30 * SECONDS)
			fail_msg("%zu: went on until its deadline", i);
	}
}

static void says_whether_a_request_may_have_arrived(void **state)
{
	static const struct {
		const char *name;
		bool sent;
	} cases[] = {{"nobody", false}, {"silent", true}, {"reset", true}, {"timeout", true}, {"leaderless", false}};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		cleanup_session struct session session =
			session_begin(*state, (const char *[]){cases[i].name, NULL}, NULL, SECONDS / 2);
		cleanup_error struct error e = {0};
		bool sent = !cases[i].sent;

		assert_true(call(&session, &sent, &e) < 0);
		assert_int_equal(e.code, ERROR_TRY_AGAIN);
		if (sent != cases[i].sent)
			fail_msg("%s: %s", cases[i].name, e.message);
	}
}

static void sends_nothing_after_its_deadline(void **state)
{
	cleanup_session struct session session = session_begin(*state, (const char *[]){"good", NULL}, NULL, -1);
	cleanup_error struct error e = {0};
	bool sent = true;

	assert_true(call(&session, &sent, &e) < 0);
	assert_int_equal(e.code, ERROR_TRY_AGAIN);
	assert_false(sent);
}

static void gets_a_new_token_when_the_old_one_is_refused(void **state)
{
	struct servers *servers = *state;

	forget(servers);
	for (int i = 0; i < 2; i++) {
		cleanup_session struct session session =
			session_begin(servers, (const char *[]){"users", NULL}, "secret\n", 5 * SECONDS);
		cleanup_error struct error e = {0};

		/* The first token is refused once, the second is good; the next process finds it. */
		if (call(&session, NULL, &e) < 0)
			fail_msg("%s", e.message);
		shell("test \"$(cat %s/data/etcd-token-*)\" = token-2", servers->folder);
		shell("test $(stat -c %%a %s/data/etcd-token-*) = 600", servers->folder);
	}
}

static void says_whose_password_is_wrong(void **state)
{
	cleanup_session struct session session =
		session_begin(*state, (const char *[]){"users", NULL}, "mistake", 5 * SECONDS);
	cleanup_error struct error e = {0};

	forget(*state);
	assert_true(call(&session, NULL, &e) < 0);
	assert_int_equal(e.code, ERROR_CONFIG);
	assert_non_null(strstr(e.message, "user lamina (etcdUsername)"));
	assert_null(strstr(e.message, "mistake"));
}

static void asks_without_a_token_where_there_are_no_users(void **state)
{
	cleanup_session struct session session =
		session_begin(*state, (const char *[]){"no-users", NULL}, "secret", 5 * SECONDS);
	cleanup_error struct error e = {0};

	assert_int_equal(call(&session, NULL, &e), 0);
	assert_int_equal(call(&session, NULL, &e), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(asks_the_next_member),
		cmocka_unit_test(opens_a_connection_before_it_knows_what_to_say),
		cmocka_unit_test(loses_nothing_by_a_connection_that_came_to_nothing),
		cmocka_unit_test(asks_the_one_that_answered_last_first),
		cmocka_unit_test(asks_again_after_a_pause),
		cmocka_unit_test(says_what_each_member_said),
		cmocka_unit_test(gives_up_at_once_where_time_is_no_help),
		cmocka_unit_test(says_whether_a_request_may_have_arrived),
		cmocka_unit_test(sends_nothing_after_its_deadline),
		cmocka_unit_test(gets_a_new_token_when_the_old_one_is_refused),
		cmocka_unit_test(says_whose_password_is_wrong),
		cmocka_unit_test(asks_without_a_token_where_there_are_no_users),
		cmocka_unit_test(opens_no_connection_with_a_token_that_is_too_old),
	};

	return cmocka_run_group_tests(tests, servers_start, servers_end);
}
