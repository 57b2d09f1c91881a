/* The annotation network-status: byte for byte what the NetworkAttachmentDefinition client v1.7.6 makes of a result
 * (CreateNetworkStatuses and MarshalIndent, run once), but for what says so. */
#include "delegate/result.h"
#include "plugin/network_status.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

struct given {
	const char *name;
	bool is_default;
	const char *device, *result;
};

struct golden {
	const char *name;
	struct given given[2];
	const char *expected;
};

static const struct golden goldens[] = {
	{
		.name = "a bridge and a macvlan",
		.given =
			{
				{"cbr0", true, NULL,
					"{\"cniVersion\":\"1.0.0\",\"interfaces\":[{\"name\":\"cni0\",\"mac\":\"0a:58:"
					"0a:f4:01:01\"},{\"name\":\"veth1\"},{\"name\":\"eth0\",\"mac\":\"0a:58:0a:f4:"
					"01:05\",\"sandbox\":\"/"
					"n\"}],\"ips\":[{\"interface\":2,\"address\":\"10.244.1.5/"
					"24\",\"gateway\":\"10.244.1.1\"}],\"routes\":[{\"dst\":\"10.244.0.0/"
					"16\"},{\"dst\":\"0.0.0.0/0\",\"gw\":\"10.244.1.1\"}]}"},
				{"default/macvlan-conf", false,
					"{\"type\":\"pci\",\"version\":\"1.1.0\",\"pci\":{\"pci-address\":\"0000:18:02."
					"5\"}}",
					"{\"cniVersion\":\"1.1.0\",\"interfaces\":[{\"name\":\"net1\",\"mac\":\"4e:6d:"
					"7a:4e:14:87\",\"mtu\":1500,\"sandbox\":\"/"
					"n\"}],\"ips\":[{\"interface\":0,\"address\":\"10.1.1.11/24\"}]}"},
			},
		.expected = "[{\n"
			    "    \"name\": \"cbr0\",\n"
			    "    \"interface\": \"eth0\",\n"
			    "    \"ips\": [\n"
			    "        \"10.244.1.5\"\n"
			    "    ],\n"
			    "    \"mac\": \"0a:58:0a:f4:01:05\",\n"
			    "    \"default\": true,\n"
			    "    \"dns\": {},\n"
			    "    \"gateway\": [\n"
			    "        \"10.244.1.1\"\n"
			    "    ]\n"
			    "},{\n"
			    "    \"name\": \"default/macvlan-conf\",\n"
			    "    \"interface\": \"net1\",\n"
			    "    \"ips\": [\n"
			    "        \"10.1.1.11\"\n"
			    "    ],\n"
			    "    \"mac\": \"4e:6d:7a:4e:14:87\",\n"
			    "    \"mtu\": 1500,\n"
			    "    \"dns\": {},\n"
			    "    \"device-info\": {\n"
			    "        \"type\": \"pci\",\n"
			    "        \"version\": \"1.1.0\",\n"
			    "        \"pci\": {\n"
			    "            \"pci-address\": \"0000:18:02.5\"\n"
			    "        }\n"
			    "    }\n"
			    "}]",
	},
	{
		.name = "odd names and dns",
		.given =
			{
				{"a<b>&c\"\342\200\250\\\t\001\177\303\251", true, NULL,
					"{\"cniVersion\":\"0.4.0\",\"interfaces\":[{\"name\":\"eth0\"}],\"ips\":[{"
					"\"version\":\"4\",\"address\":\"10.0.0.2/"
					"8\"}],\"dns\":{\"nameservers\":[\"10.0.0.1\"],\"domain\":\"d\",\"search\":["
					"\"s1\",\"s2\"],\"options\":[\"o\"]}}"},
			},
		.expected = "[{\n"
			    "    \"name\": \"a\\u003cb\\u003e\\u0026c\\\"\\u2028\\\\\\t\\u0001\177\303\251\",\n"
			    "    \"ips\": [\n"
			    "        \"10.0.0.2\"\n"
			    "    ],\n"
			    "    \"default\": true,\n"
			    "    \"dns\": {\n"
			    "        \"nameservers\": [\n"
			    "            \"10.0.0.1\"\n"
			    "        ],\n"
			    "        \"domain\": \"d\",\n"
			    "        \"search\": [\n"
			    "            \"s1\",\n"
			    "            \"s2\"\n"
			    "        ],\n"
			    "        \"options\": [\n"
			    "            \"o\"\n"
			    "        ]\n"
			    "    }\n"
			    "}]",
	},
	{
		.name = "a result of 0.2.0",
		.given =
			{
				{"none", true, NULL,
					"{\"cniVersion\":\"0.2.0\",\"ip4\":{\"ip\":\"10.244.1.5/"
					"24\",\"gateway\":\"10.244.1.1\"}}"},
			},
		.expected = NULL,
	},
	{
		.name = "two interfaces in the pod",
		.given =
			{
				{"two", true, NULL,
					"{\"cniVersion\":\"1.0.0\",\"interfaces\":[{\"name\":\"eth0\",\"sandbox\":\"/"
					"n\"},{\"name\":\"eth1\",\"sandbox\":\"/"
					"n\"},{\"name\":\"h\"}],\"ips\":[{\"interface\":0,\"address\":\"10.0.0.2/"
					"8\"},{\"address\":\"10.0.0.3/8\"},{\"interface\":1,\"address\":\"2001:db8::2/"
					"64\",\"gateway\":\"2001:db8::1\"},{\"interface\":2,\"address\":\"10.0.0.9/"
					"8\"}],\"routes\":[{\"dst\":\"0.0.0.0/"
					"0\",\"gw\":\"10.0.0.1\"},{\"dst\":\"0.0.0.0/"
					"1\",\"gw\":\"10.0.0.7\"},{\"dst\":\"::/"
					"0\",\"gw\":\"2001:db8::1\"},{\"dst\":\"10.9.0.0/16\",\"gw\":\"10.0.0.1\"}]}"},
			},
		.expected = "[{\n"
			    "    \"name\": \"two\",\n"
			    "    \"interface\": \"eth0\",\n"
			    "    \"ips\": [\n"
			    "        \"10.0.0.2\"\n"
			    "    ],\n"
			    "    \"dns\": {},\n"
			    "    \"gateway\": [\n"
			    "        \"10.0.0.1\",\n"
			    "        \"10.0.0.7\",\n"
			    "        \"2001:db8::1\"\n"
			    "    ]\n"
			    "},{\n"
			    "    \"name\": \"two\",\n"
			    "    \"interface\": \"eth1\",\n"
			    "    \"ips\": [\n"
			    "        \"10.0.0.3\",\n"
			    "        \"2001:db8::2\"\n"
			    "    ],\n"
			    "    \"default\": true,\n"
			    "    \"dns\": {},\n"
			    "    \"gateway\": [\n"
			    "        \"10.0.0.1\",\n"
			    "        \"10.0.0.7\",\n"
			    "        \"2001:db8::1\"\n"
			    "    ]\n"
			    "}]",
	},
	{
		.name = "the first is the default where none has a gateway",
		.given =
			{
				{"first", true, NULL,
					"{\"cniVersion\":\"1.0.0\",\"interfaces\":[{\"name\":\"h\"},{\"name\":\"eth0\","
					"\"sandbox\":\"/n\"},{\"name\":\"eth1\",\"sandbox\":\"/"
					"n\"}],\"ips\":[{\"interface\":2,\"address\":\"10.0.0.2/8\"}]}"},
			},
		.expected = "[{\n"
			    "    \"name\": \"first\",\n"
			    "    \"interface\": \"eth0\",\n"
			    "    \"default\": true,\n"
			    "    \"dns\": {}\n"
			    "},{\n"
			    "    \"name\": \"first\",\n"
			    "    \"interface\": \"eth1\",\n"
			    "    \"ips\": [\n"
			    "        \"10.0.0.2\"\n"
			    "    ],\n"
			    "    \"dns\": {}\n"
			    "}]",
	},
	{
		.name = "the gateway is the host's",
		.given =
			{
				{"hostgw", true, NULL,
					"{\"cniVersion\":\"1.0.0\",\"interfaces\":[{\"name\":\"h\"},{\"name\":\"eth0\","
					"\"sandbox\":\"/n\"},{\"name\":\"eth1\",\"sandbox\":\"/"
					"n\"}],\"ips\":[{\"interface\":0,\"address\":\"10.0.0.2/"
					"8\",\"gateway\":\"10.0.0.1\"}]}"},
			},
		.expected = "[{\n"
			    "    \"name\": \"hostgw\",\n"
			    "    \"interface\": \"eth0\",\n"
			    "    \"dns\": {}\n"
			    "},{\n"
			    "    \"name\": \"hostgw\",\n"
			    "    \"interface\": \"eth1\",\n"
			    "    \"dns\": {}\n"
			    "}]",
	},
	/* Not Go's: there is "gateway": ["\u003cnil\u003e"], which no reader can use. */
	{
		.name = "no gateway",
		.given =
			{
				{"nogw", false, NULL,
					"{\"cniVersion\":\"1.0.0\",\"interfaces\":[{\"name\":\"eth0\",\"sandbox\":\"/"
					"n\"}],\"routes\":[{\"dst\":\"0.0.0.0/0\"}]}"},
			},
		.expected = "[{\n"
			    "    \"name\": \"nogw\",\n"
			    "    \"interface\": \"eth0\",\n"
			    "    \"dns\": {}\n"
			    "}]",
	},
	{
		.name = "one in the pod",
		.given =
			{
				{"oneempty", false, NULL,
					"{\"cniVersion\":\"1.0.0\",\"interfaces\":[{\"name\":\"eth0\",\"sandbox\":\"/"
					"n\"},{\"name\":\"eth1\"}]}"},
			},
		.expected = "[{\n"
			    "    \"name\": \"oneempty\",\n"
			    "    \"interface\": \"eth0\",\n"
			    "    \"dns\": {}\n"
			    "}]",
	},
	{
		.name = "none in the pod",
		.given =
			{
				{"nosandbox", true,
					"{\"type\":\"vdpa\",\"version\":\"1.1.0\",\"vdpa\":{\"parent-device\":"
					"\"vdpa1\",\"driver\":\"vhost\",\"path\":\"/dev/"
					"vhost-vdpa1\",\"pci-address\":\"0000:65:00.3\"}}",
					"{\"cniVersion\":\"1.0.0\",\"interfaces\":[{\"name\":\"h1\"},{\"name\":\"h2\"}]"
					"}"},
			},
		.expected = NULL,
	},
};

static cJSON *parse(const char *text)
{
	cleanup_error struct error e = {0};
	cJSON *json = NULL;

	if (text && json_parse(text, strlen(text), "test", &json, &e) < 0)
		fail_msg("%s", e.message);
	return json;
}

static cJSON *read_result(const char *text)
{
	cleanup_json cJSON *printed = parse(text);
	cleanup_error struct error e = {0};
	cJSON *result = NULL;

	if (printed && result_read(printed, "", &result, &e) < 0)
		fail_msg("%s", e.message);
	return result;
}

static void assert_golden(const struct golden *golden)
{
	cJSON *results[ARRAY_SIZE(golden->given)], *devices[ARRAY_SIZE(golden->given)];
	struct network_status attachments[ARRAY_SIZE(golden->given)];
	size_t count = 0;

	for (; count < ARRAY_SIZE(golden->given) && golden->given[count].name; count++) {
		const struct given *given = &golden->given[count];

		results[count] = read_result(given->result);
		devices[count] = parse(given->device);
		attachments[count] = (struct network_status){
			.name = given->name,
			.result = results[count],
			.is_default = given->is_default,
			.device = devices[count],
		};
	}

	cleanup_free char *text = network_status_print(attachments, count);

	if (golden->expected ? !text || strcmp(text, golden->expected) != 0 : text != NULL)
		fail_msg("%s: %s", golden->name, text ? text : "nothing");
	while (count-- > 0) {
		cJSON_Delete(results[count]);
		cJSON_Delete(devices[count]);
	}
}

static void is_what_multus_writes(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(goldens); i++)
		assert_golden(&goldens[i]);
}

static void says_nothing_of_what_nobody_knows(void **state)
{
	const struct network_status unknown = {.name = "x", .is_default = true};

	(void)state;
	assert_null(network_status_print(NULL, 0));
	assert_null(network_status_print(&unknown, 1));
}

static void takes_of_a_device_what_the_specification_has(void **state)
{
	(void)state;
	assert_golden(&(struct golden){
		.name = "device",
		.given = {{"d", false,
			"{\"vdpa\":{},\"Version\":\"1.1.0\",\"type\":7,\"x\":\"y\",\"memif\":{\"mode\":\"ip\",\"role\":"
			"\"master\",\"path\":\"\"},\"pci\":[]}",
			"{\"cniVersion\":\"1.0.0\",\"interfaces\":[{\"name\":\"net1\",\"sandbox\":\"/n\"}]}"}},
		.expected = "[{\n    \"name\": \"d\",\n    \"interface\": \"net1\",\n    \"dns\": {},\n"
			    "    \"device-info\": {\n        \"version\": \"1.1.0\",\n        \"vdpa\": {},\n"
			    "        \"memif\": {\n            \"role\": \"master\",\n            \"mode\": \"ip\"\n"
			    "        }\n    }\n}]",
	});
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(is_what_multus_writes),
		cmocka_unit_test(says_nothing_of_what_nobody_knows),
		cmocka_unit_test(takes_of_a_device_what_the_specification_has),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
