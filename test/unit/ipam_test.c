/* ipam without a store: configuration, ranges, walks, records. */
#include "ipam/range.h"
#include "test/unit/ipam_cases.h"
#include "test/unit/ipam_records.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define WITH_CONFIG(name, text) cleanup_ipam_config struct ipam_config *name = config_of(text)

static cJSON *parse_json(const char *text)
{
	struct error e = {0};
	cJSON *json = NULL;

	if (text && json_parse(text, strlen(text), "test", &json, &e) < 0)
		fail_msg("%s: %s", text, e.message);
	return json;
}

static int parse(const char *text, const char *extra_text, struct ipam_config **ret, struct error *e)
{
	cleanup_json cJSON *json = parse_json(text), *extra = parse_json(extra_text);

	return ipam_config_parse(json, extra, AT, ret, e);
}

static struct ipam_config *config_of(const char *text)
{
	struct ipam_config *config = NULL;
	struct error e = {0};

	if (parse(text, NULL, &config, &e) < 0)
		fail_msg("%s: %s", text, e.message);
	return config;
}

static struct ip_addr addr_of(const char *text)
{
	struct ip_addr addr;

	if (!ip_parse(text, &addr))
		fail_msg("%s", text);
	return addr;
}

static void assert_addr(const struct ip_addr *addr, const char *expected)
{
	assert_string_equal(ip_text(addr).s, expected);
}

static void expect_refusal(const char *text, const char *extra, const char *message)
{
	struct ipam_config *config = NULL;
	struct error e = {0};

	if (parse(text, extra, &config, &e) >= 0)
		fail_msg("%s: no error", text);
	assert_null(config);
	assert_int_equal(e.code, ERROR_CONFIG);
	assert_string_equal(e.message, message);
	error_clear(&e);
}

static void refuses_bad_configurations(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad_ranges); i++)
		expect_refusal(bad_ranges[i].text, NULL, bad_ranges[i].message);
	for (size_t i = 0; i < ARRAY_SIZE(bad_others); i++)
		expect_refusal(bad_others[i].text, NULL, bad_others[i].message);
	expect_refusal("{" NET "}", "[[{\"subnet\":\"x\"}]]", "runtimeConfig.ipRanges[0][0].subnet is x: " PLEASE);
	expect_refusal("{" NET "}", "{}", "runtimeConfig.ipRanges is {}: it must be a list of lists of ranges");
}

/* <before><element>,<element>,...<after> */
static char *repeat(const char *before, const char *element, int count, const char *after)
{
	char *text = copy_text(before);

	for (int i = 0; i < count; i++) {
		cleanup_free char *so_far = text;

		text = format_text("%s%s%s", so_far, i ? "," : "", element);
	}

	cleanup_free char *all = text;

	return format_text("%s%s", all, after);
}

static void bounds_its_lists(void **state)
{
	(void)state;
	cleanup_free char *enough = repeat("{" NET ",\"routes\":[", "{\"dst\":\"0.0.0.0/0\"}", 64, "]}");
	cleanup_free char *routes = repeat("{" NET ",\"routes\":[", "{\"dst\":\"0.0.0.0/0\"}", 65, "]}");
	cleanup_free char *sets = repeat("{\"ranges\":[", "[{" NET "}]", 65, "]}");
	cleanup_free char *ranges = repeat("{\"ranges\":[[", "{" NET "}", 65, "]]}");
	cleanup_free char *extra = repeat("[", "[{" SIX "}]", 65, "]");
	WITH_CONFIG(config, enough);

	assert_int_equal(config->route_count, 64);
	expect_refusal(routes, NULL, AT ".routes has 65 elements: it must have at most 64");
	expect_refusal(sets, NULL, AT ".ranges has 65 elements: it must have at most 64");
	expect_refusal(ranges, NULL, AT ".ranges[0] has 65 elements: it must have at most 64");
	expect_refusal("{" NET "}", extra, "runtimeConfig.ipRanges has 65 elements: it must have at most 64");
}

static void reads_the_seed(void **state)
{
	(void)state;
	WITH_CONFIG(config,
		"{\"name\":\"kube-subnet\",\"type\":\"kube-ipam\"," NET ",\"rangeStart\":\"10.188.0.10\","
		"\"rangeEnd\":\"10.188.0.200\",\"gateway\":\"10.188.0.1\",\"routes\":[{\"dst\":\"0.0.0.0/0\"}],"
		"\"resolvConf\":\"/etc/resolv.conf\"}");

	assert_int_equal(config->set_count, 1);
	assert_int_equal(config->sets[0].count, 1);
	assert_addr(&config->sets[0].ranges[0].start, "10.188.0.10");
	assert_addr(&config->sets[0].ranges[0].end, "10.188.0.200");
	assert_addr(&config->sets[0].ranges[0].gateway, "10.188.0.1");
	assert_int_equal(config->sets[0].ranges[0].fixed_start.family, 0);
	assert_int_equal(config->route_count, 1);
	assert_string_equal(ip_prefix_text(&config->routes[0].dst).s, "0.0.0.0/0");
	assert_int_equal(config->routes[0].gateway.family, 0);
	assert_int_equal(config->routes[0].scope, -1);
	assert_string_equal(config->domain, "default");
	assert_string_equal(config->resolv_conf, "/etc/resolv.conf");
}

static void reads_every_key(void **state)
{
	(void)state;
	struct ipam_config *parsed = NULL;
	struct error e = {0};

	assert_int_equal(
		parse("{" NET ",\"rangeEnd\":\"10.188.0.9\",\"fixedStart\":\"10.188.1.1\",\"fixedEnd\":"
		      "\"10.188.1.9\",\"ranges\":[[{" SIX ",\"gateway\":\"2001:db8::\"}]],\"routes\":[{\"dst\":"
		      "\"fd00::/8\",\"gw\":\"2001:db8::7\",\"mtu\":1400,\"advmss\":1340,\"priority\":9,\"table\":"
		      "5,\"scope\":0}],\"domain\":\"rack_1\",\"resolvConf\":\"\",\"gateway2\":\"\"}",
			"[[{\"subnet\":\"10.189.0.0/30\"}]]", &parsed, &e),
		0);

	cleanup_ipam_config struct ipam_config *config = parsed;
	const struct ipam_route *route = &config->routes[0];

	assert_int_equal(config->set_count, 3);
	assert_addr(&config->sets[0].ranges[0].gateway, "10.188.0.1");
	assert_addr(&config->sets[0].ranges[0].start, "10.188.0.1");
	assert_addr(&config->sets[0].ranges[0].fixed_end, "10.188.1.9");
	assert_addr(&config->sets[1].ranges[0].gateway, "2001:db8::");
	assert_addr(&config->sets[1].ranges[0].end, "2001:db8::ffff:ffff:ffff:ffff");
	assert_addr(&config->sets[2].ranges[0].start, "10.189.0.1");
	assert_addr(&config->sets[2].ranges[0].end, "10.189.0.2");
	assert_addr(&route->gateway, "2001:db8::7");
	assert_int_equal(route->mtu, 1400);
	assert_int_equal(route->advmss, 1340);
	assert_int_equal(route->priority, 9);
	assert_int_equal(route->table, 5);
	assert_int_equal(route->scope, 0);
	assert_string_equal(config->domain, "rack_1");
	assert_null(config->resolv_conf);
}

static void reads_resolv_conf(void **state)
{
	(void)state;
	static const char text[] = "# comment\n; other\nnameserver 10.0.0.1 ignored\n\tnameserver  10.0.0.2\r\n\n"
				   "nameserver\ndomain example.org\nsearch a.org b.org\nsearch c.org\noptions ndots:5 "
				   "rotate\nsortlist x";
	char path[] = "/tmp/lamina-resolv-XXXXXX";
	int fd = mkstemp(path);
	cJSON *dns = NULL;
	struct error e = {0};

	assert_int_equal(write(fd, text, sizeof(text) - 1), sizeof(text) - 1);
	close(fd);
	assert_int_equal(ipam_read_resolv_conf(path, &dns, &e), 0);

	cleanup_free char *printed = json_print(dns);

	assert_string_equal(printed,
		"{\"nameservers\":[\"10.0.0.1\",\"10.0.0.2\"],\"domain\":\"example.org\",\"search\":["
		"\"a.org\",\"b.org\",\"c.org\"],\"options\":[\"ndots:5\",\"rotate\"]}");
	cJSON_Delete(dns);
	unlink(path);
	assert_int_equal(ipam_read_resolv_conf(path, &dns, &e), -ENOENT);
	assert_int_equal(e.code, ERROR_IO);
	error_clear(&e);
}

#define FIXED "{" NET ",\"fixedStart\":\"10.188.0.50\",\"fixedEnd\":\"10.188.0.60\",\"ranges\":[[{" SIX "}]]}"

static void checks_fixed_addresses(void **state)
{
	(void)state;
	static const struct {
		const char *addr, *reason; /* NULL: allowed */
	} cases[] = {
		{"10.188.0.50", NULL},
		{"10.188.0.60", NULL},
		{"2001:db8::5", NULL},
		{"2001:db8::ffff:ffff:ffff:ffff", NULL},
		{"10.188.0.49",
			"it must lie between fixedStart 10.188.0.50 and fixedEnd 10.188.0.60 (these keys are in "
			"force here; kube-ipam documented and ignored them)"},
		{"10.188.0.61",
			"it must lie between fixedStart 10.188.0.50 and fixedEnd 10.188.0.60 (these keys are in "
			"force here; kube-ipam documented and ignored them)"},
		{"10.189.0.5", "it must lie in the subnet 10.188.0.0/16, 2001:db8::/64"},
		{"2001:db9::5", "it must lie in the subnet 10.188.0.0/16, 2001:db8::/64"},
		{"10.188.0.1", "this is the gateway of 10.188.0.0/16, which no pod can have"},
		{"10.188.0.0", "this is the network address of 10.188.0.0/16, which no pod can have"},
		{"10.188.255.255", "this is the broadcast address of 10.188.0.0/16, which no pod can have"},
		{"2001:db8::", "this is the network address of 2001:db8::/64, which no pod can have"},
		{"2001:db8::1", "this is the gateway of 2001:db8::/64, which no pod can have"},
	};
	WITH_CONFIG(config, FIXED);

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct ip_addr addr = addr_of(cases[i].addr);
		struct error e = {0};
		int r = ipam_range_check_fixed(config, &addr, "annotation kube-ipam.ip", &e);

		assert_int_equal(r, cases[i].reason ? -EINVAL : 0);
		if (r < 0) {
			cleanup_free char *message =
				format_text("annotation kube-ipam.ip is %s: %s", cases[i].addr, cases[i].reason);

			assert_string_equal(e.message, message);
			assert_int_equal(e.code, ERROR_CONFIG);
		}
		error_clear(&e);
	}
}

/* One subnet in two ranges: a gateway of either is special, a fixed address of either is fine. */
static void checks_split_subnets(void **state)
{
	(void)state;
	WITH_CONFIG(config, "{\"ranges\":[[{" NET ",\"rangeEnd\":\"10.188.0.9\",\"fixedStart\":\"10.188.1.1\","
			    "\"fixedEnd\":\"10.188.1.9\"}],[{" NET ",\"rangeStart\":\"10.188.2.1\",\"gateway\":"
			    "\"10.188.1.5\",\"fixedStart\":\"10.188.3.1\",\"fixedEnd\":\"10.188.3.9\"}]]}");
	struct ip_addr good[] = {addr_of("10.188.1.1"), addr_of("10.188.3.9")};
	struct ip_addr bad[] = {addr_of("10.188.1.5"), addr_of("10.188.0.1"), addr_of("10.188.2.2")};
	struct error e = {0};

	assert_ptr_equal(ipam_range_of(config, &good[1]), &config->sets[0].ranges[0]);
	for (size_t i = 0; i < ARRAY_SIZE(good); i++)
		assert_int_equal(ipam_range_check_fixed(config, &good[i], "x", &e), 0);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		assert_int_equal(ipam_range_check_fixed(config, &bad[i], "x", &e), -EINVAL);
		error_clear(&e);
	}
}

static void expect_walk(const char *text, const char *last, const char *expected)
{
	WITH_CONFIG(config, text);
	struct ip_addr from = *last ? addr_of(last) : (struct ip_addr){0}, addr;
	struct ipam_walk walk = ipam_walk_from(&config->sets[0], &from);
	cleanup_free char *given = copy_text("");

	while (ipam_walk_next(&walk, &addr)) {
		cleanup_free char *before = given;

		given = format_text("%s%s ", before, ip_text(&addr).s);
	}
	assert_string_equal(given, expected);
	assert_false(ipam_walk_next(&walk, &addr) && *expected == '\0');
}

#define TWO_RANGES \
	"{\"ranges\":[[{\"subnet\":\"10.0.0.0/29\",\"gateway\":\"10.0.0.4\",\"rangeStart\":\"10.0.0.3\"},{\"subnet\":" \
	"\"10.0.1.0/30\"}]]}"

static void walks_once_around(void **state)
{
	(void)state;
	expect_walk("{\"subnet\":\"10.0.0.0/30\"}", "", "10.0.0.2 ");
	expect_walk("{\"subnet\":\"10.0.0.0/30\"}", "10.0.0.2", "10.0.0.2 ");
	expect_walk("{\"subnet\":\"10.0.0.0/30\"}", "10.9.9.9", "10.0.0.2 ");
	expect_walk("{\"subnet\":\"10.0.0.0/30\",\"rangeEnd\":\"10.0.0.1\"}", "", "");
	expect_walk("{\"subnet\":\"2001:db8::/126\"}", "2001:db8::2", "2001:db8::3 2001:db8::2 ");
	expect_walk(TWO_RANGES, "", "10.0.0.3 10.0.0.5 10.0.0.6 10.0.1.2 ");
	expect_walk(TWO_RANGES, "10.0.0.3", "10.0.0.5 10.0.0.6 10.0.1.2 10.0.0.3 ");
	expect_walk(TWO_RANGES, "10.0.0.6", "10.0.1.2 10.0.0.3 10.0.0.5 10.0.0.6 ");
	expect_walk(TWO_RANGES, "10.0.1.2", "10.0.0.3 10.0.0.5 10.0.0.6 10.0.1.2 ");
}

/* In a /8 and a /64 the next one is at hand, also around the end and over the special ones. */
static void walks_over_huge_ranges(void **state)
{
	(void)state;
	static const struct {
		const char *text, *last, *next;
	} cases[] = {
		{"{\"subnet\":\"10.0.0.0/8\"}", "", "10.0.0.2"},
		{"{\"subnet\":\"10.0.0.0/8\"}", "10.0.255.255", "10.1.0.0"},
		{"{\"subnet\":\"10.0.0.0/8\"}", "10.255.255.254", "10.0.0.2"},
		{"{\"subnet\":\"2001:db8::/64\"}", "", "2001:db8::2"},
		{"{\"subnet\":\"2001:db8::/64\"}", "2001:db8::ffff:ffff", "2001:db8::1:0:0"},
		{"{\"subnet\":\"2001:db8::/64\"}", "2001:db8::ffff:ffff:ffff:ffff", "2001:db8::2"},
		{"{\"subnet\":\"2001:db8::/32\"}", "2001:db8:ffff:ffff:ffff:ffff:ffff:fffe",
			"2001:db8:ffff:ffff:ffff:ffff:ffff:ffff"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		WITH_CONFIG(config, cases[i].text);
		struct ip_addr last = *cases[i].last ? addr_of(cases[i].last) : (struct ip_addr){0}, addr;
		struct ipam_walk walk = ipam_walk_from(&config->sets[0], &last);

		assert_true(ipam_walk_next(&walk, &addr));
		assert_addr(&addr, cases[i].next);
	}
}

/* Each address of a /27 that a walk must give is given once; the first is the next one behind the last. */
static void check_against_brute_force(const struct ipam_range_set *set, int last)
{
	const struct ipam_range *range = &set->ranges[0];
	struct ip_addr addr = {.family = AF_INET, .bytes = {10, 0, 0, (uint8_t)last}};
	struct ipam_walk walk = ipam_walk_from(set, &addr);
	bool given[32] = {false};
	int count = 0, first = -1;

	while (ipam_walk_next(&walk, &addr)) {
		assert_false(given[addr.bytes[3]]);
		given[addr.bytes[3]] = true;
		first = first < 0 ? addr.bytes[3] : first;
		count++;
	}
	for (int host = 0; host < 32; host++) {
		addr.bytes[3] = (uint8_t)host;

		bool in = host >= range->start.bytes[3] && host <= range->end.bytes[3] && host > 0 && host < 31 &&
			  host != range->gateway.bytes[3];

		assert_int_equal(ipam_set_allows(set, &addr), in);
		assert_int_equal(given[host], in);
		count -= in;
	}
	assert_int_equal(count, 0);
	for (int host = last + 1; first >= 0 && last >= range->start.bytes[3] && host < first; host++)
		assert_false(given[host]);
}

static void walks_like_brute_force(void **state)
{
	(void)state;
	unsigned int seed = 5;

	for (int i = 0; i < 2000; i++) {
		int start = 1 + rand_r(&seed) % 30, end = start + rand_r(&seed) % (31 - start);
		int gateway = 1 + rand_r(&seed) % 30;
		cleanup_free char *text = format_text("{\"subnet\":\"10.0.0.0/27\",\"rangeStart\":\"10.0.0.%d\","
						      "\"rangeEnd\":\"10.0.0.%d\",\"gateway\":\"10.0.0.%d\"}",
			start, end, gateway);
		WITH_CONFIG(config, text);

		check_against_brute_force(&config->sets[0], rand_r(&seed) % 32);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(refuses_bad_configurations),
		cmocka_unit_test(bounds_its_lists),
		cmocka_unit_test(reads_the_seed),
		cmocka_unit_test(reads_every_key),
		cmocka_unit_test(reads_resolv_conf),
		cmocka_unit_test(checks_fixed_addresses),
		cmocka_unit_test(checks_split_subnets),
		cmocka_unit_test(walks_once_around),
		cmocka_unit_test(walks_over_huge_ranges),
		cmocka_unit_test(walks_like_brute_force),
		cmocka_unit_test(prints_records),
		cmocka_unit_test(reads_its_own_records),
		cmocka_unit_test(refuses_what_is_no_record),
		cmocka_unit_test(bears_random_records),
		cmocka_unit_test(describes_holders),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
