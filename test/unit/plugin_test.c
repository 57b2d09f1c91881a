/* What the plugin reads before it touches anything: names, annotations, configuration, plans, and what a record says
 * was made. */
#include "plugin/annotations.h"
#include "plugin/attachment.h"
#include "plugin/base/base64.h"
#include "plugin/plan.h"
#include "plugin/pod.h"
#include "plugin/sandbox.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static cJSON *parse(const char *text)
{
	cleanup_error struct error e = {0};
	cJSON *json = NULL;

	if (json_parse(text, strlen(text), "test", &json, &e) < 0)
		fail_msg("%s", e.message);
	return json;
}

static void interface_names_are_refused_as_skel_refuses_them(void **state)
{
	static const char *const bad[] = {".", "..", "a/b", "a:b", "a b", "a\tb", "a\xc2\xa0", "a\xc2\x85",
		"a\xe2\x80\x83", "a%d", "sixteencharacter"};
	cleanup_error struct error e = {0};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		if (request_check_ifname(bad[i], &e) == 0)
			fail_msg("%s was accepted", bad[i]);
		assert_int_equal(e.code, ERROR_ENVIRONMENT);
		error_clear(&e);
	}
	assert_int_equal(request_check_ifname("fifteencharacte", &e), 0);
	assert_int_equal(request_check_ifname("\xe2\x82\xac", &e), 0);
}

static void base64_is_what_go_writes(void **state)
{
	static const char *const pairs[][2] = {{"", ""}, {"f", "Zg=="}, {"fo", "Zm8="}, {"foo", "Zm9v"},
		{"foob", "Zm9vYg=="}, {"\xff\xfe\xfd", "//79"}};
	static const char *const bad[] = {"Zg", "Zg=", "Z===", "Zg==Zg==", "Zm9v\n", "Z m9", "====", "Zm9-"};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(pairs); i++) {
		cleanup_free char *text = base64_encode(pairs[i][0], strlen(pairs[i][0]));
		cleanup_free char *bytes = NULL;
		size_t length = 0;

		assert_string_equal(text, pairs[i][1]);
		assert_true(base64_decode(text, &bytes, &length));
		assert_int_equal(length, strlen(pairs[i][0]));
		assert_memory_equal(bytes, pairs[i][0], length);
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		cleanup_free char *bytes = NULL;
		size_t length = 0;

		if (base64_decode(bad[i], &bytes, &length))
			fail_msg("%s was accepted", bad[i]);
	}
}

/* Reads a pod's annotations, given as JSON; pod NULL is a container that is no pod. */
static int read_annotations(const char *map, const char *pod, struct annotations *ret, struct error *e)
{
	cleanup_json cJSON *runtime_config = cJSON_CreateObject();
	cleanup_json cJSON *conf = cJSON_CreateObject();
	struct request request = {.conf = conf, .pod = {.pod = copy_text(pod)}};
	const struct config config = {.runtime_config = runtime_config, .declares_annotations = true};

	if (map)
		json_put(runtime_config, ANNOTATIONS_CAPABILITY, parse(map));

	cleanup_pod struct pod known = {0};
	int r = pod_find(&known, &request, &config, e);

	if (r == 0)
		r = annotations_read(&request, &config, known.annotations, false, ret, e);
	free(request.pod.pod);
	return r;
}

static void annotations_that_are_refused(void **state)
{
	static const struct {
		const char *map, *says;
	} bad[] = {
		{"{\"kube-ipam.ip\":\"\"}", "kube-ipam.ip is \"\""},
		{"{\"kube-ipam.ip\":\"24\"}", "kube-ipam.ip is \"24\""},
		{"{\"kube-ipam.ip\":\"10.188.0.300\"}", "10.188.0.300"},
		{"{\"kube-ipam.ip\":\"10.188.0.5,\"}", "kube-ipam.ip is \"\""},
		{"{\"kube-ipam.ip\":\"10.188.0.5,10.188.0.5\"}", "10.188.0.5 twice"},
		{"{\"kube-ipam.ip\":5}", "must be a string"},
		{"{\"kube-ipam.ip\":null}", "must be a string"},
		{"{\"kube-ipam.netmask\":\"16\"}", "kube-ipam.netmask is set without"},
		{"{\"kube-ipam.gateway\":\"10.188.0.1\"}", "kube-ipam.gateway is set without"},
		{"{\"kube-ipam.ip\":\"10.188.0.5\",\"kube-ipam.netmask\":\"33\"}", "33"},
		{"{\"kube-ipam.ip\":\"10.188.0.5\",\"kube-ipam.netmask\":\"255.0.255.0\"}", "255.0.255.0"},
		{"{\"kube-ipam.ip\":\"10.188.0.5\",\"kube-ipam.gateway\":\"x\"}", "kube-ipam.gateway"},
		{"{\"kube-ipam.ip\":\"10.188.0.5\",\"kube-ipam.gateway\":\"10.188.0.1,10.188.0.2\"}", "one per family"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		cleanup_error struct error e = {0};
		struct annotations read;

		if (read_annotations(bad[i].map, "db", &read, &e) == 0)
			fail_msg("%s was accepted", bad[i].map);
		assert_int_equal(e.code, ERROR_CONFIG);
		if (!strstr(e.message, bad[i].says))
			fail_msg("%s: %s", bad[i].map, e.message);
	}
}

static void annotations_that_are_read(void **state)
{
	cleanup_error struct error e = {0};
	struct annotations read;

	(void)state;
	assert_int_equal(
		read_annotations("{\"kube-ipam.ip\":\" 10.188.0.5 , fd00::5\",\"kube-ipam.netmask\":\"255.255.0.0\","
				 "\"kube-ipam.gateway\":\"10.188.0.1,fd00::1\"}",
			"db", &read, &e),
		0);
	assert_int_equal(read.count, 2);
	assert_true(read.from_annotation && read.has_netmask);
	assert_int_equal(read.netmask, 16);
	assert_string_equal(read.netmask_text.s, "255.255.0.0");
	assert_string_equal(ip_text(&read.wanted[1].addr).s, "fd00::5");
	assert_string_equal(ip_text(&read.gateway6).s, "fd00::1");
	/* An answer, and a container that is no pod. */
	assert_int_equal(read_annotations("{}", "db", &read, &e), 0);
	assert_int_equal(read.count, 0);
	assert_int_equal(read_annotations(NULL, NULL, &read, &e), 0);
	/* A pod of which nobody says what it wants. */
	assert_true(read_annotations(NULL, "db", &read, &e) < 0);
	assert_int_equal(e.code, ERROR_CONFIG);
}

static void what_was_made_survives_the_record(void **state)
{
	struct made made = {
		.exec = MADE_DONE,
		.link = MADE_DONE,
		.mac = {2, 1, 2, 3, 4, 5},
		.ifindex = 7,
		.rules = MADE_NOTHING,
		.table = 101,
		.gateways[1] = {.family = AF_INET6, .bytes = {0xfe, 0x80, [15] = 9}},
		.lease = MADE_DONE,
		.lease_network = copy_text("k8snet2"),
		.lease_value = copy_text("{\"v\":1}"),
		.addrs = allocate(1, sizeof(struct ip_addr)),
		.addr_count = 1,
	};
	CLEANUP(made_clear) struct made read = {0};
	CLEANUP(made_clear) struct made intended = {0};

	(void)state;
	ip_parse("10.188.0.218", &made.addrs[0]);

	cleanup_json cJSON *done = made_print(&made, true);
	cleanup_json cJSON *begun = made_print(&made, false);

	made_read(done, true, &read);
	assert_int_equal(read.exec, MADE_DONE);
	assert_int_equal(read.rules, MADE_NOTHING);
	assert_memory_equal(read.mac, made.mac, 6);
	assert_int_equal(read.ifindex, 7);
	assert_int_equal(read.gateways[0].family, 0);
	assert_string_equal(ip_text(&read.gateways[1]).s, "fe80::9");
	assert_string_equal(read.lease_value, "{\"v\":1}");
	assert_string_equal(ip_text(&read.addrs[0]).s, "10.188.0.218");
	/* A record that is not complete: everything may be there. */
	made_read(begun, false, &intended);
	assert_int_equal(intended.rules, MADE_INTENDED);
	assert_int_equal(intended.link, MADE_INTENDED);
	made_clear(&made);
}

static void damage_in_a_record_counts_as_intended(void **state)
{
	static const char *const damaged[] = {"{}", "[]", "5",
		"{\"link\":7,\"mac\":\"zz\",\"ifindex\":-3,\"table\":\"x\"}", "{\"addresses\":[1,\"x\",null]}",
		"{\"gateways\":[1,\"x\",null]}", "{\"gateways\":\"10.0.0.1\"}", "{\"ifindex\":1e300}"};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(damaged); i++) {
		cleanup_json cJSON *json = parse(damaged[i]);
		CLEANUP(made_clear) struct made made = {0};

		made_read(json, true, &made);
		assert_int_equal(made.link, MADE_INTENDED);
		assert_int_equal(made.ifindex, 0);
		assert_int_equal(made.addr_count, 0);
		assert_int_equal(made.gateways[0].family + made.gateways[1].family, 0);
	}
}

static void a_sandbox_of_another_boot_is_gone(void **state)
{
	cleanup_json cJSON *json = parse(
		"{\"netns\":\"/proc/self/ns/net\",\"cookie\":\"1\",\"device\":\"4\",\"inode\":\"5\",\"bootId\":\"a\"}");
	cleanup_json cJSON *unknown = parse("{\"netns\":\"/nowhere\"}");
	cleanup_sandbox struct sandbox sandbox = {0};
	cleanup_sandbox struct sandbox vague = {0};

	(void)state;
	sandbox_read(json, &sandbox);
	assert_true(sandbox_is_gone(&sandbox, "b"));
	assert_true(sandbox_is_gone(&sandbox, "a")); /* another namespace at the path */
	sandbox_read(unknown, &vague);
	assert_false(sandbox_is_gone(&vague, "a")); /* what cannot be told is not gone */
}

/* Plans a configuration with these annotations; returns 0 or the code. */
static unsigned int plan(const char *conf_text, const char *map, struct plan *plan, struct error *e)
{
	cleanup_json cJSON *conf = parse(conf_text);
	cleanup_config struct config config = {0};
	const struct request request = {.conf = conf,
		.ifname = "eth0",
		.container_id = "c",
		.netns = "",
		.args = "",
		.path = "",
		.network = "n",
		.version = "1.0.0"};
	cJSON *runtime_config = cJSON_CreateObject();

	json_put(runtime_config, ANNOTATIONS_CAPABILITY, parse(map));
	json_put(conf, "runtimeConfig", runtime_config);
	if (config_read(conf, false, &config, e) < 0 || plan_build(plan, &request, &config, e) < 0 ||
		plan_place(plan, &request, &config, json_get(runtime_config, ANNOTATIONS_CAPABILITY), e) < 0)
		return e->code;
	return 0;
}

#define LAYER(name, subnet) \
	"{\"name\":\"" name \
	"\",\"type\":\"macvlan\",\"master\":\"eth0\",\"ipam\":{\"type\":\"kube-ipam\",\"subnet\":\"" subnet "\"}}"

#define CONF(delegates) "{\"cniVersion\":\"1.0.0\",\"name\":\"n\",\"type\":\"lamina\",\"delegates\":[" delegates "]}"

static void an_address_goes_to_the_network_that_holds_it(void **state)
{
	static const char conf[] =
		CONF(LAYER("a", "10.1.0.0/16") "," LAYER("b", "10.2.0.0/16") "," LAYER("c", "10.2.0.0/16"));
	cleanup_plan struct plan planned = {0};
	cleanup_plan struct plan refused = {0};
	cleanup_error struct error e = {0};

	(void)state;
	if (plan(conf, "{\"kube-ipam.ip\":\"10.2.0.7\"}", &planned, &e) != 0)
		fail_msg("%s", e.message);

	cleanup_json cJSON *described = plan_describe(&planned);

	assert_null(json_get(cJSON_GetArrayItem(described, 0), "fixed"));
	assert_non_null(json_get(cJSON_GetArrayItem(described, 1), "fixed"));
	assert_null(json_get(cJSON_GetArrayItem(described, 2), "fixed"));
	assert_int_equal(plan(conf, "{\"kube-ipam.ip\":\"10.3.0.7\"}", &refused, &e), ERROR_CONFIG);
	assert_non_null(strstr(e.message, "10.3.0.7"));
}

static void plans_that_are_refused(void **state)
{
	static const char *const bad[] = {
		CONF(""),
		CONF("5"),
		CONF("{\"name\":\"a\",\"type\":\"lamina\"}"),
		CONF("{\"name\":\"a\",\"type\":\"multus\"}"),
		CONF("{\"name\":\"a/b\",\"type\":\"flannel\"}"),
		CONF(LAYER("a", "10.1.0.0/16") "," LAYER("a", "10.2.0.0/16")),
		CONF(LAYER("a", "10.1.0.0/31")),
		"{\"cniVersion\":\"1.0.0\",\"name\":\"n\",\"type\":\"macvlan\",\"delegates\":[{}]}",
		"{\"cniVersion\":\"1.0.0\",\"name\":\"n\",\"type\":\"lamina\",\"delegates\":[{}],\"timeout\":0}",
		"{\"cniVersion\":\"1.0.0\",\"name\":\"n\",\"type\":\"lamina\",\"delegates\":[{}],\"cniDir\":\"x\"}",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		cleanup_plan struct plan planned = {0};
		cleanup_error struct error e = {0};

		if (plan(bad[i], "{}", &planned, &e) != ERROR_CONFIG)
			fail_msg("%s: code %u", bad[i], e.code);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(interface_names_are_refused_as_skel_refuses_them),
		cmocka_unit_test(base64_is_what_go_writes),
		cmocka_unit_test(annotations_that_are_refused),
		cmocka_unit_test(annotations_that_are_read),
		cmocka_unit_test(what_was_made_survives_the_record),
		cmocka_unit_test(damage_in_a_record_counts_as_intended),
		cmocka_unit_test(a_sandbox_of_another_boot_is_gone),
		cmocka_unit_test(an_address_goes_to_the_network_that_holds_it),
		cmocka_unit_test(plans_that_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
