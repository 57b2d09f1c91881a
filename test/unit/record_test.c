/* What is read of and written into multus's files, without any file: elements of a record, runtimeConfig, CNI_ARGS. */
#include "plugin/base/base64.h"
#include "plugin/state_element.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

static cJSON *parse(const char *text)
{
	cleanup_error struct error e = {0};
	cJSON *json = NULL;

	if (json_parse(text, strlen(text), "test", &json, &e) < 0)
		fail_msg("%s: %s", text, e.message);
	return json;
}

/* An element with that configuration; more are further members. */
static cJSON *make_element(const char *conf, const char *more)
{
	cleanup_free char *bytes = base64_encode(conf, strlen(conf));
	cleanup_free char *text = format_text("{\"Bytes\":\"%s\"%s%s}", bytes, *more ? "," : "", more);

	return parse(text);
}

static void an_element_decides_name_and_interface(void **state)
{
	static const struct {
		const char *more;
		unsigned int position, index;
		const char *ifname, *name;
	} cases[] = {
		{"", 0, 0, "eth7", "n"},
		{"", 2, 2, "net2", "n"},
		{"\"Name\":\"db/nad\",\"ifnameRequest\":\"db0\"", 2, 2, "db0", "db/nad"},
		{"\"ifnameRequest\":\"db0\"", 0, 0, "db0", "n"},
		{"\"ifnameRequest\":\"../x\"", 1, 1, "net1", "n"},
		{"\"ifnameRequest\":\"sixteencharacter\",\"Name\":\"\"", 1, 1, "net1", "n"},
		{"\"ifnameRequest\":7,\"Name\":[]", 1, 1, "net1", "n"},
		{"\"ifnameRequest\":\"db0\",\"lamina\":{\"index\":3,\"interface\":\"net3\"}", 0, 3, "net3", "n"},
		{"\"lamina\":{\"index\":-3,\"interface\":\"a/b\"}", 1, 1, "net1", "n"},
		{"\"lamina\":{\"index\":1e9}", 1, 1, "net1", "n"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		cleanup_json cJSON *element = make_element("{\"name\":\"n\",\"type\":\"t\"}", cases[i].more);
		cleanup_attachment struct attachment *a = element_read(element, cases[i].position, "eth7", true);

		assert_non_null(a);
		assert_int_equal(a->index, cases[i].index);
		assert_string_equal(a->ifname, cases[i].ifname);
		assert_string_equal(a->name, cases[i].name);
	}
}

static void an_element_without_a_configuration_is_beyond_use(void **state)
{
	static const char *const bad[] = {"{}", "{\"Bytes\":null}", "{\"Bytes\":7}", "{\"Bytes\":\"***\"}",
		"{\"Bytes\":\"\"}", "{\"Bytes\":\"W10=\"}", "{\"Bytes\":\"eyJh\"}"};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		cleanup_json cJSON *element = parse(bad[i]);

		if (element_read(element, 0, "eth0", true))
			fail_msg("%s was read", bad[i]);
	}
}

/* A tenant's: a comparison of all with all takes a minute. */
static void many_capabilities_are_written_in_no_time(void **state)
{
	cleanup_json cJSON *conf = parse("{\"name\":\"n\",\"type\":\"t\",\"capabilities\":{\"Mac\":false}}");
	const struct request request = {.ifname = "eth0", .network = "outer", .version = "1.0.0"};
	const struct run run = {.request = &request};

	(void)state;
	for (int i = 0; i < 100000; i++) {
		cleanup_free char *key = format_text("c%d", i);

		cJSON_AddItemToObject(cJSON_GetObjectItem(conf, "capabilities"), key, cJSON_CreateTrue());
	}
	cJSON_AddItemToObject(cJSON_GetObjectItem(conf, "capabilities"), "mac", cJSON_CreateTrue());

	cleanup_attachment struct attachment *a = attachment_new(conf, 1, "eth0");
	const struct plan plan = {.attachments = &a, .count = 1};
	const clock_t began = clock();
	cleanup_json cJSON *element = element_print(a, &plan, true, &run);

	assert_true(clock() - began < CLOCKS_PER_SEC);
	/* As a map of Go's has them. */
	assert_int_equal(cJSON_GetArraySize(json_dig(element, "Conf", "capabilities", NULL)), 100002);
}

static void what_was_asked_survives_the_record(void **state)
{
	static const char more[] =
		"\"macRequest\":\"02:00:00:00:00:07\",\"infinibandGUIDRequest\":\"g\",\"ipRequest\":[\"10.0.0.1/8\",7,"
		"\"10.0.0.2\"],\"default-route\":[\"10.0.0.254\",\"x\",\"fd00::1\"],\"deviceID\":\"d\","
		"\"resourceName\":\"r/s\"";
	cleanup_json cJSON *element = make_element("{\"name\":\"n\",\"type\":\"t\",\"dns\":[],\"ipam\":\"x\"}", more);
	cleanup_attachment struct attachment *a = element_read(element, 1, "eth0", true);
	const struct request request = {.ifname = "eth0", .network = "outer", .version = "1.0.0"};
	const struct run run = {.request = &request};
	const struct plan plan = {.attachments = &a, .count = 1};

	(void)state;
	assert_non_null(a);
	assert_int_equal(a->asked->ip_count, 2);
	assert_int_equal(a->asked->gateway_count, 2);

	cleanup_json cJSON *printed = element_print(a, &plan, true, &run);
	cleanup_json cJSON *wanted = parse(
		"{\"Conf\":{\"ipam\":{},\"name\":\"n\",\"type\":\"t\"},\"ConfList\":{},\"CNINetworkConfigList\":"
		"{\"Name\":\"\",\"CNIVersion\":\"\",\"DisableCheck\":false,\"DisableGC\":false,"
		"\"LoadOnlyInlinedPlugins\":false,\"Plugins\":null,\"Bytes\":null},\"Name\":\"n\","
		"\"macRequest\":\"02:00:00:00:00:07\",\"infinibandGUIDRequest\":\"g\",\"ipRequest\":[\"10.0.0.1/8\","
		"\"10.0.0.2\"],\"default-route\":[\"10.0.0.254\",\"fd00::1\"],\"IsFilterV4Gateway\":false,"
		"\"IsFilterV6Gateway\":false,\"deviceID\":\"d\",\"resourceName\":\"r/s\"}");

	json_remove(printed, "lamina");
	json_remove(printed, "Bytes");
	assert_true(cJSON_Compare(printed, wanted, true));
}

/* multus reads true alone there; of the rest it would refuse the whole file. */
static void a_lists_switches_are_printed_as_true(void **state)
{
	cleanup_json cJSON *element = make_element(
		"{\"name\":\"n\",\"disableCheck\":\"TRUE\",\"disableGC\":\"False\",\"plugins\":[{\"type\":\"t\"}]}",
		"");
	cleanup_attachment struct attachment *a = element_read(element, 1, "eth0", true);
	const struct request request = {.ifname = "eth0", .network = "outer", .version = "1.0.0"};
	const struct run run = {.request = &request};
	const struct plan plan = {.attachments = &a, .count = 1};
	cleanup_json cJSON *printed = element_print(a, &plan, true, &run);

	(void)state;
	assert_true(cJSON_IsTrue(json_dig(printed, "ConfList", "disableCheck", NULL)));
	assert_null(json_dig(printed, "ConfList", "disableGC", NULL));
}

/* As an annotation's network, which has a name there. */
static struct attachment *name_asked(struct attachment *a)
{
	if (!a->asked)
		a->asked = allocate(1, sizeof(*a->asked));
	a->asked->name = copy_text("b");
	return a;
}

/* Only where some network names the default route is anything filtered, by family; and not of a pod that has its own
 * default network alone. */
static void who_gives_up_the_default_route(void **state)
{
	static const struct {
		const char *first, *second;
		bool v4, v6; /* the first one's */
	} cases[] = {
		{"", "", false, false},
		{"", "\"default-route\":[\"10.0.0.1\"]", true, true},
		{"\"default-route\":[\"10.0.0.1\"]", "", false, true},
		{"\"default-route\":[\"fd00::1\"]", "\"default-route\":[\"10.0.0.1\"]", true, false},
		{"\"default-route\":[]", "", true, true},
	};
	const struct request request = {.ifname = "eth0", .network = "outer", .version = "1.0.0"};
	const struct run run = {.request = &request};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		cleanup_json cJSON *first = make_element("{\"name\":\"a\",\"type\":\"t\"}", cases[i].first);
		cleanup_json cJSON *second = make_element("{\"name\":\"b\",\"type\":\"t\"}", cases[i].second);
		cleanup_plan struct plan plan = {0};

		plan_append(&plan, element_read(first, 0, "eth0", true));

		cleanup_json cJSON *alone = element_print(plan.attachments[0], &plan, true, &run);

		assert_true(cJSON_IsFalse(json_get(alone, "IsFilterV4Gateway")));
		assert_true(cJSON_IsFalse(json_get(alone, "IsFilterV6Gateway")));
		plan_append(&plan, name_asked(element_read(second, 1, "eth0", true)));

		cleanup_json cJSON *printed = element_print(plan.attachments[0], &plan, true, &run);

		assert_int_equal(cJSON_IsTrue(json_get(printed, "IsFilterV4Gateway")), cases[i].v4);
		assert_int_equal(cJSON_IsTrue(json_get(printed, "IsFilterV6Gateway")), cases[i].v6);
	}
}

static void a_list_that_is_whole_is_not_mended(void **state)
{
	static const char conf[] = "{\"name\":\"n\",\"plugins\":[{\"type\":\"a\",\"x\":1},{\"type\":\"b\"}]}";
	cleanup_json cJSON *element = make_element(conf, "");
	cleanup_json cJSON *other = parse("{\"name\":\"n\",\"plugins\":[{\"type\":\"c\",\"x\":2}]}");
	cleanup_json cJSON *fuller = parse("{\"name\":\"n\",\"plugins\":[{\"type\":\"a\"},{\"type\":\"b\",\"y\":2}]}");
	cleanup_json cJSON *odd = parse("{\"plugins\":7}");
	cleanup_attachment struct attachment *a = element_read(element, 0, "eth0", true);
	cleanup_json cJSON *before = json_copy(a->conf);

	(void)state;
	element_mend(a, element, NULL);
	element_mend(a, element, odd);
	/* Other plugins than these. */
	element_mend(a, element, other);
	assert_true(cJSON_Compare(a->conf, before, true));
	element_mend(a, element, fuller);
	assert_int_equal(json_get(cJSON_GetArrayItem(json_get(a->conf, "plugins"), 1), "y")->valuedouble, 2);
}

static void check_runtime_config(const char *given, const char *wanted)
{
	cleanup_json cJSON *runtime_config = parse(given), *expected = parse(wanted);
	cleanup_json cJSON *conf = parse("{\"name\":\"n\",\"type\":\"t\"}");
	cleanup_attachment struct attachment *a = attachment_new(conf, 1, "eth0");
	const struct config config = {.runtime_config = runtime_config};
	const struct request request = {.container_id = "c1"};
	cleanup_json cJSON *made = attachment_runtime_config(a, &request, &config);

	if (made ? !cJSON_Compare(made, expected, true) : expected->child != NULL) {
		cleanup_free char *text = made ? json_print(made) : copy_text("none");

		fail_msg("%s: %s", given, text);
	}
}

static void runtime_config_is_as_go_prints_it(void **state)
{
	(void)state;
	check_runtime_config("{}", "{}");
	check_runtime_config("{\"portMappings\":[],\"ips\":[],\"mac\":\"\",\"bandwidth\":null}", "{}");
	check_runtime_config(
		"{\"PORTMAPPINGS\":[{\"hostport\":80,\"protocol\":\"\",\"x\":1},{\"containerPort\":1,\"protocol\":"
		"\"udp\",\"hostIP\":\"::1\"}]}",
		"{\"portMappings\":[{\"hostPort\":80,\"containerPort\":0},{\"hostPort\":0,\"containerPort\":1,"
		"\"protocol\":"
		"\"udp\",\"hostIP\":\"::1\"}]}");
	check_runtime_config("{\"portMappings\":[{\"hostPort\":1e300}],\"bandwidth\":{\"ingressRate\":1.5}}",
		"{\"portMappings\":[{\"hostPort\":1e300}],\"bandwidth\":{\"ingressRate\":1.5}}");
	check_runtime_config("{\"bandwidth\":{\"ingressRate\":9007199254740993,\"x\":1}}",
		"{\"bandwidth\":{\"ingressRate\":9007199254740993,\"ingressBurst\":0,\"egressRate\":0,\"egressBurst\":"
		"0}}");
	/* Not what Go would take: its plugin says so. */
	check_runtime_config("{\"portMappings\":[{\"hostPort\":\"80\"}],\"bandwidth\":{\"ingressRate\":1.5}}",
		"{\"portMappings\":[{\"hostPort\":\"80\"}],\"bandwidth\":{\"ingressRate\":1.5}}");
	/* What multus would drop stays. */
	check_runtime_config("{\"dns\":{\"x\":1},\"mac\":\"m\"}", "{\"dns\":{\"x\":1},\"mac\":\"m\"}");
	check_runtime_config("{\"deviceID\":\"d\",\"CNIDeviceInfoFile\":\"x\"}",
		"{\"deviceID\":\"d\",\"CNIDeviceInfoFile\":\"/var/run/k8s.cni.cncf.io/devinfo/cni/n-c1_net1\"}");
}

static void the_runtimes_arguments_are_told_from_multuss(void **state)
{
	static const char *const own[] = {"", "K8S_POD_NAME=web;IgnoreUnknown=1", "A=b;C=d=e", "K8S_POD_NAMESPACE=x"};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(own); i++) {
		cleanup_request_args struct request_args pod = {0};
		cleanup_error struct error e = {0};
		struct request request = {.args = own[i]};

		assert_int_equal(request_read_args(own[i], &request.pod, &e), 0);

		cleanup_free char *given = request_delegate_args(&request);

		assert_string_equal(request_own_args(given), own[i]);
		assert_int_equal(request_read_args(given, &pod, &e), 0);
		assert_true(same_text_or_none(pod.pod, request.pod.pod) && same_text_or_none(pod.ns, request.pod.ns));
		request_args_clear(&request.pod);
	}
	assert_string_equal(
		request_own_args("IgnoreUnknown=1;K8S_POD_NAMESPACE=x"), "IgnoreUnknown=1;K8S_POD_NAMESPACE=x");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_element_decides_name_and_interface),
		cmocka_unit_test(an_element_without_a_configuration_is_beyond_use),
		cmocka_unit_test(many_capabilities_are_written_in_no_time),
		cmocka_unit_test(what_was_asked_survives_the_record),
		cmocka_unit_test(a_lists_switches_are_printed_as_true),
		cmocka_unit_test(who_gives_up_the_default_route),
		cmocka_unit_test(a_list_that_is_whole_is_not_mended),
		cmocka_unit_test(runtime_config_is_as_go_prints_it),
		cmocka_unit_test(the_runtimes_arguments_are_told_from_multuss),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
