/* plugin/default_route: which of a pod's networks has its default route, in the kernel and in what is told of it. */
#include "plugin/default_route.h"
#include "plugin/interface.h"
#include "test/unit/netlink_kit.h"

#define MAX_PODS_NETWORKS 3

/* What the plugin of every network says: both families' default routes, and one that is none. */
#define RESULT(router) \
	"{\"ips\":[],\"routes\":[{\"dst\":\"0.0.0.0/0\",\"gw\":\"10." router ".0.1\"}," \
	"{\"dst\":\"10.96.0.0/12\"},{\"dst\":\"::/0\",\"gw\":\"fd00:" router "::1\"}]}"

#define FOUR(router) "{\"dst\":\"0.0.0.0/0\",\"gw\":\"10." router "\"}"
#define SIX(router) "{\"dst\":\"::/0\",\"gw\":\"fd00:" router "\"}"
#define OTHER "{\"dst\":\"10.96.0.0/12\"}"

struct pod {
	struct attachment networks[MAX_PODS_NETWORKS];
	struct attachment *list[MAX_PODS_NETWORKS];
	struct network_element asked[MAX_PODS_NETWORKS];
	struct plan plan;
	struct run run;
};

/* Networks 1, 2 and 3 as eth0, net1 and net2: 10.<n>.0.5/16 and fd00:<n>::5/64. */
static void make_pod(const struct lab *lab, struct pod *ret)
{
	static const char *const names[] = {"eth0", "net1", "net2"}, *const labels[] = {
									     "kube-system/cbr0", "db/a", "db/b"};
	static const char *const results[] = {RESULT("1"), RESULT("2"), RESULT("3")};
	static const char *const addresses[][3] = {
		{"10.1.0.5/16", "fd00:1::5/64"}, {"10.2.0.5/16", "fd00:2::5/64"}, {"10.3.0.5/16", "fd00:3::5/64"}};

	*ret = (struct pod){.run = {.netns_fd = lab->pod_fd, .pod = lab->pod}};
	ret->plan = (struct plan){ret->list, MAX_PODS_NETWORKS};
	for (unsigned int i = 0; i < MAX_PODS_NETWORKS; i++) {
		struct attachment *a = ret->list[i] = &ret->networks[i];

		make_with(lab, names[i], (uint8_t)(i + 1), addresses[i]);
		a->index = i;
		snprintf(a->ifname, sizeof(a->ifname), "%s", names[i]);
		a->name = copy_text(labels[i]);
		a->result = cJSON_Parse(results[i]);
	}
}

static void free_pod(struct pod *pod)
{
	for (size_t i = 0; i < MAX_PODS_NETWORKS; i++) {
		free(pod->networks[i].name);
		cJSON_Delete(pod->networks[i].result);
	}
}
#define cleanup_pod CLEANUP(free_pod)

/* gateways: separated by spaces; "" asks for none. */
static void ask(struct pod *pod, size_t i, const char *gateways)
{
	cleanup_free char *copy = copy_text(gateways);
	char *rest = copy;

	pod->networks[i].asked = &pod->asked[i];
	pod->asked[i].default_route = true;
	for (char *one = strsep(&rest, " "); one; one = strsep(&rest, " ")) {
		if (*one)
			pod->asked[i].gateways[pod->asked[i].gateway_count++] = address(one);
	}
}

/* As plan_make goes: what the network's plugin does, then the annotation. */
static int attach(struct pod *pod, size_t i, const struct lab *lab, const char *plugin, struct error *e)
{
	if (plugin)
		shell_in_pod(lab, plugin);
	return default_route_apply(&pod->plan, &pod->networks[i], &pod->run, e);
}

static char *show(const struct lab *lab)
{
	return run_in_pod(lab, "sh -c 'ip route show default; ip -6 route show default'");
}

static void assert_default_is(const struct lab *lab, const char *expected)
{
	cleanup_free char *shown = show(lab);

	assert_string_equal(shown, expected);
}

static void assert_result_is(const struct attachment *a, const char *expected)
{
	cleanup_free char *routes = json_print(json_get(a->result, "routes"));

	assert_string_equal(routes, expected);
}

#define ETH0_MAKES "sh -c 'ip route add default via 10.1.0.1; ip -6 route add default via fd00:1::1'"
#define NET1_FOUR "default via 10.2.0.254 dev net1 \n"
#define NET1_SIX "default via fd00:2::254 dev net1 metric 1024 pref medium\n"
#define ETH0_FOUR "default via 10.1.0.1 dev eth0 \n"
#define ETH0_SIX "default via fd00:1::1 dev eth0 metric 1024 pref medium\n"

static void gateways_become_the_default_of_their_family(void **state)
{
	static const struct {
		const char *gateways, *kernel, *eth0, *net1, *net2;
	} cases[] = {
		{"10.2.0.254", NET1_FOUR ETH0_SIX, "[" OTHER "," SIX("1::1") "]",
			"[" OTHER "," SIX("2::1") "," FOUR("2.0.254") "]", "[" OTHER "," SIX("3::1") "]"},
		{"fd00:2::254", ETH0_FOUR NET1_SIX, "[" FOUR("1.0.1") "," OTHER "]",
			"[" FOUR("2.0.1") "," OTHER "," SIX("2::254") "]", "[" FOUR("3.0.1") "," OTHER "]"},
		{"fd00:2::254 10.2.0.254", NET1_FOUR NET1_SIX, "[" OTHER "]",
			"[" OTHER "," FOUR("2.0.254") "," SIX("2::254") "]", "[" OTHER "]"},
		{"", ETH0_FOUR ETH0_SIX, "[" FOUR("1.0.1") "," OTHER "," SIX("1::1") "]",
			"[" FOUR("2.0.1") "," OTHER "," SIX("2::1") "]",
			"[" FOUR("3.0.1") "," OTHER "," SIX("3::1") "]"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		cleanup_error struct error e = {0};
		cleanup_pod struct pod pod;
		const struct lab *lab;

		if (i > 0) {
			tear_down_lab(state);
			assert_int_equal(set_up_lab(state), 0);
		}
		lab = *state;
		make_pod(lab, &pod);
		ask(&pod, 1, cases[i].gateways);
		assert_done(default_route_check(&pod.plan, &e), &e);
		for (size_t n = 0; n < MAX_PODS_NETWORKS; n++)
			assert_done(attach(&pod, n, lab, n == 0 ? ETH0_MAKES : NULL, &e), &e);
		assert_default_is(lab, cases[i].kernel);
		assert_result_is(&pod.networks[0], cases[i].eth0);
		assert_result_is(&pod.networks[1], cases[i].net1);
		assert_result_is(&pod.networks[2], cases[i].net2);
		for (size_t n = 0; n < MAX_PODS_NETWORKS; n++)
			assert_done(default_route_verify(&pod.networks[n], &pod.run, &e), &e);
		assert_int_equal(pod.networks[1].made.gateways[0].family != 0, strchr(cases[i].gateways, '.') != NULL);
		assert_int_equal(pod.networks[1].made.gateways[1].family != 0, strchr(cases[i].gateways, ':') != NULL);
	}
}

static void each_family_has_its_own_network(void **state)
{
	const struct lab *lab = *state;
	cleanup_error struct error e = {0};
	cleanup_pod struct pod pod;

	make_pod(lab, &pod);
	ask(&pod, 1, "fd00:2::254");
	ask(&pod, 2, "10.3.0.254");
	assert_done(default_route_check(&pod.plan, &e), &e);
	for (size_t n = 0; n < MAX_PODS_NETWORKS; n++)
		assert_done(attach(&pod, n, lab, n == 0 ? ETH0_MAKES : NULL, &e), &e);
	assert_default_is(lab, "default via 10.3.0.254 dev net2 \n" NET1_SIX);
	assert_result_is(&pod.networks[1], "[" OTHER "," SIX("2::254") "]");
	assert_result_is(&pod.networks[2], "[" OTHER "," FOUR("3.0.254") "]");
}

/* Other programs add, append and replace, before and behind the network that has the gateway. */
static void whatever_others_made_goes(void **state)
{
	static const char *const before[] = {
		"ip route add default via 10.1.0.1 metric 50",
		"ip route add default via 10.1.0.9 proto dhcp metric 60",
		"ip route add default metric 70 nexthop via 10.1.0.1 nexthop via 10.3.0.1",
		"ip -6 route add default via fe80::1 dev eth0 proto ra metric 512 expires 600",
		"ip -6 route add default metric 70 nexthop via fd00:1::1 nexthop via fd00:3::1",
	};
	static const char *const behind[] = {
		"true",
		"ip route replace default via 10.3.0.1",
		"ip route append default via 10.3.0.1",
		"ip route prepend default via 10.3.0.1",
		"ip route add default via 10.3.0.1 metric 20",
		"ip route del default",
		"ip -6 route replace default via fd00:3::1",
		"ip -6 route append default via fd00:3::1",
		"ip -6 route add default via fe80::1 dev net2 proto ra metric 20 expires 600",
		"ip -6 route add default via fe80::1 dev eth0 metric 2000",
	};
	const struct lab *lab = *state;
	cleanup_error struct error e = {0};
	cleanup_pod struct pod pod;

	make_pod(lab, &pod);
	ask(&pod, 1, "10.2.0.254 fd00:2::254");
	for (size_t i = 0; i < ARRAY_SIZE(before); i++)
		shell_in_pod(lab, before[i]);
	assert_done(attach(&pod, 0, lab, ETH0_MAKES, &e), &e);
	assert_default_is(lab, "");
	assert_done(attach(&pod, 1, lab, "ip route add default via 10.2.0.1", &e), &e);
	for (size_t i = 0; i < ARRAY_SIZE(behind); i++) {
		assert_default_is(lab, NET1_FOUR NET1_SIX);
		assert_done(attach(&pod, 2, lab, behind[i], &e), &e);
	}
	assert_default_is(lab, NET1_FOUR NET1_SIX);
	assert_null(e.message);
}

static void default_network_may_have_it(void **state)
{
	const struct lab *lab = *state;
	cleanup_error struct error e = {0};
	cleanup_pod struct pod pod;

	make_pod(lab, &pod);
	ask(&pod, 0, "10.1.0.254");
	assert_done(attach(&pod, 0, lab, ETH0_MAKES, &e), &e);
	assert_done(attach(&pod, 1, lab, "ip route add default via 10.2.0.1 metric 9", &e), &e);
	assert_default_is(lab, "default via 10.1.0.254 dev eth0 \n" ETH0_SIX);
	assert_result_is(&pod.networks[0], "[" OTHER "," SIX("1::1") "," FOUR("1.0.254") "]");
}

static void results_may_spell_it_otherwise(void **state)
{
	const struct lab *lab = *state;
	cleanup_error struct error e = {0};
	cleanup_pod struct pod pod;

	make_pod(lab, &pod);
	cJSON_Delete(pod.networks[0].result);
	pod.networks[0].result =
		cJSON_Parse("{\"routes\":[{\"dst\":\"::0/0\",\"gw\":\"fd00:1::1\"},{\"dst\":\"0:0::/"
			    "0\"},{\"dst\":\"0.0.0.0/0\",\"table\":254},"
			    "{\"dst\":\"0.0.0.0/0\",\"table\":7},{\"dst\":\"0.0.0.0/1\"},{\"dst\":5}]}");
	ask(&pod, 1, "10.2.0.254 fe80::254");
	assert_done(attach(&pod, 0, lab, NULL, &e), &e);
	assert_result_is(&pod.networks[0], "[{\"dst\":\"0.0.0.0/0\",\"table\":7},{\"dst\":\"0.0.0.0/1\"},{\"dst\":5}]");
	assert_done(attach(&pod, 1, lab, NULL, &e), &e);
	assert_default_is(lab, NET1_FOUR "default via fe80::254 dev net1 metric 1024 pref medium\n");
}

static void refuses_what_cannot_be_followed(void **state)
{
	static const struct {
		const char *eth0, *net1, *net2;
		const char *parts[4];
	} cases[] = {
		{NULL, "10.2.0.254 10.2.0.253", NULL,
			{"multus does not support ECMP for default-route",
				"IPv4 gateway 10.2.0.254 of network db/a (net1)", "10.2.0.253 of network db/a (net1)",
				"keep one"}},
		{NULL, "fd00:2::254", "10.3.0.254 fd00:3::254",
			{"multus does not support ECMP for default-route", "IPv6", "fd00:2::254 of network db/a (net1)",
				"fd00:3::254 of network db/b (net2)"}},
		{"10.1.0.1", NULL, "10.1.0.1", {"ECMP", "kube-system/cbr0 (eth0)", "db/b (net2)", "10.1.0.1"}},
		{NULL, "0.0.0.0", NULL, {"default-route of network db/a (net1) is 0.0.0.0", "no router", "", ""}},
		{NULL, "10.2.0.254 ff02::1", NULL, {"ff02::1", "db/a", "", ""}},
		{NULL, NULL, "127.0.0.1", {"127.0.0.1", "db/b (net2)", "", ""}},
	};
	const struct lab *lab = *state;
	cleanup_pod struct pod pod;

	make_pod(lab, &pod);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const char *const gateways[] = {cases[i].eth0, cases[i].net1, cases[i].net2};
		cleanup_error struct error e = {0};

		for (size_t n = 0; n < MAX_PODS_NETWORKS; n++) {
			pod.networks[n].asked = NULL;
			pod.asked[n] = (struct network_element){0};
			if (gateways[n])
				ask(&pod, n, gateways[n]);
		}
		assert_int_equal(default_route_check(&pod.plan, &e), -EINVAL);
		assert_int_equal(e.code, ERROR_CONFIG);
		for (size_t n = 0; n < ARRAY_SIZE(cases[i].parts); n++)
			assert_shows(e.message, cases[i].parts[n]);
	}
}

static void says_why_a_gateway_cannot_be_had(void **state)
{
	static const struct {
		const char *gateway, *command;
		unsigned int code;
		const char *part;
	} cases[] = {
		{"10.77.0.1", "true", ERROR_CONFIG,
			"interface net1 must be up, with an address in the subnet of gateway 10.77.0.1: "},
		{"fd00:77::1", "true", ERROR_CONFIG, "in the subnet of gateway fd00:77::1: "},
		{"fd00:2::5", "true", ERROR_CONFIG, "fd00:2::5"},
		{"fe80::1", "sysctl -qw net.ipv6.conf.net1.disable_ipv6=1", ERROR_CONFIG, "IPv6 is disabled"},
		{"10.2.0.254", "ip route add blackhole default", ERROR_CONFIG, "another one is there"},
		{"10.2.0.254", "ip link set net1 down", ERROR_CONFIG, "must be up"},
		{"10.2.0.254", "ip link del net1", ERROR_CONFIG, "10.2.0.254 is to be reached over interface net1"},
	};
	const struct lab *lab = *state;
	cleanup_pod struct pod pod;

	make_pod(lab, &pod);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		cleanup_error struct error e = {0};

		pod.asked[1] = (struct network_element){0};
		ask(&pod, 1, cases[i].gateway);
		assert_true(attach(&pod, 1, lab, cases[i].command, &e) < 0);
		assert_int_equal(e.code, cases[i].code);
		assert_shows(e.message, "default-route of network db/a: ");
		assert_shows(e.message, cases[i].part);
		if (strstr(cases[i].command, "blackhole"))
			shell_in_pod(lab, "ip route del blackhole default");
	}
}

static void notices_another_default(void **state)
{
	static const struct {
		const char *command, *back, *part;
	} cases[] = {
		{"ip route replace default via 10.1.0.1", "ip route replace default via 10.2.0.254 dev net1",
			"the pod's IPv4 default route is not the one that its annotation names, through 10.2.0.254 "
			"over net1 "
			"(network db/a): there is via 10.1.0.1 dev eth0"},
		{"ip route append default via 10.1.0.1", "ip route del default via 10.1.0.1",
			"via 10.2.0.254 dev net1, via 10.1.0.1 dev eth0"},
		{"ip route del default", "ip route add default via 10.2.0.254", "there is none"},
		{"ip -6 route add default via fe80::9 dev eth0 metric 512", "ip -6 route del default dev eth0",
			"IPv6 default route is not the one that its annotation names, through fd00:2::254 over net1 "
			"(network db/a): there is via fe80::9 dev eth0 metric 512, via fd00:2::254 dev net1 metric "
			"1024"},
		{"ip -6 route add default dev net2 metric 9", "ip -6 route del default dev net2",
			"there is dev net2 metric 9"},
		/* Behind the pod's own, where nothing goes. */
		{"ip route add default via 10.1.0.1 metric 9", "true", NULL},
		{"ip -6 route add default via fe80::9 dev eth0 metric 2000", "true", NULL},
	};
	const struct lab *lab = *state;
	cleanup_error struct error e = {0};
	cleanup_pod struct pod pod;

	make_pod(lab, &pod);
	ask(&pod, 1, "10.2.0.254 fd00:2::254");
	assert_done(attach(&pod, 1, lab, NULL, &e), &e);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		shell_in_pod(lab, cases[i].command);

		int r = default_route_verify(&pod.networks[1], &pod.run, &e);

		if (!cases[i].part)
			assert_done(r, &e);
		else if (r == 0)
			fail_msg("nothing is said after: %s", cases[i].command);
		else
			assert_shows(e.message, cases[i].part);
		error_clear(&e);
		shell_in_pod(lab, cases[i].back);
		assert_done(default_route_verify(&pod.networks[1], &pod.run, &e), &e);
	}
}

/* An interface of ours with a default route of its own: that one needs no table where it is the pod's. */
static void own_table_is_for_others_only(void **state)
{
	static const char ipam[] = "{\"ips\":[{\"address\":\"10.2.0.5/16\",\"gateway\":\"10.2.0.1\"},"
				   "{\"address\":\"fd00:2::5/64\"}],\"routes\":[{\"dst\":\"0.0.0.0/0\"},"
				   "{\"dst\":\"::/0\",\"gw\":\"fd00:2::1\"}]}";
	static const struct {
		size_t holder;
		const char *gateway, *table4, *kernel, *net1;
	} cases[] = {
		{1, "10.2.0.254", "", NET1_FOUR ETH0_SIX, "[" SIX("2::1") "," FOUR("2.0.254") "]"},
		{2, "10.3.0.254", "default via 10.2.0.1 dev net1 \n10.2.0.0/16 dev net1 scope link \n",
			"default via 10.3.0.254 dev net2 \n" ETH0_SIX, "[{\"dst\":\"0.0.0.0/0\"}," SIX("2::1") "]"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		cleanup_error struct error e = {0};
		cleanup_pod struct pod pod;
		struct attachment *net1 = &pod.networks[1];
		struct link_info link;
		const struct lab *lab;

		if (i > 0) {
			tear_down_lab(state);
			assert_int_equal(set_up_lab(state), 0);
		}
		lab = *state;
		make_pod(lab, &pod);
		ask(&pod, cases[i].holder, cases[i].gateway);
		assert_done(link_get(lab->pod, "net1", &link, &e), &e);
		net1->made.ifindex = link.ifindex;
		net1->made.table = 101;
		cJSON_Delete(net1->result);
		net1->result = cJSON_Parse(ipam);
		assert_done(attach(&pod, 0, lab, ETH0_MAKES, &e), &e);
		default_route_forgo(net1);
		assert_done(interface_route(net1, &pod.run, net1->result, &e), &e);
		assert_done(attach(&pod, 1, lab, NULL, &e), &e);
		assert_done(attach(&pod, 2, lab, NULL, &e), &e);

		cleanup_free char *four = run_in_pod(lab, "sh -c 'ip route show table 101 2>/dev/null || true'");
		cleanup_free char *six = run_in_pod(lab, "ip -6 route show table 101");

		assert_string_equal(four, cases[i].table4);
		assert_shows(six, "default via fd00:2::1 dev net1");
		assert_default_is(lab, cases[i].kernel);
		assert_result_is(net1, cases[i].net1);
		assert_done(interface_check(net1, &pod.run, net1->result, &e), &e);
		if (cases[i].holder == 1) {
			shell_in_pod(lab, "ip route del default dev net1");
			assert_done(interface_check(net1, &pod.run, net1->result, &e), &e);
			assert_true(default_route_verify(net1, &pod.run, &e) < 0);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		IN_LAB(gateways_become_the_default_of_their_family),
		IN_LAB(each_family_has_its_own_network),
		IN_LAB(whatever_others_made_goes),
		IN_LAB(default_network_may_have_it),
		IN_LAB(results_may_spell_it_otherwise),
		IN_LAB(refuses_what_cannot_be_followed),
		IN_LAB(says_why_a_gateway_cannot_be_had),
		IN_LAB(notices_another_default),
		IN_LAB(own_table_is_for_others_only),
	};

	return has_rights() ? cmocka_run_group_tests(tests, NULL, NULL) : 0;
}
