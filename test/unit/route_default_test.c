/* netlink/: the default routes, against the real kernel. */
#include "test/unit/route_kit.h"

static void finds_the_link_of_the_default_route(void **state)
{
	const struct lab *lab = *state;
	struct links links = make_links(lab);
	const struct {
		const char *command;
		int ifindex; /* 0: none */
	} steps[] = {
		{"true", 0},
		{"ip route add default via 10.9.0.1 table 101", 0},
		{"ip route add unreachable default metric 9", 0},
		{"ip -6 route add unreachable default metric 9", 0},
		{"ip route add 0.0.0.0/1 via 10.9.0.1", 0},
		{"ip -6 route add default via fd00:8::1", links.net2},
		{"ip route add default via 10.9.0.1 metric 20", links.net1},
		{"ip route add default metric 10 nexthop via 10.8.0.1 nexthop via 10.9.0.1", links.net2},
		{"ip route add default dev net1", links.net1},
	};
	cleanup_error struct error e = {0};

	for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
		int ifindex = 0;

		shell_in_pod(lab, steps[i].command);

		int r = route_default_link(lab->pod, &ifindex, &e);

		assert_int_equal(r, steps[i].ifindex ? 0 : -ESRCH);
		assert_int_equal(ifindex, steps[i].ifindex);
		if (r < 0)
			assert_int_equal(e.code, ERROR_CONFIG);
		error_clear(&e);
	}
}

static size_t count_defaults(const struct lab *lab, int family, struct route **ret)
{
	cleanup_error struct error e = {0};
	size_t count = 0;

	assert_done(route_list_defaults(lab->pod, family, ret, &count, &e), &e);
	return count;
}

static void lists_each_path_of_the_default_routes(void **state)
{
	const struct lab *lab = *state;
	struct links links = make_links(lab);
	cleanup_free struct route *none = NULL, *four = NULL, *six = NULL;

	assert_int_equal(count_defaults(lab, AF_INET, &none), 0);
	assert_null(none);
	shell_in_pod(lab, "ip route add default metric 20 nexthop via 10.9.0.1 nexthop via 10.8.0.1");
	shell_in_pod(lab, "ip route add default dev net2 metric 10");
	shell_in_pod(lab, "sh -c 'ip route add blackhole default; ip route add default via 10.9.0.1 table 101'");
	shell_in_pod(lab, "ip -6 route add default via fe80::1 dev net1 metric 7");

	assert_int_equal(count_defaults(lab, AF_INET, &four), 3);
	assert_int_equal(four[0].ifindex, links.net2);
	assert_int_equal(four[0].priority, 10);
	assert_int_equal(four[0].gateway.family, 0);
	assert_int_equal(four[1].priority, 20);
	assert_string_equal(ip_text(&four[1].gateway).s, "10.9.0.1");
	assert_int_equal(four[2].ifindex, links.net2);
	assert_string_equal(ip_text(&four[2].gateway).s, "10.8.0.1");

	assert_int_equal(count_defaults(lab, AF_INET6, &six), 1);
	assert_string_equal(ip_text(&six[0].gateway).s, "fe80::1");
	assert_int_equal(six[0].ifindex, links.net1);
}

/* Whoever made them and however: of one link, with all paths of theirs, and nothing else. */
static void deletes_the_default_routes_of_a_link(void **state)
{
	static const char *const routes[] = {
		"ip route add default via 10.9.0.1",
		"ip route add default dev net1 metric 5",
		"ip route add default via 10.9.0.2 metric 6 proto dhcp src 10.9.0.5 mtu 1300",
		"ip route add default via 10.9.0.3 tos 8",
		"ip route add default metric 7 nexthop via 10.8.0.1 nexthop via 10.9.0.1 weight 2",
		"ip -6 route add default via fd00:9::1",
		"ip -6 route add default via fe80::9 dev net1 proto ra metric 512 expires 600 pref high",
		"ip -6 route add default metric 7 nexthop via fd00:8::1 nexthop via fd00:9::1",
	};
	static const char *const kept[] = {
		"ip route add default via 10.8.0.1 metric 30",
		"ip route add default via 10.9.0.1 table 101",
		"ip route add 0.0.0.0/1 via 10.9.0.1",
		"ip -6 route add default via fd00:8::1 metric 30",
		"ip -6 route add ::/1 via fd00:9::1",
	};
	const struct lab *lab = *state;
	struct links links = make_links(lab);
	cleanup_error struct error e = {0};

	for (size_t i = 0; i < ARRAY_SIZE(kept); i++)
		shell_in_pod(lab, kept[i]);

	cleanup_free char *before = run_in_pod(lab, "ip route show table all");
	cleanup_free char *before6 = run_in_pod(lab, "ip -6 route show table all");

	for (size_t i = 0; i < ARRAY_SIZE(routes); i++)
		shell_in_pod(lab, routes[i]);
	/* Twice: none is left the second time. */
	for (int n = 0; n < 2; n++) {
		assert_done(route_delete_defaults(lab->pod, AF_INET, links.net1, &e), &e);
		assert_done(route_delete_defaults(lab->pod, AF_INET6, links.net1, &e), &e);
		assert_null(e.message);

		cleanup_free char *after = run_in_pod(lab, "ip route show table all");
		cleanup_free char *after6 = run_in_pod(lab, "ip -6 route show table all");

		assert_string_equal(before, after);
		assert_string_equal(before6, after6);
	}
}

static void deletes_all_default_routes_of_one_family(void **state)
{
	const struct lab *lab = *state;
	cleanup_free struct route *four = NULL, *six = NULL;
	cleanup_error struct error e = {0};

	make_links(lab);
	shell_in_pod(lab, "ip route add default via 10.9.0.1");
	shell_in_pod(lab, "ip -6 route add default via fd00:8::1");
	assert_done(route_delete_defaults(lab->pod, AF_INET, 0, &e), &e);
	assert_int_equal(count_defaults(lab, AF_INET, &four), 0);
	assert_int_equal(count_defaults(lab, AF_INET6, &six), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		IN_LAB(finds_the_link_of_the_default_route),
		IN_LAB(lists_each_path_of_the_default_routes),
		IN_LAB(deletes_the_default_routes_of_a_link),
		IN_LAB(deletes_all_default_routes_of_one_family),
	};

	return has_rights() ? cmocka_run_group_tests(tests, NULL, NULL) : 0;
}
