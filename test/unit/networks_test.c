/* The networks annotation: both forms, as multus reads them, and what is refused. */
#include "delegate/networks.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define KEY "k8s.v1.cni.cncf.io/networks"

static struct network_list read_ok(const char *annotation)
{
	struct network_list list = {0};
	struct error e = {0};

	if (networks_read(KEY, annotation, "default", &list, &e) < 0)
		fail_msg("%s", e.message);
	return list;
}

static void assert_refused(const char *annotation, const char *part)
{
	cleanup_networks struct network_list list = {0};
	cleanup_error struct error e = {0};

	assert_int_equal(networks_read(KEY, annotation, "default", &list, &e), -EINVAL);
	assert_int_equal(e.code, ERROR_CONFIG);
	assert_int_equal(list.count, 0);
	if (!strstr(e.message, KEY) || !strstr(e.message, part))
		fail_msg("\"%s\" says: %s", annotation, e.message);
}

/* "ns/name@ifname" of each, with a blank between them. */
static void assert_names(const char *annotation, const char *expected)
{
	cleanup_networks struct network_list list = read_ok(annotation);
	char *said = copy_text("");

	for (size_t i = 0; i < list.count; i++) {
		const struct network_element *element = &list.elements[i];
		cleanup_free char *before = said;

		said = format_text("%s%s%s/%s%s%s", before, *before ? " " : "", element->ns, element->name,
			element->ifname ? "@" : "", element->ifname ? element->ifname : "");
	}
	assert_string_equal(said, expected);
	free(said);
}

static void reads_the_short_form(void **state)
{
	(void)state;
	assert_names("", "");
	assert_names("macvlan", "default/macvlan");
	assert_names("a, b ,c", "default/a default/b default/c");
	assert_names("db/macvlan@net7,storage", "db/macvlan@net7 default/storage");
	assert_names("/a@eth1", "default/a@eth1");
	assert_names("a@,b@ ", "default/a default/b");
	/* multus refuses the dots, which the API allows. */
	assert_names("db/net.v2", "db/net.v2");
	assert_names("\ta@net1 \n", "default/a@net1");
	/* multus looks for a network without a name. */
	assert_names("a, b, ", "default/a default/b");
}

static void reads_the_names_of_the_json_form(void **state)
{
	(void)state;
	assert_names("[]", "");
	assert_names("[{\"name\":\"a\"},{\"name\":\"b\",\"namespace\":\"db\",\"interface\":\"net5\"}]",
		"default/a db/b@net5");
	assert_names("[{\"NAME\":\"a\",\"nameSpace\":\"db\",\"interfaceRequest\":\"x1\"}]", "db/a@x1");
	assert_names("[{\"name\":\"a\",\"interface\":\"i\",\"interfaceRequest\":\"r\"}]", "default/a@i");
	assert_names("[{\"name\":\"a\",\"interface\":\"\",\"interfaceRequest\":\"r\",\"unknown\":[1]}]", "default/a@r");
	assert_names("[{\"name\":\"a\",\"namespace\":\"\",\"mac\":\"\",\"ips\":null}]", "default/a");
}

static void reads_all_that_an_object_says(void **state)
{
	static const char annotation[] =
		"[{\"name\":\"a\",\"ips\":[\"10.1.1.11/24\",\"2001:db8::1\"],\"mac\":\"C2-B0-57-49-47-F1\","
		"\"infiniband-guid\":\"c2:11:22:33:44:55:66:77\",\"deviceID\":\"0000:03:02.0\","
		"\"portMappings\":[{\"hostPort\":8080,\"containerPort\":80,\"protocol\":\"tcp\"}],"
		"\"bandwidth\":{\"ingressRate\":2048},\"cni-args\":{\"k\":1},"
		"\"default-route\":[\"10.1.1.1\",\"2001:db8::ffff\"]}]";
	cleanup_networks struct network_list list = read_ok(annotation);
	const struct network_element *element = list.elements;

	(void)state;
	assert_int_equal(list.count, 1);
	assert_int_equal(element->ip_count, 2);
	assert_string_equal(element->ips[0], "10.1.1.11/24");
	assert_string_equal(element->ips[1], "2001:db8::1");
	assert_string_equal(element->mac, "C2-B0-57-49-47-F1");
	assert_string_equal(element->infiniband_guid, "c2:11:22:33:44:55:66:77");
	assert_string_equal(element->device_id, "0000:03:02.0");
	assert_int_equal(cJSON_GetArraySize(element->port_mappings), 1);
	assert_true(cJSON_IsObject(element->bandwidth) && cJSON_IsObject(element->cni_args));
	assert_true(element->default_route);
	assert_int_equal(element->gateway_count, 2);
	assert_string_equal(ip_text(&element->gateways[0]).s, "10.1.1.1");
	assert_string_equal(ip_text(&element->gateways[1]).s, "2001:db8::ffff");
}

static void says_nothing_that_is_not_said(void **state)
{
	cleanup_networks struct network_list list =
		read_ok("[{\"name\":\"a\",\"ips\":null},{\"name\":\"b\",\"default-route\":[],\"ips\":[]}]");

	(void)state;
	assert_false(list.elements[0].default_route);
	assert_true(list.elements[1].default_route);
	assert_int_equal(list.elements[1].gateway_count, 0);
	assert_false(list.elements[0].has_ips);
	assert_true(list.elements[1].has_ips);
	assert_int_equal(list.elements[1].ip_count, 0);
	assert_null(list.elements[0].mac);
	assert_null(list.elements[0].cni_args);
}

static void refuses_what_the_short_form_cannot_be(void **state)
{
	(void)state;
	assert_refused("a/b/c", "network 1: it is \"a/b/c\"");
	assert_refused("a,b@c@d", "network 2: it is \"b@c@d\"");
	assert_refused(",", "network 1: it is \"\"");
	assert_refused("a,,b", "network 2");
	assert_refused("Upper", "the name is \"Upper\"");
	assert_refused("../x", "the namespace is \"..\"");
	assert_refused("db/..", "the name is \"..\"");
	assert_refused("a.b/c", "the namespace is \"a.b\"");
	assert_refused("a@net1/x", "the namespace is \"a@net1\"");
	assert_refused("a@sixteen-bytes-xx", "1 to 15 bytes");
}

static void assert_bad(const char *annotation, const char *ns, const char *name)
{
	cleanup_networks struct network_list list = {0};
	cleanup_error struct error e = {0};

	assert_true(networks_read(KEY, annotation, "default", &list, &e) < 0);
	assert_true(same_text_or_none(list.bad_ns, ns));
	assert_true(same_text_or_none(list.bad_name, name));
}

/* multus asks for it, and tells that it is not found; it does not get so far with what it cannot read. */
static void says_which_name_no_definition_has(void **state)
{
	(void)state;
	assert_bad("[{\"name\":\"a\"},{\"name\":\"N_x\",\"namespace\":\"db\"},{\"name\":\"M_x\"}]", "db", "N_x");
	assert_bad("[{\"name\":\"a\",\"namespace\":\"Db\"}]", "Db", "a");
	assert_bad("[{}]", "default", "");
	assert_bad("[{\"name\":\"a\",\"mac\":\"no\"}]", NULL, NULL);
	assert_bad("N_x", NULL, NULL);
}

static void refuses_what_the_json_form_cannot_be(void **state)
{
	(void)state;
	assert_refused("{\"name\":\"a\"}", "it must be a JSON array");
	assert_refused("\"a\"", "it must be a JSON array");
	assert_refused("[\"a\"]", "network 1: it must be an object");
	assert_refused("[{}]", "name must be there");
	assert_refused("[{\"name\":\"\"}]", "the name is \"\"");
	/* Not split here. */
	assert_refused("[{\"name\":\"db/a\"}]", "the name is \"db/a\"");
	assert_refused("[{\"name\":1}]", "name");
	assert_refused("[{\"name\":\"a\"},{\"name\":\"a\",\"ips\":\"10.0.0.1\"}]", "network 2: ips");
	assert_refused("[{\"name\":\"a\",\"ips\":[1]}]", "ips must be an array of strings");
	assert_refused("[{\"name\":\"a\",\"ips\":[\"10.0.0\"]}]", "ips is \"10.0.0\"");
	assert_refused("[{\"name\":\"a\",\"default-route\":[\"10.0.0.1/24\"]}]", "default-route is \"10.0.0.1/24\"");
	assert_refused("[{\"name\":\"a\",\"interface\":\"a b\"}]", "the interface is \"a b\"");
	assert_refused("[{\"name\":\"a\",\"cni-args\":[]}]", "cni-args");
	assert_refused("[{\"name\":\"a\"}", KEY);
}

static void takes_a_bounded_number_of_arguments(void **state)
{
	cleanup_free char *members = copy_text("\"k0\":0");

	(void)state;
	for (size_t i = 1; i < MAX_NETWORK_ARGS; i++) {
		char *longer = format_text("%s,\"k%zu\":0", members, i);

		free(members);
		members = longer;
	}

	cleanup_free char *most = format_text("[{\"name\":\"a\",\"cni-args\":{%s}}]", members);
	cleanup_free char *many = format_text("[{\"name\":\"a\",\"cni-args\":{%s,\"k0\":0}}]", members);
	cleanup_networks struct network_list list = read_ok(most);

	assert_int_equal(cJSON_GetArraySize(list.elements[0].cni_args), MAX_NETWORK_ARGS);
	assert_refused(many, "cni-args must be an object of at most 1000 members");
}

static void knows_a_hardware_address(void **state)
{
	static const char *const good[] = {"02:00:00:00:00:01", "02-00-00-00-00-01", "0200.0000.0001",
		"00:00:00:00:fe:80:00:00:00:00:00:00:02:00:5e:10:00:00:00:01", "0000.5e00.53AF.0001"};
	static const char *const bad[] = {"02:00:00:00:00", "02:00:00:00:00:0g", "02:00:00-00:00:01", "020000000001",
		"2:0:0:0:0:1", "0200:0000:0001", "02:00:00:00:00:01:", "02:00:00:00:00:01:02", "x"};

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++) {
		cleanup_free char *annotation = format_text("[{\"name\":\"a\",\"mac\":\"%s\"}]", good[i]);
		cleanup_networks struct network_list list = read_ok(annotation);

		assert_string_equal(list.elements[0].mac, good[i]);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		cleanup_free char *annotation = format_text("[{\"name\":\"a\",\"mac\":\"%s\"}]", bad[i]);

		assert_refused(annotation, "mac is ");
	}
}

/* "a,a,...": that many. */
static char *many(size_t count)
{
	char *text = allocate(count + 1, 2);

	for (size_t i = 0; i < count; i++)
		memcpy(text + 2 * i, i + 1 < count ? "a," : "a", 2);
	return text;
}

static void is_bounded(void **state)
{
	cleanup_free char *most = many(MAX_NETWORKS), *more = many(MAX_NETWORKS + 1);
	cleanup_free char *longest = allocate((size_t)300 << 10, 1);
	cleanup_networks struct network_list list = read_ok(most), none = {0};
	cleanup_error struct error e = {0};

	(void)state;
	assert_int_equal(list.count, MAX_NETWORKS);
	assert_int_equal(networks_read(KEY, more, "default", &none, &e), -E2BIG);
	memset(longest, 'a', ((size_t)300 << 10) - 1);
	assert_int_equal(networks_read(KEY, longest, "default", &none, &e), -E2BIG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_the_short_form),
		cmocka_unit_test(reads_the_names_of_the_json_form),
		cmocka_unit_test(reads_all_that_an_object_says),
		cmocka_unit_test(says_nothing_that_is_not_said),
		cmocka_unit_test(refuses_what_the_short_form_cannot_be),
		cmocka_unit_test(says_which_name_no_definition_has),
		cmocka_unit_test(refuses_what_the_json_form_cannot_be),
		cmocka_unit_test(takes_a_bounded_number_of_arguments),
		cmocka_unit_test(knows_a_hardware_address),
		cmocka_unit_test(is_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
