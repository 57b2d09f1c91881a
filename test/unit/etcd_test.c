/* ipam/etcd: the configuration, bodies and replies, what each answer means, and who is asked next. */
#include "ipam/etcd.h"
#include "ipam/etcd_reply.h"
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

/* Takes ownership. */
static void assert_prints(cJSON *value, const char *expected)
{
	cleanup_free char *text = json_print(value);

	cJSON_Delete(value);
	assert_string_equal(text, expected);
}

/* --- configuration --- */

static void reads_the_configuration_and_prints_it_again(void **state)
{
	cleanup_json cJSON *object =
		parse("{\"etcdURL\": \"https://192.168.122.11:2379/, https://[fd00::1]:2379\","
		      "\"etcdCertFile\": \"/c\", \"etcdKeyFile\": \"/k\", \"etcdTrustedCAFileFile\": \"/a\","
		      "\"etcdUsername\": \"u\", \"etcdPasswordFile\": \"/p\"}");
	cleanup_error struct error e = {0};
	struct etcd_config *config = NULL;

	(void)state;
	assert_int_equal(etcd_config_parse(object, "ipam.etcdConfig", &config, &e), 0);
	assert_int_equal(config->endpoint_count, 2);
	assert_string_equal(config->endpoints[0], "https://192.168.122.11:2379");
	assert_string_equal(config->endpoints[1], "https://[fd00::1]:2379");
	assert_string_equal(config->ca_file, "/a");
	assert_prints(etcd_config_print(config),
		"{\"etcdURL\":\"https://192.168.122.11:2379,https://[fd00::1]:2379\",\"etcdCertFile\":\"/"
		"c\",\"etcdKeyFile\":\"/k\","
		"\"etcdTrustedCAFile\":\"/a\",\"etcdUsername\":\"u\",\"etcdPasswordFile\":\"/p\"}");
	etcd_config_free(config);
}

static void leaves_out_what_is_empty(void **state)
{
	cleanup_json cJSON *object = parse("{\"etcdurl\": \"http://etcd-1\", \"etcdCertFile\": \"\", \"etcdKeyFile\": "
					   "\"\", \"etcdUsername\": \"\"}");
	cleanup_error struct error e = {0};
	struct etcd_config *config = NULL;

	(void)state;
	assert_int_equal(etcd_config_parse(object, "x", &config, &e), 0);
	assert_prints(etcd_config_print(config), "{\"etcdURL\":\"http://etcd-1\"}");
	etcd_config_free(config);
}

static void names_the_key_that_is_wrong(void **state)
{
	static const struct {
		const char *text, *message;
	} cases[] = {
		{"[]", "x is not an object"},
		{"{}", "x.etcdURL is missing"},
		{"{\"etcdURL\": 1}", "x.etcdURL is 1"},
		{"{\"etcdURL\": \"\"}", "x.etcdURL: \"\" must be the URL"},
		{"{\"etcdURL\": \"https://a:1,\"}", "x.etcdURL: \"\" must be the URL"},
		{"{\"etcdURL\": \"192.168.122.11:2379\"}", "x.etcdURL: \"192.168.122.11:2379\""},
		{"{\"etcdURL\": \"https://a:0\"}", "x.etcdURL: "},
		{"{\"etcdURL\": \"https://a:65536\"}", "x.etcdURL: "},
		{"{\"etcdURL\": \"https://a:1/v3\"}", "x.etcdURL: "},
		{"{\"etcdURL\": \"https://me:secret@a:1\"}", "x.etcdURL must name no user"},
		{"{\"etcdURL\": \"https://[::1\"}", "x.etcdURL: "},
		{"{\"etcdURL\": \"https://a b\"}", "x.etcdURL: "},
		{"{\"etcdURL\": \"https://a:1,http://b:1\"}", "mixes http and https"},
		{"{\"etcdURL\": \"https://a\", \"etcdCertFile\": \"c\", \"etcdKeyFile\": \"/k\"}",
			"x.etcdCertFile is c: it must be an absolute path"},
		{"{\"etcdURL\": \"https://a\", \"etcdCertFile\": \"/c\"}",
			"x.etcdKeyFile is missing: etcdCertFile needs it"},
		{"{\"etcdURL\": \"https://a\", \"etcdKeyFile\": \"/k\"}", "x.etcdCertFile is missing"},
		{"{\"etcdURL\": \"https://a\", \"etcdUsername\": \"u\"}", "x.etcdPasswordFile is missing"},
		{"{\"etcdURL\": \"https://a\", \"etcdPasswordFile\": \"/p\"}", "x.etcdUsername is missing"},
		{"{\"etcdURL\": \"http://a\", \"etcdTrustedCAFile\": \"/a\"}", "it must begin with https://"},
		{"{\"etcdURL\": \"https://a\", \"etcdTrustedCAFile\": \"/a\", \"etcdTrustedCAFileFile\": \"/b\"}",
			"one of them must go"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		cleanup_json cJSON *object = parse(cases[i].text);
		cleanup_error struct error e = {0};
		struct etcd_config *config = NULL;

		if (etcd_config_parse(object, "x", &config, &e) >= 0)
			fail_msg("%s", cases[i].text);
		assert_null(config);
		assert_int_equal(e.code, ERROR_CONFIG);
		if (!strstr(e.message, cases[i].message) || strstr(e.message, "secret"))
			fail_msg("%s: %s", cases[i].text, e.message);
	}
}

static void takes_at_most_sixteen_members(void **state)
{
	cleanup_error struct error e = {0};
	cleanup_free char *urls = copy_text("https://a");
	struct etcd_config *config = NULL;

	(void)state;
	for (int i = 0; i < 16; i++) {
		char *longer = format_text("%s,https://a", urls);

		free(urls);
		urls = longer;
	}

	cleanup_json cJSON *object = cJSON_CreateObject();

	json_put_text(object, "etcdURL", urls);
	assert_int_equal(etcd_config_parse(object, "x", &config, &e), -E2BIG);
}

/* --- bodies and replies --- */

static void writes_bodies_as_the_gateway_wants_them(void **state)
{
	(void)state;
	assert_prints(etcd_compare_absent("a"),
		"{\"key\":\"YQ==\",\"target\":\"CREATE\",\"result\":\"EQUAL\",\"create_revision\":\"0\"}");
	assert_prints(etcd_compare_value("a", "b"),
		"{\"key\":\"YQ==\",\"target\":\"VALUE\",\"result\":\"EQUAL\",\"value\":\"Yg==\"}");
	assert_prints(etcd_compare_created("a", INT64_MAX), "{\"key\":\"YQ==\",\"target\":\"CREATE\",\"result\":"
							    "\"EQUAL\",\"create_revision\":\"9223372036854775807\"}");
	assert_prints(etcd_compare_changed("a", 7),
		"{\"key\":\"YQ==\",\"target\":\"MOD\",\"result\":\"EQUAL\",\"mod_revision\":\"7\"}");
	assert_prints(etcd_put("a", ""), "{\"request_put\":{\"key\":\"YQ==\",\"value\":\"\"}}");
	assert_prints(etcd_delete("a"), "{\"request_delete_range\":{\"key\":\"YQ==\"}}");
	assert_prints(etcd_range("a", false, ETCD_VALUES, 0), "{\"request_range\":{\"key\":\"YQ==\"}}");
	assert_prints(etcd_range("a", true, ETCD_KEYS_ONLY, 9),
		"{\"request_range\":{\"key\":\"YQ==\",\"range_end\":\"Yg==\",\"keys_only\":true,\"limit\":\"9\"}}");
	assert_prints(etcd_range("a\xff", true, ETCD_COUNT_ONLY, 0),
		"{\"request_range\":{\"key\":\"Yf8=\",\"range_end\":\"Yg==\",\"count_only\":true}}");
	assert_prints(
		etcd_range("", true, ETCD_VALUES, 0), "{\"request_range\":{\"key\":\"AA==\",\"range_end\":\"AA==\"}}");
	assert_prints(etcd_nested(etcd_txn(NULL, cJSON_CreateArray(), NULL)), "{\"request_txn\":{\"success\":[]}}");
}

static void reads_transactions(void **state)
{
	cleanup_json cJSON *reply =
		parse("{\"succeeded\": true, \"responses\": [{\"response_range\": {\"count\": \"3\"}}, {},"
		      "{\"response_txn\": {\"responses\": [{\"response_put\": {}}]}}, 7]}");
	cleanup_json cJSON *failed = parse("{\"header\": {}}");

	(void)state;
	assert_true(etcd_succeeded(reply));
	assert_false(etcd_succeeded(failed));
	assert_int_equal(etcd_count(etcd_response(reply, 0)), 3);
	assert_null(etcd_response(reply, 1));
	assert_false(etcd_succeeded(etcd_response(reply, 2)));
	assert_non_null(etcd_response(etcd_response(reply, 2), 0));
	assert_null(etcd_response(reply, 3));
	assert_null(etcd_response(reply, 4));
	assert_null(etcd_response(failed, 0));
	assert_null(etcd_response(NULL, 0));
	assert_int_equal(etcd_count(failed), 0);
}

static void reads_keys_and_values(void **state)
{
	cleanup_json cJSON *reply =
		parse("{\"kvs\": [{\"key\": \"YQ==\", \"value\": \"YgBj\", \"create_revision\": \"2\","
		      "\"mod_revision\": 9007199254740993}, {\"key\": \"YQ==\", \"mod_revision\": 1e300}]}");
	cleanup_error struct error e = {0};
	struct etcd_kv *kvs = NULL;
	size_t count = 0;

	(void)state;
	assert_int_equal(etcd_kvs(reply, &kvs, &count, &e), 0);
	assert_int_equal(count, 2);
	assert_string_equal(kvs[0].key, "a");
	assert_string_equal(kvs[0].value, "b");
	assert_int_equal(kvs[0].created, 2);
	assert_true(kvs[0].changed > 9007199254740000);
	assert_string_equal(kvs[1].value, "");
	assert_int_equal(kvs[1].changed, 0);
	etcd_kvs_free(kvs, count);
}

static void refuses_keys_and_values_that_are_none(void **state)
{
	static const char *const texts[] = {"{\"kvs\": {}}", "{\"kvs\": [7]}", "{\"kvs\": [{}]}",
		"{\"kvs\": [{\"key\": \"%\"}]}", "{\"kvs\": [{\"key\": \"YQ==\"}, {\"key\": \"YQ==\", \"value\": 7}]}"};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		cleanup_json cJSON *reply = parse(texts[i]);
		cleanup_error struct error e = {0};
		struct etcd_kv *kvs = NULL;
		size_t count = 0;

		if (etcd_kvs(reply, &kvs, &count, &e) >= 0)
			fail_msg("%s", texts[i]);
		assert_int_equal(e.code, ERROR_DECODE);
	}
}

/* What answers, of both versions of the gateway, mean. */
static void tells_answers_apart(void **state)
{
	static const struct {
		int status;
		const char *body;
		enum etcd_verdict verdict;
		unsigned int code;
		bool sent;
		const char *message;
	} cases[] = {
		{200, "{\"header\": {}}", ETCD_GOOD, 0, true, ""},
		{200, "{}", ETCD_UNFIT, ERROR_DECODE, true, "no etcd"},
		{200, "", ETCD_UNFIT, ERROR_DECODE, true, "no etcd"},
		{200, "{\"header\": {", ETCD_UNFIT, ERROR_DECODE, true, "no etcd"},
		{302, "", ETCD_UNFIT, ERROR_DECODE, false, "HTTP 302"},
		{404, "404 page not found\n", ETCD_UNFIT, ERROR_CONFIG, false, "--enable-grpc-gateway"},
		{404, "{\"code\":5,\"message\":\"Not Found\",\"details\":[]}", ETCD_UNFIT, ERROR_CONFIG, false,
			"gateway"},
		{404, "<html>nginx</html>", ETCD_UNFIT, ERROR_DECODE, false, "HTML page"},
		{400,
			"CommonName of client sending a request against gateway will be ignored and not used as "
			"expected\n",
			ETCD_FINAL, ERROR_CONFIG, false, "without CN"},
		{400, "Client sent an HTTP request to an HTTPS server.\n", ETCD_UNFIT, ERROR_CONFIG, false, "https://"},
		{401, "{\"error\":\"etcdserver: invalid auth token\",\"code\":16}", ETCD_TOKEN, ERROR_CONFIG, false,
			"token"},
		{400, "{\"message\":\"etcdserver: user name is empty\",\"code\":3}", ETCD_TOKEN, ERROR_CONFIG, false,
			"user"},
		{403, "{\"error\":\"etcdserver: permission denied\",\"code\":7}", ETCD_FINAL, ERROR_CONFIG, false,
			"does not permit"},
		{429, "{\"code\":8,\"message\":\"etcdserver: mvcc: database space exceeded\"}", ETCD_FINAL,
			ERROR_TRY_AGAIN, false, "NOSPACE"},
		{429, "{\"error\":\"etcdserver: too many requests\",\"code\":8}", ETCD_AWAY, ERROR_TRY_AGAIN, false,
			"too many"},
		{503, "{\"error\":\"etcdserver: leader changed\",\"code\":14}", ETCD_AWAY, ERROR_TRY_AGAIN, true,
			"leader"},
		{503, "{\"error\":\"etcdserver: no leader\",\"code\":14}", ETCD_AWAY, ERROR_TRY_AGAIN, false,
			"no leader"},
		{504, "{\"message\":\"context deadline exceeded\",\"code\":4}", ETCD_AWAY, ERROR_TRY_AGAIN, true,
			"deadline"},
		{500, "{\"message\":\"raft: stopped\",\"code\":2}", ETCD_AWAY, ERROR_TRY_AGAIN, true, "stopped"},
		{502, "<html>bad gateway</html>", ETCD_AWAY, ERROR_TRY_AGAIN, true, "HTTP 502"},
		{503,
			"{\"message\":\"authentication handshake failed: remote error: tls: bad "
			"certificate\",\"code\":14}",
			ETCD_UNFIT, ERROR_CONFIG, false, "clientAuth"},
		{400, "{\"message\":\"etcdserver: duplicate key given in txn request\",\"code\":3}", ETCD_FINAL,
			ERROR_TRY_AGAIN, false, "duplicate key"},
		{400, "{\"message\":\"etcdserver: authentication is not enabled\",\"code\":9}", ETCD_FINAL,
			ERROR_TRY_AGAIN, false, "not enabled"},
		{400, "{\"code\":\"x\",\"message\":{}}", ETCD_UNFIT, ERROR_DECODE, false, "HTTP 400"},
		{400, "two\nlines\x1b[1m", ETCD_UNFIT, ERROR_DECODE, false, ": two"},
	};
	const struct etcd_config config = {0};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		cleanup_free char *body = copy_text(cases[i].body);
		struct http_reply reply = {
			.status = cases[i].status, .sent = true, .body = body, .length = strlen(body)};
		cleanup_error struct error e = {0};
		cleanup_json cJSON *ret = NULL;
		bool sent = false;
		enum etcd_verdict verdict = etcd_reply_read(&config, "http://10.0.0.1:2379", &reply, &ret, &sent, &e);

		if (verdict != cases[i].verdict || e.code != cases[i].code || sent != cases[i].sent ||
			(verdict == ETCD_GOOD) != (ret != NULL) ||
			!strstr(e.message ? e.message : "", cases[i].message))
			fail_msg("%d %s: verdict %d, code %u, sent %d: %s", cases[i].status, body, (int)verdict, e.code,
				sent, e.message ? e.message : "");
		if (e.message)
			assert_non_null(strstr(e.message, "10.0.0.1:2379"));
	}
}

/* --- members that misbehave --- */

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

static void asks_the_next_member(void **state)
{
	/* Each of these with a good one; whichever is asked first. */
	static const char *const bad[] = {"nobody", "silent", "half", "reset", "garbage", "html", "other", "cut", "old",
		"leaderless", "timeout", "page-503", "endless", "announced"};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		for (int round = 0; round < 3; round++) {
			cleanup_session struct session session =
				session_begin(*state, (const char *[]){bad[i], "good", NULL}, NULL, 2 * SECONDS);
			cleanup_error struct error e = {0};

			forget(*state);
			if (call(&session, NULL, &e) < 0)
				fail_msg("%s: %s", bad[i], e.message);
		}
	}
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
		cmocka_unit_test(reads_the_configuration_and_prints_it_again),
		cmocka_unit_test(leaves_out_what_is_empty),
		cmocka_unit_test(names_the_key_that_is_wrong),
		cmocka_unit_test(takes_at_most_sixteen_members),
		cmocka_unit_test(writes_bodies_as_the_gateway_wants_them),
		cmocka_unit_test(reads_transactions),
		cmocka_unit_test(reads_keys_and_values),
		cmocka_unit_test(refuses_keys_and_values_that_are_none),
		cmocka_unit_test(tells_answers_apart),
		cmocka_unit_test(asks_the_next_member),
		cmocka_unit_test(asks_the_one_that_answered_last_first),
		cmocka_unit_test(asks_again_after_a_pause),
		cmocka_unit_test(says_what_each_member_said),
		cmocka_unit_test(gives_up_at_once_where_time_is_no_help),
		cmocka_unit_test(says_whether_a_request_may_have_arrived),
		cmocka_unit_test(sends_nothing_after_its_deadline),
		cmocka_unit_test(gets_a_new_token_when_the_old_one_is_refused),
		cmocka_unit_test(says_whose_password_is_wrong),
		cmocka_unit_test(asks_without_a_token_where_there_are_no_users),
	};

	return cmocka_run_group_tests(tests, servers_start, servers_end);
}
