/* ipam/etcd: the configuration, bodies and replies, and what each answer means. */
#include "ipam/etcd.h"
#include "ipam/etcd_reply.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

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
	assert_prints(etcd_compare_readable("a"),
		"{\"key\":\"YQ==\",\"target\":\"CREATE\",\"result\":\"NOT_EQUAL\",\"create_revision\":\"-1\"}");
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
static const struct {
	int status;
	const char *body;
	enum etcd_verdict verdict;
	unsigned int code;
	bool sent;
	const char *message;
} answers[] = {
	{200, "{\"header\": {}}", ETCD_GOOD, 0, true, ""},
	{200, "{}", ETCD_UNFIT, ERROR_DECODE, true, "no etcd"},
	{200, "", ETCD_UNFIT, ERROR_DECODE, true, "no etcd"},
	{200, "{\"header\": {", ETCD_UNFIT, ERROR_DECODE, true, "no etcd"},
	{302, "", ETCD_UNFIT, ERROR_DECODE, false, "HTTP 302"},
	{404, "404 page not found\n", ETCD_UNFIT, ERROR_CONFIG, false, "--enable-grpc-gateway"},
	{404, "{\"code\":5,\"message\":\"Not Found\",\"details\":[]}", ETCD_UNFIT, ERROR_CONFIG, false, "gateway"},
	{404, "<html>nginx</html>", ETCD_UNFIT, ERROR_DECODE, false, "HTML page"},
	{400,
		"CommonName of client sending a request against gateway will be ignored and not used as "
		"expected\n",
		ETCD_FINAL, ERROR_CONFIG, false, "without CN"},
	{400, "Client sent an HTTP request to an HTTPS server.\n", ETCD_UNFIT, ERROR_CONFIG, false, "https://"},
	{401, "{\"error\":\"etcdserver: invalid auth token\",\"code\":16}", ETCD_TOKEN, ERROR_CONFIG, false, "token"},
	{400, "{\"message\":\"etcdserver: user name is empty\",\"code\":3}", ETCD_TOKEN, ERROR_CONFIG, false, "user"},
	{403, "{\"error\":\"etcdserver: permission denied\",\"code\":7}", ETCD_FINAL, ERROR_CONFIG, false,
		"does not permit"},
	{429, "{\"code\":8,\"message\":\"etcdserver: mvcc: database space exceeded\"}", ETCD_FINAL, ERROR_TRY_AGAIN,
		false, "NOSPACE"},
	{429, "{\"error\":\"etcdserver: too many requests\",\"code\":8}", ETCD_AWAY, ERROR_TRY_AGAIN, false,
		"too many"},
	{503, "{\"error\":\"etcdserver: leader changed\",\"code\":14}", ETCD_AWAY, ERROR_TRY_AGAIN, true, "leader"},
	{503, "{\"error\":\"etcdserver: no leader\",\"code\":14}", ETCD_AWAY, ERROR_TRY_AGAIN, false, "no leader"},
	{504, "{\"message\":\"context deadline exceeded\",\"code\":4}", ETCD_AWAY, ERROR_TRY_AGAIN, true, "deadline"},
	{500, "{\"message\":\"raft: stopped\",\"code\":2}", ETCD_AWAY, ERROR_TRY_AGAIN, true, "stopped"},
	{502, "<html>bad gateway</html>", ETCD_AWAY, ERROR_TRY_AGAIN, true, "HTTP 502"},
	{503,
		"{\"message\":\"authentication handshake failed: remote error: tls: bad "
		"certificate\",\"code\":14}",
		ETCD_UNFIT, ERROR_CONFIG, false, "clientAuth"},
	{400, "{\"message\":\"etcdserver: duplicate key given in txn request\",\"code\":3}", ETCD_FINAL,
		ERROR_TRY_AGAIN, false, "duplicate key"},
	{400, "{\"message\":\"etcdserver: authentication is not enabled\",\"code\":9}", ETCD_FINAL, ERROR_TRY_AGAIN,
		false, "not enabled"},
	{400, "{\"code\":\"x\",\"message\":{}}", ETCD_UNFIT, ERROR_DECODE, false, "HTTP 400"},
	{400, "two\nlines\x1b[1m", ETCD_UNFIT, ERROR_DECODE, false, ": two"},
};

static void tells_answers_apart(void **state)
{
	const struct etcd_config config = {0};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(answers); i++) {
		cleanup_free char *body = copy_text(answers[i].body);
		struct http_reply reply = {
			.status = answers[i].status, .sent = true, .body = body, .length = strlen(body)};
		cleanup_error struct error e = {0};
		cleanup_json cJSON *ret = NULL;
		bool sent = false;
		enum etcd_verdict verdict = etcd_reply_read(&config, "http://10.0.0.1:2379", &reply, &ret, &sent, &e);

		if (verdict != answers[i].verdict || e.code != answers[i].code || sent != answers[i].sent ||
			(verdict == ETCD_GOOD) != (ret != NULL) ||
			!strstr(e.message ? e.message : "", answers[i].message))
			fail_msg("%d %s: verdict %d, code %u, sent %d: %s", answers[i].status, body, (int)verdict,
				e.code, sent, e.message ? e.message : "");
		if (e.message)
			assert_non_null(strstr(e.message, "10.0.0.1:2379"));
	}
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
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
