/* Results: what real plugins print, in every version, read and written again. */
#include "delegate/result.h"

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
		fail_msg("%s", e.message);
	return value;
}

static cJSON *read_ok(const char *text, const char *default_version)
{
	cleanup_json cJSON *printed = parse(text);
	struct error e = {0};
	cJSON *result = NULL;

	if (result_read(printed, default_version, &result, &e) < 0)
		fail_msg("%s", e.message);
	return result;
}

static void assert_json(const cJSON *value, const char *expected)
{
	cleanup_free char *text = json_print(value);

	assert_string_equal(text, expected);
}

/* The body behind cniVersion, for the three shapes that the seven versions have. NULL: cannot be said. */
struct golden {
	const char *name, *printed, *default_version;
	const char *old, *middle, *new;
};

#define DUAL_OLD \
	"\"ip4\":{\"ip\":\"10.1.2.2/24\",\"gateway\":\"10.1.2.1\",\"routes\":[{\"dst\":\"0.0.0.0/0\"}," \
	"{\"dst\":\"10.9.0.0/16\",\"gw\":\"10.1.2.254\"}]},\"ip6\":{\"ip\":\"2001:db8::2/64\"," \
	"\"gateway\":\"2001:db8::1\",\"routes\":[{\"dst\":\"::/0\"}]},\"dns\":{}"
#define DUAL_MIDDLE \
	"\"ips\":[{\"version\":\"4\",\"address\":\"10.1.2.2/24\",\"gateway\":\"10.1.2.1\"}," \
	"{\"version\":\"6\",\"address\":\"2001:db8::2/64\",\"gateway\":\"2001:db8::1\"}]," \
	"\"routes\":[{\"dst\":\"0.0.0.0/0\"},{\"dst\":\"10.9.0.0/16\",\"gw\":\"10.1.2.254\"},{\"dst\":\"::/0\"}]," \
	"\"dns\":{}"
#define DUAL_NEW \
	"\"ips\":[{\"address\":\"10.1.2.2/24\",\"gateway\":\"10.1.2.1\"}," \
	"{\"address\":\"2001:db8::2/64\",\"gateway\":\"2001:db8::1\"}]," \
	"\"routes\":[{\"dst\":\"0.0.0.0/0\"},{\"dst\":\"10.9.0.0/16\",\"gw\":\"10.1.2.254\"},{\"dst\":\"::/0\"}]"

static const struct golden goldens[] = {
	{
		.name = "flannel 0.9.1 without cniVersion",
		.printed = "{\"ip4\":{\"ip\":\"10.244.1.5/24\",\"gateway\":\"10.244.1.1\",\"routes\":["
			   "{\"dst\":\"10.244.0.0/16\"},{\"dst\":\"0.0.0.0/0\",\"gw\":\"10.244.1.1\"}]},\"dns\":{}}",
		.default_version = "",
		.old = "\"ip4\":{\"ip\":\"10.244.1.5/24\",\"gateway\":\"10.244.1.1\",\"routes\":["
		       "{\"dst\":\"10.244.0.0/16\"},{\"dst\":\"0.0.0.0/0\",\"gw\":\"10.244.1.1\"}]},\"dns\":{}",
		.middle = "\"ips\":[{\"version\":\"4\",\"address\":\"10.244.1.5/24\",\"gateway\":\"10.244.1.1\"}],"
			  "\"routes\":[{\"dst\":\"10.244.0.0/16\"},{\"dst\":\"0.0.0.0/0\",\"gw\":\"10.244.1.1\"}],"
			  "\"dns\":{}",
		.new = "\"ips\":[{\"address\":\"10.244.1.5/24\",\"gateway\":\"10.244.1.1\"}],"
		       "\"routes\":[{\"dst\":\"10.244.0.0/16\"},{\"dst\":\"0.0.0.0/0\",\"gw\":\"10.244.1.1\"}]",
	},
	{
		.name = "bridge 0.3.1",
		.printed =
			"{\n    \"cniVersion\": \"0.3.1\",\n    \"interfaces\": [\n        {\"name\": \"cni0\", "
			"\"mac\": \"0a:58:0a:f4:01:01\"},\n        {\"name\": \"veth1b2c3d4e\", "
			"\"mac\": \"5e:11:22:33:44:55\"},\n        {\"name\": \"eth0\", \"mac\": "
			"\"0a:58:0a:f4:01:05\", \"sandbox\": \"/var/run/netns/cni-1\"}],\n    \"ips\": [{\"version\": "
			"\"4\", \"interface\": 2, \"address\": \"10.244.1.5/24\", \"gateway\": \"10.244.1.1\"}],\n"
			"    \"routes\": [{\"dst\": \"0.0.0.0/0\"}],\n    \"dns\": {\"nameservers\": [\"10.96.0.10\"], "
			"\"domain\": \"cluster.local\", \"search\": [\"a.b\", \"c\"], \"options\": [\"ndots:5\"]}\n}",
		.default_version = "1.1.0",
		.old = "\"ip4\":{\"ip\":\"10.244.1.5/24\",\"gateway\":\"10.244.1.1\",\"routes\":[{\"dst\":"
		       "\"0.0.0.0/0\"}]},\"dns\":{\"nameservers\":[\"10.96.0.10\"],\"domain\":\"cluster.local\","
		       "\"search\":[\"a.b\",\"c\"],\"options\":[\"ndots:5\"]}",
		.middle = "\"interfaces\":[{\"name\":\"cni0\",\"mac\":\"0a:58:0a:f4:01:01\"},{\"name\":"
			  "\"veth1b2c3d4e\",\"mac\":\"5e:11:22:33:44:55\"},{\"name\":\"eth0\",\"mac\":"
			  "\"0a:58:0a:f4:01:05\",\"sandbox\":\"/var/run/netns/cni-1\"}],\"ips\":[{\"version\":\"4\","
			  "\"interface\":2,\"address\":\"10.244.1.5/24\",\"gateway\":\"10.244.1.1\"}],\"routes\":["
			  "{\"dst\":\"0.0.0.0/0\"}],\"dns\":{\"nameservers\":[\"10.96.0.10\"],\"domain\":"
			  "\"cluster.local\",\"search\":[\"a.b\",\"c\"],\"options\":[\"ndots:5\"]}",
		.new = "\"interfaces\":[{\"name\":\"cni0\",\"mac\":\"0a:58:0a:f4:01:01\"},{\"name\":"
		       "\"veth1b2c3d4e\",\"mac\":\"5e:11:22:33:44:55\"},{\"name\":\"eth0\",\"mac\":"
		       "\"0a:58:0a:f4:01:05\",\"sandbox\":\"/var/run/netns/cni-1\"}],\"ips\":[{"
		       "\"interface\":2,\"address\":\"10.244.1.5/24\",\"gateway\":\"10.244.1.1\"}],\"routes\":["
		       "{\"dst\":\"0.0.0.0/0\"}],\"dns\":{\"nameservers\":[\"10.96.0.10\"],\"domain\":"
		       "\"cluster.local\",\"search\":[\"a.b\",\"c\"],\"options\":[\"ndots:5\"]}",
	},
	{
		.name = "bridge 1.1.0 with everything",
		.printed =
			"{\"cniVersion\":\"1.1.0\",\"dns\":{},\"interfaces\":[{\"mac\":\"0a:58:0a:f4:01:05\",\"mtu\":"
			"1450,\"name\":\"eth0\",\"pciID\":\"0000:00:1f.6\",\"sandbox\":\"/n\",\"socketPath\":\"/s\"}],"
			"\"ips\":[{\"address\":\"10.1.0.5/24\",\"interface\":0},{\"address\":\"10.1.0.6/24\","
			"\"interface\":0},{\"address\":\"fd00::5/64\",\"gateway\":\"fd00::1\",\"interface\":0}],"
			"\"routes\":[{\"advmss\":1400,\"dst\":\"10.2.0.0/16\",\"gw\":\"10.1.0.1\",\"mtu\":1400,"
			"\"priority\":100,\"scope\":0,\"table\":254}],\"new\":{\"in\":\"2.0.0\"}}",
		.default_version = "0.3.1",
		.old = "\"ip4\":{\"ip\":\"10.1.0.5/24\",\"routes\":[{\"dst\":\"10.2.0.0/16\",\"gw\":\"10.1.0.1\"}]},"
		       "\"ip6\":{\"ip\":\"fd00::5/64\",\"gateway\":\"fd00::1\"},\"dns\":{}",
		.middle = "\"interfaces\":[{\"name\":\"eth0\",\"mac\":\"0a:58:0a:f4:01:05\",\"sandbox\":\"/n\"}],"
			  "\"ips\":[{\"version\":\"4\",\"interface\":0,\"address\":\"10.1.0.5/24\"},{\"version\":\"4\","
			  "\"interface\":0,\"address\":\"10.1.0.6/24\"},{\"version\":\"6\",\"interface\":0,\"address\":"
			  "\"fd00::5/64\",\"gateway\":\"fd00::1\"}],\"routes\":[{\"dst\":\"10.2.0.0/16\",\"gw\":"
			  "\"10.1.0.1\",\"mtu\":1400,\"advmss\":1400,\"priority\":100,\"table\":254,\"scope\":0}],"
			  "\"dns\":{}",
		.new = "\"interfaces\":[{\"name\":\"eth0\",\"mac\":\"0a:58:0a:f4:01:05\",\"mtu\":1450,\"sandbox\":"
		       "\"/n\",\"socketPath\":\"/"
		       "s\",\"pciID\":\"0000:00:1f.6\"}],\"ips\":[{\"interface\":0,\"address\":"
		       "\"10.1.0.5/24\"},{\"interface\":0,\"address\":\"10.1.0.6/24\"},{\"interface\":0,\"address\":"
		       "\"fd00::5/64\",\"gateway\":\"fd00::1\"}],\"routes\":[{\"dst\":\"10.2.0.0/16\",\"gw\":"
		       "\"10.1.0.1\",\"mtu\":1400,\"advmss\":1400,\"priority\":100,\"table\":254,\"scope\":0}]",
	},
	/* What host-local 1.1.1 prints for one dual-stack range at each version. */
	{"host-local 0.1.0", "{\"cniVersion\":\"0.1.0\"," DUAL_OLD "}", "", DUAL_OLD, DUAL_MIDDLE, DUAL_NEW},
	{"host-local 0.2.0", "{\"cniVersion\":\"0.2.0\"," DUAL_OLD "}", "", DUAL_OLD, DUAL_MIDDLE, DUAL_NEW},
	{"host-local 0.3.0", "{\"cniVersion\":\"0.3.0\"," DUAL_MIDDLE "}", "", DUAL_OLD, DUAL_MIDDLE, DUAL_NEW},
	{"host-local 0.3.1", "{\"cniVersion\":\"0.3.1\"," DUAL_MIDDLE "}", "", DUAL_OLD, DUAL_MIDDLE, DUAL_NEW},
	{"host-local 0.4.0", "{\"cniVersion\":\"0.4.0\"," DUAL_MIDDLE "}", "", DUAL_OLD, DUAL_MIDDLE, DUAL_NEW},
	{"host-local 1.0.0", "{\"cniVersion\":\"1.0.0\"," DUAL_NEW ",\"dns\":{}}", "", DUAL_OLD, DUAL_MIDDLE, DUAL_NEW},
	{
		.name = "a macvlan without IPAM",
		.printed = "{\"cniVersion\":\"1.0.0\",\"interfaces\":[{\"name\":\"net1\",\"sandbox\":\"/n\"}]}",
		.default_version = "",
		.old = NULL,
		.middle = "\"interfaces\":[{\"name\":\"net1\",\"sandbox\":\"/n\"}],\"dns\":{}",
		.new = "\"interfaces\":[{\"name\":\"net1\",\"sandbox\":\"/n\"}]",
	},
	{
		.name = "routes of a family without an address are lost in 0.2.0",
		.printed = "{\"cniVersion\":\"0.4.0\",\"ips\":[{\"version\":\"6\",\"address\":\"fd00::5/64\"}],"
			   "\"routes\":[{\"dst\":\"0.0.0.0/0\"},{\"dst\":\"::/0\",\"gw\":\"fd00::1\"}]}",
		.default_version = "",
		.old = "\"ip6\":{\"ip\":\"fd00::5/64\",\"routes\":[{\"dst\":\"::/0\",\"gw\":\"fd00::1\"}]},\"dns\":{}",
		.middle = "\"ips\":[{\"version\":\"6\",\"address\":\"fd00::5/64\"}],\"routes\":[{\"dst\":"
			  "\"0.0.0.0/0\"},{\"dst\":\"::/0\",\"gw\":\"fd00::1\"}],\"dns\":{}",
		.new = "\"ips\":[{\"address\":\"fd00::5/64\"}],\"routes\":[{\"dst\":\"0.0.0.0/0\"},{\"dst\":\"::/0\","
		       "\"gw\":\"fd00::1\"}]",
	},
};

static void check_golden(const struct golden *golden, const cJSON *result, const char *version)
{
	const char *body = cni_version_at_least(version, "1.0.0")   ? golden->new
			   : cni_version_at_least(version, "0.3.0") ? golden->middle
								    : golden->old;
	cleanup_json cJSON *converted = NULL;
	cleanup_error struct error e = {0};
	int r = result_convert(result, version, &converted, &e);

	if (!body) {
		assert_true(r < 0);
		assert_int_equal(e.code, ERROR_CONFIG);
		assert_non_null(strstr(e.message, "cannot convert: no valid IP addresses"));
		return;
	}
	assert_int_equal(r, 0);

	cleanup_free char *expected = format_text("{\"cniVersion\":\"%s\",%s}", version, body);
	cleanup_free char *text = json_print(converted);

	if (strcmp(text, expected) != 0)
		fail_msg("%s to %s:\n%s\nexpected\n%s", golden->name, version, text, expected);

	/* And back: what was printed reads as a result again that prints the same. */
	cleanup_json cJSON *again = read_ok(text, ""), *converted_again = NULL;

	assert_int_equal(result_convert(again, version, &converted_again, &e), 0);
	assert_json(converted_again, expected);
}

static void test_goldens(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(goldens); i++) {
		cleanup_json cJSON *result = read_ok(goldens[i].printed, goldens[i].default_version);

		for (const char *const *version = cni_versions; *version; version++)
			check_golden(&goldens[i], result, *version);
	}
}

static void test_versions(void **state)
{
	(void)state;
	int count = 0;

	while (cni_versions[count]) {
		assert_true(cni_version_known(cni_versions[count]));
		if (count > 0) {
			assert_true(cni_version_at_least(cni_versions[count], cni_versions[count - 1]));
			assert_false(cni_version_at_least(cni_versions[count - 1], cni_versions[count]));
		}
		count++;
	}
	assert_int_equal(count, 7);

	static const char *const unknown[] = {"", "1.0", "1.2.0", "0.4.5", "v1.0.0", "1.0.0 ", "9.9.9"};

	for (size_t i = 0; i < ARRAY_SIZE(unknown); i++)
		assert_false(cni_version_known(unknown[i]));
}

static void test_inner_shape(void **state)
{
	(void)state;
	cleanup_json cJSON *nothing = read_ok("null", "1.0.0");
	cleanup_json cJSON *empty = read_ok("{}", "1.0.0");
	cleanup_json cJSON *nulls = read_ok("{\"ips\":null,\"dns\":null,\"interfaces\":null}", "0.3.1");
	cleanup_json cJSON *fresh = result_new();

	assert_json(nothing, "{\"interfaces\":[],\"ips\":[],\"routes\":[],\"dns\":{}}");
	assert_json(empty, "{\"interfaces\":[],\"ips\":[],\"routes\":[],\"dns\":{}}");
	assert_json(nulls, "{\"interfaces\":[],\"ips\":[],\"routes\":[],\"dns\":{}}");
	assert_json(fresh, "{\"interfaces\":[],\"ips\":[],\"routes\":[],\"dns\":{}}");
}

/* Go reads keys in any case, the last one wins, prints addresses in its own way, and leaves empty values out. */
static void test_as_go_reads(void **state)
{
	(void)state;
	cleanup_json cJSON *result =
		read_ok("{\"CNIVERSION\":\"0.9.9\",\"CniVersion\":\"1.0.0\",\"Interfaces\":[{\"Name\":\"a\",\"mac\":"
			"\"\",\"mtu\":0},"
			"{}],\"IPs\":[{\"interface\":1,\"address\":\"2001:DB8:0:0:0:0:0:5/64\",\"gateway\":\"\"}],"
			"\"routes\":[{\"dst\":\"10.0.0.0/8\",\"gw\":\"::ffff:10.0.0.1\",\"mtu\":0,\"scope\":0}],"
			"\"dns\":{\"nameservers\":[],\"domain\":\"\"}}",
			"");

	assert_json(result, "{\"interfaces\":[{\"name\":\"a\"},{\"name\":\"\"}],\"ips\":[{\"interface\":1,\"address\":"
			    "\"2001:db8::5/64\"}],\"routes\":[{\"dst\":\"10.0.0.0/"
			    "8\",\"gw\":\"10.0.0.1\",\"scope\":0}],\"dns\":{}}");
}

/* The version of the plugin's own words goes before the configuration's. */
static void test_own_version_decides(void **state)
{
	(void)state;
	cleanup_json cJSON *old = read_ok("{\"cniVersion\":\"0.2.0\",\"ip4\":{\"ip\":\"10.0.0.5/24\"}}", "1.1.0");
	cleanup_json cJSON *mtu =
		read_ok("{\"cniVersion\":\"0.4.0\",\"interfaces\":[{\"name\":\"a\",\"mtu\":9}]}", "1.1.0");
	cleanup_json cJSON *given = read_ok("{\"interfaces\":[{\"name\":\"a\",\"mtu\":9}]}", "1.1.0");
	cleanup_json cJSON *empty = read_ok("{\"cniVersion\":\"\",\"ip4\":{\"ip\":\"10.0.0.5/24\"}}", "");

	assert_json(old, "{\"interfaces\":[],\"ips\":[{\"address\":\"10.0.0.5/24\"}],\"routes\":[],\"dns\":{}}");
	assert_json(mtu, "{\"interfaces\":[{\"name\":\"a\"}],\"ips\":[],\"routes\":[],\"dns\":{}}");
	assert_json(given, "{\"interfaces\":[{\"name\":\"a\",\"mtu\":9}],\"ips\":[],\"routes\":[],\"dns\":{}}");
	assert_json(empty, "{\"interfaces\":[],\"ips\":[{\"address\":\"10.0.0.5/24\"}],\"routes\":[],\"dns\":{}}");
}

static void test_refused(void **state)
{
	(void)state;
	static const char *const cases[][2] = {
		{"[]", "a result must be a JSON object"},
		{"\"x\"", "a result must be a JSON object"},
		{"{\"cniVersion\":\"9.9.9\"}", "unsupported CNI result version \"9.9.9\""},
		{"{\"cniVersion\":5}", "cniVersion is 5: it must be a string"},
		{"{\"ips\":{}}", "ips must be a list"},
		{"{\"ips\":[null]}", "ips[0] is null: it must be an object"},
		{"{\"ips\":[{}]}", "ips[0].address is missing: it must be an IP address with the length"},
		{"{\"ips\":[{\"address\":\"\"}]}", "ips[0].address is \"\""},
		{"{\"ips\":[{\"address\":\"10.0.0.1\"}]}", "ips[0].address is \"10.0.0.1\""},
		{"{\"ips\":[{\"address\":\"10.0.0.300/24\"}]}", "ips[0].address is \"10.0.0.300/24\""},
		{"{\"ips\":[{\"address\":\"10.0.0.1/33\"}]}", "ips[0].address"},
		{"{\"ips\":[{\"address\":7}]}", "ips[0].address is 7"},
		{"{\"ips\":[{\"address\":\"10.0.0.1/8\",\"gateway\":\"10.0.0.0/8\"}]}", "ips[0].gateway"},
		{"{\"interfaces\":[{\"name\":\"a\"}],\"ips\":[{\"address\":\"10.0.0.1/8\",\"interface\":-1}]}",
			"ips[0].interface is -1"},
		{"{\"interfaces\":[{\"name\":\"a\"}],\"ips\":[{\"address\":\"10.0.0.1/8\",\"interface\":0.5}]}",
			"ips[0].interface is 0.5"},
		{"{\"interfaces\":[{\"name\":\"a\"}],\"ips\":[{\"address\":\"10.0.0.1/8\",\"interface\":1e18}]}",
			"ips[0].interface is 1000000000000000000"},
		{"{\"ips\":[{\"address\":\"10.0.0.1/8\",\"interface\":4294967296}]}", "ips[0].interface is 4294967296"},
		{"{\"interfaces\":[{\"name\":\"a\"}],\"ips\":[{\"address\":\"10.0.0.1/8\",\"interface\":\"0\"}]}",
			"ips[0].interface is \"0\""},
		{"{\"interfaces\":[{\"name\":\"a\"},{\"name\":5}]}", "interfaces[1].name is 5: it must be a string"},
		{"{\"interfaces\":[{\"name\":\"a\",\"mtu\":-1}]}", "interfaces[0].mtu"},
		{"{\"routes\":[{\"gw\":\"10.0.0.1\"}]}", "routes[0].dst is missing"},
		{"{\"routes\":[{\"dst\":\"default\"}]}", "routes[0].dst is \"default\""},
		{"{\"routes\":[{\"dst\":\"0.0.0.0/0\",\"gw\":\"x\\u001b[2J\"}]}", "routes[0].gw is \"x\\x1b[2J\""},
		{"{\"routes\":[{\"dst\":\"0.0.0.0/0\",\"table\":4294967296}]}", "routes[0].table"},
		{"{\"routes\":[{\"dst\":\"0.0.0.0/0\",\"mtu\":\"1400\"}]}", "routes[0].mtu"},
		{"{\"dns\":[]}", "dns is []"},
		{"{\"dns\":{\"search\":\"x\"}}", "dns.search is \"x\""},
		{"{\"dns\":{\"options\":[1]}}", "dns.options is [1]"},
		{"{\"dns\":{\"domain\":{}}}", "dns.domain is {}"},
		{"{\"cniVersion\":\"0.2.0\",\"ip4\":[]}", "ip4 is []"},
		{"{\"cniVersion\":\"0.2.0\",\"ip4\":{}}", "ip4.ip is missing"},
		{"{\"cniVersion\":\"0.2.0\",\"ip4\":{\"ip\":\"fd00::1/64\"}}", "ip4.ip is \"fd00::1/64\""},
		{"{\"cniVersion\":\"0.2.0\",\"ip6\":{\"ip\":\"10.0.0.1/8\"}}", "it must be an IPv6 prefix"},
		{"{\"cniVersion\":\"0.1.0\",\"ip4\":{\"ip\":\"10.0.0.1/8\",\"routes\":[{}]}}",
			"ip4.routes[0].dst is missing"},
		{"{\"cniVersion\":\"0.1.0\",\"ip4\":{\"ip\":\"10.0.0.1/8\",\"gateway\":1}}", "ip4.gateway is 1"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		cleanup_json cJSON *printed = parse(cases[i][0]);
		cleanup_error struct error e = {0};
		cJSON *result = NULL;

		if (result_read(printed, "1.0.0", &result, &e) == 0)
			fail_msg("accepted: %s", cases[i][0]);
		assert_null(result);
		assert_int_equal(e.code, ERROR_DECODE);
		if (!strstr(e.message, cases[i][1]))
			fail_msg("%s: %s", cases[i][0], e.message);
	}
}

static void test_sizes(void **state)
{
	(void)state;
	cleanup_json cJSON *printed = parse("{\"routes\":[]}");
	cleanup_json cJSON *result = NULL;
	cleanup_error struct error e = {0};
	cJSON *routes = cJSON_GetObjectItem(printed, "routes");

	for (int i = 0; i < 4096; i++)
		cJSON_AddItemToArray(routes, parse("{\"dst\":\"0.0.0.0/0\"}"));
	assert_int_equal(result_read(printed, "1.0.0", &result, &e), 0);
	cJSON_AddItemToArray(routes, parse("{\"dst\":\"0.0.0.0/0\"}"));

	cJSON *more = NULL;

	assert_true(result_read(printed, "1.0.0", &more, &e) < 0);

	cleanup_free char *name = allocate(4098, 1);
	cleanup_json cJSON *named = parse("{\"interfaces\":[{}]}");

	for (int i = 0; i < 4097; i++)
		name[i] = 'x';
	cJSON_AddStringToObject(cJSON_GetObjectItem(named, "interfaces")->child, "name", name);
	assert_true(result_read(named, "1.0.0", &more, &e) < 0);
	assert_true(strlen(e.message) < 300);
}

static void test_text_is_utf8(void **state)
{
	(void)state;
	cleanup_json cJSON *result = read_ok("{\"interfaces\":[{\"name\":\"a\xff\xc3\"}]}", "1.0.0");

	assert_json(result,
		"{\"interfaces\":[{\"name\":\"a\xef\xbf\xbd\xef\xbf\xbd\"}],\"ips\":[],\"routes\":[],\"dns\":{}}");
}

static void test_build_and_merge(void **state)
{
	(void)state;
	cleanup_json cJSON *result = result_new();
	cleanup_json cJSON *more = read_ok("{\"interfaces\":[{\"name\":\"b\"}],\"ips\":[{\"interface\":0,\"address\":"
					   "\"10.0.0.6/24\"},{\"address\":\"10.0.0.7/24\"}],\"routes\":[{\"dst\":"
					   "\"10.9.0.0/16\"}],\"dns\":{\"domain\":\"x\"}}",
		"1.0.0");
	cleanup_json cJSON *bare = result_new();

	assert_int_equal(result_add_interface(result, "host", NULL, NULL), 0);
	assert_int_equal(result_add_interface(result, "eth0", "02:00:00:00:00:01", "/n"), 1);
	result_add_ip(result, 1, "10.0.0.5/24", "10.0.0.1");
	result_add_ip(result, -1, "10.0.0.4/24", NULL);
	result_merge(result, more);
	result_merge(result, bare);
	assert_json(result,
		"{\"interfaces\":[{\"name\":\"host\"},{\"name\":\"eth0\",\"mac\":\"02:00:00:00:00:01\",\"sandbox\":\"/"
		"n\"},"
		"{\"name\":\"b\"}],\"ips\":[{\"interface\":1,\"address\":\"10.0.0.5/24\",\"gateway\":\"10.0.0.1\"},"
		"{\"address\":\"10.0.0.4/24\"},{\"interface\":2,\"address\":\"10.0.0.6/24\"},{\"address\":\"10.0.0.7/"
		"24\"}],"
		"\"routes\":[{\"dst\":\"10.9.0.0/16\"}],\"dns\":{\"domain\":\"x\"}}");
	/* merging copies: the merged one is as it was */
	assert_int_equal(cJSON_GetObjectItem(cJSON_GetObjectItem(more, "ips")->child, "interface")->valueint, 0);
}

/* It is handed on, and no other interface's after a merge. */
static void test_index_of_no_interface(void **state)
{
	(void)state;
	cleanup_json cJSON *result = read_ok("{\"interfaces\":[{\"name\":\"a\"}],\"ips\":[{\"address\":\"10.0.0.1/8\","
					     "\"interface\":1},{\"address\":\"10.0.0.2/8\",\"interface\":4294967295}]}",
		"1.0.0");
	cleanup_json cJSON *sum = read_ok("{\"interfaces\":[{\"name\":\"b\"},{\"name\":\"c\"}]}", "1.0.0");
	cleanup_json cJSON *printed = NULL;
	cleanup_error struct error e = {0};

	result_merge(sum, result);
	assert_int_equal(result_convert(sum, "1.0.0", &printed, &e), 0);
	assert_json(printed,
		"{\"cniVersion\":\"1.0.0\",\"interfaces\":[{\"name\":\"b\"},{\"name\":\"c\"},{\"name\":\"a\"}],\"ips\":"
		"["
		"{\"interface\":3,\"address\":\"10.0.0.1/8\"},{\"interface\":4294967295,\"address\":\"10.0.0.2/8\"}]}");
}

static void test_convert_unknown(void **state)
{
	(void)state;
	cleanup_json cJSON *result = result_new();
	cleanup_error struct error e = {0};
	cJSON *converted = NULL;

	assert_true(result_convert(result, "2.0.0", &converted, &e) < 0);
	assert_int_equal(e.code, ERROR_VERSION);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_versions),
		cmocka_unit_test(test_goldens),
		cmocka_unit_test(test_inner_shape),
		cmocka_unit_test(test_as_go_reads),
		cmocka_unit_test(test_own_version_decides),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_text_is_utf8),
		cmocka_unit_test(test_build_and_merge),
		cmocka_unit_test(test_index_of_no_interface),
		cmocka_unit_test(test_convert_unknown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
