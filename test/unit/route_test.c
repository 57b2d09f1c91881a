/* netlink/: routes and rules, against the real kernel. */
#include "test/unit/route_kit.h"

/* linux/rtnetlink.h, which may not be included here. */
#define SCOPE_UNIVERSE 0

static size_t count_lines(const char *text)
{
	size_t n = 0;

	for (; *text; text++)
		n += *text == '\n';
	return n;
}

static void adds_routes_once(void **state)
{
	const struct lab *lab = *state;
	struct links links = make_links(lab);
	const struct {
		struct route route;
		const char *command, *shown;
	} cases[] = {
		{route(links.net1, "10.96.0.0/12", "10.9.0.1"), "ip route show 10.96.0.0/12",
			"10.96.0.0/12 via 10.9.0.1 dev net1 \n"},
		{route(links.net1, "10.97.1.1/32", NULL), "ip route show 10.97.1.1",
			"10.97.1.1 dev net1 scope link \n"},
		{route(links.net2, "0.0.0.0/0", "10.8.0.1"), "ip route show default",
			"default via 10.8.0.1 dev net2 \n"},
		{route(links.net1, "fd00:96::/32", "fd00:9::1"), "ip -6 route show fd00:96::/32",
			"fd00:96::/32 via fd00:9::1 dev net1 metric 1024 pref medium\n"},
		{route(links.net2, "::/0", "fe80::1"), "ip -6 route show default",
			"default via fe80::1 dev net2 metric 1024 pref medium\n"},
		{route(links.net1, "fd00:97::/64", NULL), "ip -6 route show fd00:97::/64",
			"fd00:97::/64 dev net1 metric 1024 pref medium\n"},
	};
	cleanup_error struct error e = {0};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_false(installed(lab, &cases[i].route));
		/* The second time it is there already, which is fine, and adds nothing. */
		for (int n = 0; n < 2; n++) {
			assert_done(route_add(lab->pod, &cases[i].route, &e), &e);
			assert_null(e.message);

			cleanup_free char *shown = run_in_pod(lab, cases[i].command);

			assert_string_equal(shown, cases[i].shown);
		}
		assert_true(installed(lab, &cases[i].route));
	}

	/* What the kernel made with the address counts as there. */
	struct route connected = route(links.net1, "10.9.0.0/16", NULL);

	assert_done(route_add(lab->pod, &connected, &e), &e);
}

static void adds_what_a_route_may_carry(void **state)
{
	const struct lab *lab = *state;
	struct links links = make_links(lab);
	struct route four = route(links.net1, "10.96.0.0/12", "10.9.0.1"),
		     six = route(links.net1, "fd00:96::/64", NULL);
	cleanup_error struct error e = {0};

	four.priority = six.priority = 77;
	four.mtu = six.mtu = 1300;
	four.advmss = six.advmss = 1200;
	assert_done(route_add(lab->pod, &four, &e), &e);
	assert_done(route_add(lab->pod, &six, &e), &e);
	assert_done(route_add(lab->pod, &four, &e), &e);
	assert_done(route_add(lab->pod, &six, &e), &e);

	cleanup_free char *shown = run_in_pod(lab, "ip route show 10.96.0.0/12");
	cleanup_free char *shown6 = run_in_pod(lab, "ip -6 route show fd00:96::/64");

	assert_string_equal(shown, "10.96.0.0/12 via 10.9.0.1 dev net1 metric 77 mtu 1300 advmss 1200 \n");
	assert_string_equal(shown6, "fd00:96::/64 dev net1 metric 77 mtu 1300 advmss 1200 pref medium\n");

	struct route scoped = route(links.net1, "10.95.0.0/16", NULL);

	scoped.scope = SCOPE_UNIVERSE;
	assert_done(route_add(lab->pod, &scoped, &e), &e);

	cleanup_free char *universe = run_in_pod(lab, "ip -d route show 10.95.0.0/16");

	assert_string_equal(universe, "unicast 10.95.0.0/16 dev net1 proto boot scope global \n");
}

static void refuses_a_second_way(void **state)
{
	const struct lab *lab = *state;
	struct links links = make_links(lab);
	struct route there[] = {route(links.net1, "10.96.0.0/12", "10.9.0.1"), route(links.net1, "fd00:96::/64", NULL)};
	struct {
		struct route route;
		const char *part;
	} cases[] = {
		{route(links.net1, "10.96.0.0/12", "10.9.0.2"), "10.96.0.0/12: another one is there, through net1 and "
								"gateway 10.9.0.1"},
		{route(links.net2, "10.96.0.0/12", "10.8.0.1"), "through net1"},
		{route(links.net1, "10.96.0.0/12", NULL), "through net1"},
		{route(links.net1, "10.96.0.0/12", "10.9.0.1"), "through net1"},
		{route(links.net2, "fd00:96::/64", "fd00:8::1"), "through net1"},
		{route(links.net2, "10.9.0.0/16", NULL), "through net1"},
	};
	cleanup_error struct error e = {0};

	cases[3].route.mtu = 1300; /* the same way, but narrower */
	for (size_t i = 0; i < ARRAY_SIZE(there); i++)
		assert_done(route_add(lab->pod, &there[i], &e), &e);

	cleanup_free char *before = run_in_pod(lab, "ip route");
	cleanup_free char *before6 = run_in_pod(lab, "ip -6 route");

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		int r = route_add(lab->pod, &cases[i].route, &e);

		assert_int_equal(r, -EEXIST);
		assert_int_equal(e.code, ERROR_CONFIG);
		assert_shows(e.message, cases[i].part);
	}

	cleanup_free char *after = run_in_pod(lab, "ip route");
	cleanup_free char *after6 = run_in_pod(lab, "ip -6 route");

	assert_string_equal(before, after);
	assert_string_equal(before6, after6);
}

/* As the reference plugins add a route: whatever is there stays, and what comes last is in front. */
static void adds_a_route_beside_others(void **state)
{
	const struct lab *lab = *state;
	struct links links = make_links(lab);
	struct route there[] = {
		route(links.net1, "10.96.0.0/12", "10.9.0.1"), route(links.net1, "fd00:96::/64", "fd00:9::1")};
	struct route beside[] = {
		route(links.net1, "10.96.0.0/12", "10.9.0.2"),
		route(links.net2, "10.96.0.0/12", "10.8.0.1"),
		route(links.net1, "10.9.0.0/16", "10.9.0.1"), /* in front of what is connected */
		route(links.net2, "fd00:96::/64", "fd00:8::1"),
		route(links.net2, "fd00:97::/64", NULL),
		route(links.net1, "fd00:97::/64", NULL),
	};
	struct route narrower = there[1];
	cleanup_error struct error e = {0};

	for (size_t i = 0; i < ARRAY_SIZE(there); i++)
		assert_done(route_add(lab->pod, &there[i], &e), &e);
	for (size_t i = 0; i < ARRAY_SIZE(beside); i++) {
		assert_done(route_add_beside(lab->pod, &beside[i], &e), &e);
		assert_true(installed(lab, &beside[i]));
	}

	cleanup_free char *four = run_in_pod(lab, "ip route show 10.96.0.0/12");
	cleanup_free char *own = run_in_pod(lab, "ip route show 10.9.0.0/16");

	assert_string_equal(four, "10.96.0.0/12 via 10.8.0.1 dev net2 \n10.96.0.0/12 via 10.9.0.2 dev net1 \n"
				  "10.96.0.0/12 via 10.9.0.1 dev net1 \n");
	assert_shows(own, "10.9.0.0/16 via 10.9.0.1 dev net1 \n10.9.0.0/16 dev net1 proto kernel scope link");

	/* Each is there once, however often it is added, of several paths, too. */
	cleanup_free char *before = run_in_pod(lab, "ip route");
	cleanup_free char *before6 = run_in_pod(lab, "ip -6 route");

	assert_shows(before6, "nexthop via fd00:9::1 dev net1 weight 1 ");
	assert_shows(before6, "nexthop via fd00:8::1 dev net2 weight 1 ");
	for (size_t i = 0; i < ARRAY_SIZE(beside); i++)
		assert_done(route_add_beside(lab->pod, &beside[i], &e), &e);

	cleanup_free char *after = run_in_pod(lab, "ip route");
	cleanup_free char *after6 = run_in_pod(lab, "ip -6 route");

	assert_string_equal(before, after);
	assert_string_equal(before6, after6);

	narrower.mtu = 1300;
	assert_int_equal(route_add_beside(lab->pod, &narrower, &e), -EEXIST);
	assert_shows(e.message, "fd00:96::/64: another one is there, through net1 and gateway fd00:9::1");
	error_clear(&e);

	/* A link that goes takes its own with it, and no other. */
	shell_in_pod(lab, "ip link del net2");
	assert_true(installed(lab, &there[0]));
	assert_true(installed(lab, &there[1]));
	assert_true(installed(lab, &beside[0]));
	assert_false(installed(lab, &beside[1]));
	assert_false(installed(lab, &beside[3]));

	/* Over whatever link. */
	beside[3].ifindex = 0;
	assert_false(installed(lab, &beside[3]));
	there[1].ifindex = 0;
	assert_true(installed(lab, &there[1]));
}

static void says_why_a_route_cannot_be_added(void **state)
{
	const struct lab *lab = *state;
	struct links links = make_links(lab);
	const struct {
		struct route route;
		int err;
		const char *part;
	} cases[] = {
		{route(links.net1, "10.96.0.0/12", "10.77.0.1"), -ENETUNREACH,
			"10.96.0.0/12 through 10.77.0.1: Nexthop has invalid gateway"},
		{route(links.net1, "10.96.0.1/12", NULL), -EINVAL, "10.96.0.1/12: Invalid prefix"},
		{route(links.net1, "fd00:96::/64", "fd00:77::1"), -EHOSTUNREACH, "fd00:77::1: "},
	};
	cleanup_error struct error e = {0};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_int_equal(route_add(lab->pod, &cases[i].route, &e), cases[i].err);
		assert_int_equal(e.code, ERROR_CONFIG);
		assert_shows(e.message, cases[i].part);
	}
}

static void looks_at_what_is_asked_for(void **state)
{
	const struct lab *lab = *state;
	struct links links = make_links(lab);
	struct route wanted = route(links.net1, "10.96.0.0/12", "10.9.0.1"), other;
	cleanup_error struct error e = {0};

	wanted.priority = 5;
	assert_done(route_add(lab->pod, &wanted, &e), &e);
	assert_true(installed(lab, &wanted));

	other = wanted;
	other.gateway = (struct ip_addr){0}; /* not asked for */
	other.priority = 0;
	assert_true(installed(lab, &other));
	other = wanted;
	other.gateway = address("10.9.0.2");
	assert_false(installed(lab, &other));
	other = wanted;
	other.priority = 6;
	assert_false(installed(lab, &other));
	other = wanted;
	other.ifindex = links.net2;
	assert_false(installed(lab, &other));
	other = wanted;
	other.dst = prefix("10.96.0.0/13");
	assert_false(installed(lab, &other));
	other = wanted;
	other.table = 101; /* a table that nobody has used */
	assert_false(installed(lab, &other));

	/* One of several ways is there, and is another route than the one way alone. */
	shell_in_pod(lab, "ip route add 10.60.0.0/16 nexthop via 10.9.0.1 nexthop via 10.8.0.1");
	other = route(links.net2, "10.60.0.0/16", "10.8.0.1");
	assert_true(installed(lab, &other));
	other = route(links.net1, "10.60.0.0/16", "10.9.0.1");
	assert_true(installed(lab, &other));
	assert_int_equal(route_add(lab->pod, &other, &e), -EEXIST);
}

static void routes_by_source_through_a_table(void **state)
{
	const struct lab *lab = *state;
	struct links links = make_links(lab);
	struct route main4 = route(links.net2, "0.0.0.0/0", "10.8.0.1"), main6 = route(links.net2, "::/0", "fd00:8::1");
	struct route table[] = {route(links.net1, "10.9.0.0/16", NULL), route(links.net1, "0.0.0.0/0", "10.9.0.1"),
		route(links.net1, "fd00:9::/64", NULL), route(links.net1, "::/0", "fd00:9::1")};
	const struct rule rules[] = {{prefix("10.9.0.5/32"), 1001, 5000}, {prefix("fd00:9::5/128"), 1001, 5000}};
	cleanup_error struct error e = {0};

	assert_done(route_add(lab->pod, &main4, &e), &e);
	assert_done(route_add(lab->pod, &main6, &e), &e);
	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		table[i].table = 1001;
		assert_false(installed(lab, &table[i]));
		assert_done(route_add(lab->pod, &table[i], &e), &e);
		assert_done(route_add(lab->pod, &table[i], &e), &e);
		assert_true(installed(lab, &table[i]));
	}
	for (size_t i = 0; i < ARRAY_SIZE(rules); i++)
		assert_done(rule_add(lab->pod, &rules[i], &e), &e);

	cleanup_free char *by_net1 = run_in_pod(lab, "ip route get 8.8.8.8 from 10.9.0.5");
	cleanup_free char *by_net2 = run_in_pod(lab, "ip route get 8.8.8.8 from 10.8.0.5");
	cleanup_free char *by_net1_six = run_in_pod(lab, "ip route get 2001:db8::1 from fd00:9::5");
	cleanup_free char *by_net2_six = run_in_pod(lab, "ip route get 2001:db8::1 from fd00:8::5");

	assert_shows(by_net1, "via 10.9.0.1 dev net1 table 1001");
	assert_shows(by_net2, "via 10.8.0.1 dev net2");
	assert_shows(by_net1_six, "via fd00:9::1 dev net1 table 1001");
	assert_shows(by_net2_six, "via fd00:8::1 dev net2");
}

static bool in_force(const struct lab *lab, const struct rule *rule)
{
	cleanup_error struct error e = {0};
	bool there = false;

	assert_done(rule_exists(lab->pod, rule, &there, &e), &e);
	return there;
}

static void adds_and_deletes_rules(void **state)
{
	const struct lab *lab = *state;
	const struct {
		struct rule rule;
		const char *command, *shown;
	} cases[] = {
		{{prefix("10.9.0.5/32"), 101, 3000}, "ip rule", "3000:\tfrom 10.9.0.5 lookup 101\n"},
		{{prefix("10.9.0.5/16"), 101, 3001}, "ip rule", "3001:\tfrom 10.9.0.0/16 lookup 101\n"},
		{{prefix("10.9.0.5/16"), 100000, 3002}, "ip rule", "3002:\tfrom 10.9.0.0/16 lookup 100000\n"},
		{{prefix("0.0.0.0/0"), 101, 3003}, "ip rule", "3003:\tfrom all lookup 101\n"},
		{{prefix("fd00:9::5/128"), 101, 3000}, "ip -6 rule", "3000:\tfrom fd00:9::5 lookup 101\n"},
		{{prefix("fd00:9::5/64"), 101, 3001}, "ip -6 rule", "3001:\tfrom fd00:9::/64 lookup 101\n"},
	};
	cleanup_error struct error e = {0};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		cleanup_free char *before = run_in_pod(lab, cases[i].command);
		struct rule other = cases[i].rule;

		assert_false(in_force(lab, &cases[i].rule));
		assert_done(rule_delete_all(lab->pod, cases[i].rule.table, cases[i].rule.priority, &e), &e);
		assert_done(rule_add(lab->pod, &cases[i].rule, &e), &e);
		assert_done(rule_add(lab->pod, &cases[i].rule, &e), &e);
		assert_null(e.message);

		cleanup_free char *shown = run_in_pod(lab, cases[i].command);

		assert_shows(shown, cases[i].shown);
		assert_int_equal(count_lines(shown), count_lines(before) + 1);
		assert_true(in_force(lab, &cases[i].rule));
		other.priority++;
		assert_false(in_force(lab, &other));
		other = cases[i].rule;
		other.table++;
		assert_false(in_force(lab, &other));
		other = cases[i].rule;
		other.from.length = other.from.length / 2 + 1;
		assert_false(in_force(lab, &other));

		assert_done(rule_delete_all(lab->pod, cases[i].rule.table, cases[i].rule.priority, &e), &e);
		assert_done(rule_delete_all(lab->pod, cases[i].rule.table, cases[i].rule.priority, &e), &e);
		assert_null(e.message);

		cleanup_free char *after = run_in_pod(lab, cases[i].command);

		assert_string_equal(before, after);
	}
}

static void deletes_all_rules_of_a_table_and_priority(void **state)
{
	static const struct {
		const char *from;
		uint32_t table, priority;
		bool goes;
	} cases[] = {
		{"10.9.0.5/32", 101, 3000, true},
		{"10.9.0.0/16", 101, 3000, true},
		{"fd00:9::5/128", 101, 3000, true},
		{"10.9.0.5/32", 102, 3000, false},
		{"10.9.0.5/32", 101, 3001, false},
		{"fd00:9::5/128", 102, 3000, false},
	};
	const struct lab *lab = *state;
	cleanup_error struct error e = {0};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct rule rule = {prefix(cases[i].from), cases[i].table, cases[i].priority};

		assert_done(rule_add(lab->pod, &rule, &e), &e);
	}
	assert_done(rule_delete_all(lab->pod, 101, 3000, &e), &e);
	assert_done(rule_delete_all(lab->pod, 101, 3000, &e), &e);
	assert_null(e.message);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct rule rule = {prefix(cases[i].from), cases[i].table, cases[i].priority};

		assert_int_equal(in_force(lab, &rule), !cases[i].goes);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		IN_LAB(adds_routes_once),
		IN_LAB(adds_what_a_route_may_carry),
		IN_LAB(refuses_a_second_way),
		IN_LAB(adds_a_route_beside_others),
		IN_LAB(says_why_a_route_cannot_be_added),
		IN_LAB(looks_at_what_is_asked_for),
		IN_LAB(routes_by_source_through_a_table),
		IN_LAB(adds_and_deletes_rules),
		IN_LAB(deletes_all_rules_of_a_table_and_priority),
	};

	return has_rights() ? cmocka_run_group_tests(tests, NULL, NULL) : 0;
}
