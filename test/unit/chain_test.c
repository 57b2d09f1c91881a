/* Chains of plugins: what each is given, the order, and whose error comes back. */
#include "delegate/result.h"
#include "test/unit/chain_stub.h"

#include <errno.h>
#include <signal.h>
#include <time.h>

#define IP(address) "{\"cniVersion\":\"1.0.0\",\"ips\":[{\"address\":\"" address "\"}]}"
#define INNER(address) "{\"interfaces\":[],\"ips\":[{\"address\":\"" address "\"}],\"routes\":[],\"dns\":{}}"

static void assert_config(
	const char *conf, const char *runtime_config, size_t i, const cJSON *previous, const char *expected)
{
	cleanup_chain struct chain *chain = read_chain(conf, runtime_config);
	cleanup_error struct error e = {0};
	cleanup_free char *text = chain_plugin_config(chain, i, previous, &e);

	assert_non_null(text);
	assert_string_equal(text, expected);
}

static void test_config_passes_everything_on(void **state)
{
	(void)state;
	assert_config(
		"{\"cniVersion\":\"0.3.1\",\"name\":\"k8snet1\",\"type\":\"flannel\",\"masterplugin\":true,"
		"\"delegate\":"
		"{\"isDefaultGateway\":true,\"mtu\":1400},\"big\":1000000000000000,\"bigger\":1000000000000000000,"
		"\"float\":0.25,\"list\":[null,false,\"\\u00e4\"],\"args\":{\"cni\":{\"ips\":[\"10.0.0.1\"]}}}",
		NULL, 0, NULL,
		"{\"cniVersion\":\"0.3.1\",\"name\":\"k8snet1\",\"type\":\"flannel\",\"masterplugin\":true,"
		"\"delegate\":"
		"{\"isDefaultGateway\":true,\"mtu\":1400},\"big\":1000000000000000,\"bigger\":1000000000000000000,"
		"\"float\":0.25,\"list\":[null,false,\"\xc3\xa4\"],\"args\":{\"cni\":{\"ips\":[\"10.0.0.1\"]}}}");
	assert_config("{\"type\":\"t\",\"name\":\"n\",\"x\":1}", NULL, 0, NULL,
		"{\"type\":\"t\",\"name\":\"n\",\"x\":1,\"cniVersion\":\"\"}");
	/* Go takes a key in any case: there must not be two. */
	assert_config("{\"type\":\"t\",\"NAME\":\"a\",\"Name\":\"n\",\"cniversion\":\"0.4.0\"}", NULL, 0, NULL,
		"{\"type\":\"t\",\"name\":\"n\",\"cniVersion\":\"0.4.0\"}");
}

static void test_config_of_list_members(void **state)
{
	(void)state;
	static const char list[] =
		"{\"cniVersion\":\"0.3.1\",\"cniVersions\":[\"0.4.0\",\"1.0.0\",\"7.0.0\"],\"name\":\"n\","
		"\"disableGC\":true,\"plugins\":[{\"type\":\"a\",\"name\":\"mine\",\"cniVersion\":\"0.1.0\"},"
		"{\"type\":\"b\",\"capabilities\":{\"mac\":true,\"ips\":false,\"no\":true}}]}";

	assert_config(list, NULL, 0, NULL, "{\"type\":\"a\",\"name\":\"n\",\"cniVersion\":\"1.0.0\"}");
	assert_config(list, "{\"mac\":\"02:00:00:00:00:01\",\"ips\":[\"10.0.0.1\"],\"Mac\":\"x\"}", 1, NULL,
		"{\"type\":\"b\",\"capabilities\":{\"mac\":true,\"ips\":false,\"no\":true},\"name\":\"n\","
		"\"cniVersion\":"
		"\"1.0.0\",\"runtimeConfig\":{\"mac\":\"02:00:00:00:00:01\"}}");
	assert_config(list, "{\"ips\":[\"10.0.0.1\"]}", 1, NULL,
		"{\"type\":\"b\",\"capabilities\":{\"mac\":true,\"ips\":false,\"no\":true},\"name\":\"n\","
		"\"cniVersion\":"
		"\"1.0.0\"}");
	assert_config("{\"name\":\"n\",\"plugins\":[{\"type\":\"a\"}]}", NULL, 0, NULL,
		"{\"type\":\"a\",\"name\":\"n\",\"cniVersion\":\"\"}");
}

/* A tenant's: a comparison of all with all takes a minute. */
static void test_many_capabilities_are_read_in_no_time(void **state)
{
	cleanup_json cJSON *conf = cJSON_Parse("{\"type\":\"t\",\"name\":\"n\"}"),
			   *runtime = cJSON_Parse("{\"mac\":\"x\"}");
	cJSON *capabilities = cJSON_AddObjectToObject(conf, "capabilities");
	cleanup_error struct error e = {0};
	cleanup_chain struct chain *chain = NULL;

	(void)state;
	for (int i = 0; i < 100000; i++) {
		cleanup_free char *key = format_text("c%d", i);

		cJSON_AddItemToObject(capabilities, key, cJSON_CreateTrue());
	}
	cJSON_AddItemToObject(capabilities, "mac", cJSON_CreateTrue());

	const clock_t began = clock();

	assert_int_equal(chain_read(conf, "delegates[0]", runtime, &chain, &e), 0);
	assert_true(clock() - began < CLOCKS_PER_SEC);

	cleanup_free char *text = chain_plugin_config(chain, 0, NULL, &e);

	assert_non_null(strstr(text, "\"runtimeConfig\":{\"mac\":\"x\"}"));
}

static void test_previous_result_is_converted(void **state)
{
	(void)state;
	cleanup_json cJSON *previous = result_new();

	result_add_interface(previous, "eth0", NULL, "/n");
	result_add_ip(previous, 0, "10.0.0.5/24", NULL);
	assert_config("{\"type\":\"t\",\"name\":\"n\",\"cniVersion\":\"0.3.1\",\"prevResult\":7}", NULL, 0, previous,
		"{\"type\":\"t\",\"name\":\"n\",\"cniVersion\":\"0.3.1\",\"prevResult\":{\"cniVersion\":\"0.3.1\","
		"\"interfaces\":[{\"name\":\"eth0\",\"sandbox\":\"/n\"}],\"ips\":[{\"version\":\"4\",\"interface\":0,"
		"\"address\":\"10.0.0.5/24\"}],\"dns\":{}}}");
	assert_config("{\"type\":\"t\",\"name\":\"n\"}", NULL, 0, previous,
		"{\"type\":\"t\",\"name\":\"n\",\"cniVersion\":\"\",\"prevResult\":{\"cniVersion\":\"0.1.0\",\"ip4\":{"
		"\"ip\":"
		"\"10.0.0.5/24\"},\"dns\":{}}}");
}

static void test_refused(void **state)
{
	(void)state;
	static const struct {
		const char *conf;
		unsigned int code;
		const char *message; /* starts with */
	} cases[] = {
		{"[]", 7, "delegates[0] is not an object"},
		{"{\"name\":\"n\"}", 7, "delegates[0].type is missing"},
		{"{\"name\":\"n\",\"type\":\"\"}", 7, "delegates[0].type is \"\""},
		{"{\"name\":\"n\",\"type\":5}", 7, "delegates[0].type is 5"},
		{"{\"name\":\"n\",\"type\":\"../x\"}", 7, "delegates[0].type is \"../x\""},
		{"{\"name\":\"n\",\"type\":\"lamina\"}", 7,
			"delegates[0].type is \"lamina\": a plugin must not call itself"},
		{"{\"name\":\"n\",\"type\":\"multus\"}", 7, "delegates[0].type is \"multus\""},
		{"{\"name\":\"n\",\"type\":\"multus-cni\"}", 7, "delegates[0].type is \"multus-cni\""},
		{"{\"name\":\"n\",\"type\":\"multus-shim\"}", 7, "delegates[0].type is \"multus-shim\""},
		{"{\"name\":\"n\",\"type\":\"kube-ipam\"}", 7, "delegates[0].type is \"kube-ipam\""},
		{"{\"name\":\"n\",\"plugins\":[{\"type\":\"a\"},{\"type\":\"multus\"}]}", 7,
			"delegates[0].plugins[1].type is \"multus\""},
		{"{\"name\":\"n\",\"plugins\":[]}", 7, "delegates[0].plugins is \"\": a list has at least one plugin"},
		{"{\"name\":\"n\",\"plugins\":{}}", 7, "delegates[0].plugins is {}"},
		{"{\"name\":\"n\",\"plugins\":[null]}", 7, "delegates[0].plugins[0] is not an object"},
		{"{\"name\":\"n\",\"plugins\":[{}]}", 7, "delegates[0].plugins[0].type is missing"},
		{"{\"type\":\"t\"}", 7, "delegates[0].name is missing"},
		{"{\"type\":\"t\",\"name\":\"\"}", 7, "delegates[0].name is \"\""},
		{"{\"type\":\"t\",\"name\":\"-x\"}", 7, "delegates[0].name is \"-x\""},
		{"{\"type\":\"t\",\"name\":\"a/b\"}", 7, "delegates[0].name is \"a/b\""},
		{"{\"type\":\"t\",\"name\":\"ab\\n\"}", 7, "delegates[0].name is \"ab\\n\""},
		{"{\"type\":\"t\",\"name\":\"n\",\"cniVersion\":\"9.9.9\"}", 1,
			"delegates[0].cniVersion is \"9.9.9\": it must be "},
		{"{\"type\":\"t\",\"name\":\"n\",\"cniVersion\":\"1.0\"}", 1, "delegates[0].cniVersion is \"1.0\""},
		{"{\"type\":\"t\",\"name\":\"n\",\"cniVersion\":1}", 7, "delegates[0].cniVersion is 1"},
		{"{\"name\":\"n\",\"cniVersions\":[\"8.0.0\"],\"plugins\":[{\"type\":\"a\"}]}", 1,
			"delegates[0].cniVersions"},
		{"{\"name\":\"n\",\"cniVersions\":[1],\"plugins\":[{\"type\":\"a\"}]}", 1,
			"delegates[0].cniVersions[0]"},
		{"{\"name\":\"n\",\"disableCheck\":\"yes\",\"plugins\":[{\"type\":\"a\"}]}", 7,
			"delegates[0].disableCheck is \"yes\": it must be true or false"},
		{"{\"name\":\"n\",\"disableGC\":null,\"plugins\":[{\"type\":\"a\"}]}", 7,
			"delegates[0].disableGC is null: it must be true or false"},
		{"{\"name\":\"n\",\"disableCheck\":1,\"plugins\":[{\"type\":\"a\"}]}", 7, "delegates[0].disableCheck"},
		{"{\"type\":\"t\",\"name\":\"n\",\"capabilities\":[]}", 7, "delegates[0].capabilities is []"},
		{"{\"type\":\"t\",\"name\":\"n\",\"capabilities\":{\"mac\":1}}", 7,
			"delegates[0].capabilities: \"mac\" must be true"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		cleanup_json cJSON *conf = cJSON_Parse(cases[i].conf);
		cleanup_error struct error e = {0};
		struct chain *chain = NULL;

		if (chain_read(conf, "delegates[0]", NULL, &chain, &e) == 0)
			fail_msg("accepted: %s", cases[i].conf);
		assert_null(chain);
		if (e.code != cases[i].code || strncmp(e.message, cases[i].message, strlen(cases[i].message)) != 0)
			fail_msg("%s: %u %s", cases[i].conf, e.code, e.message);
	}
}

static void test_properties(void **state)
{
	const struct stubs *stubs = *state;
	cleanup_chain struct chain *old = read_chain("{\"name\":\"n.1_x-Y\",\"type\":\"a\",\"plugins\":[]}", NULL);
	cleanup_chain struct chain *list = read_chain("{\"name\":\"n\",\"cniVersion\":\"9.0.0\",\"cniVersions\":[\"0.3."
						      "1\",\"0.4.0\"],\"plugins\":[{\"type\":\"a\"},"
						      "{\"type\":\"absent\"}]}",
		NULL);
	cleanup_error struct error e = {0};

	assert_string_equal(chain_version(old), "0.1.0");
	assert_string_equal(chain_version(list), "0.4.0");
	stub_write(stubs, "a", NOTE);
	assert_int_equal(chain_find(old, stubs->folder, &e), 0);
	assert_true(chain_find(list, stubs->folder, &e) < 0);
	assert_ptr_equal(strstr(e.message, "failed to find plugin \"absent\" in path ["), e.message);
	chain_free(NULL);
}

#define LIST(version) \
	"{\"name\":\"n\",\"cniVersion\":\"" version \
	"\",\"plugins\":[{\"type\":\"a\"},{\"type\":\"b\"},{\"type\":\"c\"}]}"

static void test_add_list(void **state)
{
	const struct stubs *stubs = *state;
	cleanup_chain struct chain *chain = read_chain(LIST("0.4.0"), NULL);
	cleanup_error struct error e = {0};
	cleanup_json cJSON *result = NULL;

	forget(stubs);
	stub_write(stubs, "a", NOTE "echo '{\"ips\":[{\"version\":\"4\",\"address\":\"10.0.0.1/24\"}]}'");
	stub_write(stubs, "b", NOTE "echo '" IP("10.0.0.2/24") "'");
	stub_write(stubs, "c", NOTE "echo '{\"cniVersion\":\"0.2.0\",\"ip4\":{\"ip\":\"10.0.0.3/24\"}}'");
	assert_int_equal(add(stubs, chain, 20 * SECONDS, &result, &e), 0);

	cleanup_free char *text = json_print(result);

	assert_string_equal(text, INNER("10.0.0.3/24"));
	assert_file(stubs, "calls", "ADD a\nADD b\nADD c\n");
	assert_file(stubs, "a.ADD.in", "{\"type\":\"a\",\"name\":\"n\",\"cniVersion\":\"0.4.0\"}");
	assert_file(stubs, "b.ADD.in",
		"{\"type\":\"b\",\"name\":\"n\",\"cniVersion\":\"0.4.0\",\"prevResult\":{\"cniVersion\":\"0.4.0\","
		"\"ips\":[{"
		"\"version\":\"4\",\"address\":\"10.0.0.1/24\"}],\"dns\":{}}}");
	assert_file(stubs, "c.ADD.in",
		"{\"type\":\"c\",\"name\":\"n\",\"cniVersion\":\"0.4.0\",\"prevResult\":{\"cniVersion\":\"0.4.0\","
		"\"ips\":[{"
		"\"version\":\"4\",\"address\":\"10.0.0.2/24\"}],\"dns\":{}}}");
}

/* What the plugin does not say, its configuration says: absent is 0.1.0. */
static void test_result_without_version(void **state)
{
	const struct stubs *stubs = *state;
	cleanup_chain struct chain *old = read_chain("{\"name\":\"n\",\"type\":\"a\"}", NULL);
	cleanup_chain struct chain *new = read_chain("{\"name\":\"n\",\"type\":\"b\",\"cniVersion\":\"1.0.0\"}", NULL);
	cleanup_error struct error e = {0};
	cleanup_json cJSON *old_result = NULL, *new_result = NULL;

	stub_write(stubs, "a", "echo '{\"ip4\":{\"ip\":\"10.0.0.1/24\"}}'");
	stub_write(stubs, "b", "echo '{\"cniVersion\":\"\",\"interfaces\":[{\"name\":\"eth0\",\"mtu\":1400}]}'");
	assert_int_equal(add(stubs, old, 20 * SECONDS, &old_result, &e), 0);
	assert_int_equal(add(stubs, new, 20 * SECONDS, &new_result, &e), 0);

	cleanup_free char *old_text = json_print(old_result), *new_text = json_print(new_result);

	assert_string_equal(old_text, INNER("10.0.0.1/24"));
	assert_string_equal(
		new_text, "{\"interfaces\":[{\"name\":\"eth0\",\"mtu\":1400}],\"ips\":[],\"routes\":[],\"dns\":{}}");
}

/* The plugin's own code and text, and no call behind it. */
static void test_add_list_fails(void **state)
{
	const struct stubs *stubs = *state;
	cleanup_chain struct chain *chain = read_chain(LIST("0.4.0"), NULL);
	cleanup_error struct error e = {0};
	cJSON *result = NULL;

	forget(stubs);
	stub_write(stubs, "a", NOTE "echo null");
	stub_write(stubs, "b", NOTE "echo '{\"code\":100,\"msg\":\"b has enough\"}'; exit 1");
	assert_true(add(stubs, chain, 20 * SECONDS, &result, &e) < 0);
	assert_int_equal(e.code, 100);
	assert_string_equal(e.message, "b has enough");
	assert_string_equal(e.details, "delegate \"n\" (b)");
	assert_file(stubs, "calls", "ADD a\nADD b\n");
	assert_file(stubs, "b.ADD.in",
		"{\"type\":\"b\",\"name\":\"n\",\"cniVersion\":\"0.4.0\",\"prevResult\":{\"cniVersion\":\"0.4.0\","
		"\"dns\":{}}}");
}

static int del(
	const struct stubs *stubs, struct chain *chain, const cJSON *previous, int64_t microseconds, struct error *e)
{
	struct call_params params = params_of(stubs);

	chain_del_start(chain, &params, previous, clock_now() + microseconds);
	return chain_del_finish(chain, e);
}

static void test_del_list(void **state)
{
	const struct stubs *stubs = *state;
	cleanup_chain struct chain *chain = read_chain(LIST("0.4.0"), NULL);
	cleanup_chain struct chain *old = read_chain(LIST("0.3.1"), NULL);
	cleanup_json cJSON *previous = result_new();
	cleanup_error struct error e = {0};

	forget(stubs);
	stub_write(stubs, "a", NOTE);
	stub_write(stubs, "b", NOTE "echo ignored");
	stub_write(stubs, "c", NOTE);
	result_add_ip(previous, -1, "10.0.0.5/24", NULL);
	assert_int_equal(del(stubs, chain, previous, 20 * SECONDS, &e), 0);
	assert_file(stubs, "calls", "DEL c\nDEL b\nDEL a\n");
	assert_file(stubs, "b.DEL.in",
		"{\"type\":\"b\",\"name\":\"n\",\"cniVersion\":\"0.4.0\",\"prevResult\":{\"cniVersion\":\"0.4.0\","
		"\"ips\":[{"
		"\"version\":\"4\",\"address\":\"10.0.0.5/24\"}],\"dns\":{}}}");
	assert_int_equal(del(stubs, old, previous, 20 * SECONDS, &e), 0);
	assert_file(stubs, "b.DEL.in", "{\"type\":\"b\",\"name\":\"n\",\"cniVersion\":\"0.3.1\"}");
	assert_int_equal(del(stubs, chain, NULL, 20 * SECONDS, &e), 0);
	assert_file(stubs, "b.DEL.in", "{\"type\":\"b\",\"name\":\"n\",\"cniVersion\":\"0.4.0\"}");
}

static void test_del_goes_on(void **state)
{
	const struct stubs *stubs = *state;
	cleanup_chain struct chain *chain = read_chain(LIST("1.0.0"), NULL);
	cleanup_error struct error e = {0}, absent = {0}, slow = {0};
	cleanup_free char *c = stub_path(stubs, "c");

	forget(stubs);
	stub_write(stubs, "a", NOTE);
	stub_write(stubs, "b", NOTE "echo '{\"code\":102,\"msg\":\"second\"}'; exit 1");
	stub_write(stubs, "c", NOTE "echo '{\"code\":101,\"msg\":\"first\"}'; exit 1");
	assert_true(del(stubs, chain, NULL, 20 * SECONDS, &e) < 0);
	assert_int_equal(e.code, 101);
	assert_string_equal(e.message, "first");
	assert_file(stubs, "calls", "DEL c\nDEL b\nDEL a\n");

	/* One that is not there, in the place that is called first. */
	forget(stubs);
	unlink(c);
	assert_true(del(stubs, chain, NULL, 20 * SECONDS, &absent) < 0);
	assert_ptr_equal(strstr(absent.message, "failed to find plugin \"c\""), absent.message);
	assert_file(stubs, "calls", "DEL b\nDEL a\n");

	/* One that hangs takes a third of the time, not all of it. */
	forget(stubs);
	stub_write(stubs, "b", NOTE);
	stub_write(stubs, "c", NOTE "sleep 72");
	assert_true(del(stubs, chain, NULL, 3 * SECONDS, &slow) < 0);
	static const char begin[] = "plugin type=\"c\" did not answer within ";
	char *end = NULL;

	assert_int_equal(strncmp(slow.message, begin, strlen(begin)), 0);

	const double seconds = strtod(slow.message + strlen(begin), &end);

	/* On a busy machine something is gone before it is called. */
	assert_true(seconds > 0.5 && seconds <= 1.0);
	assert_string_equal(end, " s and was killed");
	assert_file(stubs, "calls", "DEL c\nDEL b\nDEL a\n");
}

static int check(const struct stubs *stubs, const char *conf, const cJSON *previous, struct error *e)
{
	cleanup_chain struct chain *chain = read_chain(conf, NULL);
	struct call_params params = params_of(stubs);

	return chain_check(chain, &params, previous, clock_now() + 20 * SECONDS, e);
}

static void test_check(void **state)
{
	const struct stubs *stubs = *state;
	cleanup_json cJSON *previous = result_new();
	cleanup_error struct error e = {0};

	forget(stubs);
	stub_write(stubs, "a", NOTE);
	stub_write(stubs, "b", NOTE);
	stub_write(stubs, "c", NOTE);
	assert_int_equal(check(stubs, LIST("0.4.0"), previous, &e), 0);
	assert_file(stubs, "calls", "CHECK a\nCHECK b\nCHECK c\n");
	assert_file(stubs, "c.CHECK.in",
		"{\"type\":\"c\",\"name\":\"n\",\"cniVersion\":\"0.4.0\",\"prevResult\":{\"cniVersion\":\"0.4.0\","
		"\"dns\":{}}}");
	forget(stubs);
	stub_write(stubs, "b", NOTE "echo '{\"code\":103,\"msg\":\"gone\"}'; exit 1");
	assert_true(check(stubs, LIST("1.1.0"), previous, &e) < 0);
	assert_int_equal(e.code, 103);
	assert_file(stubs, "calls", "CHECK a\nCHECK b\n");

	forget(stubs);
	error_clear(&e);
	assert_int_equal(check(stubs, LIST("0.3.1"), previous, &e), 0);
	assert_int_equal(check(stubs, "{\"name\":\"n\",\"type\":\"b\"}", previous, &e), 0);
	assert_int_equal(check(stubs,
				 "{\"name\":\"n\",\"cniVersion\":\"1.0.0\",\"disableCheck\":true,\"plugins\":[{"
				 "\"type\":\"b\"}]}",
				 previous, &e),
		0);
	assert_int_equal(check(stubs,
				 "{\"name\":\"n\",\"cniVersion\":\"1.0.0\",\"disableCheck\":\"true\",\"plugins\":[{"
				 "\"type\":\"b\"}]}",
				 previous, &e),
		0);
	assert_int_equal(check(stubs,
				 "{\"name\":\"n\",\"cniVersion\":\"1.0.0\",\"disableCheck\":\"True\",\"plugins\":[{"
				 "\"type\":\"b\"}]}",
				 previous, &e),
		0);
	assert_file(stubs, "calls", "");
	assert_true(check(stubs,
			    "{\"name\":\"n\",\"cniVersion\":\"1.0.0\",\"DisableCheck\":true,\"plugins\":[{"
			    "\"type\":\"b\"}]}",
			    previous, &e) < 0);
	error_clear(&e);
	assert_true(check(stubs,
			    "{\"name\":\"n\",\"cniVersion\":\"1.0.0\",\"disableCheck\":\"FALSE\",\"plugins\":[{"
			    "\"type\":\"b\"}]}",
			    previous, &e) < 0);
}

static void test_large_configuration_and_result(void **state)
{
	const struct stubs *stubs = *state;
	cleanup_free char *filler = allocate(((size_t)1 << 20) + 1, 1);
	cleanup_error struct error e = {0};
	cleanup_json cJSON *result = NULL;

	for (size_t i = 0; i < (size_t)1 << 20; i++)
		filler[i] = 'f';

	cleanup_free char *conf =
		format_text("{\"name\":\"n\",\"type\":\"stub\",\"cniVersion\":\"1.0.0\",\"x\":\"%s\"}", filler);
	cleanup_chain struct chain *chain = read_chain(conf, NULL);

	/* It answers with its configuration, of which only cniVersion belongs into a result. */
	stub_write(stubs, "stub", "cat");
	assert_int_equal(add(stubs, chain, 20 * SECONDS, &result, &e), 0);

	cleanup_free char *text = json_print(result);

	assert_string_equal(text, "{\"interfaces\":[],\"ips\":[],\"routes\":[],\"dns\":{}}");
}

static void test_free_kills_the_call(void **state)
{
	const struct stubs *stubs = *state;
	struct chain *chain = read_chain("{\"name\":\"n\",\"type\":\"stub\"}", NULL);
	struct call_params params = params_of(stubs);
	cleanup_error struct error e = {0};

	stub_write(stubs, "stub", "echo $$ >$STUBS/pid; sleep 73");
	assert_int_equal(chain_add_start(chain, &params, clock_now() + 20 * SECONDS, &e), 0);

	pid_t pid = stub_read_pid(stubs, "pid");

	chain_free(chain);
	assert_int_equal(kill(pid, 0), -1);
	assert_int_equal(errno, ESRCH);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_config_passes_everything_on),
		cmocka_unit_test(test_config_of_list_members),
		cmocka_unit_test(test_many_capabilities_are_read_in_no_time),
		cmocka_unit_test(test_previous_result_is_converted),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_properties),
		cmocka_unit_test(test_add_list),
		cmocka_unit_test(test_result_without_version),
		cmocka_unit_test(test_add_list_fails),
		cmocka_unit_test(test_del_list),
		cmocka_unit_test(test_del_goes_on),
		cmocka_unit_test(test_check),
		cmocka_unit_test(test_large_configuration_and_result),
		cmocka_unit_test(test_free_kills_the_call),
	};

	process_adopt_orphans();
	return cmocka_run_group_tests(tests, stub_setup, stub_teardown);
}
