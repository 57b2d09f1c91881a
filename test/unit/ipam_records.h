/* The tests of ipam/record. */
#pragma once

#include "ipam/record.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

static void prints_records(void **state)
{
	(void)state;
	const struct ipam_record full = {
		.fixed = true,
		.cluster = "c1",
		.ns = "default",
		.pod = "database-1-0",
		.uid = "u",
		.cid = "0123",
		.ifname = "net1",
		.node = "n\"1",
		.node_guessed = true,
		.nonce = "0123456789abcdef",
		.time = INT64_MAX,
	};
	const struct ipam_record small = {.cid = "0123", .ifname = "net1", .time = 1790000000};
	cleanup_free char *text = ipam_record_print(&full), *short_text = ipam_record_print(&small);

	assert_string_equal(text,
		"{\"v\":1,\"kind\":\"fixed\",\"cluster\":\"c1\",\"ns\":\"default\",\"pod\":\"database-1-0\","
		"\"uid\":\"u\",\"cid\":\"0123\",\"ifname\":\"net1\",\"node\":\"n\\\"1\",\"nodeGuessed\":true,"
		"\"nonce\":\"0123456789abcdef\",\"time\":9223372036854775807}");
	assert_string_equal(
		short_text, "{\"v\":1,\"kind\":\"dynamic\",\"cid\":\"0123\",\"ifname\":\"net1\",\"time\":1790000000}");
}

static void reads_its_own_records(void **state)
{
	(void)state;
	const struct ipam_record record = {.fixed = true,
		.ns = "a",
		.pod = "b",
		.cid = "c",
		.ifname = "d",
		.nonce = "e",
		.node = "f",
		.node_guessed = true,
		.uid = "g",
		.time = 1790000000};
	cleanup_free char *text = ipam_record_print(&record);
	cleanup_value struct ipam_value value = {0};
	struct error e = {0};

	assert_int_equal(ipam_value_parse(text, &value, &e), 0);

	cleanup_free char *again = ipam_record_print(&value.record);

	assert_string_equal(text, again);
	assert_null(value.record.cluster);
	assert_true(value.record.fixed && value.record.node_guessed);
	assert_int_equal(value.record.time, 1790000000);
}

static void refuses_what_is_no_record(void **state)
{
	(void)state;
	static const char *const texts[] = {"", " ", "a", "{", "{}", "[]", "1", "null", "\"x\"",
		"bc0ac5b9f8a8a3e1", /* kube-ipam's own value: a bare container ID */
		"{\"v\":2,\"kind\":\"fixed\"}", "{\"v\":\"1\",\"kind\":\"fixed\"}", "{\"v\":1}",
		"{\"v\":1,\"kind\":\"other\"}", "{\"v\":1,\"kind\":null}", "{\"v\":1,\"kind\":\"fixed\",\"ns\":5}",
		"{\"v\":1,\"kind\":\"fixed\",\"time\":1.5}", "{\"v\":1,\"kind\":\"fixed\",\"time\":1e300}",
		"{\"v\":1,\"kind\":\"fixed\"}x", "\xff\xfe", "{\"v\":1,\"kind\":\"fixed\",\"ns\":\"\\u0000\"}"};
	char *huge = allocate(1, 5000);

	for (size_t i = 0; i <= ARRAY_SIZE(texts); i++) {
		struct ipam_value value = {0};
		struct error e = {0};

		assert_int_equal(ipam_value_parse(i < ARRAY_SIZE(texts) ? texts[i] : NULL, &value, &e), -EINVAL);
		assert_non_null(e.message);
		assert_null(value.json);
		error_clear(&e);
	}
	/* A record, but for its length. */
	struct ipam_value value = {0};
	struct error e = {0};

	memset(huge, ' ', 4999);
	memcpy(huge, "{\"v\":1,\"kind\":\"fixed\"}", 22);
	assert_int_equal(ipam_value_parse(huge, &value, &e), -EINVAL);
	error_clear(&e);
	huge[4096] = '\0';
	assert_int_equal(ipam_value_parse(huge, &value, &e), 0);
	ipam_value_clear(&value);
	free(huge);
}

/* A record with bytes changed, cut and put in at random: parsed or refused, described, never a crash. */
static void bears_random_records(void **state)
{
	(void)state;
	static const char record[] =
		"{\"v\":1,\"kind\":\"fixed\",\"ns\":\"default\",\"pod\":\"p\",\"cid\":\"c\",\"ifname\":\"net1\","
		"\"node\":\"n\",\"nodeGuessed\":true,\"time\":1790000000}";
	unsigned int seed = 9;

	for (int i = 0; i < 20000; i++) {
		char text[sizeof(record)];
		struct ipam_value value = {0};
		struct error e = {0};

		memcpy(text, record, sizeof(text));
		for (int changes = rand_r(&seed) % 4; changes >= 0; changes--)
			text[rand_r(&seed) % (sizeof(record) - 1)] =
				(char)(rand_r(&seed) % 3 ? "{}[]\",:\\u0x1e9"[rand_r(&seed) % 15] : rand_r(&seed));

		/* In memory of its own size, so that a sanitizer sees each step too far. */
		cleanup_free char *exact = copy_text(text);
		cleanup_free char *described = ipam_value_describe(exact);

		for (const char *c = described; *c; c++)
			assert_true((unsigned char)*c >= ' ' && *c != 0x7f);
		assert_true(strlen(described) < 1200);
		if (ipam_value_parse(exact, &value, &e) >= 0)
			ipam_value_clear(&value);
		error_clear(&e);
	}
}

static void describes_holders(void **state)
{
	(void)state;
	const int64_t now = time(NULL);
	const struct {
		struct ipam_record record;
		const char *text;
	} cases[] = {
		{{.ns = "default", .pod = "database-1-0", .cid = "c"}, "default/database-1-0"},
		{{.ns = "default", .pod = "p", .node = "n1", .time = now - 5 * 60}, "default/p on node n1 for 5m"},
		{{.ns = "a", .pod = "b", .cluster = "c2", .time = now - 3 * 86400}, "a/b of cluster c2 for 3d"},
		{{.ns = "a", .pod = "b", .time = now - 5 * 3600}, "a/b for 5h"},
		{{.ns = "a", .pod = "b", .time = now + 3600}, "a/b"},
		{{.cid = "0123456789ab"}, "container 0123456789ab"},
		{{.ns = "a\nb", .pod = "p"}, "a?b/p"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		cleanup_free char *value = ipam_record_print(&cases[i].record);
		cleanup_free char *text = ipam_value_describe(value);

		assert_string_equal(text, cases[i].text);
	}

	cleanup_free char *nobody = ipam_value_describe(NULL);
	cleanup_free char *foreign = ipam_value_describe("bc0ac5\x1b[31m");
	cleanup_free char *cut =
		ipam_value_describe("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaß");

	assert_string_equal(nobody, "nobody");
	assert_string_equal(foreign, "an unknown holder \"bc0ac5?[31m\"");
	assert_string_equal(
		cut, "an unknown holder \"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa...\"");
}
