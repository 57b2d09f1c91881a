/* plugin/base/ip: what is an address, how Go prints it, and the arithmetic. */
#include "plugin/base/ip.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void parses_and_prints_addresses(void **state)
{
	static const struct {
		const char *text;
		const char *printed; /* NULL: refused */
	} cases[] = {
		{"10.0.0.1", "10.0.0.1"},
		{"0.0.0.0", "0.0.0.0"},
		{"255.255.255.255", "255.255.255.255"},
		{"::ffff:10.0.0.1", "10.0.0.1"},
		{"::FFFF:a00:1", "10.0.0.1"},
		{"2001:DB8:0:0:0:0:0:1", "2001:db8::1"},
		{"2001:db8:0:1:0:0:0:1", "2001:db8:0:1::1"},
		{"2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"},
		{"2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"},
		{"fe80::0001", "fe80::1"},
		{"::", "::"},
		{"::1", "::1"},
		{"::1.2.3.4", "::102:304"},
		{"::1:2", "::1:2"},
		{"::1:0", "::1:0"},
		{"64:ff9b::1.2.3.4", "64:ff9b::102:304"},
		{"", NULL},
		{"10.0.0", NULL},
		{"10.0.0.256", NULL},
		{"10.0.0.01", NULL},
		{"010.0.0.1", NULL},
		{"10.0.0.00", NULL},
		{"10.0.0.1 ", NULL},
		{" 10.0.0.1", NULL},
		{"+10.0.0.1", NULL},
		{"10.0.0.1.", NULL},
		{"0x0a.0.0.1", NULL},
		{"167772161", NULL},
		{"fe80::1%eth0", NULL},
		{":::1", NULL},
		{"1::2::3", NULL},
		{"00001::", NULL},
		{"2001:db8::1/64", NULL},
		{"localhost", NULL},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct ip_addr addr = {.family = -1};

		if (ip_parse(cases[i].text, &addr) != (cases[i].printed != NULL))
			fail_msg("\"%s\" is %s", cases[i].text, cases[i].printed ? "refused" : "taken");
		if (cases[i].printed)
			assert_string_equal(ip_text(&addr).s, cases[i].printed);
		else
			assert_int_equal(addr.family, -1);
	}
	assert_string_equal(ip_text(&(struct ip_addr){0}).s, "");
}

static void parses_prefixes(void **state)
{
	static const struct {
		const char *text;
		const char *printed, *network, *last;
	} cases[] = {
		{"10.1.2.3/16", "10.1.2.3/16", "10.1.0.0", "10.1.255.255"},
		{"10.1.2.3/0", "10.1.2.3/0", "0.0.0.0", "255.255.255.255"},
		{"10.1.2.3/32", "10.1.2.3/32", "10.1.2.3", "10.1.2.3"},
		{"10.1.2.131/25", "10.1.2.131/25", "10.1.2.128", "10.1.2.255"},
		{"10.1.2.3/31", "10.1.2.3/31", "10.1.2.2", "10.1.2.3"},
		{"2001:db8::5/64", "2001:db8::5/64", "2001:db8::", "2001:db8::ffff:ffff:ffff:ffff"},
		{"2001:db8::5/127", "2001:db8::5/127", "2001:db8::4", "2001:db8::5"},
		{"::/0", "::/0", "::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"},
		{"::ffff:10.1.2.3/112", "10.1.2.3/16", "10.1.0.0", "10.1.255.255"},
		{"::ffff:10.1.2.3/96", "10.1.2.3/0", "0.0.0.0", "255.255.255.255"},
		{"::ffff:10.1.2.3/24"},
		{"::ffff:10.1.2.3/129"},
		{"10.1.2.3"},
		{"10.1.2.3/"},
		{"10.1.2.3/33"},
		{"10.1.2.3/-1"},
		{"10.1.2.3/+1"},
		{"10.1.2.3/ 1"},
		{"10.1.2.3/016"},
		{"10.1.2.3/16/1"},
		{"10.1.2.3/255.255.0.0"},
		{"10.1.2.3/4294967312"},
		{"2001:db8::/129"},
		{"/16"},
		{"00000000000000000000000000000000000000000000000000000000000::/16"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct ip_prefix prefix;

		if (ip_parse_prefix(cases[i].text, &prefix) != (cases[i].printed != NULL))
			fail_msg("\"%s\" is %s", cases[i].text, cases[i].printed ? "refused" : "taken");
		if (!cases[i].printed)
			continue;

		struct ip_addr network = ip_network(&prefix), last = ip_last(&prefix);

		assert_string_equal(ip_prefix_text(&prefix).s, cases[i].printed);
		assert_string_equal(ip_text(&network).s, cases[i].network);
		assert_string_equal(ip_text(&last).s, cases[i].last);
	}
}

static void parses_netmasks(void **state)
{
	static const struct {
		const char *text;
		int length; /* -1: refused */
	} cases[] = {
		{"255.255.0.0", 16},
		{"255.255.255.255", 32},
		{"0.0.0.0", 0},
		{"255.255.255.254", 31},
		{"128.0.0.0", 1},
		{"24", 24},
		{"0", 0},
		{"32", 32},
		{"33", -1},
		{"255.0.255.0", -1},
		{"0.0.0.255", -1},
		{"255.255.0.1", -1},
		{"", -1},
		{"-1", -1},
		{"024", -1},
		{"24 ", -1},
		{"/24", -1},
		{"ffff::", -1},
		{"255.255", -1},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		unsigned int length = 99;

		if (ip_parse_netmask(cases[i].text, &length) != (cases[i].length >= 0))
			fail_msg("\"%s\" is %s", cases[i].text, cases[i].length < 0 ? "taken" : "refused");
		assert_int_equal(length, cases[i].length < 0 ? 99 : cases[i].length);
	}
}

static struct ip_addr address(const char *text)
{
	struct ip_addr addr;

	assert_true(ip_parse(text, &addr));
	return addr;
}

static void counts_addresses(void **state)
{
	static const char *const cases[][2] = {
		{"10.0.0.1", "10.0.0.2"},
		{"10.0.255.255", "10.1.0.0"},
		{"255.255.255.255", "0.0.0.0"},
		{"2001:db8::ffff", "2001:db8::1:0"},
		{"2001:db8::ffff:ffff:ffff:ffff", "2001:db8:0:1::"},
		{"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "::"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct ip_addr addr = address(cases[i][0]), next = ip_next(&addr);

		assert_string_equal(ip_text(&next).s, cases[i][1]);
		assert_int_equal(next.family, addr.family);
	}
}

static void orders_addresses(void **state)
{
	static const char *const ascending[] = {
		"0.0.0.1", "9.255.255.255", "10.0.0.0", "200.0.0.1", "::1", "2001:db8::", "2001:db8::1:0", "fe80::1"};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(ascending); i++) {
		for (size_t j = 0; j < ARRAY_SIZE(ascending); j++) {
			struct ip_addr a = address(ascending[i]), b = address(ascending[j]);
			int order = ip_compare(&a, &b);

			assert_int_equal((order > 0) - (order < 0), (i > j) - (i < j));
		}
	}
	/* What stands behind the four bytes of an IPv4 address does not count. */
	struct ip_addr a = address("10.0.0.1"), b = a;

	b.bytes[15] = 1;
	assert_int_equal(ip_compare(&a, &b), 0);
}

static void knows_what_a_prefix_covers(void **state)
{
	static const struct {
		const char *prefix, *addr;
		bool covered;
	} cases[] = {
		{"10.1.2.3/16", "10.1.255.255", true},
		{"10.1.2.3/16", "10.2.0.0", false},
		{"10.1.2.3/16", "10.0.255.255", false},
		{"0.0.0.0/0", "1.2.3.4", true},
		{"0.0.0.0/0", "::1", false},
		{"10.0.0.4/30", "10.0.0.7", true},
		{"10.0.0.4/30", "10.0.0.8", false},
		{"fd00:0:0:8000::/49", "fd00:0:0:ffff::1", true},
		{"fd00:0:0:8000::/49", "fd00:0:0:7fff::1", false},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct ip_addr addr = address(cases[i].addr);
		struct ip_prefix prefix;

		assert_true(ip_parse_prefix(cases[i].prefix, &prefix));
		assert_int_equal(ip_contains(&prefix, &addr), cases[i].covered);
	}
}

static void knows_what_an_interface_may_own(void **state)
{
	static const char *const hosts[] = {"1.0.0.1", "10.0.0.1", "223.255.255.255", "240.0.0.1", "255.255.255.254",
		"2001:db8::1", "fe80::1", "::2", "::1:0"};
	static const char *const others[] = {"0.0.0.0", "0.1.2.3", "127.0.0.1", "127.255.255.255", "224.0.0.1",
		"239.255.255.255", "255.255.255.255", "::", "::1", "ff02::1"};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(hosts); i++) {
		struct ip_addr addr = address(hosts[i]);

		if (!ip_is_host(&addr))
			fail_msg("%s", hosts[i]);
	}
	for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
		struct ip_addr addr = address(others[i]);

		if (ip_is_host(&addr))
			fail_msg("%s", others[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parses_and_prints_addresses),
		cmocka_unit_test(parses_prefixes),
		cmocka_unit_test(parses_netmasks),
		cmocka_unit_test(counts_addresses),
		cmocka_unit_test(orders_addresses),
		cmocka_unit_test(knows_what_a_prefix_covers),
		cmocka_unit_test(knows_what_an_interface_may_own),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
